"""Studies for tests, made of nothing: folders that look as training leaves them.

Nothing here was trained, and nothing needs torch. :func:`study` writes a repository with one study
of any shape; a run takes about a millisecond, more with many images. :func:`timing`, :func:`tuning`
and :func:`precision` add step times and the studies that choose rates and precision.

The same plan gives the same bytes. Metrics follow from the predictions, epochs add up, and every
fingerprint is today's, so what a test does not break is fresh and valid. Calling ``study`` again
with the same root adds to it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cnnpaper import config, fingerprint, log, metrics, timings
from cnnpaper.config import RunSpec
from cnnpaper.study.checks import DATA_NAMES

REPOSITORY = Path(__file__).resolve().parents[1]
FOUR = ("alexnet", "vgg16", "googlenet", "resnet18")
ACCURACY = {"alexnet": 0.65, "vgg16": 0.75, "googlenet": 0.78, "resnet18": 0.80}
STEP_S = {"alexnet": 0.15, "vgg16": 0.27, "googlenet": 0.40, "resnet18": 0.32}  # seconds a step
DIGEST = "08fb299e0e5391067909a4538e22e78002acad367066e87e777127d4237d9d00"
PROCESSOR = "GenuineIntel 6-167"
PACKAGES = {"python": "3.11.7", "torch": "2.14.1", "torchvision": "0.29.1", "numpy": "2.4.6"}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NO_TEST = (640, 1000, 0)


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
    """Training, validation, test; with batches of 64 an epoch has 10 steps."""
    accuracy: Mapping[str, float] = field(default_factory=dict)
    """Run, network-variant or network → accuracy of test and validation images, in place of
    :data:`ACCURACY`; the most exact name counts, and a run's own is met exactly."""
    spread: float = 0.004  # standard deviation between seeds
    diverged: Iterable[str] = ()
    missing: Iterable[str] = ()
    incomplete: Iterable[str] = ()  # without their last epoch and their result
    only: int | None = None  # write the first so many runs only
    processors: Mapping[str, str] = field(default_factory=dict)  # run → other than `PROCESSOR`
    data: str = "jpeg75"
    threads: int | None = 2
    more: str = ""  # lines at the head of the study file: contrast, budget, tuning, precision, grid


# --------------------------------------------------------------------------------- repositories


