"""Which parts of a function count as executed: every kind of branch, taken and not taken."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cnnpaper.codeparts import unexecuted, watching

Load = Callable[[str], Any]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Imports a module ``toy.main`` made of the given text, anew each time."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "__init__.py").touch()

    def make(text: str) -> Any:
        (tmp_path / "toy" / "main.py").write_text(text)
        for name in ("toy.main", "toy"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("toy.main")

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield make
    for name in ("toy.main", "toy"):
        sys.modules.pop(name, None)


def parts(root: Path, module: Any, *calls: tuple[Any, ...]) -> dict[str, tuple[str, ...]]:
    """What calling ``f`` with each of ``calls`` leaves out, by function."""
    with watching(root, "toy") as seen:
        for arguments in calls:
            module.f(*arguments)
    assert "toy.main:f" in seen.functions
    return {name.partition(":")[2]: digests for name, digests in seen.unexecuted().items()}


BRANCHES = [
    # name, body of f(x), calls that take every part, calls that leave so many parts out
    ("if without else", "if x:\n    a = 1\nreturn 0", [0, 1], {1: [1], 0: [1]}),
    ("if at the end", "if x:\n    a = 1", [0, 1], {1: [1], 0: [1]}),
    ("if that returns nothing", "if x:\n    return\na = 1", [0, 1], {0: [1], 1: [2]}),
    ("else", "if x:\n    a = 1\nelse:\n    a = 2\nreturn a", [0, 1], {1: [1], 0: [1]}),
    ("conditional expression", "return 1 if x else 2", [0, 1], {1: [1], 0: [1]}),
    ("and", "a = x and [x]\nreturn a", [0, 1], {0: [1], 1: [1]}),
    ("or", "return x or 5", [0, 1], {0: [1], 1: [1]}),
    ("and in a condition", "if x and x > 1:\n    return 1\nreturn 2", [0, 1, 2], {2: [3], 0: [2]}),
    ("loop", "for i in range(x):\n    a = i\nreturn 0", [2], {0: [1]}),
    ("condition in a loop", "for i in range(x):\n    if i > 1:\n        a = i\n", [3], {1: [1]}),
    ("continue", "for i in range(x):\n    if i:\n        continue\n    a = i\n", [2], {1: [1]}),
    ("filter", "return [i for i in range(x) if i]", [2], {1: [1]}),
    ("lambda", "g = lambda: x + 1\nreturn g() if x else 0", [0, 1], {0: [2]}),
    ("inner function", "def g():\n    return 1\nreturn g() if x else 0", [0, 1], {0: [2]}),
    ("handler", "try:\n    a = 1 // x\nexcept ValueError:\n    a = 0\nreturn a", [], {1: [1]}),
    ("while", "while x > 0:\n    x -= 1\nreturn x", [2], {0: [1]}),
    ("match", "match x:\n    case 0:\n        a = 1\n    case _:\n        a = 2", [0, 1], {0: [1]}),
    ("raise does not count", "if x > 9:\n    raise ValueError(str(x))\nassert x < 9, x", [0], {}),
]  # fmt: skip


def indented(body: str) -> str:
    return "def f(x):\n" + "".join(f"    {line}\n" for line in body.splitlines())


@pytest.mark.parametrize("name,body,whole,some", BRANCHES, ids=[row[0] for row in BRANCHES])
def test_every_kind_of_branch(
    tmp_path: Path, load: Load, name: str, body: str, whole: list[int], some: dict[int, list[int]]
) -> None:
    module = load(indented(body))
    assert not whole or parts(tmp_path, module, *((x,) for x in whole)) == {}
    for x, (count,) in some.items():
        found = parts(tmp_path, module, (x,))
        assert len(found["f"]) == count, (x, found)


BASE = """\
def f(step, rate):
    limit = 1000
    if step > limit:
        rate *= 0.5
    return rate
