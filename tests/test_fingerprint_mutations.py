"""Is a run stale after this edit of the repository? A table of edits, each with its right answer.

Every row edits a copy of this repository and compares the fingerprint of a run of the reference
study before and after. A row of :data:`MATTERS` names exactly what must be found; a row of
:data:`DOES_NOT_MATTER` must leave the run fresh. ``pytest -v`` prints the rows by name.
"""

from __future__ import annotations

import ast
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cnnpaper import config, fingerprint
from cnnpaper.records import Fingerprint

REPOSITORY = Path(__file__).resolve().parents[1]
LEARN = "cnnpaper/learn"
TRAIN = f"{LEARN}/train.py"
MODELS = f"{LEARN}/models.py"
DATA = f"{LEARN}/data.py"
AUGMENT = f"{LEARN}/augment.py"
EVALUATE = f"{LEARN}/evaluate.py"
RECIPE = "experiments/recipe.toml"
REFERENCE = "experiments/study/reference.toml"

RECIPE_NOW = config.load_recipe(REPOSITORY)
CLIP_NORM = "[override.clip_norm]\nvalue = "

Change = Callable[[str], str]
"""Text of a file before → after."""


@dataclass(frozen=True)
class Edit:
    """What is done to one file."""

    path: str
    change: Change


@dataclass(frozen=True)
class Row:
    """One edit, and what it must be found to change for a run of ``network``."""

    edits: tuple[Edit, ...]
    found: frozenset[str] = frozenset()
    network: str = "resnet18"


def put(path: str, old: str, new: str) -> Edit:
    """``new`` in place of ``old``, which must be there exactly once."""

    def change(text: str) -> str:
        assert text.count(old) == 1, f"{path}: {old!r} is there {text.count(old)} times"
        return text.replace(old, new)

    return Edit(path, change)


def key(path: str, name: str, value: str) -> Edit:
    """Another value for a key of a TOML file, whatever it has now."""

    def change(text: str) -> str:
        assert len(re.findall(rf"(?m)^{name} = ", text)) == 1, f"{path}: no key {name}"
        return re.sub(rf"(?m)^{name} = [^#\n]*", f"{name} = {value} ", text)

    return Edit(path, change)


def every(path: str, old: str, new: str) -> Edit:
    """``new`` in place of the word ``old`` wherever it stands."""

    def change(text: str) -> str:
        changed = re.sub(rf"\b{old}\b", new, text)
        assert changed != text, f"{path}: no {old!r}"
        return changed

    return Edit(path, change)


def added(path: str, text: str) -> Edit:
    """``text`` at the end of a file, which is made where it is missing."""
    return Edit(path, lambda before: f"{before}\n{text}\n")


def after_imports(path: str, text: str) -> Edit:
    """``text`` on a line after the last import."""

    def change(before: str) -> str:
        imports = [
            node.end_lineno or 0
            for node in ast.parse(before).body
            if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        lines = before.split("\n")
        lines.insert(max(imports), text)
        return "\n".join(lines)

    return Edit(path, change)


def row(*edits: Edit, found: str = "", network: str = "resnet18") -> Row:
    return Row(edits, frozenset(found.split()), network)


# ------------------------------------------------------------------------------ what matters

LEARNING_RATE = "cnnpaper.learn.train:Training.learning_rate"

MATTERS: dict[str, Row] = {
    # configuration
    "momentum in the recipe": row(key(RECIPE, "momentum", "0.765"), found="recipe.momentum"),
    "weight decay in the recipe": row(
        key(RECIPE, "weight_decay", "0.000765"), found="recipe.weight_decay"
    ),
    "memory format, which decides last bits": row(
        key(RECIPE, "memory_format", '"contiguous"'), found="recipe.memory_format"
    ),
    "an override of the network": row(
        put("experiments/alexnet.toml", CLIP_NORM, f"{CLIP_NORM}7"),
        found="recipe.clip_norm",
        network="alexnet",
    ),
    "a new override of the network": row(
        added(
            "experiments/resnet18.toml",
            '[override.label_smoothing]\nvalue = 0.321\nwhy = "for the sake of this test"',
        ),
        found="recipe.label_smoothing",
    ),
    "an override of the whole study": row(
        added(REFERENCE, '[override.momentum]\nvalue = 0.321\nwhy = "for the sake of this test"'),
        found="recipe.momentum",
    ),
    "initialisation of the network": row(
        put("experiments/resnet18.toml", '"he_normal_fan_in"', '"pytorch"'),
        found="initialisation",
    ),
    "epochs of the study": row(key(REFERENCE, "epochs", "77"), found="epochs"),
    "digest of the data": row(put(REFERENCE, '"08fb299e', '"18fb299e'), found="data"),
    "number of training images": row(
        put(REFERENCE, 'set = "jpeg75"', 'train_images = 40000\nset = "jpeg75"'),
        found="data.train_images",
    ),
    "builder of the network": row(
        put("experiments/resnet18.toml", 'builder = "resnet18"', 'builder = "resnet50"'),
        found="builder cnnpaper.learn.models:BUILDERS[resnet18] cnnpaper.learn.models:resnet18 "
        "cnnpaper.learn.models:BUILDERS[resnet50] cnnpaper.learn.models:resnet50",
    ),
    # packages
    "torch in the lock": row(
        put(
            "uv.lock",
            'name = "torch"\nversion = "2.14.1"',
            'name = "torch"\nversion = "2.14.2"',
        ),
        found="torch",
    ),
    "torchvision in the lock": row(
        put(
            "uv.lock",
            'name = "torchvision"\nversion = "0.29.1"',
            'name = "torchvision"\nversion = "0.30.0"',
        ),
        found="torchvision",
    ),
    # code: the training
    "the learning rate's fall": row(
        put(TRAIN, "(1 - done) /", "(1 - done) ** 2 /"), found=LEARNING_RATE
    ),
    "the learning rate's fall, which no first step sees": row(
        put(TRAIN, "min(rise, fall, 1.0)", "min(rise, max(fall, 0.01), 1.0)"), found=LEARNING_RATE
    ),
    "key of the dropout": row(
        put(TRAIN, '"dropout"', '"drop"'), found="cnnpaper.learn.train:Training._step"
    ),
    "key of the initial weights": row(
        put(TRAIN, '"initial weights"', '"weights"'),
        found="cnnpaper.learn.train:Training.__init__",
    ),
    "which parameters decay": row(
        put(TRAIN, "if p.ndim > 1]", "if p.ndim >= 1]"), found="cnnpaper.learn.train:_optimizer"
    ),
    "which epoch is the best": row(
        put(TRAIN, "val_acc > at.best_val_acc", "val_acc >= at.best_val_acc"),
        found="cnnpaper.learn.train:Training.finish_epoch",
    ),
    "weights that are tested": row(
        put(TRAIN, "net.load_state_dict(self.best)", "pass"),
        found="cnnpaper.learn.train:Training.test",
    ),
    "a decorator": row(
        put(TRAIN, "@torch.no_grad()\ndef _average", "def _average"),
        found="cnnpaper.learn.train:_average",
    ),
    "default of a field of a class": row(
        put(TRAIN, "step: int = 0", "step: int = 1"), found="cnnpaper.learn.train:Counters"
    ),
    "annotation of a field of a class": row(
        put(TRAIN, "best_val_acc: float | None = None", "best_val_acc: float = None"),
        found="cnnpaper.learn.train:Counters",
    ),
    "a setting of the process": row(
        put(TRAIN, "torch.use_deterministic_algorithms(True", "torch.set_warn_always(True"),
        found="cnnpaper.learn.train:configure_torch",
    ),
    "a statement that runs on import": row(
        after_imports(TRAIN, 'torch.set_float32_matmul_precision("medium")'),
        found="cnnpaper.learn.train:<effects>",
    ),
    "a constant that sets something on import": row(
        after_imports(AUGMENT, "_BEFORE = torch.set_flush_denormal(True)"),
        found="cnnpaper.learn.augment:_BEFORE",
    ),
    "a statement that runs when the package is imported": row(
        added("cnnpaper/__init__.py", "import os\nos.environ['OMP_NUM_THREADS'] = '1'"),
        found="cnnpaper:<effects>",
    ),
    "a statement that runs in a module that is only imported": row(
        added("cnnpaper/errors.py", "import random\nrandom.seed(3)"),
        found="cnnpaper.errors:<effects>",
    ),
    # code: what training calls
    "a default argument in train.py": row(
        put(
            TRAIN,
            "def train_epoch(self, listener: Listener) -> None:",
            "def train_epoch(self, listener: Listener, size: int = 32) -> None:",
        ),
        found="cnnpaper.learn.train:Training.train_epoch",
    ),
    "a default argument of a helper": row(
        put(EVALUATE, "mirrored: bool = False", "mirrored: bool = True"),
        found="cnnpaper.learn.evaluate:logits",
    ),
    "a constant of evaluation": row(
        put(EVALUATE, "BATCH = 500", "BATCH = 250"), found="cnnpaper.learn.evaluate:BATCH"
    ),
    "the switch to evaluation": row(
        put(EVALUATE, "net.eval()", "pass"), found="cnnpaper.learn.evaluate:logits"
    ),
    "a helper two imports away": row(
        put("cnnpaper/predictions.py", "np.log(np.exp(shifted)", "np.log2(np.exp(shifted)"),
        found="cnnpaper.predictions:cross_entropy",
    ),
    "how seeds are hashed": row(
        put(AUGMENT, ".digest()[:4]", ".digest()[4:8]"), found="cnnpaper.learn.augment:key"
    ),
    "a channel's mean": row(put(AUGMENT, "0.4914", "0.4913"), found="cnnpaper.learn.augment:MEAN"),
    "another module under the same name": row(
        put(AUGMENT, "from torch.nn import functional", "from torch import special as functional"),
        found="cnnpaper.learn.augment:batch",
    ),
    "another helper of ours under the same name": row(
        put(
            AUGMENT,
            "x = normalise(cut, recipe.memory_format)",
            "from cnnpaper.learn.models import _draw as normalise\n"
            "    x = normalise(cut, recipe.memory_format)",
        ),
        found="cnnpaper.learn.augment:batch",
    ),
    # code: the images
    "key of the split": row(
        put(DATA, "0x5EED_C1FA_0000_0001", "0x5EED_C1FA_0000_0003"),
        found="cnnpaper.learn.data:SPLIT_KEY",
    ),
    "number of validation images of a class": row(
        put(DATA, "VALIDATION_PER_CLASS = 500", "VALIDATION_PER_CLASS = 400"),
        found="cnnpaper.learn.data:VALIDATION_PER_CLASS",
    ),
    "test images used for validation": row(
        put(
            DATA, "validation=images_at(records, validation)", "validation=images_at(records, test)"
        ),
        found="cnnpaper.learn.data:load",
    ),
    # code: the network
    "stride of a stem": row(
        put(MODELS, "kernel_size=3, padding=1", "kernel_size=3, stride=2, padding=1"),
        found="cnnpaper.learn.models:_stem_conv",
    ),
    "a builder": row(
        put(
            MODELS,
            "resnet18(weights=None, num_classes=CLASSES)",
            "resnet18(weights=None, num_classes=CLASSES, zero_init_residual=True)",
        ),
        found="cnnpaper.learn.models:resnet18",
    ),
    "another function under the builder's name": row(
        put(MODELS, '"resnet18": resnet18', '"resnet18": resnet50'),
        found="cnnpaper.learn.models:BUILDERS[resnet18] cnnpaper.learn.models:resnet18 "
        "cnnpaper.learn.models:resnet50",
    ),
    "a builder replaced by a statement": row(
        after_imports(MODELS, "models.resnet18 = models.resnet34"),
        found="cnnpaper.learn.models:<effects>",
    ),
    "a layer's initialisation": row(
        put(MODELS, "nn.init.normal_(module.weight, std=0.01)", "nn.init.zeros_(module.weight)"),
        found="cnnpaper.learn.models:_draw",
        network="vgg16",
    ),
}

# Edits that leave the results as they are, and are found all the same. A digest that knew better
# would have to understand the code; these choices err on the safe side.
MATTERS |= {
    "safe side: a local variable's name": row(
        every(AUGMENT, "corners", "places"), found="cnnpaper.learn.augment:epoch_plan"
    ),
    "safe side: a function's name": row(
        every(TRAIN, "_sums_of", "_totals_of"),
        found="cnnpaper.learn.train:_sums_of cnnpaper.learn.train:_totals_of "
        "cnnpaper.learn.train:Training._step",
    ),
    "safe side: text of a message": row(
        put(MODELS, "no initialisation {scheme!r}", "there is no initialisation {scheme!r}"),
        found="cnnpaper.learn.models:initialise",
    ),
    "safe side: order of keyword arguments": row(
        put(
            TRAIN,
            "labels=self.data.test.labels, logits=plain,",
            "logits=plain, labels=self.data.test.labels,",
        ),
        found="cnnpaper.learn.train:Training.test",
    ),
    "safe side: an expression written in another way": row(
        put(AUGMENT, "2 * recipe.crop_padding + 1", "1 + 2 * recipe.crop_padding"),
        found="cnnpaper.learn.augment:epoch_plan",
    ),
    "safe side: synthetic images, which this run does not use": row(
        put(DATA, "% 97 - 48", "% 99 - 49"), found="cnnpaper.learn.data:synthetic"
    ),
    "safe side: a new field of an epoch's line": row(
        put(
            "cnnpaper/records.py",
            "    probe_gflops: float | None = None",
            "    probe_gflops: float | None = None\n    other: float | None = None",
        ),
        found="cnnpaper.records:Epoch",
    ),
}

# -------------------------------------------------------------------------- what does not matter


def printed_anew(text: str) -> str:
    """Printed from its tree: no comments, other quotes, brackets and line breaks."""
    return ast.unparse(ast.parse(text))


def reordered(text: str) -> str:
    """Top-level functions in the opposite order, and the methods of every class."""
    tree = ast.parse(text)
    for block in [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]:
        places = [i for i, node in enumerate(block.body) if isinstance(node, ast.FunctionDef)]
        nodes = [block.body[i] for i in places]
        for place, node in zip(places, reversed(nodes), strict=True):
            block.body[place] = node
    return ast.unparse(tree)


def imports_reversed(text: str) -> str:
    """Imports in the opposite order, those of __future__ first."""
    tree = ast.parse(text)
    places = [
        i
        for i, node in enumerate(tree.body)
        if isinstance(node, ast.Import)
        or (isinstance(node, ast.ImportFrom) and node.module != "__future__")
    ]
    nodes = [tree.body[i] for i in places]
    for place, node in zip(places, reversed(nodes), strict=True):
        tree.body[place] = node
    return ast.unparse(tree)


class _WithoutAnnotations(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        arguments = node.args
        for item in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            item.annotation = None
        for rest in (arguments.vararg, arguments.kwarg):
            if rest is not None:
                rest.annotation = None
        node.body = [self._local(statement) for statement in node.body]
        return self.generic_visit(node)

    def _local(self, node: ast.stmt) -> ast.stmt:
        if isinstance(node, ast.AnnAssign):
            if node.value is None:
                return ast.Pass()
            return ast.Assign(targets=[node.target], value=node.value, lineno=node.lineno)
        return node


def without_annotations(text: str) -> str:
    return ast.unparse(ast.fix_missing_locations(_WithoutAnnotations().visit(ast.parse(text))))


def without_docstrings(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body[:1] = [] if len(body) > 1 else [ast.Pass()]
    return ast.unparse(tree)


REACHED_FILES = (TRAIN, MODELS, DATA, AUGMENT, EVALUATE, "cnnpaper/predictions.py")


def all_reached(change: Change) -> tuple[Edit, ...]:
    return tuple(Edit(path, change) for path in REACHED_FILES)


DOES_NOT_MATTER: dict[str, Row] = {
    # form of the code that is executed
    "a comment": row(put(TRAIN, "at.step += 1\n", "at.step += 1  # the next\n")),
    "a docstring": row(put(TRAIN, "Do the steps that the epoch still lacks.", "All steps.")),
    "every comment, bracket and line break": row(*all_reached(printed_anew)),
    "every docstring": row(*all_reached(without_docstrings)),
    "every annotation of a function": row(*all_reached(without_annotations)),
    "order of functions and methods": row(*all_reached(reordered)),
    "order of imports": row(*all_reached(imports_reversed)),
    "blank lines": row(*all_reached(lambda text: text.replace("\n\n", "\n\n\n"))),
    "line ends of Windows": row(*all_reached(lambda text: text.replace("\n", "\r\n"))),
    "a byte order mark": row(*all_reached(lambda text: "\ufeff" + text)),
    "four spaces made eight": row(
        *all_reached(lambda text: printed_anew(text).replace("    ", "        "))
    ),
    "a number in another form": row(put(EVALUATE, "BATCH = 500", "BATCH = 0x1F4")),
    "annotation of a constant": row(put(TRAIN, "CHECK_EVERY = 50", "CHECK_EVERY: int = 50")),
    "annotation of a local variable": row(
        put(EVALUATE, "    parts = []", "    parts: list[Tensor] = []")
    ),
    "form of an import": row(
        put(TRAIN, "from torch.nn import functional", "import torch.nn.functional as functional"),
        put(TRAIN, "from cnnpaper.learn.augment import key\n", ""),
        every(TRAIN, "key(?=\\()", "augment.key"),
    ),
    "an import that is not used": row(put(TRAIN, "import math\n", "import math\nimport json\n")),
    "an import for annotations": row(
        put(
            EVALUATE,
            "import torch\n",
            "import torch\nfrom typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from cnnpaper import cli\n",
        )
    ),
    "a block that runs for __main__ alone": row(
        added(TRAIN, 'if __name__ == "__main__":\n    torch.manual_seed(1)')
    ),
    # other code
    "a new function": row(added(TRAIN, "def unused() -> int:\n    return CHECK_EVERY")),
    "a new class": row(added(TRAIN, "class Unused(Training):\n    momentum = 3")),
    "a new constant": row(added(AUGMENT, "UNUSED = 3")),
    "a new module": row(added(f"{LEARN}/unused.py", "import torch\ntorch.manual_seed(1)")),
    "a function beside the training": row(
        every(MODELS, "hooks", "found"), every(MODELS, "describe", "described")
    ),
    "the table of layers": row(put(MODELS, "    nn.AvgPool2d,\n", "")),
    "another network's builder": row(
        put(MODELS, "nn.AdaptiveAvgPool2d((3, 3))", "nn.AdaptiveAvgPool2d((2, 2))")
    ),
    "another network's builder renamed": row(every(MODELS, "densenet121", "densenet_121")),
    "a new network": row(
        put(
            MODELS,
            '    "densenet121": densenet121,\n',
            '    "densenet121": densenet121,\n    "wide": wide,\n',
        ),
        added(MODELS, "def wide() -> nn.Module:\n    return models.wide_resnet50_2()"),
    ),
    "order of the table of builders": row(
        put(MODELS, '    "resnet18": resnet18,\n', ""),
        put(
            MODELS,
            '    "densenet121": densenet121,\n',
            '    "densenet121": densenet121,\n    "resnet18": resnet18,\n',
        ),
    ),
    "progress, signals, checkpoints": row(
        added(f"{LEARN}/recorder.py", "LINE_EVERY_S = 5.0"),
        added(f"{LEARN}/checkpoint.py", "KEPT = 5"),
    ),
    "the command line": row(added("cnnpaper/cli.py", "print('hello')")),
    "the text form of a log": row(added("cnnpaper/textlog.py", "print('hello')")),
    "a reader of data, whose digest decides": row(
        added(f"{LEARN}/sources.py", "def _read_png(data):\n    return data"),
        added(f"{LEARN}/cache.py", "def records_of(*given):\n    return given"),
    ),
    "text of an error": row(
        put("cnnpaper/errors.py", "; did you mean {found[0]!r}?", "; perhaps {found[0]!r}?")
    ),
    "the paper": row(
        added("cnnpaper/paper/tables.py", "print('hello')"),
        added("cnnpaper/paper/stats.py", "def mean(x):\n    return 0"),
        added("report/paper.tex.j2", "A sentence."),
    ),
    "how fingerprints are shown": row(
        added("cnnpaper/fingerprint.py", "def short(x):\n    return x"),
    ),
    # configuration that decides nothing
    "a comment in the recipe": row(put(RECIPE, "# images per step", "# images of a step")),
    "order in the recipe": row(
        Edit(RECIPE, lambda text: "\n".join(sorted(text.split("\n"), reverse=True)))
    ),
    "a number in another form in the recipe": row(
        key(RECIPE, "weight_decay", f"{RECIPE_NOW.weight_decay:.12e}")
    ),
    "another network's override": row(put("experiments/alexnet.toml", CLIP_NORM, f"{CLIP_NORM}7")),
    "a reason of an override": row(
        put(
            "experiments/alexnet.toml",
            "some steps have gradients large enough",
            "a few steps have gradients large enough",
        ),
        network="alexnet",
    ),
    "what is printed of the network": row(
        put("experiments/resnet18.toml", 'venue = "CVPR"', 'venue = "IEEE CVPR"'),
        put("experiments/resnet18.toml", "ResNet removed", "ResNet took away"),
    ),
    "threads and instruction set, which are provenance": row(
        key(REFERENCE, "threads", '7\nisa_cap = "avx2"\n')
    ),
    "more seeds and another order of networks": row(
        key(REFERENCE, "seeds", "[0, 1, 2, 7]"),
        put(REFERENCE, '["alexnet", "vgg16",', '["vgg16", "alexnet",'),
    ),
    "another study": row(key("experiments/study/smoke.toml", "train_images", "200")),
    "a value that the recipe has anyway, as an override": row(
        added(
            "experiments/resnet18.toml",
            f"[override.momentum]\nvalue = {RECIPE_NOW.momentum}\n"
            'why = "for the sake of this test"',
        )
    ),
    # packages and the rest
    "another package in the lock": row(
        Edit(
            "uv.lock",
            lambda text: re.sub(r'(name = "numpy"\nversion = ")[^"]*', r"\g<1>9.9.9", text),
        )
    ),
    "order of the lock": row(
        Edit(
            "uv.lock",
            lambda text: "[[package]]".join(
                [text.split("[[package]]")[0], *reversed(text.split("[[package]]")[1:])]
            ),
        )
    ),
    "the package's own version": row(
        put("pyproject.toml", '\nversion = "', '\nversion = "9.'), added("README.md", "More.")
    ),
}


# ------------------------------------------------------------------------------------ the tests


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a fingerprint is made from, and a few files that it is not."""
    root = tmp_path_factory.mktemp("original")
    leave = shutil.ignore_patterns("__pycache__", "*.bin", ".*")
    for folder in ("cnnpaper", "experiments"):
        shutil.copytree(REPOSITORY / folder, root / folder, ignore=leave)
    for name in ("uv.lock", "pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / name, root)
    return root


def of(root: Path, network: str) -> Fingerprint:
    study = config.load_study(root, "reference")
    return fingerprint.of_run(root, config.run_spec(root, study, network, 0))


def found_after(original: Path, case: Row, folder: Path) -> set[str]:
    """Names of what differs once the row's edits are made on a copy."""
    copy = folder / "changed"
    shutil.copytree(original, copy)
    for edit in case.edits:
        path = copy / edit.path
        before = path.read_bytes().decode() if path.exists() else ""
        after = edit.change(before)
        assert after != before, f"{edit.path}: the edit changes nothing"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(after.encode())
    found = fingerprint.differences(of(original, case.network), of(copy, case.network))
    return {item.name for item in found}


@pytest.mark.parametrize("name", MATTERS)
def test_stale_after(name: str, original: Path, tmp_path: Path) -> None:
    assert found_after(original, MATTERS[name], tmp_path) == MATTERS[name].found


@pytest.mark.parametrize("name", DOES_NOT_MATTER)
def test_fresh_after(name: str, original: Path, tmp_path: Path) -> None:
    assert found_after(original, DOES_NOT_MATTER[name], tmp_path) == set()


def test_the_table_is_large_and_even() -> None:
    assert min(len(MATTERS), len(DOES_NOT_MATTER)) >= 40


# ----------------------------------------------------------------- edits that nobody thought of


@dataclass(frozen=True)
class Spot:
    """A node of a file's tree that can be changed, and the unit that it belongs to."""

    path: str
    index: int
    """Position in the walk over the tree."""
    unit: str
    counts: bool
    """False in docstrings and in annotations of functions and locals."""


def spots(path: str, text: str) -> Iterator[Spot]:
    """Everything that :func:`changed_at` can change in a file."""
    module = path.removesuffix(".py").replace("/", ".")
    tree = ast.parse(text)
    silent = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            silent |= {*ast.walk(node)}
        elif isinstance(node, (ast.FunctionDef, ast.arg)):
            note = node.returns if isinstance(node, ast.FunctionDef) else node.annotation
            silent |= {*ast.walk(note)} if note is not None else set()
            for inner in ast.walk(node) if isinstance(node, ast.FunctionDef) else ():
                if isinstance(inner, ast.AnnAssign):
                    silent |= {*ast.walk(inner.annotation)}
    owner: dict[ast.AST, str] = {}
    for statement in tree.body:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            owner |= dict.fromkeys(ast.walk(statement), statement.name)
            for method in statement.body if isinstance(statement, ast.ClassDef) else ():
                if isinstance(method, ast.FunctionDef):
                    owner |= dict.fromkeys(ast.walk(method), f"{statement.name}.{method.name}")
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            owner |= dict.fromkeys(ast.walk(statement.value), statement.targets[0].id)
    for index, node in enumerate(ast.walk(tree)):
        if node in owner and isinstance(node, (*CHANGES,)):
            yield Spot(path, index, f"{module}:{owner[node]}", node not in silent)


def _other_constant(node: ast.AST) -> None:
    assert isinstance(node, ast.Constant)
    old = node.value
    node.value = f"{old}!" if isinstance(old, str) else not old if isinstance(old, bool) else 77


def _other_name(node: ast.AST) -> None:
    field = {ast.Name: "id", ast.Attribute: "attr", ast.keyword: "arg", ast.arg: "arg"}[type(node)]
    setattr(node, field, f"{getattr(node, field) or 'rest'}_x")


def _other_operator(node: ast.AST) -> None:
    if isinstance(node, ast.Compare):
        node.ops[0] = ast.NotEq() if isinstance(node.ops[0], ast.Eq) else ast.Eq()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, (ast.BinOp, ast.AugAssign)):
        node.op = ast.Mod() if isinstance(node.op, ast.Sub) else ast.Sub()


def _less(node: ast.AST) -> None:
    """One argument, element or statement less, or one more where there is none."""
    if isinstance(node, ast.Call):
        node.args = node.args[1:] if node.args else [ast.Constant(77)]
    elif isinstance(node, (ast.Tuple, ast.List)):
        node.elts = node.elts[1:] or [ast.Constant(77)]
    elif isinstance(node, (ast.If, ast.For, ast.While, ast.With)):
        node.body = [ast.Break()]
    elif isinstance(node, ast.Return):
        node.value = ast.Constant(77) if node.value is None else None


CHANGES: dict[type[ast.AST], Callable[[ast.AST], None]] = {
    ast.Constant: _other_constant,
    **dict.fromkeys((ast.Name, ast.Attribute, ast.keyword, ast.arg), _other_name),
    **dict.fromkeys((ast.Compare, ast.BoolOp, ast.BinOp, ast.AugAssign), _other_operator),
    **dict.fromkeys((ast.Call, ast.Tuple, ast.List, ast.If, ast.For, ast.With, ast.Return), _less),
}


def check_spot(spot: Spot, original: Path, copy: Path, before: Fingerprint) -> None:
    text = (original / spot.path).read_text(encoding="utf-8")
    tree = ast.parse(text)
    node = list(ast.walk(tree))[spot.index]
    was = ast.unparse(node)
    CHANGES[type(node)](node)
    changed = ast.unparse(ast.fix_missing_locations(tree))
    (copy / spot.path).write_text(changed, encoding="utf-8")
    found = {item.name for item in fingerprint.differences(before, of(copy, "resnet18"))}
    (copy / spot.path).write_text(text, encoding="utf-8")
    where = f"{spot.unit}: {was!r} made {ast.unparse(node)!r}"
    if not spot.counts or spot.unit not in before.code:
        assert not found, f"{where} is found, though it decides nothing"
    else:
        assert spot.unit in found, f"{where} is not found"


def check_spots(original: Path, copy: Path, share: float) -> int:
    shutil.copytree(original, copy)
    before = of(original, "resnet18")
    files = {name: (original / name).read_text(encoding="utf-8") for name in REACHED_FILES}
    found = [spot for name, text in files.items() for spot in spots(name, text)]
    chosen = random.Random(3).sample(found, int(len(found) * share))
    for spot in chosen:
        check_spot(spot, original, copy, before)
    return len(chosen)


def test_nodes_of_the_code_that_is_executed(original: Path, tmp_path: Path) -> None:
    """A small sample of the test below."""
    assert check_spots(original, tmp_path / "copy", 0.012) > 40


@pytest.mark.soak
def test_many_nodes_of_the_code_that_is_executed(original: Path, tmp_path: Path) -> None:
    """Every third constant, name, operator, call and branch, changed by itself."""
    assert check_spots(original, tmp_path / "copy", 0.33) > 1000
