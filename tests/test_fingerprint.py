"""What makes a run stale, what does not, and what is said about it."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from cnnpaper import config, fingerprint, log
from cnnpaper.config import RunSpec
from cnnpaper.files import UserError, sha256_file
from tests import fabricate
from tests.tiny import edit

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with finished runs of two networks."""
    plan = fabricate.Plan(networks=("alexnet", "resnet18"))
    return fabricate.study(tmp_path_factory.mktemp("made") / "repository", plan)


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def spec_of(root: Path, model: str = "resnet18") -> RunSpec:
    specs = config.run_specs(root, config.load_study(root, "invented"))
    return next(spec for spec in specs if spec.model == model)


def freshness(root: Path, model: str = "resnet18") -> fingerprint.Freshness:
    spec = spec_of(root, model)
    return fingerprint.freshness(root, log.read_run(spec.folder(root) / log.LOG_NAME), spec)


# ------------------------------------------------------------------------------ table of edits

ENGINE = "cnnpaper/engine/"
MATTER = {
    "a function": (ENGINE + "augment.py", "torch.rand(images, generator=generator) < 0.5",
                   "torch.rand(images, generator=generator) < 0.4",
                   "engine/augment.py: epoch_plan changed"),
    "a constant": (ENGINE + "evaluate.py", "BATCH = 500", "BATCH = 250",
                   "engine/evaluate.py: BATCH changed"),
    "a method": (ENGINE + "training.py", "self.optimizer.zero_grad()",
                 "self.optimizer.zero_grad(False)", "engine/training.py: Training changed"),
    "an import": (ENGINE + "schedule.py", "from cnnpaper.config import Recipe",
                  "import math\nfrom cnnpaper.config import Recipe",
                  "engine/schedule.py: module level changed"),
    "a new name": (ENGINE + "stem.py", "CLASSES = 10", "CLASSES = 10\nMORE = 1",
                   "engine/stem.py: MORE added, module level changed"),
    "a default": (ENGINE + "stem.py", "bias: bool = False", "bias: bool = True",
                  "engine/stem.py: stem_conv changed"),
    "metrics": ("cnnpaper/metrics.py", "/ len(labels)", "/ (len(labels) + 1)",
                "metrics.py: accuracy changed"),
    "its network": (ENGINE + "networks/resnet18.py", "stem_conv()", "stem_conv(bias=True)",
                    "engine/networks/resnet18.py: build changed"),
    "the recipe": ("experiments/recipe.toml", "weight_decay = 5e-4", "weight_decay = 4e-4",
                   "recipe.weight_decay: 0.0005 -> 0.0004"),
    "the length": ("experiments/study/invented.toml", "epochs = 2", "epochs = 3",
                   "steps: 20 -> 30"),
    "the images": ("experiments/study/invented.toml", "validation_images = 200",
                   "validation_images = 210", "images.validation_images: 200 -> 210"),
    "torch": ("uv.lock", 'name = "torch"\nversion = "2.14.1"', 'name = "torch"\nversion = "2.14.2"',
              "torch: 2.14.1 -> 2.14.2"),
}  # fmt: skip
DO_NOT_MATTER = {
    "a comment": (ENGINE + "augment.py", "SIDE = 32", "SIDE = 32  # pixels"),
    "a docstring": (ENGINE + "augment.py", "Draw the plan of", "Draw, on the CPU, the plan of"),
    "a module's docstring": (ENGINE + "schedule.py", '"""The learning', '"""A learning'),
    "layout": (ENGINE + "stem.py", "(3, 32, 32)", "(\n    3,\n    32,\n    32,\n)"),
    "a number's form": (ENGINE + "images.py", "50_000", "50000"),
    "another network": (ENGINE + "networks/vgg16.py", "(1, 1)", "(2, 2)"),
    "what records": ("cnnpaper/runs/recorder.py", "120.0", "60.0"),
    "what reads": ("cnnpaper/log.py", "CONTENDED = 0.05", "CONTENDED = 0.06"),
    "another package": ("uv.lock", 'name = "jinja2"\nversion = "3',
                        'name = "jinja2"\nversion = "4'),
    "a recipe's comment": ("experiments/recipe.toml", "# images per step", "# a step's images"),
    "the printed name": ("experiments/resnet18.toml", 'name = "ResNet-18"', 'name = "ResNet18"'),
    "more seeds": ("experiments/study/invented.toml", "seeds = [0]", "seeds = [0, 1]"),
    "threads": ("experiments/study/invented.toml", "threads = 2", "threads = 4"),
}  # fmt: skip


@pytest.mark.parametrize("file, old, new, said", MATTER.values(), ids=MATTER.keys())
def test_edits_that_matter(root: Path, file: str, old: str, new: str, said: str) -> None:
    assert freshness(root).state == "fresh"
    edit(root / file, old, new)
    found = freshness(root)
    assert (found.state, found.why) == ("stale", (said,))


@pytest.mark.parametrize("file, old, new", DO_NOT_MATTER.values(), ids=DO_NOT_MATTER.keys())
def test_edits_that_do_not_matter(root: Path, file: str, old: str, new: str) -> None:
    if not (root / file).exists():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(fabricate.REPOSITORY / file, root / file)
    edit(root / file, old, new)
    assert freshness(root) == fingerprint.Freshness(state="fresh")


def test_a_new_network_study_and_arm_leave_every_run_fresh(root: Path) -> None:
    networks = root / ENGINE / "networks"
    shutil.copy(networks / "alexnet.py", networks / "own.py")
    text = (root / "experiments/alexnet.toml").read_text("utf-8")
    own = text.replace('builder = "alexnet"', 'builder = "own"')
    (root / "experiments/own.toml").write_text(own, "utf-8")
    study = root / "experiments/study/invented.toml"
    shutil.copy(study, root / "experiments/study/another.toml")
    edit(study, '"resnet18"]', '"resnet18", "own"]')
    (root / ENGINE / "._augment.py").write_bytes(b"\0\5\x16\7")  # of macOS
    assert freshness(root).state == freshness(root, "alexnet").state == "fresh"


def test_a_file_of_the_engine_that_comes_or_goes(root: Path) -> None:
    (root / ENGINE / "extra.py").write_text("A = 1\n", "utf-8")
    assert freshness(root).why == ("engine/extra.py: A added, module level added",)
    (root / ENGINE / "extra.py").unlink()
    (root / ENGINE / "stem.py").unlink()
    assert "engine/stem.py: CLASSES removed" in freshness(root).why[0]


@pytest.mark.parametrize(
    "file, text, said",
    [
        (ENGINE + "augment.py", "def (", "augment.py: not valid Python"),
        ("uv.lock", "= 1", "uv.lock: lacks torch, torchvision"),
        ("experiments/resnet18.toml", None, "builder = 'own': there is no"),
    ],
)
def test_files_that_cannot_be_used(root: Path, file: str, text: str | None, said: str) -> None:
    if text is None:
        edit(root / file, 'builder = "resnet18"', 'builder = "own"')
    else:
        (root / file).write_text(text, "utf-8")
    with pytest.raises(UserError) as caught:
        freshness(root)
    assert said in str(caught.value)


# ------------------------------------------------------------------------------ verified.json


def test_verified_speaks_of_one_log_and_one_fingerprint(root: Path) -> None:
    edit(root / ENGINE / "stem.py", "CLASSES = 10", "CLASSES = 5 + 5")
    spec = spec_of(root)
    run = log.read_run(spec.folder(root) / log.LOG_NAME)
    assert run.header.fingerprint is not None
    today = fingerprint.of_spec(root, spec, data=run.header.fingerprint.data)
    path = run.path.with_name("verified.json")
    values = {"fingerprint": fingerprint.digest(today), "log_sha256": sha256_file(run.path)}
    path.write_text(json.dumps(values))
    assert freshness(root).state == "verified"
    for damaged in (b"", b"[]", b"{}", b"\xff", json.dumps(values | {"log_sha256": ""}).encode()):
        path.write_bytes(damaged)
        assert freshness(root).state == "stale"
    path.write_text(json.dumps(values))
    edit(root / ENGINE / "stem.py", "5 + 5", "4 + 6")
    assert freshness(root).state == "stale"


