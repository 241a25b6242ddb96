"""Which parts of the package's functions were executed, and digests of those that were not.

A replay vouches for a changed function only as far as it went through it. :func:`watching` notes
every instruction that functions of ours execute, and from which one it came; :func:`unexecuted`
maps that onto the syntax trees: statements, both outcomes of conditions (also of an ``if`` without
``else`` and of ``and`` and ``or``), arms of conditional expressions, loops' bodies, handlers of
exceptions, bodies of lambdas and of functions inside. What was not executed is recorded as a digest
over its normal form (see :mod:`cnnpaper.codeunits`), the condition that led past it, and every
statement of the function that binds a name which these read: so ``limit = 1000`` cannot be changed
in front of ``if step > limit`` without the part behind it becoming another one.

Not counted: ``raise`` and the messages of ``assert``, since they end a run with an error and give
no number; default values and decorators, which are executed on import.

What this cannot see: a change that every replayed step executes and whose effect depends on a value
that only a longer run meets, such as ``rate * 0.5 ** (step // 1000)``.

This module needs the standard library alone.
"""

from __future__ import annotations

import ast
import dis
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeAlias

from cnnpaper.codeunits import Function, digest_of_form, functions_of

Span: TypeAlias = tuple[int, int, int, int]
"""First line, first column, last line, last column."""
NOWHERE: Span = (0, 0, 0, 0)
_RETURNS = frozenset({"RETURN_VALUE", "RETURN_CONST"})
Trace: TypeAlias = Callable[[FrameType, str, Any], Any]
Noted: TypeAlias = Callable[[CodeType], "set[tuple[int, int]] | None"]
"""Where to note what a code object executes; None where it is not watched."""


# ------------------------------------------------------------------------------------ watching


@dataclass
class Watched:
    """What was executed between entering and leaving :func:`watching`."""

    root: Path
    """Folder that holds the package's folder."""
    functions: frozenset[str] = frozenset()
    """``module:Qualified.name`` of every function of ours that was entered; functions inside one
    count as the outer one."""
    _pairs: dict[CodeType, set[tuple[int, int]]] = field(default_factory=dict)
    """Offsets of an instruction and of the one before it in the same frame, -1 for none."""

    def unexecuted(self) -> dict[str, tuple[str, ...]]:
        """For every function that was entered and has them, the parts that were not executed."""
        found = {}
        for module in sorted({name.partition(":")[0] for name in self.functions}):
            parts = unexecuted(self.root, module, self._steps(module))
            found.update({name: parts[name] for name in sorted(parts) if name in self.functions})
        return {name: digests for name, digests in found.items() if digests}

    def _steps(self, module: str) -> set[tuple[Span, Span]]:
        """Where each instruction of a module's code came from and where it stands."""
        steps: set[tuple[Span, Span]] = set()
        for code, pairs in self._pairs.items():
            if _module_of(code, self.root) == module:
                where = _positions(code)
                steps |= {
                    (where.get(last, NOWHERE), where.get(now, NOWHERE)) for last, now in pairs
                }
        return steps

    def __or__(self, other: Watched) -> Watched:
        """Both together."""
        pairs = {
            code: self._pairs.get(code, set()) | other._pairs.get(code, set())
            for code in (*self._pairs, *other._pairs)
        }
        return Watched(self.root, self.functions | other.functions, pairs)


@contextmanager
def watching(root: Path, package: str, *, beside: Iterable[str] = ()) -> Iterator[Watched]:
    """Note what functions of ``root/package`` do inside the block.

    Args:
        root: folder that holds the package's folder.
        package: its name.
        beside: modules of it that are not watched.
    """
    watched = Watched(root)
    skipped = frozenset(beside)

    @cache
    def noted(code: CodeType) -> set[tuple[int, int]] | None:
        module = _module_of(code, root)
        ours = module is not None and module.partition(".")[0] == package
        if not ours or module in skipped or not code.co_flags & CO_OPTIMIZED:
            return None
        return watched._pairs.setdefault(code, set())

    follow = _traced if sys.version_info < (3, 12) else _monitored
    try:
        with follow(noted):
            yield watched
    finally:
        names = (_unit_of(code, root) for code in watched._pairs)
        watched.functions = frozenset(name for name in names if name is not None)


