"""Units of code: what is followed, what changes a digest and what does not."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnnpaper import config, fingerprint, records
from cnnpaper.codeunits import code_units
from cnnpaper.errors import UserError
from cnnpaper.fingerprint import (
    Difference,
    differences,
    locked_versions,
    run_differences,
    short,
    stale_message,
)
from cnnpaper.records import Fingerprint
from tests import fabricate

ENTRY = "toy.main:run"
ROOT = Path(__file__).resolve().parent.parent


def write(root: Path, files: dict[str, str]) -> Path:
    """A package ``toy`` under ``root``; each file's folder becomes a package."""
    for name, text in files.items():
        path = root / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for folder in [root / "toy", *(p for p in (root / "toy").rglob("*") if p.is_dir())]:
        (folder / "__init__.py").touch()
    return root


def units(root: Path, files: dict[str, str], entry: str = ENTRY) -> dict[str, str]:
    return code_units(write(root, files), [entry])


def names(root: Path, files: dict[str, str], entry: str = ENTRY) -> set[str]:
    return {name.removeprefix("toy.") for name in units(root, files, entry)}


# ---------------------------------------------------------------------------------- following


FOLLOWED: dict[str, tuple[dict[str, str], set[str]]] = {
    "calls in the module, not the function that nobody calls": (
        {"main.py": "def run(): return a()\ndef a(): return b\nb = 1\ndef c(): pass\nd = 2\n"},
        {"main:run", "main:a", "main:b"},
    ),
    "from … import … as": (
        {
            "main.py": "from toy.x import f as g, h\ndef run(): g()\n",
            "x.py": "def f(): pass\ndef h(): pass\n",
        },
        {"main:run", "x:f"},
    ),
    "relative imports, two folders deep": (
        {
            "main.py": "from .in_.deep import f\ndef run(): f()\n",
            "in_/deep.py": "from ..x import g\nfrom . import near\ndef f(): g(); near.h()\n",
            "in_/near.py": "def h(): pass\n",
            "x.py": "def g(): pass\n",
        },
        {"main:run", "in_.deep:f", "x:g", "in_.near:h"},
    ),
    "import a.b as c, and import a.b": (
        {
            "main.py": "import toy.x as m\nimport toy.y\ndef run(): m.f(); toy.y.g()\n",
            "x.py": "def f(): pass\n",
            "y.py": "def g(): pass\n",
        },
        {"main:run", "x:f", "y:g"},
    ),
    "imports inside functions": (
        {
            "main.py": "def run():\n    from toy import x\n    x.f()\n",
            "x.py": "def f(): pass\n",
        },
        {"main:run", "x:f"},
    ),
    "imports inside a branch, both ways": (
        {
            "main.py": "try:\n    from toy.x import f\n"
            "except ImportError:\n    from toy.y import f\ndef run(): f()\n",
            "x.py": "def f(): pass\n",
            "y.py": "def f(): pass\n",
        },
        {"main:run", "main:<effects>", "x:f", "y:f"},
    ),
    "re-exports through packages": (
        {
            "main.py": "from toy import sub\nfrom toy.sub import g\ndef run(): sub.f(); g()\n",
            "sub/__init__.py": "from toy.sub.x import f\nfrom .x import h as g\n",
            "sub/x.py": "def f(): pass\ndef h(): pass\n",
        },
        {"main:run", "sub.x:f", "sub.x:h"},
    ),
    "star imports": (
        {
            "main.py": "from toy.x import *\ndef run(): f()\n",
            "x.py": "from toy.y import *\ndef g(): pass\n",
            "y.py": "def f(): pass\n",
        },
        {"main:run", "y:f"},
    ),
    "dictionary literals": (
        {
            "main.py": "from toy import x\nTABLE = {'a': x.f, 'b': g}\n"
            "def g(): pass\ndef run(): TABLE['a']()\n",
            "x.py": "def f(): pass\n",
        },
        {"main:run", "main:TABLE", "main:g", "x:f"},
    ),
    "a class brings its methods and bases, and what its body names": (
        {
            "main.py": "from toy.x import B, default, T\n"
            "class A(B):\n    field: T = default\n    def m(self): helper()\n"
            "    @property\n    def p(self): pass\n"
            "def helper(): pass\ndef run(): A()\n",
            "x.py": "class C:\n    def c(self): pass\nclass B(C):\n    def b(self): pass\n"
            "default = 1\nT = int\n",
        },
        {
            *("main:run", "main:A", "main:A.m", "main:A.p", "main:helper"),
            *("x:B", "x:B.b", "x:C", "x:C.c", "x:default", "x:T"),
        },
    ),
    "decorators and defaults": (
        {
            "main.py": "from toy.x import d, e, f, g\n@d\ndef run(a=e, *, b=f): pass\n",
            "x.py": "def d(f): return f\ne = 1\nf = 2\ng = 3\n",
        },
        {"main:run", "x:d", "x:e", "x:f"},
    ),
    "annotations of functions and locals are not followed, those of class bodies are": (
        {
            "main.py": "from __future__ import annotations\nfrom toy.x import T, U, V, W\n"
            "class A:\n    field: V\n    other: 'list[W]'\n"
            "def run(a: T) -> T:\n    b: U = 1\n    c: U\n    return A\n",
            "x.py": "T = 1\nU = 2\nV = 3\nW = 4\n",
        },
        {"main:run", "main:A", "x:V", "x:W"},
    ),
    "words of a Literal are no names": (
        {
            "main.py": "from typing import Literal\nclass A:\n    f: Literal['b']\nb = 1\n"
            "def run(): A()\n",
        },
        {"main:run", "main:A"},
    ),
    "TYPE_CHECKING and __main__ are not followed": (
        {
            "main.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
            "    from toy.x import f\nelse:\n    from toy.y import f\n"
            "def run(): f()\nif __name__ == '__main__':\n    run()\n",
            "x.py": "import os\nos.umask(0)\ndef f(): pass\n",
            "y.py": "def f(): pass\n",
        },
        {"main:run", "y:f"},
    ),
    "a local name hides the module's": (
        {
            "main.py": "def f(): pass\ndef g(): pass\ndef h(): pass\ndef i(): pass\n"
            "def run(f):\n    g = 1\n    for h in f: g, h\n"
            "    return [i for i in h], (lambda i: i), f\n",
        },
        {"main:run"},
    ),
    "but not before and beside its scope": (
        {
            "main.py": "def f(): pass\ndef g(): pass\ndef h(): pass\n"
            "def run():\n    x = [f for f in f()]\n    def inner(g): return g\n"
            "    class K:\n        h = h\n    return inner(g)\n",
        },
        {"main:run", "main:f", "main:g", "main:h"},
    ),
    "global names the module's": (
        {"main.py": "cache = None\ndef run():\n    global cache\n    cache = 1\n"},
        {"main:run", "main:cache"},
    ),
    "nested functions see the locals around them": (
        {
            "main.py": "def f(): pass\ndef run():\n    f = 1\n    def a():\n"
            "        nonlocal f\n        f = 2\n        return lambda: f\n    return a\n"
        },
        {"main:run"},
    ),
    "a module used as a value brings all that it defines": (
        {
            "main.py": "from toy import x, y\ndef run(n): getattr(x, n)(); y.__name__\n",
            "x.py": "def f(): pass\ndef g(): pass\n",
            "y.py": "def h(): pass\n",
        },
        {"main:run", "x:f", "x:g"},
    ),
    "effects of whatever is imported, packages around it too": (
        {
            "main.py": "import toy.sub.x\ndef run(): pass\n",
            "sub/__init__.py": "import os\nos.environ['A'] = '1'\n",
            "sub/x.py": "from toy import y\ndef unused(): pass\n",
            "y.py": "from toy.z import f\nf()\n",
            "z.py": "def f(): return g()\ndef g(): pass\ndef h(): pass\n",
            "w.py": "import os\nos.umask(0)\n",
        },
        {"main:run", "sub:<effects>", "y:<effects>", "z:f", "z:g"},
    ),
    "effects of what is imported inside a function that is reached": (
        {
            "main.py": "def run():\n    import toy.x\ndef other():\n    import toy.y\n",
            "x.py": "print()\n",
            "y.py": "print()\n",
        },
        {"main:run", "x:<effects>"},
    ),
    "functions that a decorator of ours registers": (
        {
            "main.py": "TABLE = {}\ndef register(f):\n    TABLE[f.__name__] = f\n    return f\n"
            "@register\ndef a(): pass\n@staticmethod\ndef b(): pass\ndef run(): TABLE['a']()\n",
        },
        {"main:run", "main:TABLE", "main:register", "main:a"},
    ),
    "constants whose value may set something": (
        {
            "main.py": "import torch, re\n_before = torch.set_flush_denormal(True)\n"
            "unused = re.compile('x')\nlazy = lambda: 3\ndef run(): pass\n",
        },
        {"main:run", "main:_before"},
    ),
    "a table that is filled by statements": (
        {
            "main.py": "TABLE = {}\nTABLE['a'] = f = lambda: g()\ndef g(): pass\n"
            "def run(): TABLE['a']()\n",
        },
        {"main:run", "main:TABLE", "main:<effects>", "main:g"},
    ),
    "names of several targets, and statements that add to them": (
        {"main.py": "a, (b, *c) = d = 1, (2, 3)\nd += a\ne: int = 5\ndef run(): b, c, d, e\n"},
        {"main:run", "main:a", "main:b", "main:c", "main:d", "main:e"},
    ),
    "names defined inside a branch": (
        {"main.py": "import sys\nif sys.platform:\n    def f(): return g\ng = 1\ndef run(): f()\n"},
        {"main:run", "main:<effects>", "main:g"},
    ),
    "circles end": (
        {
            "main.py": "from toy.x import f, lost\ndef run(): f(); lost()\n",
            "x.py": "from toy import main\nfrom toy.main import lost\ndef f(): main.run()\n",
        },
        {"main:run", "x:f"},
    ),
}


