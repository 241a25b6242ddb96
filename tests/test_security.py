"""What is read cannot run, what is fetched has a hash, and what is published names nobody."""

from __future__ import annotations

import ast
import io
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cnnpaper import predictions
from cnnpaper.errors import UserError

REPOSITORY = Path(__file__).parents[1]

# ------------------------------------------------------------------------------- nothing can run

MODULES = {
    *("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"),
    *("yaml", "jsonpickle", "code", "codeop", "runpy", "pty", "imp", "xmlrpc", "pdb"),
}
"""Modules that make objects or code of what they read; none is needed."""
CALLS = {
    *("eval", "exec", "compile", "__import__", "breakpoint", "builtins.eval", "builtins.exec"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("asyncio.create_subprocess_shell", "importlib.import_module", "numpy.fromregex"),
    *("pandas.read_pickle", "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter"),
    *("shutil.unpack_archive", "tempfile.mktemp", "numpy.lib.format.open_memmap"),
}
METHODS = {"extractall", "extract", "to_pickle", "read_pickle", "unpack_archive"}
"""Of any object: archives that are unpacked by names of their own, and pickles by pandas."""
WANTED = {
    "numpy.load": ("allow_pickle", False),
    "numpy.lib.format.read_array": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
}
"""Calls that are safe with one keyword alone, written as a constant."""


def dangers(source: str) -> list[str]:
    """What in a module could make code of data: line and reason.

    Names are followed through imports and through assignments of one name to another.
    """
    tree = ast.parse(source)
    known = _imported(tree)
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None)
            names = [module or ""] if module else [alias.name for alias in node.names]
            bad = [name for name in names if name.split(".")[0] in MODULES]
            found += [f"{node.lineno}: import of {name}" for name in bad]
        if isinstance(node, ast.Name | ast.Attribute) and _name(node, known) in CALLS:
            found.append(f"{node.lineno}: {_name(node, known)}")
        if isinstance(node, ast.Name | ast.Attribute) and re.match(
            r"os\.(exec|spawn|posix_spawn)", _name(node, known)
        ):
            found.append(f"{node.lineno}: {_name(node, known)}")
        if isinstance(node, ast.Call):
            found += [f"{node.lineno}: {reason}" for reason in _call(node, known)]
    return sorted(set(found))


def _imported(tree: ast.AST) -> dict[str, str]:
    """Local name → full name."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Attribute):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id not in known:
                    known[target.id] = _name(node.value, known)
    return known


def _name(node: ast.AST, known: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value, known)}.{node.attr}"
    if isinstance(node, ast.Name):
        return known.get(node.id, node.id)
    return "?"


def _call(node: ast.Call, known: dict[str, str]) -> list[str]:
    name = _name(node.func, known)
    reasons = []
    for keyword in node.keywords:
        constant = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if keyword.arg == "shell" and constant is not False:
            reasons.append("a shell")
        if keyword.arg == "allow_pickle" and constant is not False:
            reasons.append("allow_pickle")
        if keyword.arg is None and name in WANTED:
            reasons.append(f"{name} with keywords that cannot be seen")
    if name in WANTED:
        wanted, value = WANTED[name]
        given = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
        if given.get(wanted) is not value:
            reasons.append(f"{name} without {wanted}={value}")
    if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
        reasons.append(f".{node.func.attr}()")
    return reasons


PACKAGE = sorted((REPOSITORY / "cnnpaper").rglob("*.py"))


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_module_makes_code_of_data(path: Path) -> None:
    assert dangers(path.read_text("utf-8")) == []


FOUND = """
import pickle
import pickle as p
from pickle import loads
import yaml
import dill
import marshal
import shelve
def f(): import cloudpickle
from joblib import load
eval('1')
exec('x')
e = eval; e('1')
[*map(eval, x)]
compile('1', '', 'eval')
__import__('os')
import builtins; builtins.eval('1')
from builtins import eval as e; e(1)
import os; os.system('x')
from os import system; system('x')
import os as o; o.popen('x')
import os; run = os.system; run('x')
import os; os.execv('x', [])
import os; os.spawnl(0)
import subprocess; subprocess.run('x', shell=True)
import subprocess as s; s.Popen('x', shell=1)
from subprocess import run; run('x', shell=flag)
import subprocess; subprocess.getoutput('x')
import numpy as np; np.load('x')
import numpy as np; np.load('x', allow_pickle=True)
import numpy; numpy.load('x', None, flag)
import numpy as np; np.load('x', allow_pickle=flag)
from numpy import load; load('x')
import numpy as np; np.load('x', **options)
import numpy as np; np.save('x', a, allow_pickle=True)
import numpy as np; np.lib.format.read_array(f)
import torch; torch.load('x')
import torch; torch.load('x', weights_only=False)
from torch import load as get; get('x', weights_only=safe)
import torch; torch.jit.load('x')
import pandas as pd; pd.read_pickle('x')
frame.to_pickle('x')
archive.extractall()
import importlib; importlib.import_module(x)
import shutil; shutil.unpack_archive('x')
"""
SAFE = """
import pickletools
import json; json.loads('1')
import re; re.compile('x')
net.eval()
import numpy as np; np.load('x', allow_pickle=False)
net.compile()
import torch; torch.load('x', weights_only=True)
import subprocess; subprocess.run(['x'])
import subprocess; subprocess.run(['x'], shell=False)
import os; os.replace('a', 'b')
from cnnpaper.predictions import load; load('x')
text = 'eval(1)'  # exec('x')
"""


@pytest.mark.parametrize("source", FOUND.strip().splitlines())
def test_each_form_is_caught(source: str) -> None:
    assert dangers(source), source


@pytest.mark.parametrize("source", SAFE.strip().splitlines())
def test_what_is_harmless_is_left_alone(source: str) -> None:
    assert dangers(source) == []


RUFF = {
    "S102": "exec('x')",
    "S301": "import pickle\npickle.loads(b'')",
    "S302": "import marshal\nmarshal.loads(b'')",
    "S306": "import tempfile\ntempfile.mktemp()",
    "S307": "eval('1')",
    "S506": "import yaml\nyaml.load('x')",
    "S602": "import subprocess\nsubprocess.run('x', shell=True)",
    "S604": "call('x', shell=True)",
    "S605": "import os\nos.system(x)",
    "S202": "import tarfile\ntarfile.open('x').extractall()",
}


def test_the_linter_s_rules_are_on_and_catch(tmp_path: Path) -> None:
    """The same in the editor and before a commit, for tests too."""
    ruff = Path(sys.executable).with_name("ruff")
    for rule, source in RUFF.items():
        (tmp_path / f"{rule}.py").write_text(source + "\n")
    command = [ruff, "check", "--no-cache", "--config", REPOSITORY / "pyproject.toml"]
    command += ["--output-format", "concise", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for rule in RUFF:
        assert re.search(rf"{rule}\.py:\d+:\d+: {rule} ", done.stdout), (rule, done.stdout)


# ------------------------------------------------------------------------------- predictions


class Executes:
    """An object whose pickle calls ``os.mkdir`` when it is read."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("executed",)


