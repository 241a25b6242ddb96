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


def imports(path: Path) -> dict[str, bool]:
    """Modules that a file imports → only for annotations."""
    tree = ast.parse(path.read_text("utf-8"))
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found: dict[str, bool] = {}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            found[name] = found.get(name, True) and id(node) in typing
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
    """Neither between rooms nor between files, late imports included; annotations are no tie."""
    rooms: dict[str, set[str]] = {}
    files: dict[str, set[str]] = {module: set() for module in FILES.values()}
    for one, other in ARROWS:
        if one != other and other:
            rooms.setdefault(one, set()).add(other)
    for path, module in FILES.items():
        for name, typing in imports(path).items():  # a module, or something in it
            if not typing:
                files[module] |= {name, name.rpartition(".")[0]} & (files.keys() - {module})
    TopologicalSorter(rooms).prepare()  # raises CycleError
    TopologicalSorter(files).prepare()


def test_the_paper_s_wing_and_the_bridge_never_name_torch() -> None:
    found = [
        f"{module}: {name}"
        for path, module in FILES.items()
        if room(module) in PAPER | BRIDGE
        for name, typing in imports(path).items()
        if name.split(".")[0] in TORCH and not typing
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
