"""Studies for tests, made of nothing: folders that look as training leaves them.

Nothing here was trained, and nothing needs torch. ``study`` writes a repository with one study of
any shape; a run takes about a millisecond, more with many images::

    root = fabricate.study(tmp_path, Plan(
        arms={"short": {"steps": 15, "seeds": [0, 1]}, "equal": {"epochs": 2, "seeds": [0]}},
        accuracy={"alexnet": 0.5, "short/vgg16": 0.7, "short/vgg16-s1": 0.72},
        diverged=("short/alexnet-s1",),
        more='contrast = { arm = "short", baseline = "resnet18" }',
    ))
    timing(root, "invented", {"alexnet": 0.15, "resnet18": 0.32})   # timing.jsonl
    tuning(root, stage1={"alexnet": {0.05: 0.4, 0.1: 0.3}})         # a study of learning rates
    precision(root, {"alexnet": (0.40, 0.41)})                      # float32, bfloat16

The same plan gives the same bytes. Metrics follow from the predictions, epochs add up, and every
fingerprint is today's, so what a test does not break is fresh and valid. Calling ``study`` again
with the same root adds to it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cnnpaper import config, fingerprint, log, metrics, timings
from cnnpaper.config import RunSpec

REPOSITORY = Path(__file__).resolve().parents[1]
FOUR = ("alexnet", "vgg16", "googlenet", "resnet18")
ACCURACY = {
    "alexnet": 0.65,
    "vgg16": 0.75,
    "googlenet": 0.78,
    "resnet18": 0.80,
    "resnet50": 0.79,
    "inception_v3": 0.77,
    "mobilenet_v2": 0.70,
    "densenet121": 0.81,
}
STEP_S = {"alexnet": 0.15, "vgg16": 0.27, "googlenet": 0.40, "resnet18": 0.32}
"""Seconds a step; networks that are not here take 0.5."""
DIGEST = "08fb299e0e5391067909a4538e22e78002acad367066e87e777127d4237d9d00"
PROCESSOR = "GenuineIntel 6-167"
PACKAGES = {"python": "3.11.7", "torch": "2.14.1", "torchvision": "0.29.1", "numpy": "2.4.6"}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to make up. Runs are named as below the study's folder: ``short/alexnet-s0``."""

    name: str = "invented"
    networks: Sequence[str] = FOUR
    arms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Arm → the keys of its table; empty for a study without arms, of ``seeds`` and ``epochs``."""
    seeds: Sequence[int] = (0,)
    epochs: int = 2
    images: tuple[int, int, int] = (640, 200, 400)
    """Training, validation, test; the real numbers are 45,000, 5,000 and 10,000. With batches of 64
    an epoch has 10 steps."""
    data: str = "jpeg75"
    """``set`` of the study; with ``jpeg75`` the study demands :data:`DIGEST`."""
    accuracy: Mapping[str, float] = field(default_factory=dict)
    """Run, arm/network, network-variant or network → accuracy of test and validation images, in
    place of :data:`ACCURACY`; the most exact name counts, and a run's own is met exactly."""
    spread: float = 0.004
    """Standard deviation between seeds."""
    diverged: Iterable[str] = ()
    missing: Iterable[str] = ()
    incomplete: Iterable[str] = ()
    """Without their last epoch and their result."""
    only: int | None = None
    """Write the first so many runs only."""
    processors: Mapping[str, str] = field(default_factory=dict)
    """Run → processor, in place of :data:`PROCESSOR`."""
    more: str = ""
    """Lines at the head of the study file: contrast, budget, tuning, precision, grid."""


# --------------------------------------------------------------------------------- repositories