def npz(compression: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    """An archive of arrays; what is not given is as a run of two images has it."""
    arrays = {
        "labels": array(np.zeros(2, np.uint8)),
        "logits": array(np.zeros((2, 10), np.float32)),
        "logits_tta": array(np.zeros((2, 10), np.float32)),
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in {**arrays, **members}.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def array(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def claims(shape: str, dtype: str = "|u1", more: bytes = b"") -> bytes:
    """An array whose header says that it is large, and that has only ``more`` bytes."""
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + more


OBJECTS = np.array([Executes(), Executes()], dtype=object)
HOSTILE = {
    "object array": lambda: npz(labels=array(OBJECTS)),
    "object array as logits": lambda: npz(logits_tta=array(OBJECTS)),
    "a pickle in place of an array": lambda: npz(labels=pickled(Executes())),
    "a pickle in place of the file": lambda: pickled(Executes()),
    "an array in place of the file": lambda: array(OBJECTS),
    "code in a header": lambda: npz(labels=claims("(__import__('os').mkdir('executed'),)")),
    "header of a gigabyte": lambda: npz(labels=b"\x93NUMPY\x02\x00\xff\xff\xff\x3f" + b"{" * 999),
    "nested header": lambda: npz(labels=claims("(" * 9_000 + ")" * 9_000)),
    "shape of a terabyte": lambda: npz(labels=claims("(1099511627776,)", more=bytes(9))),
    "shape of 2**80": lambda: npz(labels=claims(f"({2**40}, {2**40})")),
    "negative shape": lambda: npz(labels=claims("(-1,)", more=bytes(9))),
    "huge type": lambda: npz(labels=claims("(2,)", dtype="|V2147483647", more=bytes(9))),
    "bomb by ratio": lambda: npz(zipfile.ZIP_DEFLATED, labels=array(np.zeros(96 << 20, np.uint8))),
    "encrypted": lambda: npz().replace(
        b"PK\x01\x02\x14\x03\x14\0\0", b"PK\x01\x02\x14\x03\x14\0\1"
    ),
    "cut off": lambda: npz()[:-30],
    "no arrays": lambda: b"PK\x05\x06" + bytes(18),
}


def pickled(thing: object) -> bytes:
    return pickle.dumps(thing, protocol=2)


@pytest.mark.parametrize("name", sorted(HOSTILE.keys() - {"bomb by ratio", "shape of a terabyte"}))
def test_hostile_predictions_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "predictions.npz"
    path.write_bytes(HOSTILE[name]())
    with pytest.raises(UserError, match=r"predictions\.npz: not the predictions of a run"):
        predictions.load(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["predictions.npz"]


def test_harmless_predictions_are_read(tmp_path: Path) -> None:
    """So that the test above can fail."""
    path = tmp_path / "predictions.npz"
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path.write_bytes(npz(compression))
        assert predictions.load(path).logits.shape == (2, 10)


IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from cnnpaper import predictions
from cnnpaper.errors import UserError
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        predictions.load(path)
    except UserError as error:
        print(path.name)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is set as Linux has it")
def test_hostile_predictions_are_refused_in_little_memory(tmp_path: Path) -> None:
    """64 MiB more than Python and numpy have."""
    for name, make in HOSTILE.items():
        (tmp_path / name).write_bytes(make())
    command = [sys.executable, "-c", IN_LITTLE_MEMORY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == sorted(HOSTILE)
