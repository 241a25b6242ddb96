"""Who may import whom: two wings on one bridge, no circle; torch comes late, or not at all."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "cnnpaper"
TRAINING = {"data", "engine", "runs", "replay", "predict", "export", "release"}
PAPER = {"study", "figures", "paper"}
BRIDGE = {"files", "advice", "metrics", "config", "log", "fingerprint", "tuning", "timings"}
TOP = {"cli", "__main__", "__init__"}
TORCH = {"torch", "torchvision", "safetensors"}


def room(module: str) -> str:
    """``cnnpaper.paper.build`` → ``paper``."""
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> set[str]:
    """What a file imports, anywhere in it: modules, or names in them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = {
    path: ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
}
ARROWS = {
    (room(module), room(name))
    for path, module in FILES.items()
    for name in imports(path)
    if name.startswith("cnnpaper.")
}


def test_neither_wing_imports_the_other_and_the_bridge_imports_none() -> None:
    rooms = {room(module) for module in FILES.values()}
    assert rooms - (TRAINING | PAPER | BRIDGE | TOP) == set()
    for these, those in ((TRAINING, PAPER), (PAPER, TRAINING), (BRIDGE, TRAINING | PAPER)):
        assert [a for a in sorted(ARROWS) if a[0] in these and a[1] in those] == []
    assert [a for a in sorted(ARROWS) if a[1] == "cli" and a[0] != "__main__"] == []


def test_there_is_no_circle() -> None:
    """Neither between rooms nor between files; late imports and those for annotations count."""
    rooms: dict[str, set[str]] = {}
    files: dict[str, set[str]] = {module: set() for module in FILES.values()}
    for one, other in ARROWS:
        if one != other and other:
            rooms.setdefault(one, set()).add(other)
    for path, module in FILES.items():
        for name in imports(path):  # a module, or something in it
            files[module] |= {name, name.rpartition(".")[0]} & (files.keys() - {module})
    TopologicalSorter(rooms).prepare()  # raises CycleError
    TopologicalSorter(files).prepare()


def test_the_paper_s_wing_and_the_bridge_never_name_torch() -> None:
    found = [
        f"{module}: {name}"
        for path, module in FILES.items()
        if room(module) in PAPER | BRIDGE
        for name in imports(path)
        if name.split(".")[0] in TORCH
    ]
    assert found == []


def test_the_networks_import_torch_torchvision_and_the_stem_only() -> None:
    for path in (PACKAGE / "engine" / "networks").glob("*.py"):
        for name in imports(path):
            allowed = name.split(".")[0] in {"torch", "torchvision", "__future__"}
            assert allowed or name.startswith("cnnpaper.engine.stem"), f"{path}: {name}"


@pytest.mark.parametrize("module", ["cli", "paper.build", "study.load", "runs.launch", "replay"])
def test_torch_is_not_loaded_by_an_import(module: str) -> None:
    code = f"import sys, cnnpaper.{module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr
