"""Studies of any shape, in memory: what ``study.load`` and the analysis would give, without files.

A repository of templates and configuration lies in ``root`` (:func:`repository`); logs are only
objects, whose lines are numbered as a real log's would be.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cnnpaper import config, log
from cnnpaper.study import analysis, load
from cnnpaper.study.analysis import Contrast, Findings, StepTime, Trial
from cnnpaper.study.load import StudyData
from cnnpaper.study.precision import Change, Precision
from cnnpaper.study.stats import Summary

HERE = Path(__file__).resolve().parents[2]
_no_outputs = shutil.ignore_patterns("*.pdf", "*.html", "*.png", "preview")
NAMES = dict.fromkeys(("alexnet", "vgg16", "googlenet", "resnet18"), "")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a study looks like."""

    models: Mapping[str, str] = field(default_factory=lambda: dict(NAMES))
    """Network → printed name; "" for that of its file."""
    arms: Mapping[str, tuple[int, int]] = field(default_factory=lambda: {"short": (2, 5)})
    """Arm → epochs, seeds; the arm ``""`` is that of a study without arms."""
    finished: int | None = None  # runs that have a log, in the order of the study; None for all
    diverged: frozenset[int] = frozenset()  # numbers of runs
    accuracies: Sequence[float] = (0.65, 0.78, 0.785, 0.8)  # of the networks, in turn
    spread: float = 0.004
    data: str = "jpeg75"
    contrast: bool = True
    extras: bool = True  # timing, search, precision, calibration
    name: str = "reference"


def repository(root: Path, shape: Shape) -> Path:
    """Templates and configuration of a study in an empty folder."""
    place = root / "experiments"
    (place / "study").mkdir(parents=True, exist_ok=True)
    if not (root / "report").exists():
        shutil.copytree(HERE / "report", root / "report", ignore=_no_outputs)
        shutil.copyfile(HERE / "pyproject.toml", root / "pyproject.toml")
    shutil.copy(HERE / "experiments" / "recipe.toml", place)
    for model, name in shape.models.items():
        own = HERE / "experiments" / f"{model}.toml"
        text = (own if own.is_file() else own.with_name("resnet18.toml")).read_text("utf-8")
        line = f"name = {json.dumps(name, ensure_ascii=False)}"
        text = re.sub("^name = .*$", lambda _: line, text, flags=re.MULTILINE) if name else text  # noqa: B023
        (place / f"{model}.toml").write_text(text, "utf-8")
    (place / "study" / f"{shape.name}.toml").write_text(_study(shape), "utf-8")
    return root


def _study(shape: Shape) -> str:
    models, first = list(shape.models), next(iter(shape.arms))
    lines = [f"networks = {json.dumps(models)}", f'data = {{ set = "{shape.data}" }}']
    if len(models) % 2 == 0:
        lines.append("threads = 2")
    if shape.contrast and first and len(models) > 1:
        lines.append(f'contrast = {{ arm = "{first}", baseline = "{models[-1]}" }}')
    if shape.extras and first:
        lines.append(
            f'budget = {{ like = "{models[-1]}", timing = "{shape.name}", '
            f'processor = "AuthenticAMD 25-17", steps = {{ {first} = 1408 }} }}'
        )
    for arm, (epochs, seeds) in shape.arms.items():
        lines += [f"[arm.{arm}]"] if arm else []
        lines += [f"epochs = {epochs}", f"seeds = {list(range(seeds))}"]
    return "\n".join(lines) + "\n"


def study(root: Path, shape: Shape) -> tuple[StudyData, Findings]:
    """A study of this shape with everything that was found."""
    repository(root, shape)
    loaded = config.load_study(root, shape.name)
    specs = config.run_specs(root, loaded)
    done = specs if shape.finished is None else specs[: shape.finished]
    random = np.random.default_rng(7)
    base = dict(zip(shape.models, itertools.cycle(shape.accuracies), strict=False))
    logs = {}
    for place, spec in enumerate(done):
        score = base[spec.model] + shape.spread * float(random.standard_normal())
        accuracy = round(min(0.99, max(0.1, score)) * 10_000) / 10_000
        logs[spec.path] = _run(root, spec, accuracy, place in shape.diverged)
    data = StudyData(
        root=root, study=loaded, recipe=config.load_recipe(root),
        experiments={m: config.load_experiment(root, m) for m in loaded.networks}, specs=specs,
        logs=logs, predictions={}, missing=specs[len(done):],
        runs=load._runs_table(loaded, logs), epochs=load.epochs_table(loaded, logs),
    )  # fmt: skip
    return data, findings(data, shape)


