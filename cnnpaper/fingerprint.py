"""What a run depends on, and what of it has changed since.

The layout is the fingerprint: a run depends on the files of ``cnnpaper/engine``, on ``metrics.py``,
on its own network's file, on its resolved configuration, on the digest of its images, and on the
locked versions of torch and torchvision. Files enter by their syntax, so comments, docstrings and
layout change nothing, and the digests are the same for every version of Python.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from cnnpaper.config import RunSpec
from cnnpaper.files import UserError, sha256_file
from cnnpaper.log import Fingerprint, Run

PACKAGES = ("torch", "torchvision")
VERIFIED_NAME = "verified.json"
DIGITS = 16  # hexadecimal digits of a definition's digest


def of_spec(root: Path, spec: RunSpec, *, data: str | None = None) -> Fingerprint:
    """Today's fingerprint of a run.

    Args:
        data: digest of the images where they were looked at; else what the study demands.

    Raises:
        UserError: the network has no file, or a source file or ``uv.lock`` cannot be parsed.
    """
    package = root / "cnnpaper"
    network = package / "engine" / "networks" / f"{spec.builder}.py"
    if not network.is_file():
        known = sorted(path.stem for path in network.parent.glob("[a-z]*.py"))
        raise UserError(
            f"builder = {spec.builder!r}: there is no {network}\n"
            f"known builders: {', '.join(known)}; to add one, write that file"
        )
    files = [*sorted((package / "engine").glob("[!.]*.py")), network, package / "metrics.py"]
    return Fingerprint(
        code={
            path.relative_to(package).as_posix(): dict(_definitions(path.read_bytes(), str(path)))
            for path in files
        },
        config=spec.identity(),
        data=data or spec.data.digest,
        packages=_locked_versions(root / "uv.lock"),
    )


def digest(fingerprint: Fingerprint) -> str:
    """One SHA-256 for all of it, 64 hexadecimal digits."""
    values = fingerprint.model_dump(mode="json")
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def short(fingerprint: Fingerprint) -> str:
    """Twelve hexadecimal digits that name a fingerprint, for people."""
    return digest(fingerprint)[:12]


# ------------------------------------------------------------------------------- a file's syntax


@lru_cache(maxsize=256)
def _definitions(source: bytes, path: str) -> tuple[tuple[str, str], ...]:
    """(top-level name, digest) of everything that a file defines.

    Statements that are no definition (imports, calls) count together as ``module level``, and so
    does the order of assignments, since one may use another.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path}: not valid Python: {error}") from None
    parts: dict[str, list[str]] = {"module level": []}
    for node in tree.body:
        form = normal_form(node)
        if not form:
            continue
        name = _name_of(node)
        if name is None or not isinstance(node, ast.FunctionDef | ast.ClassDef):
            parts["module level"].append(form if name is None else name)
        if name is not None:
            parts.setdefault(name, []).append(form)
    return tuple(
        (name, hashlib.sha256("\n".join(forms).encode()).hexdigest()[:DIGITS])
        for name, forms in sorted(parts.items())
    )