@pytest.mark.parametrize("case", FOLLOWED)
def test_what_is_followed(case: str, tmp_path: Path) -> None:
    files, expected = FOLLOWED[case]
    assert names(tmp_path, files) == expected


def test_modules_beside_are_named_but_not_followed(tmp_path: Path) -> None:
    files = {
        "main.py": "from toy import x, y\ndef run(): x.f(); y.g()\n",
        "x.py": "from toy import z\nprint()\ndef f(): z.h()\n",
        "y.py": "def g(): pass\ndef i(): pass\n",
        "z.py": "def h(): pass\n",
    }
    found = code_units(write(tmp_path, files), [ENTRY], beside=["toy.x", "toy.y:g"])
    assert set(found) == {"toy.main:run", "toy.x:<effects>"}


TABLE = (
    "def a(): return 1\ndef b(): return 2\nTABLE = {'a': a, 'b': b, 'c': lambda: helper()}\n"
    "def helper(): pass\ndef run(key): TABLE[key]()\n"
)


@pytest.mark.parametrize(
    "entry, expected",
    [
        ("TABLE[a]", {"main:run", "main:TABLE[a]", "main:a"}),
        ("TABLE[c]", {"main:run", "main:TABLE[c]", "main:helper"}),
        # a key that the literal does not have: the whole table, to be safe
        ("TABLE[d]", {"main:run", "main:TABLE", "main:a", "main:b", "main:helper"}),
    ],
)
def test_one_value_of_a_table(entry: str, expected: set[str], tmp_path: Path) -> None:
    write(tmp_path, {"main.py": TABLE})
    found = code_units(tmp_path, [ENTRY, f"toy.main:{entry}"], beside=["toy.main:TABLE"])
    assert {name.removeprefix("toy.") for name in found} == expected


