"""What code a function depends on, read from the sources without running any of them.

:func:`code_units` starts at an entry such as ``cnnpaper.learn.runner:train_run``, follows every
name that the code mentions through the package's own files, and gives each unit that it reaches the
digest of its normalised syntax tree. A **unit** is a function, a class body without its methods, a
method (``Class.method``), a module-level constant, or ``<effects>``: a module's statements that run
when it is imported and do more than define a name.

What is followed
    Names and attribute chains, as the scopes of Python resolve them: definitions of the module,
    absolute and relative imports, imports inside functions, aliases, re-exports through packages,
    names inside dictionary literals (``BUILDERS = {"alexnet": alexnet}``), decorators, defaults,
    base classes, annotations in class bodies. A class that is reached brings all its methods. A
    module that is used as a value (``getattr(models, name)``) brings all that it defines. Every
    module that the reached code imports brings its ``<effects>``, those of the packages around it,
    the functions that a decorator of ours may register, and the constants whose value calls into
    torch, numpy, random or os, since such a call may set something.
What is not followed
    ``getattr`` on objects, ``importlib``, and names inside strings (but annotations of class
    bodies); an object of ours that is passed in and whose class the code never names; imports under
    ``if TYPE_CHECKING`` and names in annotations of functions and local variables; ``if __name__ ==
    "__main__"``; classes that a base class registers; the inside of other packages, for which the
    lock stands, and what importing them does.
What changes no digest
    Comments, docstrings, layout, ``pass``, order of definitions, order and form of imports (a name
    is written as what it refers to, so ``np.zeros`` and ``from numpy import zeros`` are one),
    annotations but those of class bodies.
What changes a digest though the results may stay the same
    The name of a local variable, the text of a message, the order of keyword arguments, the name or
    the place of a function (its own unit and those that mention it).

The serialisation is our own, since ``ast.dump`` differs between versions of Python; this module
needs the standard library alone, so that the tests can run it under all of them.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from cnnpaper.errors import UserError, nearest

EFFECTS = "<effects>"
_STATEFUL = frozenset({"torch", "numpy", "random", "os"})
_ORDERLESS = frozenset({"property", "staticmethod", "classmethod", "setter", "deleter", "getter"})
"""Decorators of methods whose order in the class means nothing; that of validators does."""
_NO_CODE = frozenset({"__name__", "__file__", "__doc__", "__version__"})
_SKIPPED_FIELDS = frozenset({"ctx", "type_comment", "kind", "type_ignores", "returns"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_NAMED = (*_FUNCTIONS, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

Origin: TypeAlias = tuple[str, tuple[str, ...]]
"""Where a name comes from: a module, and the attributes to take from there."""
Unit: TypeAlias = tuple[str, str]
"""A module and a name that it defines, or :data:`EFFECTS`."""


def code_units(root: Path, entries: Iterable[str], *, beside: Iterable[str] = ()) -> dict[str, str]:
    """Digests of every unit that ``entries`` depend on, sorted by name.

    Args:
        root: folder that holds the package's folder.
        entries: ``package.module:name``; all of one package. ``module:NAME[key]`` stands for one
            value of a dictionary literal, with all that it leads to.
        beside: modules whose definitions are not followed (their ``<effects>`` are), and single
            units that are not, as ``module:name``.

    Returns:
        ``module:Qualified.name`` → SHA-256 of the normalised syntax tree, hexadecimal.

    Raises:
        UserError: an entry does not exist, or a file cannot be read or parsed.
    """
    wanted = tuple(sorted(set(entries)))
    name = wanted[0].partition(":")[0].partition(".")[0]
    package = _package(str(root), name, _sources(root, name))
    return dict(package.reach(wanted, frozenset(beside)))


Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def functions_of(root: Path, module: str) -> Iterator[tuple[str, Function, dict[ast.AST, Any]]]:
    """Every function and method at the top level of a module and its classes.

    Yields:
        Name of its unit, its syntax tree, and the normal form of every node in it that counts.

    Raises:
        UserError: a file cannot be read or parsed.
    """
    name = module.partition(".")[0]
    package = _package(str(root), name, _sources(root, name))
    found = package.module(module)
    for statements in found.definitions.values():
        for statement in statements:
            prefix, inside = "", [statement]
            if isinstance(statement, ast.ClassDef):
                prefix, inside = f"{statement.name}.", [*_without_methods(statement)[1]]
            for function in inside:
                if isinstance(function, _FUNCTIONS):
                    writer = _Writer(package, found)
                    writer.write(function)
                    yield f"{module}:{prefix}{function.name}", function, writer.forms


def digest_of_form(form: Any) -> str:
    """SHA-256 of a normal form, hexadecimal."""
    return _digest(form)


def _sources(root: Path, package: str) -> tuple[tuple[str, bytes], ...]:
    """Relative path and bytes of every source file of ``package``."""
    try:
        return tuple(
            (path.relative_to(root).as_posix(), path.read_bytes())
            for path in sorted((root / package).rglob("*.py"))
        )
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from None


@lru_cache(maxsize=8)
def _package(root: str, name: str, sources: tuple[tuple[str, bytes], ...]) -> _Package:
    """One object for one state of the sources: what was parsed once is not parsed again."""
    if not sources:
        raise UserError(f"{Path(root) / name}: no sources; start in the root of the repository")
    return _Package(name, dict(sources))


# ------------------------------------------------------------------------------------- modules


@dataclass
class _Module:
    """One source file, its top level sorted by what the statements do."""

    name: str
    is_package: bool
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, list[Origin]] = field(default_factory=dict)
    imported: list[Origin] = field(default_factory=list)
    """Everything that is imported when the module is."""
    stars: list[str] = field(default_factory=list)
    effects: list[ast.stmt] = field(default_factory=list)
    block_names: set[str] = field(default_factory=set)
    """Names bound inside ``effects``."""


@lru_cache(maxsize=128)
def _parse_module(name: str, path: str, source: bytes) -> _Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise UserError(f"{path}:{line}: not valid Python: {error.args[0]}") from None
    module = _Module(name, path.endswith("/__init__.py"))
    _sort_statements(module, tree.body)
    return module


def _sort_statements(module: _Module, statements: list[ast.stmt]) -> None:
    for statement in statements:
        names = _defined(statement)
        if names:
            for name in names:
                module.definitions.setdefault(name, []).append(statement)
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            _add_import(module, statement)
        elif isinstance(statement, ast.If) and _never_runs(statement.test):
            _sort_statements(module, statement.orelse)
        elif not _does_nothing(statement):
            module.effects.append(statement)
            found = _bindings([statement], module)
            module.block_names |= {name for name, origins in found.items() if None in origins}
            for inner in _same_scope([statement]):
                if isinstance(inner, (ast.Import, ast.ImportFrom)):
                    _add_import(module, inner)


def _add_import(module: _Module, statement: ast.Import | ast.ImportFrom) -> None:
    for name, origin, loaded in _import_origins(statement, module):
        module.imported.append(loaded)
        if name == "*":
            module.stars.append(origin[0])
        else:
            module.imports.setdefault(name, []).append(origin)


def _defined(statement: ast.stmt) -> list[str]:
    """The names that a statement defines and does nothing else; empty where it does more."""
    if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
        return [statement.name]
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = list(statement.targets)
    elif isinstance(statement, ast.AugAssign) or (
        isinstance(statement, ast.AnnAssign) and statement.value is not None
    ):
        targets = [statement.target]
    names: list[str] = []
    while targets:
        target = targets.pop(0)
        if isinstance(target, (ast.Tuple, ast.List)):
            targets.extend(target.elts)
        elif isinstance(target, ast.Starred):
            targets.append(target.value)
        elif isinstance(target, ast.Name):
            names.append(target.id)
        else:
            return []
    return names


def _never_runs(test: ast.expr) -> bool:
    """``TYPE_CHECKING``, or ``__name__ == "__main__"``: false when a run imports the module."""
    if isinstance(test, ast.Compare):
        return (
            isinstance(test.left, ast.Name)
            and test.left.id == "__name__"
            and len(test.ops) == 1
            and isinstance(test.ops[0], ast.Eq)
            and isinstance(test.comparators[0], ast.Constant)
            and test.comparators[0].value == "__main__"
        )
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _does_nothing(statement: ast.stmt, in_class: bool = False) -> bool:
    """``pass``, a constant that stands alone as docstrings do, ``x: int`` outside a class."""
    return (
        isinstance(statement, ast.Pass)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        or (isinstance(statement, ast.AnnAssign) and statement.value is None and not in_class)
    )


def _import_origins(
    statement: ast.Import | ast.ImportFrom, module: _Module
) -> Iterator[tuple[str, Origin, Origin]]:
    """Bound name, where it comes from, and what is loaded, for each name of the statement."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            top = alias.name if alias.asname else alias.name.partition(".")[0]
            yield alias.asname or top, (top, ()), (alias.name, ())
        return
    base = statement.module or ""
    if base == "__future__":
        return
    if statement.level:
        parts = module.name.split(".")
        keep = len(parts) - statement.level + (1 if module.is_package else 0)
        base = ".".join([*parts[: max(keep, 0)], *([base] if base else [])])
    for alias in statement.names:
        origin: Origin = (base, () if alias.name == "*" else (alias.name,))
        yield alias.asname or alias.name, origin, origin