def repository(root: Path) -> Path:
    """The experiment files, the code that fingerprints read and the paper's templates; returns
    ``root``."""
    root.mkdir(parents=True, exist_ok=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.pdf", "*.html", "preview", ".*")
    for folder in ("experiments", "cnnpaper/engine", "report"):
        shutil.copytree(REPOSITORY / folder, root / folder, ignore=ignore, dirs_exist_ok=True)
    for file in ("cnnpaper/metrics.py", "pyproject.toml", "uv.lock", "CITATION.cff"):
        shutil.copyfile(REPOSITORY / file, root / file)
    forget_rates(root)
    return root


def forget_rates(root: Path) -> None:
    """Take what tuning decided out of the networks' files: its logs are not in ``root``."""
    for path in (root / "experiments").glob("*.toml"):
        text = path.read_text("utf-8")
        path.write_text(text.split("\n[override.peak_learning_rate]")[0], "utf-8")


def study(root: Path, plan: Plan | None = None) -> Path:
    """Write ``plan`` into ``root``, a repository that is made where it is missing."""
    plan = plan or Plan()
    if not (root / "experiments").exists():
        repository(root)
    path = root / "experiments" / "study" / f"{plan.name}.toml"
    path.write_text(_study_file(plan), "utf-8")
    specs = config.run_specs(root, config.load_study(root, plan.name))
    for spec in specs[: plan.only]:
        if _short(spec) not in plan.missing:
            write_run(root, plan, spec)
    return root


def _study_file(plan: Plan) -> str:
    train, validation, test = plan.images
    lines = [f"networks = {json.dumps(list(plan.networks))}"]
    lines += [f"threads = {plan.threads}"] if plan.threads else []
    if not plan.arms:
        lines += [f"seeds = {json.dumps(list(plan.seeds))}", f"epochs = {plan.epochs}"]
    lines += [
        plan.more,
        f'[data]\nset = "{plan.data}"',
        *([f'digest = "{DIGEST}"'] if plan.data == "jpeg75" else []),
        f"train_images = {train}\nvalidation_images = {validation}\ntest_images = {test}",
    ]
    for arm, table in plan.arms.items():
        lines += [f"[arm.{arm}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """A value as TOML, tables within their line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


def _short(spec: RunSpec) -> str:
    return spec.path.partition("/")[2]


# --------------------------------------------------------------------------------- runs


def write_run(root: Path, plan: Plan, spec: RunSpec) -> None:
    """One run as its process leaves it."""
    folder, name = spec.folder(root), _short(spec)
    folder.mkdir(parents=True, exist_ok=True)
    made = None if name in plan.diverged else _predictions(plan, spec)
    epochs = _epochs(spec, made)
    lines = [
        _header(root, plan, spec),
        log.Miniature(metrics={"train_loss": 2.3}, state_digest=_digest("state", spec.path),
                      images_sha256=_digest("images"), schedule_sha256=_digest("schedule")),
        log.Step(step=0, loss=2.35),
        log.Step(step=1, loss=2.31, state_digest=_digest("first", spec.path)),
    ]  # fmt: skip
    if name in plan.incomplete:
        lines += epochs[:-1]
    else:
        reads = made is not None and spec.data.test_images
        reading = log.Reading(at="2026-11-26T11:00:00Z", images=spec.data.test_images)
        lines += [*epochs, *([reading] if reads else []), _result(spec, epochs, made)]
        if made is not None:
            (folder / log.PREDICTIONS_NAME).write_bytes(made.to_bytes())
    path = folder / log.LOG_NAME
    path.write_text("".join(f"{log.encode(line)}\n" for line in lines), "utf-8")
    (folder / log.TEXT_NAME).write_text(log.text_log(log.read_run(path)), "utf-8")


def _header(root: Path, plan: Plan, spec: RunSpec) -> log.Header:
    """Of a run that today's code would make."""
    return log.Header(
        schema=log.SCHEMA, origin="trained", study=spec.study, arm=spec.arm, model=spec.model,
        variant=spec.variant, seed=spec.seed, spec=spec.model_dump(mode="json"),
        fingerprint=fingerprint.of_spec(root, spec, data=DIGEST),
        data=log.Data(name=DATA_NAMES.get(spec.data.set, "CIFAR-10"), digest=DIGEST),
        machine=_machine(plan.processors.get(_short(spec), PROCESSOR)),
        precision=spec.recipe.precision, packages=PACKAGES, commit=COMMIT,
        started=f"2026-11-26T10:{spec.seed % 60:02d}:00Z", network=networks()[spec.builder],
    )  # fmt: skip


def _machine(processor: str = PROCESSOR) -> log.Machine:
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
    goal, loss, count = 0.1, 2.3, max(1, spec.epochs // 2)
    if made is not None:
        goal = metrics.accuracy(made.val_labels, made.val_logits)
        loss, count = metrics.cross_entropy(made.val_labels, made.val_logits), spec.epochs
    images = spec.data.validation_images
    found = []
    for epoch in range(count):
        last, steps = epoch == count - 1, spec.steps_per_epoch
        steps = min(steps, spec.steps - epoch * steps)
        lost = made is None and last
        val_acc = goal if last else round(goal * (0.6 + 0.4 * epoch / count) * images) / images
        seconds = steps * STEP_S.get(spec.model, 0.3)
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


def _result(spec: RunSpec, epochs: list[log.Epoch], made: log.Predictions | None) -> log.Result:
    train_s = sum(epoch.train_s or 0.0 for epoch in epochs)
    values: dict[str, Any] = dict.fromkeys(log.Result.model_fields)
    values |= {"kind": "result", "status": "diverged", "nonfinite": {}, "peak_memory": 3 * 2**29}
    values |= {"train_s": train_s, "total_s": train_s + sum(e.eval_s or 0.0 for e in epochs)}
    if made is not None:
        values["status"], values["weights_sha256"] = "finished", _digest("weights", spec.path)
        values["predictions_sha256"] = hashlib.sha256(made.to_bytes()).hexdigest()
        for part in ("val", "test") if spec.data.test_images else ("val",):
            labels, logits = getattr(made, f"{part}_labels"), getattr(made, f"{part}_logits")
            values[f"{part}_acc"] = metrics.accuracy(labels, logits)
            values[f"{part}_loss"] = metrics.cross_entropy(labels, logits)
    return log.Result(**values)


def _digest(*parts: object) -> str:
    """64 hexadecimal digits that follow from ``parts``."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _rng(*parts: object) -> np.random.Generator:
    return np.random.default_rng(int(_digest(*parts)[:16], 16))


def _goal(plan: Plan, spec: RunSpec) -> float:
    """The accuracy that the run is to have."""
    name = _short(spec)
    if name in plan.accuracy:
        return plan.accuracy[name]
    known = {**ACCURACY, **plan.accuracy}
    mean = known.get(config.run_name(spec.model, spec.variant, None), known.get(spec.model, 0.75))
    return min(1.0, max(0.0, mean + plan.spread * float(_rng(plan.name, name).normal())))


def _predictions(plan: Plan, spec: RunSpec) -> log.Predictions:
    """Logits of which exactly the planned share is correct; the same images are hard for all."""
    arrays: dict[str, Any] = {}
    for part, count in (("val", spec.data.validation_images), ("test", spec.data.test_images)):
        labels = (np.arange(count) % 10).astype(np.uint8)  # every class in turn
        difficulty, own = _difficulty(part, count), _rng(plan.name, _short(spec), part)
        correct = np.zeros(count, dtype=bool)
        order = np.argsort(difficulty + own.normal(0, 0.8, count), kind="stable")
        correct[order[: round(_goal(plan, spec) * count)]] = True
        logits = own.normal(0, 1, (count, 10)).astype(np.float32)
        wrong = (labels + 1 + own.integers(0, 9, count) ** 2 // 9 % 9) % 10
        margin = np.abs(own.normal(1.5, 1.0, count)).astype(np.float32) + np.float32(0.01)
        chosen = np.where(correct, labels, wrong)
        logits[np.arange(count), chosen] = logits.max(axis=1, initial=0) + margin
        arrays |= {f"{part}_labels": labels, f"{part}_logits": logits}
    return log.Predictions(**arrays)


@cache
def _difficulty(part: str, count: int) -> Any:
    return _rng(part, "difficulty").normal(0, 1, count)


# --------------------------------------------------------------------------------- other studies


def timing(
    root: Path, study: str = "invented", step_s: Mapping[str, float] = STEP_S, *,
    session: int = 1, contended: Iterable[str] = (), processor: str = PROCESSOR,
) -> None:  # fmt: skip
    """Append a session to a study's ``timing.jsonl``: network → seconds a step.

    Round r of every network is slower by a factor of 1 + r/1000, so paired ratios are exact.
    """
    path = root / "results" / "log" / study / timings.TIMING_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    plan = config.load_study(root, study)
    arm, first = next(iter(plan.arms.items()))
    for model, seconds in step_s.items():
        spec = config.run_spec(root, plan, model, first.seeds[0], arm=arm)
        parts = dict(zip(timings.SECTIONS, (0.02, 0.3, 0.6, 0.07, 0.01), strict=True))
        line = timings.Timing(
            study=study, session=session, model=model, started="2026-11-26T09:00:00Z",
            commit=COMMIT, machine=_machine(processor), packages=PACKAGES,
            fingerprint=fingerprint.short(fingerprint.of_spec(root, spec, data=DIGEST)),
            batch_size=spec.recipe.batch_size, precision=spec.recipe.precision,
            memory_format=spec.recipe.memory_format, warmup=5,
            round_s=tuple((seconds * (1 + r / 1000),) * 20 for r in range(12)),
            sections={key: (part * seconds,) * 12 for key, part in parts.items()},
            startup_s=7.0, eval_s=9.0, miniature_s=4.0, cpu_s=100.0,
            other_cpu_s=20.0 if model in contended else 0.0, peak_memory=3 * 2**29,
            macs=networks()[spec.builder].macs or 1,
        )  # fmt: skip
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line.model_dump_json()}\n")


def budgeted(
    root: Path, plan: Plan | None = None, *, timing: str = "invented", **changes: object
) -> None:
    """A study with an arm of equal time beside those of ``plan``, else without runs: 30 steps of
    ResNet-18 at 0.32 s are 9.6 s, as are 64 of 0.15 s, 35.6 of 0.27 and 24 of 0.4."""
    plan = plan or Plan(only=0)
    budget = {"like": "resnet18", "timing": timing, "session": 1, "processor": PROCESSOR,
              "steps": {"short": 30}}  # fmt: skip
    steps = {"alexnet": 64, "vgg16": 36, "googlenet": 24, "resnet18": 30}
    arms = {"short": {"steps": steps, "seeds": list(plan.seeds)}, **plan.arms}
    more = f"{plan.more}\nbudget = {_toml(budget | changes)}"
    study(root, replace(plan, arms=arms, more=more))


Rates = Mapping[str, Mapping[float, float | None]]
"""Network → rate → validation accuracy; None for a run that diverged."""


def tuning(
    root: Path, *, stage1: Rates | None = None, stage2: Rates | None = None,
    grid: Sequence[float] = (0.025, 0.05, 0.1, 0.2),
) -> Path:  # fmt: skip
    """Runs of a study ``tuning``, seed 100, on 1,000 validation images and no test image.

    With ``stage1`` the study's file is written too, over its networks; rates of the grid that are
    not named there score 0.2. A later call with ``stage2`` adds runs of the second stage.
    """
    arms = {
        "stage1": {"steps": 5, "seeds": [100]},
        "stage2": {"steps": 15, "seeds": [100], "refines": "stage1"},
    }
    plan = Plan(name="tuning", images=NO_TEST, arms=arms, only=0,
                more=f"[grid]\npeak_learning_rate = {json.dumps(list(grid))}")  # fmt: skip
    if stage1 is not None:
        study(root, replace(plan, networks=tuple(stage1)))
        stage1 = {m: {r: rates.get(r, 0.2) for r in grid} for m, rates in stage1.items()}
    loaded = config.load_study(root, "tuning")
    for arm, stage in (("stage1", stage1), ("stage2", stage2)):
        for model, scores in (stage or {}).items():
            for rate, score in scores.items():
                point = {"peak_learning_rate": rate}
                spec = config.run_spec(root, loaded, model, 100, arm=arm, point=point)
                lost = (_short(spec),) if score is None else ()
                own = replace(plan, accuracy={_short(spec): score or 0.0}, diverged=lost)
                write_run(root, own, spec)
    return root


def precision(
    root: Path, accuracy: Mapping[str, tuple[float, float]], *, spread: float = 0.004
) -> Path:
    """A study ``precision`` of three seeds: network → accuracy in float32 and in bfloat16."""
    keys = {
        f"{model}-{variant}": value
        for model, pair in accuracy.items()
        for variant, value in zip(("float32", "bfloat16"), pair, strict=True)
    }
    plan = Plan(
        name="precision", networks=tuple(accuracy), seeds=(100, 101, 102), epochs=1,
        images=NO_TEST, accuracy=keys, spread=spread,
        more='grid = { precision = ["float32", "bfloat16"] }',
    )  # fmt: skip
    return study(root, plan)