@contextmanager
def _traced(noted: Noted) -> Iterator[None]:
    """Note every pair of instructions by tracing, as Python 3.11 can."""

    def enter(frame: FrameType, _event: str, _argument: Any) -> Trace | None:
        pairs, last = noted(frame.f_code), -1
        if pairs is None:
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True

        def step(frame: FrameType, event: str, _argument: Any) -> Trace:
            nonlocal last
            if event == "opcode":
                pairs.add((last, frame.f_lasti))
                last = frame.f_lasti
            return step

        return step

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(before)


@contextmanager
def _monitored(noted: Noted) -> Iterator[None]:
    """The same from Python 3.12 on, where tracing misses a function's first call."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
    events, tool = monitoring.events, 4  # one that no debugger or profiler has
    last: dict[int, int] = {}
    """Frame → offset of its last instruction; a frame that starts may have the number of an old
    one."""

    def start(code: CodeType, _offset: int) -> Any:
        if noted(code) is None:
            return monitoring.DISABLE
        last[id(sys._getframe(1))] = -1
        return None

    def step(code: CodeType, offset: int) -> Any:
        if (pairs := noted(code)) is None:
            return monitoring.DISABLE
        frame = id(sys._getframe(1))
        pairs.add((last.get(frame, -1), offset))
        last[frame] = offset
        return None

    monitoring.use_tool_id(tool, "cnnpaper")
    monitoring.register_callback(tool, events.PY_START, start)
    monitoring.register_callback(tool, events.INSTRUCTION, step)
    monitoring.set_events(tool, events.PY_START | events.INSTRUCTION)
    try:
        yield
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)
        monitoring.restart_events()


def _module_of(code: CodeType, root: Path) -> str | None:
    path = Path(code.co_filename)
    if not path.is_relative_to(root):
        return None
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _unit_of(code: CodeType, root: Path) -> str | None:
    """``cnnpaper.learn.train:Training.test``; None for what belongs to no function."""
    outer = code.co_qualname.split(".<locals>")[0]
    return None if outer.startswith("<") else f"{_module_of(code, root)}:{outer}"


def _positions(code: CodeType) -> dict[int, Span]:
    """Where each instruction of ``code`` stands in the source, by its offset.

    A conditional jump, which versions of Python place differently, stands where the value is that
    it looks at. The lines of a return are negative: one that no source has, at the end of a
    function, may carry the position of the condition before it.
    """
    places = list(code.co_positions())
    found: dict[int, Span] = {}
    before, copied = NOWHERE, False
    for item in dis.get_instructions(code):
        line, end, column, end_column = places[item.offset // 2]
        here = NOWHERE
        if line and end and column is not None and end_column is not None:
            here = (line, column, end, end_column)
        jump = "JUMP" in item.opname and "_IF_" in item.opname
        if jump or item.opname in ("COPY", "TO_BOOL") or (copied and item.opname == "POP_TOP"):
            here = before  # `a or b` copies a, looks at the copy and drops it
        elif item.opname in _RETURNS:
            here = (-here[0], here[1], -here[2], here[3])
        copied = item.opname == "COPY" or (copied and (jump or item.opname == "TO_BOOL"))
        found[item.offset] = before = here
    return found


# ------------------------------------------------------------------------------ parts of functions


def unexecuted(
    root: Path, module: str, steps: Iterable[tuple[Span, Span]]
) -> dict[str, tuple[str, ...]]:
    """Digests of the parts of each function of ``module`` that no step went through.

    Args:
        root: folder that holds the package's folder.
        module: ``package.module``.
        steps: of every instruction that was executed, where the one before it stands, and itself.
    """
    found: dict[str, set[str]] = {}
    executed = list(steps)
    for name, function, forms in functions_of(root, module):
        found.setdefault(name, set()).update(_Parts(function, forms, executed).digests)
    return {name: tuple(sorted(digests)) for name, digests in found.items()}


def _span(node: ast.AST) -> Span:
    return (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]


def _within(inner: Span, outer: Span) -> bool:
    return outer[:2] <= inner[:2] and inner[2:] <= outer[2:]


class _Parts:
    """Walks one function and collects the digests of what was not executed."""

    def __init__(
        self,
        function: Function,
        forms: Mapping[ast.AST, Any],
        steps: Iterable[tuple[Span, Span]],
    ) -> None:
        self.digests: set[str] = set()
        self._forms = forms
        whole = _span(function)
        self._steps = [
            (last, now)
            for last, now in steps
            if _within(_plain(now), whole) or (now == NOWHERE and _within(last, whole))
        ]
        self._bindings = [
            (bound, _names(*nodes), self._form(nodes)) for bound, nodes in _bindings(function)
        ]
        self._block(function.body, [])

    # what was executed

    def _reached(self, node: ast.AST) -> bool:
        where = _span(node)
        return any(_within(_plain(now), where) for _, now in self._steps)

    def _left(self, condition: ast.expr, *inside: ast.AST) -> bool:
        """Did execution once go from ``condition`` to somewhere else than ``inside``?"""
        where = _span(condition)
        stay = [where, *map(_span, inside)]

        def elsewhere(now: Span) -> bool:
            if now[0] < 0 and _within(_plain(now), where):
                return True  # a return that no source has, at the place of the condition
            return not any(_within(_plain(now), span) for span in stay)

        return any(_within(last, where) and elsewhere(now) for last, now in self._steps)

    # what was not

    def _form(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._form(item) for item in node if item in self._forms]
        return self._forms.get(node)

    def _miss(self, kind: str, guards: list[ast.AST], part: Any) -> None:
        """Record a part; with what its names, and those of its guards, are bound to."""
        nodes = part if isinstance(part, list) else [part]
        wanted = _names(*guards, *nodes)
        rest, bound = list(self._bindings), []
        while near := [item for item in rest if item[0] & wanted]:
            rest = [item for item in rest if item not in near]
            for _, read, form in near:
                wanted |= read
                bound.append(digest_of_form(form))
        whole = [kind, self._form(guards), self._form(part), sorted(bound)]
        self.digests.add(digest_of_form(whole))

    def _arm(self, kind: str, guards: list[ast.AST], block: list[ast.stmt]) -> None:
        """A block behind a condition."""
        if not _counts(block):
            return
        if any(self._reached(statement) for statement in block):
            self._block(block, guards)
        else:
            self._miss(kind, guards, block)

    def _block(self, block: list[ast.stmt], guards: list[ast.AST]) -> None:
        """Statements one after the other; what follows the last that was reached is one part."""
        for position, statement in enumerate(block):
            if not _counts([statement]):
                continue
            if not self._reached(statement):
                if _counts(block[position:]):
                    self._miss("rest", [*guards, *block[:position]], block[position:])
                return
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, (ast.If, ast.While)):
            self._arm("true", [node.test], node.body)
            implied = isinstance(node, ast.If) and not node.orelse and _counts(node.body)
            if implied and not self._left(node.test, *node.body):
                self._miss("false", [node.test], node.body)
            self._arm("false", [node.test], node.orelse)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            self._arm("each", [node.target, node.iter], node.body)
            self._arm("after", [node.target, node.iter], node.orelse)
        elif isinstance(node, (ast.Try, ast.TryStar)):
            self._block(node.body, [])
            for handler in node.handlers:
                guards = [] if handler.type is None else [handler.type]
                self._arm("handler", [*guards, *node.body], handler.body)
            self._arm("no exception", [*node.body], node.orelse)
            self._block(node.finalbody, [])
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            self._block(node.body, [])
        elif isinstance(node, ast.Match):
            for case in node.cases:
                guards = [] if case.guard is None else [case.guard]
                self._arm("case", [node.subject, case.pattern, *guards], case.body)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self._arm("inside", [], node.body)
        for child in _own_expressions(node):
            self._expression(child)

    def _expression(self, node: ast.expr) -> None:
        if not self._reached(node):
            return
        if isinstance(node, ast.IfExp):
            self._operand("true", [node.test], node.body)
            self._operand("false", [node.test], node.orelse)
        elif isinstance(node, ast.BoolOp):
            for position in range(1, len(node.values)):
                before, rest = node.values[:position], node.values[position:]
                self._operand("further", [*before], rest[0])
                if not self._left(before[-1], *rest):
                    self._miss("short", [*before], rest[0])
        elif isinstance(node, ast.Compare):
            for position in range(1, len(node.comparators)):
                before = [node.left, *node.comparators[:position]]
                self._operand("further", [*before], node.comparators[position])
        elif isinstance(node, ast.Lambda):
            self._operand("inside", [], node.body)
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            self._comprehension(node)
        for child in _expressions_below(node):
            self._expression(child)

    def _comprehension(self, node: Any) -> None:
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        over: list[ast.AST] = []
        for generator in node.generators:
            over += [generator.target, generator.iter]
            for condition in generator.ifs:
                self._operand("filter", [*over], condition)
                if not self._left(condition, *results):
                    self._miss("all kept", [*over], condition)
                over.append(condition)
        for result in results:
            self._operand("each", over, result)

    def _operand(self, kind: str, guards: list[ast.AST], part: ast.expr) -> None:
        if not self._reached(part):
            self._miss(kind, guards, part)


# ------------------------------------------------------------------------------ syntax trees


def _plain(span: Span) -> Span:
    """A return's place as that of its statement."""
    return (abs(span[0]), span[1], abs(span[2]), span[3])