def _run(root: Path, spec: config.RunSpec, accuracy: float, lost: bool) -> log.Run:
    layers = tuple(
        log.Layer(name=f"conv{i}", type="Conv2d", out=(64, 32, 32), parameters=1728 * (i + 1),
                  macs=1_769_472, kernel=3, stride=1, channels_in=3)
        for i in range(len(spec.model))
    )  # fmt: skip
    header = log.Header(
        schema=log.SCHEMA, origin="trained", study=spec.study, arm=spec.arm, model=spec.model,
        variant=spec.variant, seed=spec.seed, spec=spec.model_dump(mode="json"), fingerprint=None,
        data=log.Data(name="synthetic" if spec.data.set == "synthetic" else "CIFAR-10",
                      digest="0" * 64),
        machine=log.Machine(cpu="AMD EPYC 9R14", processor="AuthenticAMD 25-17", threads=2),
        precision="bfloat16", packages={"torch": "2.14.1", "torchvision": "0.29.1"},
        commit="0123456789abcdef", started=f"2026-11-26T10:{spec.seed % 60:02d}:00Z",
        network=log.Network(parameters=11_173_962, macs=555_000_000, layers=layers),
    )  # fmt: skip
    shown = min(spec.epochs, 3)
    lines = tuple(
        log.Epoch(epoch=e, steps=704, train_loss=1.2, train_acc=0.5, val_loss=1.0,
                  val_acc=accuracy, learning_rate=0.01, train_s=300.0, train_cpu_s=600.0,
                  other_cpu_s=1.0, eval_s=9.0, suspended_s=0.0, contended=False)
        for e in range(shown)
    )  # fmt: skip
    loss, score = (None, None) if lost else (0.7, accuracy)
    result = log.Result(
        status="diverged" if lost else "finished", val_loss=loss, val_acc=score, test_loss=loss,
        test_acc=score, train_s=900.0, total_s=930.0, peak_memory=2**30, predictions_sha256=None,
        weights_sha256=None,
    )  # fmt: skip
    numbers = {"header": 1, "miniature": 2, "reading": 23 + shown, "result": 24 + shown}
    return log.Run(
        path=spec.folder(root) / log.LOG_NAME, header=header, epochs=lines, result=result,
        readings=() if lost else (log.Reading(at="2026-11-26T11:00:00Z", images=10_000),),
        line_numbers=numbers | {f"epoch {e}": 23 + e for e in range(shown)},
    )  # fmt: skip


def findings(data: StudyData, shape: Shape) -> Findings:
    """What the analysis would give, with invented tests that agree with the accuracies."""
    summaries = analysis._summaries(data)
    known: dict[str, Any] = {
        "summaries": summaries, "contrasts": contrasts(data, summaries),
        "compute_s": 930.0 * len(data.logs) if data.logs else None,
    }  # fmt: skip
    if not shape.extras or not data.logs:
        return Findings(**known)
    models, arms = list(data.study.networks), list(shape.arms)
    first, last = (bool(data.complete_seeds(arm)) for arm in (arms[0], arms[-1]))
    return Findings(
        **known, trials=tuple(trials(models)), winners=dict.fromkeys(models, 0.025),
        precision=Precision(
            changes=tuple(Change(model=m, change=-0.002, interval=(-0.01, 0.006), n=3, paths=())
                          for m in models), mean=-0.002, bound=-0.005, stands=True),
        timing=tuple(step_time(m, i) for i, m in enumerate(models)), timing_rounds=12,
        timing_steps=20, timing_machine="AMD EPYC 9R14", timing_batch=64, budget_s={arms[0]: 936.0},
        budgets=tuple(analysis.Budget(arm=arms[0], model=m, steps=1000, residual_s=0.2)
                      for m in models),
        calibration_arm=arms[0],
        calibration=tuple(analysis.Calibration(model=m, temperature=0.8, ece=0.05, ece_scaled=0.01,
                                               nll=0.7, nll_scaled=0.65, paths=tuple(own))
                          for m, own in analysis.shown(data, arms[0]).items()),
        gains=tuple(analysis.Gain(arms=(arms[0], arms[-1]), model=m, difference=0.05,
                                  interval=(0.04, 0.06))
                    for m in models if len(arms) > 1 and first and last),
    )  # fmt: skip


def contrasts(data: StudyData, summaries: Mapping[Any, Summary]) -> tuple[Contrast, ...]:
    plan = data.study.contrast
    if plan is None or len(data.complete_seeds(plan.arm)) < 2:
        return ()
    means = {m: summaries[plan.arm, m, "test_acc"].mean for m in data.study.networks}
    base = means.pop(plan.baseline)
    return tuple(
        Contrast(model=model, difference=mean - base,
                 interval=(mean - base - 0.008, mean - base + 0.008), p=0.01, p_holm=0.03,
                 p_welch=0.02, significant=abs(mean - base) > 0.008, detectable=0.012)
        for model, mean in means.items()
    )  # fmt: skip


def trials(models: Sequence[str]) -> list[Trial]:
    rates = (0.00625, 0.0125, 0.025, 0.05, 0.1, 0.2)
    return [
        Trial(stage=stage, model=m, rate=rate, val_acc=0.5 - 0.05 * abs(i - 2),
              path=f"tuning/{stage}/{m}-rate{rate:g}-s100")
        for stage, tried in (("stage1", rates), ("stage2", rates[1:4]))
        for m in models for i, rate in enumerate(tried)
    ]  # fmt: skip


def step_time(model: str, place: int) -> StepTime:
    step = 0.28 + 0.15 * place
    return StepTime(
        model=model, step_s=step, interval=(step * 0.99, step * 1.01), ratio=step / 0.73,
        ratio_interval=(step / 0.73 * 0.99, step / 0.73 * 1.01), images_per_s=64 / step,
        paired_s=step,
        gmac_per_s=50.0 + place, peak_memory=3 * 2**30, startup_s=7.5, eval_s=9.2,
        sections={"data": 0.01, "forward": step / 3, "backward": step / 2,
                  "optimizer": 0.03, "other": 0.002},
        line=place + 1,
    )  # fmt: skip