def repository(root: Path, *, code: bool = False) -> Path:
    """A copy of the experiment files and of the code that fingerprints read; returns ``root``.

    Args:
        root: a folder, made where it is missing.
        code: copy the whole package and the templates too, for tests that build a paper.
    """
    root.mkdir(parents=True, exist_ok=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.pdf", ".*")
    folders = ["experiments", "cnnpaper/engine", *(["cnnpaper", "report"] if code else [])]
    for folder in folders:
        shutil.copytree(REPOSITORY / folder, root / folder, ignore=ignore, dirs_exist_ok=True)
    for file in ("cnnpaper/metrics.py", "pyproject.toml", "uv.lock", "CITATION.cff"):
        shutil.copyfile(REPOSITORY / file, root / file)
    for path in (root / "experiments").glob("*.toml"):  # what tuning decided is no test's business
        text = path.read_text("utf-8")
        path.write_text(text.split("\n[override.peak_learning_rate]")[0], "utf-8")
    return root


def study(root: Path, plan: Plan | None = None, *, code: bool = False) -> Path:
    """Write ``plan`` into ``root``, a repository that is made where it is missing."""
    plan = plan or Plan()
    if not (root / "experiments").exists():
        repository(root, code=code)
    path = root / "experiments" / "study" / f"{plan.name}.toml"
    path.write_text(study_file(plan), "utf-8")
    specs = config.run_specs(root, config.load_study(root, plan.name))
    for spec in specs[: plan.only]:
        if _short(spec) not in plan.missing:
            write_run(root, plan, spec)
    return root


def study_file(plan: Plan) -> str:
    """The study as TOML."""
    train, validation, test = plan.images
    lines = ["# made up for a test", f"networks = {json.dumps(list(plan.networks))}", "threads = 2"]
    if not plan.arms:
        lines += [f"seeds = {json.dumps(list(plan.seeds))}", f"epochs = {plan.epochs}"]
    lines += [
        plan.more,
        "[data]",
        f'set = "{plan.data}"',
        f'digest = "{DIGEST}"' if plan.data == "jpeg75" else "",
        f"train_images = {train}\nvalidation_images = {validation}\ntest_images = {test}",
    ]
    for arm, table in plan.arms.items():
        lines += [f"[arm.{arm}]", *(f"{key} = {toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def toml(value: Any) -> str:
    """A value as TOML, tables within their line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


def _short(spec: RunSpec) -> str:
    return spec.path.partition("/")[2]


# --------------------------------------------------------------------------------- runs


def write_run(root: Path, plan: Plan, spec: RunSpec) -> Path:
    """One run as its process leaves it; returns its log."""
    folder, name = spec.folder(root), _short(spec)
    folder.mkdir(parents=True, exist_ok=True)
    made = None if name in plan.diverged else predictions(plan, spec)
    lines = run_lines(root, plan, spec, made)
    if name in plan.incomplete:
        lines = [line for line in lines if not isinstance(line, log.Result | log.Reading)][:-1]
    path = folder / log.LOG_NAME
    path.write_text("".join(f"{log.encode(line)}\n" for line in lines), "utf-8")
    if made is not None and name not in plan.incomplete:
        (folder / log.PREDICTIONS_NAME).write_bytes(made.to_bytes())
    (folder / log.TEXT_NAME).write_text(log.text_log(log.read_run(path)), "utf-8")
    return path


def run_lines(
    root: Path, plan: Plan, spec: RunSpec, made: log.Predictions | None
) -> list[log.Line]:
    """The lines of one log; without predictions of a run that diverged."""
    epochs = _epochs(spec, made)
    train_s = sum(epoch.train_s or 0.0 for epoch in epochs)
    reads = [log.Reading(at="2026-11-26T11:00:00Z", images=spec.data.test_images)]
    values: dict[str, Any] = {"val_loss": None, "val_acc": None, "test_loss": None}
    values |= {"test_acc": None, "predictions_sha256": None, "weights_sha256": None}
    if made is not None:
        values["predictions_sha256"] = hashlib.sha256(made.to_bytes()).hexdigest()
        values["weights_sha256"] = digest("weights", spec.path)
        for part in ("val", "test") if spec.data.test_images else ("val",):
            labels, logits = getattr(made, f"{part}_labels"), getattr(made, f"{part}_logits")
            values[f"{part}_acc"] = metrics.accuracy(labels, logits)
            values[f"{part}_loss"] = metrics.cross_entropy(labels, logits)
    return [
        header(root, plan, spec),
        log.Miniature(metrics={"train_loss": 2.3}, state_digest=digest("state", spec.path),
                      images_sha256=digest("images"), schedule_sha256=digest("schedule")),
        log.Step(step=0, loss=2.35),
        log.Step(step=1, loss=2.31, state_digest=digest("first", spec.path)),
        *epochs,
        *(reads if made is not None and spec.data.test_images else []),
        log.Result(status="diverged" if made is None else "finished", train_s=train_s,
                   total_s=train_s + sum(epoch.eval_s or 0.0 for epoch in epochs),
                   peak_memory=3 * 2**29, **values),
    ]  # fmt: skip


def header(root: Path, plan: Plan, spec: RunSpec) -> log.Header:
    """Of a run that today's code would make."""
    synthetic = plan.data == "synthetic"
    return log.Header(
        schema=log.SCHEMA, origin="trained", study=spec.study, arm=spec.arm, model=spec.model,
        variant=spec.variant, seed=spec.seed, spec=spec.model_dump(mode="json"),
        fingerprint=fingerprint.of_spec(root, spec, data=DIGEST),
        data=log.Data(
            name="synthetic images" if synthetic else "CIFAR-10, re-encoded", digest=DIGEST
        ),
        machine=machine(plan.processors.get(_short(spec), PROCESSOR)),
        precision=spec.recipe.precision, packages=PACKAGES, commit=COMMIT,
        started=f"2026-11-26T10:{spec.seed % 60:02d}:00Z",
        network=networks().get(spec.model) or networks()[spec.builder],
    )  # fmt: skip


def machine(processor: str = PROCESSOR) -> log.Machine:
    """A machine with this processor."""
    return log.Machine(cpu=f"CPU of the tests ({processor})", processor=processor, isa="AVX512",
                       native_bfloat16=True, threads=2, memory=8 * 2**30)  # fmt: skip


@cache
def networks() -> dict[str, log.Network]:
    """Layers and edges of the eight networks, as ``runs.describe`` measured them."""
    tables = json.loads((REPOSITORY / "tests" / "fixtures" / "networks.json").read_text("utf-8"))
    return {
        name: log.Network.model_validate_json(json.dumps(table)) for name, table in tables.items()
    }


def _epochs(spec: RunSpec, made: log.Predictions | None) -> list[log.Epoch]:
    """Curves that end at the run's own validation metrics; a diverged run ends half-way."""
    goal, loss = 0.1, 2.3
    if made is not None:
        goal = metrics.accuracy(made.val_labels, made.val_logits)
        loss = metrics.cross_entropy(made.val_labels, made.val_logits)
    count = spec.epochs if made is not None else max(1, spec.epochs // 2)
    found = []
    for epoch in range(count):
        last, steps = epoch == count - 1, spec.steps_per_epoch
        if epoch == spec.epochs - 1:
            steps = spec.steps - epoch * steps
        lost = made is None and last
        val_acc = goal if last else _share(goal * (0.6 + 0.4 * epoch / count), spec)
        seconds = steps * STEP_S.get(spec.model, 0.5)
        found.append(
            log.Epoch(
                epoch=epoch, steps=steps, train_acc=max(0.0, val_acc - 0.02), val_acc=val_acc,
                learning_rate=spec.recipe.peak_learning_rate * (1 - epoch / count),
                train_s=seconds, train_cpu_s=2 * seconds, other_cpu_s=0.0, eval_s=0.5,
                suspended_s=0.0, contended=False,
                **log.finite(train_loss=float("nan") if lost else loss + 0.1,
                             val_loss=float("inf") if lost else loss if last else loss + 0.3),
            )
        )  # fmt: skip
    return found


def _share(value: float, spec: RunSpec) -> float:
    """A whole number of validation images."""
    return round(value * spec.data.validation_images) / spec.data.validation_images


# --------------------------------------------------------------------------------- predictions


def digest(*parts: object) -> str:
    """64 hexadecimal digits that follow from ``parts``."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def rng(*parts: object) -> np.random.Generator:
    """A generator keyed by ``parts``."""
    return np.random.default_rng(int(digest(*parts)[:16], 16))


def goal(plan: Plan, spec: RunSpec) -> float:
    """The accuracy that the run is to have."""
    name = _short(spec)
    if name in plan.accuracy:
        return plan.accuracy[name]
    entry = config.run_name(spec.model, spec.variant, None)
    arm = f"{spec.arm}/" if spec.arm else ""
    for key in (f"{arm}{entry}", f"{arm}{spec.model}", entry, spec.model):
        if key in plan.accuracy:
            mean = plan.accuracy[key]
            break
    else:
        mean = ACCURACY[spec.model]
    return min(1.0, max(0.0, mean + plan.spread * float(rng(plan.name, name).normal())))


def predictions(plan: Plan, spec: RunSpec) -> log.Predictions:
    """Logits of which exactly the planned share is correct; the same images are hard for all."""
    arrays: dict[str, Any] = {}
    for part, count in (("val", spec.data.validation_images), ("test", spec.data.test_images)):
        labels, difficulty = _images(part, count)
        own = rng(plan.name, _short(spec), part)
        correct = np.zeros(count, dtype=bool)
        order = np.argsort(difficulty + own.normal(0, 0.8, count), kind="stable")
        correct[order[: round(goal(plan, spec) * count)]] = True
        logits = own.normal(0, 1, (count, 10)).astype(np.float32)
        wrong = (labels + 1 + own.integers(0, 9, count) ** 2 // 9 % 9) % 10
        rows, chosen = np.arange(count), np.where(correct, labels, wrong)
        margin = np.abs(own.normal(1.5, 1.0, count)).astype(np.float32) + np.float32(0.01)
        logits[rows, chosen] = logits.max(axis=1, initial=0) + margin
        arrays |= {f"{part}_labels": labels, f"{part}_logits": logits}
    return log.Predictions(**arrays)


@cache
def _images(part: str, count: int) -> tuple[Any, Any]:
    """Labels (N,) uint8, every class in turn, and how hard each image is (N,)."""
    return (np.arange(count) % 10).astype(np.uint8), rng(part, "difficulty").normal(0, 1, count)


# --------------------------------------------------------------------------------- other studies


def timing(
    root: Path,
    study: str = "invented",
    step_s: Mapping[str, float] | None = None,
    *,
    session: int = 1,
    rounds: int = 12,
    contended: Iterable[str] = (),
    processor: str = PROCESSOR,
) -> Path:
    """Append a session to a study's ``timing.jsonl``: network → seconds a step.

    Round r of every network is slower by a factor of 1 + r/1000, so paired ratios are exact.
    """
    path = root / "results" / "log" / study / timings.TIMING_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    plan = config.load_study(root, study)
    arm, first = next(iter(plan.arms.items()))
    lines = []
    for model, seconds in (step_s or {m: STEP_S.get(m, 0.5) for m in plan.networks}).items():
        point = next(iter(config.grid_points(plan.grid).values()))
        spec = config.run_spec(root, plan, model, first.seeds[0], arm=arm, point=point)
        each = tuple(seconds * (1 + r / 1000) for r in range(rounds))
        parts = dict(zip(timings.SECTIONS, (0.02, 0.3, 0.6, 0.07, 0.01), strict=True))
        lines.append(
            timings.Timing(
                study=study, session=session, model=model, started="2026-11-26T09:00:00Z",
                commit=COMMIT, machine=machine(processor), packages=PACKAGES,
                fingerprint=fingerprint.short(fingerprint.of_spec(root, spec, data=DIGEST)),
                batch_size=spec.recipe.batch_size, precision=spec.recipe.precision,
                memory_format=spec.recipe.memory_format, warmup=5,
                round_s=tuple((value,) * 20 for value in each),
                sections={key: (part * seconds,) * rounds for key, part in parts.items()},
                startup_s=7.0, eval_s=9.0, miniature_s=4.0, cpu_s=100.0,
                other_cpu_s=20.0 if model in contended else 0.0, peak_memory=3 * 2**29,
                macs=networks()[model].macs or 1,
            )
        )  # fmt: skip
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line.model_dump_json()}\n" for line in lines)
    return path


Rates = Mapping[str, Mapping[float, float | None]]
"""Network → rate → validation accuracy; None for a run that diverged."""


def tuning(
    root: Path,
    *,
    stage1: Rates | None = None,
    stage2: Rates | None = None,
    name: str = "tuning",
    grid: Sequence[float] = (0.025, 0.05, 0.1, 0.2),
) -> Path:
    """Runs of a tuning study, seed 100, on 1,000 validation images and no test image.

    With ``stage1`` the study's file is written too, over its networks; rates of the grid that are
    not named there score 0.2. A later call with ``stage2`` adds runs of the second stage.
    """
    images = (640, 1000, 0)
    arms = {
        "stage1": {"steps": 5, "seeds": [100]},
        "stage2": {"steps": 15, "seeds": [100], "refines": "stage1"},
    }
    more = f"[grid]\npeak_learning_rate = {json.dumps(list(grid))}"
    if stage1 is not None:
        every = {m: {r: rates.get(r, 0.2) for r in grid} for m, rates in stage1.items()}
        plan = Plan(name=name, networks=tuple(stage1), arms=arms, images=images, more=more, only=0)
        study(root, plan)
        _rates(root, plan, "stage1", every)
    if stage2 is not None:
        _rates(root, Plan(name=name, arms=arms, images=images), "stage2", stage2)
    return root


def _rates(root: Path, plan: Plan, arm: str, rates: Rates) -> None:
    loaded = config.load_study(root, plan.name)
    for model, scores in rates.items():
        for rate, score in scores.items():
            point = {"peak_learning_rate": rate}
            spec = config.run_spec(root, loaded, model, 100, arm=arm, point=point)
            lost = (_short(spec),) if score is None else ()
            accuracy = {_short(spec): score or 0.0}
            write_run(
                root,
                Plan(name=plan.name, images=plan.images, accuracy=accuracy, diverged=lost),
                spec,
            )


def precision(
    root: Path,
    accuracy: Mapping[str, tuple[float, float]],
    *,
    name: str = "precision",
    seeds: Sequence[int] = (100, 101, 102),
    spread: float = 0.004,
) -> Path:
    """A study of precisions: network → accuracy in float32 and in bfloat16."""
    keys = {
        f"{model}-{variant}": value
        for model, pair in accuracy.items()
        for variant, value in zip(("float32", "bfloat16"), pair, strict=True)
    }
    plan = Plan(
        name=name, networks=tuple(accuracy), seeds=seeds, epochs=1, images=(640, 1000, 0),
        accuracy=keys, spread=spread, more='grid = { precision = ["float32", "bfloat16"] }',
    )  # fmt: skip
    return study(root, plan)