def _counts(block: list[ast.stmt]) -> bool:
    """Could executing these statements give other numbers? Raising and doing nothing could not."""
    return not all(
        isinstance(item, (ast.Raise, ast.Pass, ast.Global, ast.Nonlocal))
        or (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))
        or (isinstance(item, ast.AnnAssign) and item.value is None)
        for item in block
    )


def _own_expressions(node: ast.stmt) -> Iterator[ast.expr]:
    """The expressions of a statement that are no part of a statement inside it."""
    if isinstance(node, ast.Raise):
        return
    if isinstance(node, ast.Assert):
        yield node.test
        return
    yield from _expressions_below(node)


def _expressions_below(node: ast.AST) -> Iterator[ast.expr]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield child
        elif isinstance(child, (ast.arguments, ast.keyword, ast.comprehension, ast.withitem)):
            yield from _expressions_below(child)


def _names(*nodes: ast.AST) -> set[str]:
    """Names that stand in ``nodes``, and their attributes: ``self``, ``self.at``."""
    found = set()
    for node in nodes:
        for inner in ast.walk(node):
            if isinstance(inner, (ast.Name, ast.Attribute)) and (chain := _chain(inner)):
                found.add(chain)
    return found


def _chain(node: ast.AST) -> str:
    """``self.at`` for what begins with a name; for ``x[0]`` and ``*x`` what ``x`` is."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _chain(node.value)
        return before and f"{before}.{node.attr}"
    return _chain(node.value) if isinstance(node, (ast.Subscript, ast.Starred)) else ""


def _bindings(function: Function) -> Iterator[tuple[set[str], list[ast.AST]]]:
    """What binds names in a function: the names, and the nodes that say to what."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            yield _targets(*node.targets), [node]
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign, ast.NamedExpr)):
            yield _targets(node.target), [node]
        elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
            yield _targets(node.target), [node.target, node.iter]
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            yield _targets(node.optional_vars), [node.optional_vars, node.context_expr]
        elif isinstance(node, ast.arguments):
            yield from _defaults(node)


def _targets(*targets: ast.expr) -> set[str]:
    found = set()
    for target in targets:
        if isinstance(target, (ast.Tuple, ast.List)):
            found |= _targets(*target.elts)
        else:
            found.add(_chain(target))
    return found - {""}


def _defaults(node: ast.arguments) -> Iterator[tuple[set[str], list[ast.AST]]]:
    """Parameters with their default values."""
    plain = [*node.posonlyargs, *node.args]
    with_default = plain[len(plain) - len(node.defaults) :]
    for parameter, default in zip(with_default, node.defaults, strict=True):
        yield {parameter.arg}, [default]
    for parameter, keyword_default in zip(node.kwonlyargs, node.kw_defaults, strict=True):
        if keyword_default is not None:
            yield {parameter.arg}, [keyword_default]