def test_another_function_under_the_same_key_is_another_unit(tmp_path: Path) -> None:
    entries = [ENTRY, "toy.main:TABLE[a]"]
    before = code_units(write(tmp_path, {"main.py": TABLE}), entries, beside=["toy.main:TABLE"])
    swapped = TABLE.replace("'a': a", "'a': b")
    after = code_units(write(tmp_path, {"main.py": swapped}), entries, beside=["toy.main:TABLE"])
    assert before["toy.main:TABLE[a]"] != after["toy.main:TABLE[a]"]
    assert "toy.main:b" in after
    assert "toy.main:a" not in after


def test_a_table_that_is_not_one_literal_is_followed_whole(tmp_path: Path) -> None:
    text = "def a(): pass\nTABLE = {'a': a}\nTABLE |= {'a': b}\ndef b(): pass\ndef run(): pass\n"
    write(tmp_path, {"main.py": text})
    assert set(code_units(tmp_path, ["toy.main:TABLE[a]"])) == {
        "toy.main:TABLE",
        "toy.main:a",
        "toy.main:b",
    }


# --------------------------------------------------------------------------------- normal form

BASE = '''
import math
import numpy as np
from toy.x import helper

LIMIT = 1000

class Box:
    """A box."""

    size: int = 3
    """Side."""

    def area(self, scale=1.5):
        """Square."""
        return self.size ** 2 * scale

def run(data, *, deep=True):
    """Run."""
    total = 0
    for item in data:
        if item > LIMIT and deep:
            total += helper(item, flag=False, mode="fast")
        else:
            total -= math.sqrt(item)
    text = f"{total:.3f} of {len(data)!r}"
    return np.zeros(3), {"total": total, "text": text}, Box()
'''
HELPER = "def helper(x, flag, mode):\n    return x\n\n\ndef unrelated():\n    return 1\n"


def changed(root: Path, old: str, new: str, *, file: str = "main.py") -> set[str]:
    """The units that an edit of the base changes, adds or removes."""
    files = {"main.py": BASE, "x.py": HELPER}
    before = units(root, files)
    assert files[file].count(old) == 1, f"{old!r} is not once in {file}"
    after = units(root, {**files, file: files[file].replace(old, new)})
    return {
        name.removeprefix("toy.")
        for name in {*before, *after}
        if before.get(name) != after.get(name)
    }


CHANGES_NOTHING = {
    "a comment": ("total = 0", "total = 0  # sum"),
    "a docstring changed": ('"""Run."""', '"""Walk."""'),
    "a docstring removed": ('    """Run."""\n', ""),
    "a field's docstring": ('    """Side."""\n', ""),
    "blank lines": ("    total = 0", "\n\n    total = 0\n"),
    "brackets and line breaks": ("item > LIMIT and deep", "(\n  (item > LIMIT)\n  and deep)"),
    "other quotes": ('mode="fast"', "mode='fast'"),
    "a string in two pieces": ('mode="fast"', 'mode="fa" "st"'),
    "a prefix u": ('mode="fast"', 'mode=u"fast"'),
    "another form of a number": ("LIMIT = 1000", "LIMIT = 1_0_00"),
    "hexadecimal": ("LIMIT = 1000", "LIMIT = 0x3E8"),
    "a float's other form": ("scale=1.5", "scale=15e-1"),
    "a trailing comma": ('mode="fast")', 'mode="fast",)'),
    "annotations of arguments and result": (
        "def run(data, *, deep=True):",
        "def run(data: list[int], *, deep: bool = True) -> object:",
    ),
    "annotation of a local": ("total = 0\n", "total: float = 0\n"),
    "a bare annotation of a local": ("total = 0\n", "total: float\n    total = 0\n"),
    "annotation of a constant": ("LIMIT = 1000", "LIMIT: int = 1000"),
    "pass": ("        else:", "            pass\n        else:"),
    "a constant that stands alone": ("total = 0\n", "total = 0\n    ...\n"),
    "import inside the function": ("    total = 0", "    import math\n    total = 0"),
    "order of imports": (
        "import math\nimport numpy as np\nfrom toy.x import helper\n",
        "from toy.x import helper\nimport numpy as np\nimport math\n",
    ),
    "an import that nobody uses": ("import math\n", "import math\nimport json\n"),
    "an import of ours that nobody uses": (
        "import helper\n",
        "import helper\nfrom toy.x import unrelated\n",
    ),
    "a type-checking block": (
        "import math\n",
        "import math\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n",
    ),
    "a main block": ("LIMIT = 1000", "LIMIT = 1000\nif __name__ == '__main__':\n    run([])"),
    "a new function": ("LIMIT = 1000", "LIMIT = 1000\ndef new():\n    return LIMIT"),
    "a new constant": ("LIMIT = 1000", "LIMIT = 1000\nOTHER = 5"),
    "the module's docstring": ("\nimport math\n", '\n"""A module."""\nimport math\n'),
    "another name for an import": (
        "import numpy as np",
        "from numpy import zeros\nimport numpy as np",
    ),
    "a type comment": ("total = 0\n", "total = 0  # type: float\n"),
    "from __future__": ("\nimport math", "\nfrom __future__ import annotations\nimport math"),
}


@pytest.mark.parametrize("case", CHANGES_NOTHING)
def test_what_changes_no_digest(case: str, tmp_path: Path) -> None:
    old, new = CHANGES_NOTHING[case]
    assert changed(tmp_path, old, new) == set()