"""


def one(tmp_path: Path, module: Any) -> tuple[str, ...]:
    return parts(tmp_path, module, (3, 1.0))["f"]


@pytest.mark.parametrize(
    "old,new,same",
    [
        ("rate *= 0.5", "rate *= 0.5  # a remark", True),
        ("return rate", "return rate + 0", True),
        ("rate *= 0.5", "rate *= 0.4", False),
        ("step > limit", "step > 9 * limit", False),
        ("limit = 1000", "limit = 100", False),
        ("def f(step, rate)", "def f(step, rate, limit=5)", False),
        ("limit = 1000\n    if", "limit = 1000\n    limit -= 1\n    if", False),
        ("limit = 1000", "limit = len('x' * 999)", False),
    ],
)
def test_a_part_is_its_text_its_condition_and_what_its_names_are(
    tmp_path: Path, load: Load, old: str, new: str, same: bool
) -> None:
    before = one(tmp_path, load(BASE))
    assert len(before) == 1
    assert BASE.count(old) == 1
    assert (set(one(tmp_path, load(BASE.replace(old, new)))) <= set(before)) is same


OTHERS = [
    path
    for version in ("3.11", "3.12", "3.13")
    for path in sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
]
SCRIPT = """
import json, pathlib, sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from cnnpaper.codeparts import watching
import toy.main
with watching(pathlib.Path(sys.argv[2]), "toy") as seen:
    for name in vars(toy.main):
        if name.startswith("f"):
            getattr(toy.main, name)(1)
print(json.dumps(seen.unexecuted()))
"""


@pytest.mark.parametrize("python", OTHERS, ids=lambda path: path.parent.parent.name)
def test_other_versions_of_python_leave_out_the_same_parts(
    tmp_path: Path, load: Load, python: Path
) -> None:
    """All branches, but for filters: where comprehensions are inlined, less is believed of them."""
    bodies = [row[1] for row in BRANCHES if row[0] != "filter"]
    texts = [indented(body).replace("def f(", f"def f{n}(") for n, body in enumerate(bodies)]
    module = load("".join(texts))
    with watching(tmp_path, "toy") as seen:
        for number in range(len(bodies)):
            getattr(module, f"f{number}")(1)
    here = {name: [*digests] for name, digests in seen.unexecuted().items()}
    repository = str(Path(__file__).resolve().parents[1])
    command = [python, "-I", "-c", SCRIPT, repository, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == here


def test_functions_by_the_names_of_their_units(tmp_path: Path, load: Load) -> None:
    text = (
        "class A:\n    size = len('x')\n    def m(self):\n        def inner(): return 1\n"
        "        return inner()\n    @property\n    def p(self): return 2\n"
        "def helper(): return A().m()\n"
        "def f(): return helper() + A().p + sum(i for i in (1, 2)) + (lambda: 3)()\n"
    )
    module = load(text)
    with watching(tmp_path, "toy") as seen:
        module.f()
    assert seen.functions == {f"toy.main:{n}" for n in ("f", "helper", "A.m", "A.p")}


def test_what_is_beside_is_not_watched_and_two_are_joined(tmp_path: Path, load: Load) -> None:
    module = load("def g(x):\n    return 1 if x else 2\ndef f(x):\n    return g(x)\n")
    with watching(tmp_path, "toy", beside=["toy.main"]) as nothing:
        module.f(1)
    assert nothing.functions == frozenset()
    with watching(tmp_path, "toy") as first:
        module.f(1)
    with watching(tmp_path, "toy") as second:
        module.f(0)
    assert len(first.unexecuted()["toy.main:g"]) == 1
    assert (first | second).unexecuted() == {}


def test_a_function_that_is_never_entered_is_one_part(tmp_path: Path, load: Load) -> None:
    load("class A:\n    def m(self):\n        return 1\n")
    assert len(unexecuted(tmp_path, "toy.main", [])["toy.main:A.m"]) == 1


def test_tracing_is_put_back(tmp_path: Path) -> None:
    before = sys.gettrace()
    with pytest.raises(KeyError), watching(tmp_path, "toy"):
        raise KeyError
    assert sys.gettrace() is before