def _name_of(node: ast.stmt) -> str | None:
    """The one name that a statement defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target: ast.expr | None = node.targets[0]
    else:
        target = node.target if isinstance(node, ast.AnnAssign) else None
    return target.id if isinstance(target, ast.Name) else None


_LEFT_OUT = {"ctx", "kind", "type_comment", "type_ignores"}
"""Fields that follow from the rest, or that are comments."""


def normal_form(node: object) -> str:
    """The syntax of ``node`` as text, the same for every version of Python.

    Empty fields are left out, as versions differ in which they have; strings that stand alone as
    a statement (docstrings) and ``pass`` are nothing.
    """
    match node:
        case None | ast.Pass() | ast.Expr(value=ast.Constant(value=str())):
            return ""
    if isinstance(node, ast.JoinedStr):
        return f"JoinedStr({', '.join(_pieces(node))})"
    if isinstance(node, ast.AST):
        fields = (
            f"{name}={form}"
            for name in node._fields
            if name not in _LEFT_OUT and (form := normal_form(getattr(node, name, None)))
        )
        return f"{type(node).__name__}({', '.join(fields)})"
    if isinstance(node, list):
        # None is a place that counts: {**a, "b": c}, or a keyword-only argument without a default
        forms = ["None" if item is None else normal_form(item) for item in node]
        items = [form for form in forms if form]
        return f"[{', '.join(items)}]" if items else ""
    return f"{type(node).__name__} {node!r}"


def _pieces(node: ast.JoinedStr) -> Iterator[str]:
    """Parts of an f-string; neighbouring texts are one, wherever the parser divided them."""
    for is_text, values in groupby(node.values, lambda value: isinstance(value, ast.Constant)):
        if not is_text:
            yield from map(normal_form, values)
        elif text := "".join(str(ast.literal_eval(value)) for value in values):
            yield repr(text)


def _locked_versions(lock: Path) -> dict[str, str]:
    # a search takes a millisecond for each run, to parse the TOML takes twenty
    versions = dict(re.findall('^name = "(.+)"\nversion = "(.+)"$', lock.read_text("utf-8"), re.M))
    if missing := [name for name in PACKAGES if name not in versions]:
        raise UserError(f"{lock}: lacks {', '.join(missing)}; restore it from version control")
    return {name: versions[name] for name in PACKAGES}


# --------------------------------------------------------------------------------- differences


def differences(recorded: Fingerprint, today: Fingerprint) -> list[str]:
    """What has changed, for people: configuration first, then data, packages and code."""
    old, new = _flat(recorded), _flat(today)
    if None in (recorded.data, today.data):
        old["data"] = new["data"] = None  # of one of them no images were looked at
    found = [
        f"{key}: {_shown(old.get(key))} -> {_shown(new.get(key))}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)  # an option that is not set is as good as one not there
    ]
    return found + code_differences(recorded, today)


def code_differences(recorded: Fingerprint, today: Fingerprint) -> list[str]:
    """``engine/augment.py: batch changed, key added``, a line for each file."""
    found = []
    for file in sorted({*recorded.code, *today.code}):
        old, new = recorded.code.get(file, {}), today.code.get(file, {})
        changes = [
            f"{name} {'added' if name not in old else 'removed' if name not in new else 'changed'}"
            for name in sorted({*old, *new})
            if old.get(name) != new.get(name)
        ]
        found += [f"{file}: {', '.join(changes)}"] if changes else []
    return found


def _flat(fingerprint: Fingerprint) -> dict[str, Any]:
    """Everything but the code as one table; keys of the configuration's tables are dotted."""
    flat: dict[str, Any] = {}
    for key, value in fingerprint.config.items():
        inner = value if isinstance(value, dict) else {}
        flat |= {f"{key}.{name}": one for name, one in inner.items()} or {key: value}
    packages = {name: fingerprint.packages.get(name) for name in PACKAGES}
    return {**flat, "data": fingerprint.data, **packages}


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{text[:12]}…" if len(text) == 64 else text


@dataclass(frozen=True, kw_only=True)
class Freshness:
    """Whether today's code would give a run's numbers."""

    state: Literal["fresh", "verified", "stale"]
    """``verified``: ``make verify`` found that the code has changed without changing a bit."""
    why: tuple[str, ...] = ()


def freshness(root: Path, run: Run, declared: RunSpec | None = None) -> Freshness:
    """Compare a run with today's repository; an imported run depends on nothing here.

    Args:
        declared: what the study's files say of this run today; else what its header says.
    """
    spec = declared or run.spec
    if spec is None or run.header.fingerprint is None:
        return Freshness(state="fresh")
    today = of_spec(root, spec, data=run.header.fingerprint.data)
    why = tuple(differences(run.header.fingerprint, today))
    if not why:
        return Freshness(state="fresh")
    return Freshness(state="verified" if _is_verified(run, today) else "stale", why=why)


def _is_verified(run: Run, today: Fingerprint) -> bool:
    """Does ``verified.json`` beside the log speak of this log and of today's fingerprint?"""
    try:
        values = json.loads(run.path.with_name(VERIFIED_NAME).read_bytes())
    except (OSError, ValueError):
        return False
    expected = {"fingerprint": digest(today), "log_sha256": sha256_file(run.path)}
    return isinstance(values, dict) and expected.items() <= values.items()