def test_the_form_of_an_import_changes_no_digest(tmp_path: Path) -> None:
    forms = [
        "import numpy as np\ndef run(): return np.linalg.norm(1)\n",
        "import numpy\ndef run(): return numpy.linalg.norm(1)\n",
        "import numpy.linalg\ndef run(): return numpy.linalg.norm(1)\n",
        "from numpy import linalg\ndef run(): return linalg.norm(1)\n",
        "from numpy.linalg import norm as n\ndef run(): return n(1)\n",
        "def run():\n    from numpy import linalg\n    return linalg.norm(1)\n",
    ]
    assert len({str(units(tmp_path, {"main.py": form})) for form in forms}) == 1
    ours = [
        "from toy.x import f\ndef run(): return f()\n",
        "from .x import f as g\ndef run(): return g()\n",
        "from toy import x\ndef run(): return x.f()\n",
        "import toy.x\ndef run(): return toy.x.f()\n",
        "from toy.again import g\ndef run(): return g()\n",
    ]
    files = {"x.py": "def f(): pass\n", "again.py": "from toy.x import f as g\n"}
    assert len({str(units(tmp_path, {**files, "main.py": form})) for form in ours}) == 1


def test_the_order_of_definitions_changes_no_digest(tmp_path: Path) -> None:
    one = "A = 1\nclass B:\n    x: int\n    def f(self): pass\n    def g(self): pass\n"
    two = "class B:\n    def g(self): pass\n    x: int\n    def f(self): pass\nA = 1\n"
    run = "def run(): return A, B\n"
    assert units(tmp_path, {"main.py": one + run}) == units(tmp_path, {"main.py": run + two})