# -------------------------------------------------------------------------------------- scopes


def _same_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Every node below ``nodes`` that belongs to the same scope, in no particular order.

    Of a nested function or class: its decorators, defaults and bases, not its body. Of a
    comprehension only assignment expressions, whose targets belong to the scope around it.
    """
    stack = list(nodes)
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, _FUNCTIONS):
            stack += [*node.decorator_list, *_defaults(node.args)]
        elif isinstance(node, ast.ClassDef):
            stack += [*node.decorator_list, *node.bases, *node.keywords]
        elif isinstance(node, ast.Lambda):
            stack += _defaults(node.args)
        elif isinstance(node, _COMPREHENSIONS):
            stack += [inner.target for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)]
        else:
            stack += ast.iter_child_nodes(node)


def _defaults(arguments: ast.arguments) -> list[ast.AST]:
    return [*arguments.defaults, *(item for item in arguments.kw_defaults if item is not None)]


def _bindings(nodes: Iterable[ast.AST], module: _Module) -> dict[str, list[Origin | None]]:
    """Every name that ``nodes`` bind in their scope: for each binding its origin, None if local."""
    found: dict[str, list[Origin | None]] = {}
    elsewhere: set[str] = set()
    for node in _same_scope(nodes):
        names: list[str | None] = []
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names = [node.id]
        elif isinstance(node, _NAMED):
            names = [node.name]
        elif isinstance(node, ast.MatchMapping):
            names = [node.rest]
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            elsewhere.update(node.names)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for name, origin, _ in _import_origins(node, module):
                found.setdefault(name, []).append(origin)
        for bound in names:
            if bound is not None:
                found.setdefault(bound, []).append(None)
    return {name: origins for name, origins in found.items() if name not in elsewhere}


def _parameters(arguments: ast.arguments) -> list[str]:
    plain = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [item.arg for item in (*plain, arguments.vararg, arguments.kwarg) if item is not None]


# --------------------------------------------------------------------------------- normal form


class _Writer:
    """Turns syntax trees of one module into nested lists, and notes what they refer to."""

    def __init__(self, package: _Package, module: _Module, *, keep_imports: bool = False) -> None:
        self.package = package
        self.module = module
        self.references: set[Unit] = set()
        self.loaded: set[Origin] = set()
        """What imports inside the code load."""
        self.forms: dict[ast.AST, Any] = {}
        """Every node that was written → its normal form, as its scope makes it."""
        self._keep_imports = keep_imports
        self._scopes: list[dict[str, list[Origin | None]]] = []
        self._in_class = False

    def write(self, node: Any) -> Any:
        """The normal form of a node, a list of nodes, or a plain value."""
        if isinstance(node, list):
            return [self.write(item) for item in self._kept(node)]
        if not isinstance(node, ast.AST):
            return node
        special = getattr(self, f"_write_{type(node).__name__}", None)
        form = self.forms[node] = special(node) if special else self._generic(node)
        return form

    def _generic(self, node: ast.AST, skip: frozenset[str] = frozenset()) -> list[Any]:
        """Class of the node, then its fields by name; empty ones, which newer versions add, go."""
        result: list[Any] = [type(node).__name__]
        for name in sorted(node._fields):
            value = getattr(node, name, None)
            if name not in _SKIPPED_FIELDS and name not in skip and value is not None:
                written = self.write(value)
                if written != []:
                    result.append([name, written])
        return result

    def _kept(self, nodes: list[Any]) -> Iterator[Any]:
        for node in nodes:
            if isinstance(node, ast.If) and _never_runs(node.test):
                yield from self._kept(node.orelse)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                if self._import_counts(node):
                    yield node
            elif not isinstance(node, ast.stmt) or not _does_nothing(node, self._in_class):
                yield node

    def _import_counts(self, node: ast.Import | ast.ImportFrom) -> bool:
        """An import is written out where it is one of several bindings of a name only."""
        counts = self._keep_imports
        for name, _, loaded in _import_origins(node, self.module):
            self.loaded.add(loaded)
            if self._scopes and len(self._scopes[-1].get(name, [])) > 1:
                counts = True
        return counts

    # names

    def _origins(self, name: str) -> list[Origin]:
        """What ``name`` may refer to outside the function; empty for locals and builtins."""
        for scope in reversed(self._scopes):
            if name in scope:
                return [origin for origin in scope[name] if origin is not None]
        return self._global_origins(name)

    def _global_origins(self, name: str) -> list[Origin]:
        module = self.module
        found: list[Origin] = []
        if name in module.definitions or name in module.block_names:
            found.append((module.name, (name,)))
        found += module.imports.get(name, [])
        if not found:
            found = [(star, (name,)) for star in module.stars if self.package.defines(star, name)]
        return found

    def chain(self, node: ast.expr) -> tuple[list[Origin], list[str]]:
        """For ``root.a.b``: the origins of ``root``, and the attributes."""
        attributes: list[str] = []
        while isinstance(node, ast.Attribute):
            attributes.insert(0, node.attr)
            node = node.value
        return (self._origins(node.id) if isinstance(node, ast.Name) else []), attributes

    def _write_Name(self, node: ast.Name) -> list[Any]:
        return self._resolved(node) or ["Name", node.id]

    def _write_Attribute(self, node: ast.Attribute) -> list[Any]:
        return self._resolved(node) or ["Attribute", self.write(node.value), node.attr]

    def _resolved(self, node: ast.expr) -> list[Any] | None:
        origins, attributes = self.chain(node)
        written = set()
        for module, path in origins:
            target, rest, units = self.package.locate(module, (*path, *attributes))
            self.references |= units
            written.add(json.dumps([target, *rest]))
        return ["@", *sorted(written)] if written else None

    # values

    def _write_Constant(self, node: ast.Constant) -> list[Any]:
        value = node.value
        shown = value if isinstance(value, str) else repr(value)
        if type(value) is int:
            shown = hex(value)  # repr refuses more than 4,300 digits
        return ["Constant", type(value).__name__, shown]

    def _write_JoinedStr(self, node: ast.JoinedStr) -> list[Any]:
        """Text between the fields is joined: versions cut it into other pieces."""
        parts: list[Any] = []
        for value in node.values:
            written = str(value.value) if isinstance(value, ast.Constant) else self.write(value)
            if isinstance(written, str) and parts and isinstance(parts[-1], str):
                parts[-1] += written
            elif written:
                parts.append(written)
        return ["JoinedStr", parts]

    # scopes

    def _write_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[Any]:
        head = [type(node).__name__, node.name, self.write(node.decorator_list)]
        return [*head, self.write(node.args), self._body(node.args, node.body)]

    _write_AsyncFunctionDef = _write_FunctionDef

    def _write_Lambda(self, node: ast.Lambda) -> list[Any]:
        return ["Lambda", self.write(node.args), self._body(node.args, [node.body])]

    def _write_arg(self, node: ast.arg) -> str:
        return node.arg

    def _body(self, arguments: ast.arguments, body: list[Any]) -> Any:
        scope = _bindings(body, self.module)
        for name in _parameters(arguments):
            scope.setdefault(name, []).append(None)
        for node in _same_scope(body):
            if isinstance(node, ast.Global):
                scope |= {name: [*self._global_origins(name)] for name in node.names}
        with self._inside(scope, in_class=False):
            return self.write(body)

    @contextlib.contextmanager
    def _inside(self, scope: dict[str, list[Origin | None]], *, in_class: bool) -> Iterator[None]:
        outer, self._in_class = self._in_class, in_class
        self._scopes.append(scope)
        yield
        self._scopes.pop()
        self._in_class = outer

    def _write_ClassDef(self, node: ast.ClassDef) -> list[Any]:
        """The whole class, methods included; a top-level class gets here without its methods."""
        head = [
            "ClassDef",
            node.name,
            self.write(node.decorator_list),
            self.write(node.bases),
            self.write(node.keywords),
        ]
        # only imports are names of this scope: what the body assigns is no name for its methods
        scope = {
            name: origins
            for name, origins in _bindings(node.body, self.module).items()
            if any(origin is not None for origin in origins)
        }
        with self._inside(scope, in_class=True):
            return [*head, self.write(node.body)]

    def _comprehension(self, node: Any) -> list[Any]:
        """The first iterable belongs to the scope around the comprehension, the rest to its own."""
        written: list[Any] = [type(node).__name__, self.write(node.generators[0].iter)]
        scope: dict[str, list[Origin | None]] = {}
        for generator in node.generators:
            scope |= _bindings([generator.target], self.module)
        with self._inside(scope, in_class=False):
            for position, generator in enumerate(node.generators):
                over = self.write(generator.iter) if position else None
                target, ifs = self.write(generator.target), self.write(generator.ifs)
                written.append([target, over, ifs, generator.is_async])
            for name in ("key", "value", "elt"):
                written.append(self.write(getattr(node, name, None)))
        return written

    _write_ListComp = _comprehension
    _write_SetComp = _comprehension
    _write_DictComp = _comprehension
    _write_GeneratorExp = _comprehension

    # statements

    def _write_AnnAssign(self, node: ast.AnnAssign) -> list[Any]:
        if self._in_class:
            written = self._generic(node, skip=frozenset({"annotation"}))
            return [*written, ["annotation", self._annotation(node.annotation)]]
        return ["Assign", ["targets", [self.write(node.target)]], ["value", self.write(node.value)]]

    def _annotation(self, node: ast.expr) -> Any:
        """An annotation of a class body; one in quotes is read as what it says."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                return ["quoted", self.write(ast.parse(node.value, mode="eval").body)]
            except SyntaxError:
                return self.write(node)
        if isinstance(node, ast.BinOp):
            sides = [self._annotation(node.left), self._annotation(node.right)]
            return ["BinOp", type(node.op).__name__, *sides]
        if isinstance(node, ast.Subscript) and not _is_literal(node.value):
            inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            return ["Subscript", self.write(node.value), [self._annotation(n) for n in inner]]
        return self.write(node)

    def _write_Global(self, node: ast.Global | ast.Nonlocal) -> list[Any]:
        return [type(node).__name__, *sorted(node.names)]

    _write_Nonlocal = _write_Global