# ------------------------------------------------------------------------------ normal form


OTHER = [
    ("def f(*, a, b=1): 0", "def f(*, a=1, b): 0"), ("{**x, 'a': y}", "{'a': x, **y}"),
    ("return_ = None", "return_ = ..."), ("x = 1", "x = True"), ("x = 0.0", "x = -0.0"),
    ("x = 'a'", "x = b'a'"), ("f'{x}'", "f'{x!r}'"), ("f'{x}y'", "f'{x}' 'z'"),
    ("if a:\n b()\nelse:\n c()", "if a:\n c()\nelse:\n b()"),
    ("[x for x in y]", "{x for x in y}"), ("x[1:]", "x[:1]"), ("f(*a)", "f(**a)"),
]  # fmt: skip
SAME = [
    ("x = 'ab'", "x = 'a' \"b\""), ("x = 0x10", "x = 1_6"), ("x = (1)", "x = 1"),
    ("f'a{x}b' 'c'", "f'a{x}' f'bc'"), ("if a:\n pass\n b()", "if a: b()"),
    ("def f():\n 'doc'\n return 1", "def f():\n return 1"),
]  # fmt: skip


@pytest.mark.parametrize("one, other", OTHER + SAME)
def test_forms_are_equal_where_meanings_are(one: str, other: str) -> None:
    forms = {fingerprint.normal_form(ast.parse(source)) for source in (one, other)}
    assert len(forms) == (1 if (one, other) in SAME else 2)


def interpreters() -> list[str]:
    """Other Pythons of this machine."""
    found = [shutil.which(f"python3.{minor}") for minor in (11, 12, 13)]
    found += [str(p) for p in Path.home().glob(".pyenv/versions/3.1[123].*/bin/python")]
    return [path for path in found if path]


def test_every_version_of_python_gives_the_same_digests(tmp_path: Path) -> None:
    """Over every kind of syntax, with the functions alone: other Pythons lack the packages."""
    source = Path(fingerprint.__file__).read_text("utf-8")
    names = ("_definitions", "_name_of", "normal_form", "_pieces")
    functions = [
        ast.unparse(node)
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name in names
    ]
    script = tmp_path / "digests.py"
    script.write_text(
        "from __future__ import annotations\nimport ast, hashlib, json, sys\n"
        "from functools import lru_cache\nfrom itertools import groupby\n"
        "DIGITS, UserError = 16, ValueError\n"
        f"_LEFT_OUT = {fingerprint._LEFT_OUT!r}\n"
        + "\n".join(functions)
        + "\nprint(json.dumps([sys.version_info[1], _definitions("
        + "open(sys.argv[1], 'rb').read(), 'x')]))\n",
        "utf-8",
    )
    example = FIXTURES / "every_syntax.txt"
    here = json.loads(json.dumps(fingerprint._definitions(example.read_bytes(), "x")))
    assert "formats" in dict(here)
    tried = set()
    for python in interpreters():
        done = subprocess.run(
            [python, "-W", "ignore", script, example], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:  # a shim without a version behind it is no Python
            minor, digests = json.loads(done.stdout)
            assert digests == here, python
            tried.add(minor)
    assert tried


def test_the_digest_of_a_small_source_is_pinned() -> None:
    """By hand: SHA-256 of the form that the docstrings describe. A change makes all runs stale."""
    found = dict(fingerprint._definitions(b'"""Doc."""\nA = 1  # one\n', "x"))
    form = "Assign(targets=[Name(id=str 'A')], value=Constant(value=int 1))"
    assert found == {
        "A": hashlib.sha256(form.encode()).hexdigest()[:16],
        "module level": hashlib.sha256(b"A").hexdigest()[:16],
    }