RUN = {"main:run"}
CHANGES = {
    "a constant": ("LIMIT = 1000", "LIMIT = 1001", {"main:LIMIT"}),
    "an integer made a float": ("LIMIT = 1000", "LIMIT = 1000.0", {"main:LIMIT"}),
    "an integer made a string": ("LIMIT = 1000", "LIMIT = '1000'", {"main:LIMIT"}),
    "one made true": ("total = 0", "total = False", RUN),
    "bytes for a string": ('mode="fast"', 'mode=b"fast"', RUN),
    "a default of a method": ("scale=1.5", "scale=1.6", {"main:Box.area"}),
    "a default that is keyword only": ("deep=True", "deep=False", RUN),
    "an argument made keyword only": ("data, *, deep", "*, data, deep", RUN),
    "an operator": ("total +=", "total *=", RUN),
    "a comparison": ("item > LIMIT", "item >= LIMIT", RUN),
    "and for or": ("and deep", "or deep", RUN),
    "a call's keyword": ("flag=False", "flg=False", RUN),
    "order of keywords (safe side)": (
        'flag=False, mode="fast"',
        'mode="fast", flag=False',
        RUN,
    ),
    "a local's name (safe side)": ("def area(self", "def area(this", {"main:Box.area"}),
    "text of a message (safe side)": (" of {len", " out of {len", RUN),
    "a conversion in an f-string": ("!r}", "!s}", RUN),
    "a format in an f-string": (":.3f", ":.4f", RUN),
    "an attribute": ("math.sqrt", "math.cbrt", RUN),
    "another module under the same name": ("import math", "import cmath as math", RUN),
    "another function of ours under the same name": (
        "import helper",
        "import unrelated as helper",
        {"main:run", "x:helper", "x:unrelated"},
    ),
    "a field's default": ("size: int = 3", "size: int = 4", {"main:Box"}),
    "a field's annotation": ("size: int = 3", "size: float = 3", {"main:Box"}),
    "a field's annotation gone": ("size: int = 3", "size = 3", {"main:Box"}),
    "a new field without a value": (
        "size: int = 3",
        "size: int = 3\n    depth: int",
        {"main:Box"},
    ),
    "a base class": ("class Box:", "class Box(dict):", {"main:Box"}),
    "a decorator": ("def run(", "@math.cache\ndef run(", RUN),
    "a decorator of a class": ("class Box:", "@math.cache\nclass Box:", {"main:Box"}),
    "a decorator of a method": ("    def area", "    @property\n    def area", {"main:Box.area"}),
    "a new method": (
        "    def area",
        "    def edge(self): pass\n    def area",
        {"main:Box.edge"},
    ),
    "a statement that runs on import": (
        "LIMIT = 1000",
        "LIMIT = 1000\nnp.seterr(all='raise')",
        {"main:<effects>"},
    ),
    "a constant of the module that hides a builtin": (
        "LIMIT = 1000",
        "LIMIT = 1000\nlen = id",
        {"main:run", "main:len"},
    ),
    "order of a dictionary": (
        '"total": total, "text": text',
        '"text": text, "total": total',
        RUN,
    ),
    "awaiting": ("def run(", "async def run(", RUN),
    "an assertion": ("    total = 0\n", "    total = 0\n    assert data\n", RUN),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_changes_a_digest(case: str, tmp_path: Path) -> None:
    old, new, expected = CHANGES[case]
    assert changed(tmp_path, old, new) == expected


@pytest.mark.parametrize(
    "text, other",
    [
        (
            "try:\n    import a as x\nexcept ImportError:\n    import b as x",
            ("import b", "import c"),
        ),
        ("from a import *", ("import *", "import b")),
        ("import os\nos.environ['A'] = 'B'", ("'B'", "'C'")),
        ("for i in range(3): print(i)", ("3", "4")),
    ],
)
def test_statements_that_run_on_import(text: str, other: tuple[str, str], tmp_path: Path) -> None:
    run = "\ndef run(): return x()\n"
    before = units(tmp_path, {"main.py": text + run})
    after = units(tmp_path, {"main.py": text.replace(*other) + run})
    assert before["toy.main:<effects>"] != after.get("toy.main:<effects>")


@pytest.mark.parametrize(
    "before, after",
    [
        # which of two imports wins is seen, though imports are not written out elsewhere
        (
            "try:\n        import a as x\n    except E:\n        import b as x",
            "try:\n        import b as x\n    except E:\n        import a as x",
        ),
        ("import a as x; x()", "import b as x; x()"),
        ("from toy.a import x; x", "from toy.b import x; x"),
        ("x = [i for i in j if k]", "x = [i for i in j if not k]"),
        ("x = [i for i in j]", "x = {i for i in j}"),
        ("x = [i for i in j]", "x = [j for i in j]"),
        ("x = lambda a=1: a", "x = lambda a=2: a"),
        ("x = (y := 1)", "x = (z := 1)"),
        ("x = a[1:2]", "x = a[1::2]"),
        ("x = a[:2]", "x = a[2:]"),
        ("x = -0.0", "x = 0.0"),
        ("x = 1j", "x = 1"),
        ("x = ''", "x = None"),
        ("x = ...", "x = None"),
        ("x = ()", "x = []"),
        ("x = {}", "x = set()"),
        ("x = f(*a)", "x = f(a)"),
        ("x = f(**a)", "x = f(a=a)"),
        ("x = {**a}", "x = {a: a}"),
        ("x = f'{a}'", "x = f'{a=}'"),
        ("x = f'{a}b'", "x = f'{a}{b}'"),
        ("x = 'a' if b else c", "x = 'a' if c else b"),
        ("x = yield a", "x = yield from a"),
        ("x = 1 < a < 3", "x = 1 < (a < 3)"),
        ("x = not a", "x = ~a"),
        ("with a as x: pass", "with b as x: pass"),
        ("match a:\n        case {'k': x}: pass", "match a:\n        case {'l': x}: pass"),
        ("match a:\n        case [x, *b]: pass", "match a:\n        case [*b, x]: pass"),
        ("match a:\n        case None: pass", "match a:\n        case True: pass"),
        ("match a:\n        case 1 | 2: pass", "match a:\n        case 1: pass"),
        ("for x in a: pass", "for x in a: break"),
        ("for x in a: pass\n    else: b()", "for x in a: pass\n    b()"),
        ("while a: x = 1", "if a: x = 1"),
        ("raise a", "raise a from None"),
        ("return", "return 0"),
        ("global y; y = 1", "y = 1"),
        ("del a", "a"),
        ("assert a", "assert a, b"),
        ("a.x: int = 1", "a.x: int"),
        ("def x(): return 1", "def x(): return 2"),
        ("class x:\n        a: int", "class x:\n        a: str"),
        ("class x:\n        def f(self): return 1", "class x:\n        def f(self): return 2"),
        ("try: a()\n    except E: b()", "try: a()\n    except F: b()"),
        ("try: a()\n    finally: b()", "try: a()\n    except: b()"),
        ("try: a()\n    except* E: b()", "try: a()\n    except E: b()"),
    ],
)
def test_what_changes_a_function(before: str, after: str, tmp_path: Path) -> None:
    files = {"a.py": "x = 1\n", "b.py": "x = 1\n"}
    found = [
        units(tmp_path, {**files, "main.py": f"def run(a, b):\n    {text}\n"})["toy.main:run"]
        for text in (before, after)
    ]
    assert found[0] != found[1]


def test_the_order_of_validators_counts(tmp_path: Path) -> None:
    methods = ["    @check\n    def a(self): pass\n", "    @check\n    def b(self): pass\n"]
    run = "def run(): return A\n"
    one = units(tmp_path, {"main.py": f"class A:\n{methods[0]}{methods[1]}{run}"})
    two = units(tmp_path, {"main.py": f"class A:\n{methods[1]}{methods[0]}{run}"})
    assert {name for name in one if one[name] != two[name]} == {"toy.main:A"}


def test_the_normal_form_of_a_function_by_hand(tmp_path: Path) -> None:
    text = '''
import math

def run(x: float, scale=2) -> float:
    """Scaled root."""
    # a comment
    y: float = math.sqrt(x)
    return f"{y * scale}!"
'''
    form = [
        [
            "FunctionDef",
            "run",
            [],
            ["arguments", ["args", ["x", "scale"]], ["defaults", [["Constant", "int", "0x2"]]]],
            [
                [
                    "Assign",
                    ["targets", [["Name", "y"]]],
                    [
                        "value",
                        ["Call", ["args", [["Name", "x"]]], ["func", ["@", '["math.sqrt"]']]],
                    ],
                ],
                [
                    "Return",
                    [
                        "value",
                        [
                            "JoinedStr",
                            [
                                [
                                    "FormattedValue",
                                    ["conversion", -1],
                                    [
                                        "value",
                                        [
                                            "BinOp",
                                            ["left", ["Name", "y"]],
                                            ["op", ["Mult"]],
                                            ["right", ["Name", "scale"]],
                                        ],
                                    ],
                                ],
                                "!",
                            ],
                        ],
                    ],
                ],
            ],
        ]
    ]
    expected = hashlib.sha256(json.dumps(form, separators=(",", ":")).encode()).hexdigest()
    assert units(tmp_path, {"main.py": text}) == {"toy.main:run": expected}


# ------------------------------------------------------------------------- versions of Python

EVERYTHING = (ROOT / "tests" / "fixtures" / "every_syntax.txt").read_text(encoding="utf-8")
STORED = json.loads((ROOT / "tests" / "fixtures" / "every_syntax.json").read_text())
PYTHONS = [
    path
    for version in ("3.11", "3.12", "3.13")
    for path in sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
]
SCRIPT = """
import json, pathlib, sys
sys.path.insert(0, sys.argv[1])
from cnnpaper.codeunits import code_units
print(json.dumps(code_units(pathlib.Path(sys.argv[2]), sys.argv[3:])))
"""


def test_every_syntax_has_the_stored_digests(tmp_path: Path) -> None:
    assert units(tmp_path, {"main.py": EVERYTHING}) == STORED


def test_the_sample_of_every_syntax_has_every_node() -> None:
    """All classes of Python 3.11's grammar that a module can hold occur in the sample."""
    abstract = {
        *("mod", "stmt", "expr", "expr_context", "boolop", "operator", "unaryop", "cmpop"),
        *("pattern", "excepthandler", "type_ignore", "slice", "type_param"),
    }
    elsewhere = {"Interactive", "Expression", "FunctionType", "Suite", "TypeIgnore"}
    newer = {"TypeAlias", "TypeVar", "ParamSpec", "TypeVarTuple"}
    old = {"Num", "Str", "Bytes", "NameConstant", "Ellipsis", "Index", "ExtSlice"}
    known = {
        name
        for name, value in vars(ast).items()
        if isinstance(value, type) and issubclass(value, ast.AST) and name[0].isupper()
    }
    never = {"AST", "AugLoad", "AugStore", "Param"}
    found = {type(node).__name__ for node in ast.walk(ast.parse(EVERYTHING))}
    assert known - abstract - elsewhere - newer - old - never - found == set()


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: path.parent.parent.name)
def test_other_versions_of_python_give_the_same_digests(python: Path, tmp_path: Path) -> None:
    write(tmp_path, {"main.py": EVERYTHING})
    assert run_python(python, tmp_path, ENTRY) == STORED
    entries = [*fingerprint.ENTRIES, "cnnpaper.cli:main"]
    assert run_python(python, ROOT, *entries) == code_units(ROOT, entries)