def _is_literal(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == "Literal") or (
        isinstance(node, ast.Attribute) and node.attr == "Literal"
    )


# ------------------------------------------------------------------------------------- package


@dataclass(frozen=True)
class _Written:
    """What is known of one unit: its digests by qualified name, and what it leads to."""

    digests: dict[str, str]
    references: frozenset[Unit]
    loaded: frozenset[Origin]


class _Package:
    """The sources of one package, parsed as they are needed."""

    def __init__(self, name: str, sources: dict[str, bytes]) -> None:
        self.name = name
        self._files = {_module_name(path): path for path in sources}
        self._source = sources
        self._modules: dict[str, _Module] = {}
        self._written: dict[Unit, _Written] = {}
        self._reached: dict[tuple[tuple[str, ...], frozenset[str]], dict[str, str]] = {}

    def module(self, name: str) -> _Module:
        if name not in self._modules:
            path = self._files[name]
            self._modules[name] = _parse_module(name, path, self._source[path])
        return self._modules[name]

    def defines(self, module: str, name: str, seen: frozenset[str] = frozenset()) -> bool:
        """Whether ``name`` is to be had from ``module`` of ours by a star import."""
        if module not in self._files or module in seen:
            return False
        found = self.module(module)
        if name in found.definitions or name in found.block_names or name in found.imports:
            return True
        return any(self.defines(star, name, seen | {module}) for star in found.stars)

    # resolution

    def locate(
        self, module: str, attributes: tuple[str, ...], seen: frozenset[Any] = frozenset()
    ) -> tuple[str, tuple[str, ...], set[Unit]]:
        """What ``module.a.b`` is: its name, attributes left over, and the units it leads to."""
        if module not in self._files:
            if module.partition(".")[0] == self.name:
                return f"{module}:", attributes, set()
            return ".".join((module, *attributes)), (), set()
        if not attributes:
            return f"{module}:", (), self._all_of(module)
        first, rest = attributes[0], attributes[1:]
        found = self.module(module)
        key = (module, first)
        if first in found.definitions:
            return f"{module}:{first}", rest, {key}
        if first in found.imports and key not in seen:
            ends = [
                self.locate(base, (*path, *rest), seen | {key})
                for base, path in found.imports[first]
            ]
            units = set().union(*(end[2] for end in ends))
            if first in found.block_names:
                units.add((module, EFFECTS))
            return "|".join(sorted({end[0] for end in ends})), ends[0][1], units
        if first in found.block_names:
            return f"{module}:{first}", rest, {(module, EFFECTS)}
        if f"{module}.{first}" in self._files:
            return self.locate(f"{module}.{first}", rest, seen)
        for star in found.stars:
            if self.defines(star, first) and key not in seen:
                return self.locate(star, attributes, seen | {key})
        if first in _NO_CODE:
            return f"{module}:", attributes, set()
        if "__getattr__" in found.definitions:
            return f"{module}:{first}", rest, {(module, "__getattr__")}
        return f"{module}:", attributes, self._all_of(module)

    def _all_of(self, module: str) -> set[Unit]:
        return {(module, name) for name in self.module(module).definitions}

    # units

    def unit(self, module_name: str, name: str) -> _Written:
        if (module_name, name) not in self._written:
            module = self.module(module_name)
            if name == EFFECTS:
                written = self._effects(module)
            elif name.endswith("]"):
                written = self._item(module, name)
            else:
                written = self._definition(module, name)
            self._written[module_name, name] = written
        return self._written[module_name, name]

    def _definition(self, module: _Module, name: str) -> _Written:
        writer = _Writer(self, module)
        forms: dict[str, list[Any]] = {name: []}
        for statement in module.definitions[name]:
            if isinstance(statement, ast.ClassDef):
                body, methods = _without_methods(statement)
                forms[name].append([writer.write(body), _registered_order(methods)])
                for method in methods:
                    forms.setdefault(f"{name}.{method.name}", []).append(writer.write(method))
            else:
                forms[name].append(writer.write(statement))
        digests = {f"{module.name}:{key}": _digest(form) for key, form in forms.items()}
        return _Written(digests, frozenset(writer.references), frozenset(writer.loaded))

    def _item(self, module: _Module, name: str) -> _Written:
        """One value of a dictionary literal; the whole constant where it cannot be singled out."""
        constant, _, key = name.removesuffix("]").partition("[")
        statements = module.definitions[constant]
        value = getattr(statements[0], "value", None)
        if len(statements) > 1 or not isinstance(value, ast.Dict) or None in value.keys:
            return self._definition(module, constant)
        found = [
            item
            for word, item in zip(value.keys, value.values, strict=True)
            if isinstance(word, ast.Constant) and word.value == key
        ]
        if len(found) != 1:
            return self._definition(module, constant)
        writer = _Writer(self, module)
        digests = {f"{module.name}:{name}": _digest(writer.write(found[0]))}
        return _Written(digests, frozenset(writer.references), frozenset(writer.loaded))

    def _effects(self, module: _Module) -> _Written:
        writer = _Writer(self, module, keep_imports=True)
        form = writer.write(module.effects)
        foreign = [star for star in module.stars if star not in self._files]
        for name in module.definitions:
            if self._acts_when_imported(module, name):
                writer.references.add((module.name, name))
        digests = (
            {f"{module.name}:{EFFECTS}": _digest([form, sorted(foreign)])}
            if form or foreign
            else {}
        )
        loaded = writer.loaded | set(module.imported)
        return _Written(digests, frozenset(writer.references), frozenset(loaded))

    def _acts_when_imported(self, module: _Module, name: str) -> bool:
        """Whether defining ``name`` may do more: a decorator of ours, a call into torch."""
        for statement in module.definitions[name]:
            if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
                nodes: list[ast.expr] = list(statement.decorator_list)
                roots = frozenset({self.name})
            else:
                nodes = [node.func for node in ast.walk(statement) if isinstance(node, ast.Call)]
                roots = _STATEFUL
            writer = _Writer(self, module)
            for node in nodes:
                node = node.func if isinstance(node, ast.Call) else node
                origins, _ = writer.chain(node)
                if any(base.partition(".")[0] in roots for base, _ in origins):
                    return True
        return False

    # closure

    def reach(self, entries: tuple[str, ...], beside: frozenset[str]) -> dict[str, str]:
        key = (entries, beside)
        if key not in self._reached:
            self._reached[key] = self._reach(entries, beside)
        return self._reached[key]

    def _reach(self, entries: tuple[str, ...], beside: frozenset[str]) -> dict[str, str]:
        todo: list[Unit] = [self._entry(entry) for entry in entries]
        seen: set[Unit] = set()
        digests: dict[str, str] = {}
        while todo:
            unit = todo.pop()
            if (
                unit in seen
                or ":".join(unit) in beside
                or (unit[0] in beside and unit[1] != EFFECTS)
            ):
                continue
            seen.add(unit)
            written = self.unit(*unit)
            digests |= written.digests
            todo += written.references
            for module in {unit[0], *self._loaded(written.loaded)}:
                todo += [(name, EFFECTS) for name in self._with_parents(module)]
        return dict(sorted(digests.items()))

    def _entry(self, entry: str) -> Unit:
        module, _, name = entry.partition(":")
        if module not in self._files:
            raise UserError(f"no module {module!r} to follow{nearest(module, self._files)}")
        is_item = name.endswith("]")
        top = name.partition("[" if is_item else ".")[0]
        known = self.module(module).definitions
        if top not in known:
            raise UserError(f"{self._files[module]}: no {name!r} to follow{nearest(name, known)}")
        return module, name if is_item else top

    def _loaded(self, origins: Iterable[Origin]) -> Iterator[str]:
        """The modules of ours that importing ``origins`` executes."""
        for base, path in origins:
            if base in self._files:
                yield base
                if path and f"{base}.{path[0]}" in self._files:
                    yield f"{base}.{path[0]}"

    def _with_parents(self, module: str) -> Iterator[str]:
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            if name in self._files:
                yield name


def _module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _without_methods(
    node: ast.ClassDef,
) -> tuple[ast.ClassDef, list[ast.FunctionDef | ast.AsyncFunctionDef]]:
    methods = [item for item in node.body if isinstance(item, _FUNCTIONS)]
    body = [item for item in node.body if not isinstance(item, _FUNCTIONS)]
    shell = ast.ClassDef(
        name=node.name,
        bases=node.bases,
        keywords=node.keywords,
        body=body,
        decorator_list=node.decorator_list,
    )
    return shell, methods


def _registered_order(methods: list[ast.FunctionDef | ast.AsyncFunctionDef]) -> list[str]:
    """Methods that a decorator may register (pydantic's validators), in their order."""

    def last_name(node: ast.expr) -> str:
        node = node.func if isinstance(node, ast.Call) else node
        return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")

    return [
        method.name
        for method in methods
        if any(last_name(node) not in _ORDERLESS for node in method.decorator_list)
    ]


def _digest(form: Any) -> str:
    text = json.dumps(form, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