def run_python(python: Path, root: Path, *entries: str) -> dict[str, str]:
    """Units as another interpreter sees them, which has the standard library alone."""
    result = subprocess.run(
        [python, "-I", "-c", SCRIPT, str(ROOT), str(root), *entries],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(result.stdout)


def test_reading_code_needs_the_standard_library_alone() -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import cnnpaper.codeunits;"
        "print([m for m in sys.modules if m.split('.')[0] in ('pydantic', 'numpy', 'torch')])"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"


@pytest.mark.parametrize("path", sorted((ROOT / "cnnpaper").rglob("*.py")), ids=lambda p: p.stem)
def test_layout_of_our_own_files_changes_nothing(path: Path, tmp_path: Path) -> None:
    """Each file printed anew from its tree: other layout, quotes, brackets, no comments."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    defined = [
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    ]
    entries = [f"toy.main:{name}" for name in defined]
    if not entries:
        return
    write(tmp_path, {"main.py": text})
    before = code_units(tmp_path, entries)
    write(tmp_path, {"main.py": ast.unparse(tree)})
    assert code_units(tmp_path, entries) == before


# ------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "entry, message",
    [
        ("toy.mian:run", "no module 'toy.mian' to follow; did you mean 'toy.main'?"),
        ("toy.main:rnu", "toy/main.py: no 'rnu' to follow; did you mean 'run'?"),
        ("toy.main:TABEL[a]", "toy/main.py: no 'TABEL[a]' to follow"),
    ],
)
def test_an_entry_that_is_not_there(entry: str, message: str, tmp_path: Path) -> None:
    write(tmp_path, {"main.py": "def run(): pass\n"})
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        code_units(tmp_path, [entry])


def test_a_package_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no sources; start in the root of the repository"):
        code_units(tmp_path, [ENTRY])


@pytest.mark.parametrize(
    "text, line", [(b"def run(: pass", 1), (b"x = 1\n\xff = 2", 2), (b"x = '\0'", 1)]
)
def test_a_file_that_is_not_python(text: bytes, line: int, tmp_path: Path) -> None:
    write(tmp_path, {"main.py": ""})
    (tmp_path / "toy" / "main.py").write_bytes(text)
    with pytest.raises(UserError, match=r"^toy/main\.py:\d+: not valid Python: "):
        code_units(tmp_path, [ENTRY])


def test_a_file_that_nobody_reaches_may_be_anything(tmp_path: Path) -> None:
    assert names(tmp_path, {"main.py": "def run(): pass\n", "x.py": "def ("}) == {"main:run"}


LOCK = """version = 1
[[package]]
name = "torch"
version = "2.14.1"
[[package]]
name = "torchvision"
version = "0.29.1"
[[package]]
name = "torchvision"
version = "0.29.1+cpu"
"""


def test_versions_in_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "uv.lock"
    lock.write_text(LOCK)
    # one package may be locked several times, for several platforms
    assert locked_versions(lock) == {"torch": "2.14.1", "torchvision": "0.29.1, 0.29.1+cpu"}


@pytest.mark.parametrize(
    "text, message",
    [
        (None, r"uv\.lock: cannot be read \(No such file or directory\)"),
        (b"[[package", r"uv\.lock: not a lock of uv \("),
        (b"\xff", r"uv\.lock: not a lock of uv \("),
        (b"package = 3", r"uv\.lock: not a lock of uv \("),
        (b"[[package]]\nname = 'torch'", r"uv\.lock: not a lock of uv \("),
        (b"[[package]]\nname = 'torch'\nversion = '1'", "no package torchvision"),
    ],
)
def test_a_lock_that_is_none(text: bytes | None, message: str, tmp_path: Path) -> None:
    lock = tmp_path / "uv.lock"
    if text is not None:
        lock.write_bytes(text)
    with pytest.raises(UserError, match=message):
        locked_versions(lock)


# ---------------------------------------------------------------------------- whole fingerprints


def example(**changes: Any) -> Fingerprint:
    values: dict[str, Any] = {
        "version": 1,
        "code": {
            "cnnpaper.learn.train:step": "1" * 64,
            "cnnpaper.learn.train:Training.step": "2" * 64,
            "cnnpaper.learn:<effects>": "3" * 64,
        },
        "config": {"epochs": 3, "recipe": {"momentum": 0.9, "flip": "zeros"}},
        "data": "a" * 64,
        "packages": {"torch": "2.14.1"},
    }
    return Fingerprint(**{**values, **changes})


@pytest.mark.parametrize(
    "changes, sentences",
    [
        ({}, []),
        ({"version": 2}, ["fingerprints are made by rules 2 now, this one by rules 1"]),
        (
            {"config": {"epochs": 3, "recipe": {"momentum": 0.8, "nesterov": True}}},
            [
                "recipe.momentum: 0.9 -> 0.8",
                "recipe.flip: zeros -> none",
                "recipe.nesterov: none -> true",
            ],
        ),
        ({"data": "b" * 64}, ["digest of the data: aaaaaaaaaaaa… -> bbbbbbbbbbbb…"]),
        ({"data": None}, ["digest of the data: aaaaaaaaaaaa… -> none"]),
        ({"packages": {"torch": "2.15.0"}}, ["torch: 2.14.1 -> 2.15.0"]),
        (
            {
                "code": {
                    "cnnpaper.learn.train:Training.step": "4" * 64,
                    "cnnpaper.learn:<effects>": "5" * 64,
                    "cnnpaper.learn.data:load": "6" * 64,
                }
            },
            [
                "cnnpaper/learn/train.py: step removed",
                "cnnpaper/learn/train.py: Training.step changed",
                "cnnpaper/learn/__init__.py: what is done on import changed",
                "cnnpaper/learn/data.py: load added",
            ],
        ),
        # code made by other rules has other digests: no list of every function
        (
            {"version": 2, "code": {}, "data": "b" * 64},
            [
                "digest of the data: aaaaaaaaaaaa… -> bbbbbbbbbbbb…",
                "fingerprints are made by rules 2 now, this one by rules 1",
            ],
        ),
    ],
)
def test_differences_are_sentences(changes: dict[str, Any], sentences: list[str]) -> None:
    assert [str(item) for item in differences(example(), example(**changes))] == sentences


def test_a_digest_in_the_configuration_is_said_once_as_data() -> None:
    old, new = ({"data": {"set": "jpeg75", "digest": letter * 64}} for letter in "ab")
    found = differences(example(config=old), example(config=new, data="b" * 64))
    assert [item.kind for item in found] == ["data"]


def test_a_value_that_becomes_null_is_a_difference() -> None:
    found = differences(example(config={"variant": "a"}), example(config={"variant": None}))
    assert [(item.name, item.old, item.new) for item in found] == [("variant", "a", None)]


def test_an_option_that_is_not_set_is_as_good_as_one_not_there() -> None:
    # so an option that is added, and that nobody sets, leaves older runs as fresh as they were
    assert differences(example(config={"cap": None}), example(config={})) == []
    assert differences(example(config={}), example(config={"cap": None})) == []
    assert differences(example(config={}), example(config={"cap": "avx2"}))


def test_short_names_a_fingerprint() -> None:
    assert re.fullmatch("[0-9a-f]{12}", short(example()))
    assert short(example()) == short(example())
    code = dict(reversed(example().code.items()))
    assert short(example(code=code)) == short(example())
    others = [example(version=2), example(code={}), example(config={}), example(data=None)]
    assert len({short(one) for one in [example(), *others, example(packages={})]}) == 6


# -------------------------------------------------------------------------------- runs on disk


KNOWN = {
    "weight_decay": "5e-4",
    "momentum": "0.9",
    "nesterov": "true",
    "label_smoothing": "0.1",
    "crop_padding": "4",
}


def invented(root: Path, **plan: Any) -> list[records.Run]:
    """An invented study in a repository of its own, its logs in the order of their names.

    Its recipe has a few values that these tests know, and no network overrides them.
    """
    fabricate.repository(root, code=True)
    for path in (root / "experiments").glob("*.toml"):
        text = path.read_text(encoding="utf-8").partition("\n[override")[0]
        for key, value in KNOWN.items():
            text = re.sub(rf"(?m)^{key} = [^ \n]*", f"{key} = {value}", text)
        path.write_text(text, encoding="utf-8")
    fabricate.study(root, fabricate.Plan(name="trial", images=20, epochs=1, **plan))
    paths = sorted((root / "results" / "log" / "trial").glob("*/run.jsonl"))
    return [records.read_run(path) for path in paths]


def edit(path: Path, old: str, new: str) -> None:
    """``new`` in place of ``old``, which is there once."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def sentences_of(root: Path, run: records.Run) -> list[str]:
    return [str(item) for item in run_differences(root, run)]


def test_a_run_is_fresh_until_the_repository_changes(tmp_path: Path) -> None:
    (run,) = invented(tmp_path, networks=("resnet18",))
    assert sentences_of(tmp_path, run) == []
    edit(tmp_path / "experiments" / "recipe.toml", "weight_decay = 5e-4", "weight_decay = 1e-3")
    edit(tmp_path / "cnnpaper/learn/train.py", "min(rise, fall, 1.0)", "min(rise, fall)")
    assert sentences_of(tmp_path, run) == [
        "recipe.weight_decay: 0.0005 -> 0.001",
        "cnnpaper/learn/train.py: Training.learning_rate changed",
    ]
    edit(tmp_path / "experiments" / "recipe.toml", "weight_decay = 1e-3", "weight_decay = 5e-4")
    edit(tmp_path / "cnnpaper/learn/train.py", "min(rise, fall)", "min(rise, fall, 1.0)")
    assert sentences_of(tmp_path, run) == []


def test_a_run_on_other_data_than_its_study_names(tmp_path: Path) -> None:
    (run,) = invented(tmp_path, networks=("resnet18",))
    header = run.header.model_copy(update={"data": records.Data(name="x", digest="b" * 64)})
    assert sentences_of(tmp_path, replace(run, header=header)) == [
        "digest of the data trained on: bbbbbbbbbbbb… -> 08fb299e0e53…"
    ]


def test_imported_runs_are_neither_fresh_nor_stale(tmp_path: Path) -> None:
    (run,) = invented(tmp_path, networks=("resnet18",))
    edit(tmp_path / "experiments" / "recipe.toml", "weight_decay = 5e-4", "weight_decay = 1e-3")
    imported = run.header.model_copy(update={"origin": "imported"})
    unknown = run.header.model_copy(update={"fingerprint": None})
    assert sentences_of(tmp_path, replace(run, header=imported)) == []
    assert sentences_of(tmp_path, replace(run, header=unknown)) == []


def test_a_variant_is_compared_by_code_alone(tmp_path: Path) -> None:
    """Its configuration is in its own header; no study file describes it."""
    (run,) = invented(tmp_path, networks=("resnet18",))
    header = run.header.model_copy(update={"variant": "trial_1"})
    edit(tmp_path / "experiments" / "recipe.toml", "weight_decay = 5e-4", "weight_decay = 1e-3")
    assert sentences_of(tmp_path, replace(run, header=header)) == []
    edit(tmp_path / "cnnpaper/learn/evaluate.py", "BATCH = 500", "BATCH = 501")
    assert sentences_of(tmp_path, replace(run, header=header)) == [
        "cnnpaper/learn/evaluate.py: BATCH changed"
    ]


def stale_text(root: Path, runs: list[records.Run]) -> str:
    stale = {run.name: found for run in runs if (found := run_differences(root, run))}
    return stale_message(runs, stale)


def test_the_message_names_runs_changes_and_target(tmp_path: Path) -> None:
    runs = invented(tmp_path, networks=("alexnet", "vgg16", "resnet18"))
    recipe = tmp_path / "experiments" / "recipe.toml"
    edit(recipe, "weight_decay = 5e-4", "weight_decay = 1e-3")
    assert stale_text(tmp_path, runs) == (
        "alexnet-s0, resnet18-s0, vgg16-s0 are stale: recipe.weight_decay: 0.0005 -> 0.001\n"
        "train anew: make alexnet resnet18 vgg16 STUDY=trial FORCE=1"
    )
    edit(recipe, "momentum = 0.9", "momentum = 0.8")
    edit(recipe, "nesterov = true", "nesterov = false")
    edit(recipe, "label_smoothing = 0.1", "label_smoothing = 0.2")
    edit(recipe, "crop_padding = 4", "crop_padding = 3")
    assert stale_text(tmp_path, runs[1:2]) == (
        "resnet18-s0 is stale: recipe.momentum: 0.9 -> 0.8; recipe.nesterov: true -> false; "
        "recipe.weight_decay: 0.0005 -> 0.001; and 2 more\n"
        "train anew: make resnet18 STUDY=trial FORCE=1"
    )


def test_the_message_groups_runs_and_spares_fresh_ones(tmp_path: Path) -> None:
    runs = invented(tmp_path, networks=("alexnet", "resnet18"), seeds=(0, 1, 2))
    one, two = (Difference(kind="config", name=name, old=1, new=2) for name in ("epochs", "seed"))
    stale = {"alexnet-s0": [one], "alexnet-s1": [two], "alexnet-s2": [one], "resnet18-s1": [one]}
    assert stale_message(runs, stale) == (
        "alexnet-s0, alexnet-s2, resnet18-s1 are stale: epochs: 1 -> 2\n"
        "alexnet-s1 is stale: seed: 1 -> 2\n"
        "train anew: make alexnet STUDY=trial FORCE=1; make resnet18 STUDY=trial SEEDS=1 FORCE=1"
    )


def test_the_message_has_five_lines_at_most(tmp_path: Path) -> None:
    runs = invented(tmp_path, networks=("alexnet",), seeds=tuple(range(6)))
    stale = {
        run.name: [Difference(kind="config", name="seed", old=seed, new=7)]
        for seed, run in enumerate(runs)
    }
    lines = stale_message(runs, stale).split("\n")
    assert len(lines) == 5
    assert lines[3:] == ["and 3 more", "train anew: make alexnet STUDY=trial FORCE=1"]
    assert lines[0] == "alexnet-s0 is stale: seed: 0 -> 7"


def test_a_fingerprint_survives_its_log(tmp_path: Path) -> None:
    (run,) = invented(tmp_path, networks=("resnet18",))
    spec = config.run_spec(tmp_path, config.load_study(tmp_path, "trial"), "resnet18", 0)
    assert run.header.fingerprint == fingerprint.of_run(tmp_path, spec)


# ------------------------------------------------------------------------------ our own training


def test_what_training_is_handed_has_no_code_of_its_own() -> None:
    """Objects that are passed in are not followed, so the configuration must be values alone.

    A property of the recipe that training reads would decide results without being seen: it belongs
    into a function of ``cnnpaper.learn``.
    """
    allowed = {"RunSpec": {"run", "identity"}}
    for model in (config.RunSpec, config.Recipe, config.DataSpec):
        own = {
            name
            for name, value in vars(model).items()
            if isinstance(value, property) or (callable(value) and not name.startswith("_"))
        }
        assert own <= allowed.get(model.__name__, set())


def test_a_run_reaches_training_images_and_its_own_network() -> None:
    spec = config.run_spec(ROOT, config.load_study(ROOT, "reference"), "resnet18", 0)
    code = set(fingerprint.of_run(ROOT, spec).code)
    assert {
        "cnnpaper.learn.train:Training._step",
        "cnnpaper.learn.train:fit",
        "cnnpaper.learn.augment:batch",
        "cnnpaper.learn.evaluate:logits",
        "cnnpaper.learn.data:split",
        "cnnpaper.learn.models:BUILDERS[resnet18]",
        "cnnpaper.learn.models:resnet18",
        "cnnpaper.predictions:accuracy",
    } <= code
    modules = {name.partition(":")[0] for name in code}
    assert not {name for name in modules if name.startswith("cnnpaper.paper")}
    assert not modules & {"cnnpaper.cli", "cnnpaper.textlog", "cnnpaper.fingerprint"}
    assert "cnnpaper.learn.models:alexnet" not in code


def test_a_fingerprint_takes_a_fraction_of_a_second() -> None:
    """In a fresh interpreter, nothing cached: reading, parsing, following."""
    script = (
        "import pathlib, time; from cnnpaper import config, fingerprint;"
        f"root = pathlib.Path({str(ROOT)!r}); study = config.load_study(root, 'reference');"
        "specs = config.run_specs(root, study); begin = time.process_time();"
        "[fingerprint.of_run(root, spec) for spec in specs];"
        "print(time.process_time() - begin)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert float(result.stdout) < 0.3
