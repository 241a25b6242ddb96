"""Studies of any shape for papers: fabricated, then read and analysed as every paper's are."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cnnpaper.config import load_study, run_specs
from cnnpaper.paper.compose import Document
from cnnpaper.study.analysis import Findings, analyse
from cnnpaper.study.load import StudyData, load
from tests import fabricate
from tests.fabricate import Plan

HERE = fabricate.REPOSITORY
STEPS = 1408  # two epochs of 45,000 images; of the last network in the first arm, an equal time
RATES = (0.00625, 0.0125, 0.025, 0.05, 0.1, 0.2)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a study looks like."""

    models: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(fabricate.FOUR, ""))
    """Network → printed name; "" for that of its file."""
    arms: Mapping[str, tuple[int, int]] = field(default_factory=lambda: {"short": (2, 5)})
    """Arm → epochs, seeds; the arm ``""`` is that of a study without arms."""
    finished: int | None = None  # runs that have a log, in the order of the study; None for all
    diverged: frozenset[int] = frozenset()  # numbers of runs
    accuracies: Sequence[float] = (0.65, 0.78, 0.785, 0.8)  # of the networks, in turn
    spread: float = 0.004
    data: str = "jpeg75"
    images: tuple[int, int, int] = (45_000, 200, 1000)
    contrast: bool = True
    extras: bool = True  # an equal time in the first arm, step times, search and precision
    name: str = "reference"

    @property
    def step_s(self) -> dict[str, float]:
        """Network → seconds a step."""
        return {model: 0.28 + 0.15 * place for place, model in enumerate(self.models)}


def study(root: Path, shape: Shape) -> tuple[StudyData, Findings]:
    """A study of this shape and what was found, in a repository without any other runs."""
    if not (root / "experiments").exists():
        fabricate.repository(root)
    shutil.rmtree(root / "results", ignore_errors=True)
    for model, name in shape.models.items():
        own = root / "experiments" / f"{model}.toml"
        text = (own if own.is_file() else own.with_name("resnet18.toml")).read_text("utf-8")
        line = f"name = {json.dumps(name, ensure_ascii=False)}"
        text = re.sub("^name = .*$", lambda _: line, text, flags=re.MULTILINE) if name else text  # noqa: B023
        own.write_text(text, "utf-8")
    extras = shape.extras and shape.finished != 0 and next(iter(shape.arms)) != ""
    plan = _plan(shape, extras)
    fabricate.study(root, replace(plan, only=0))
    specs = run_specs(root, load_study(root, shape.name))
    lost = [specs[place].path.partition("/")[2] for place in shape.diverged if place < len(specs)]
    fabricate.study(root, replace(plan, only=shape.finished, diverged=lost))
    if extras:
        fabricate.timing(root, shape.name, shape.step_s)
        scores = {rate: 0.5 - 0.05 * abs(place - 2) for place, rate in enumerate(RATES)}
        near = {rate: scores[rate] + 0.1 for rate in RATES[1:4]}
        fabricate.tuning(root, stage1=dict.fromkeys(shape.models, scores), grid=RATES)
        fabricate.tuning(root, stage2=dict.fromkeys(shape.models, near))
        fabricate.precision(root, dict.fromkeys(shape.models, (0.7, 0.698)), spread=0.001)
    data = load(root, shape.name)
    return data, analyse(data)


def paper(root: Path, edition: Any = "en", *, draw: bool = True, **shape: Any) -> Document:
    """A study of this shape in the templates of an edition."""
    data, found = study(root, Shape(**shape))
    return Document(data, found, edition, draw=draw)


def _plan(shape: Shape, extras: bool) -> Plan:
    models, step_s, first = list(shape.models), shape.step_s, next(iter(shape.arms))
    arms: dict[str, dict[str, Any]] = {
        arm: {"epochs": epochs, "seeds": list(range(seeds))}
        for arm, (epochs, seeds) in shape.arms.items()
    }
    more = []
    if shape.contrast and first and len(models) > 1:
        more.append(f'contrast = {{ arm = "{first}", baseline = "{models[-1]}" }}')
    if extras:
        seconds = STEPS * step_s[models[-1]]
        arms[first]["steps"] = {model: round(seconds / step_s[model]) for model in models}
        del arms[first]["epochs"]
        more += [
            'tuning = "tuning"\nprecision = "precision"',
            f'budget = {{ like = "{models[-1]}", timing = "{shape.name}", session = 1, '
            f'processor = "{fabricate.PROCESSOR}", steps = {{ {first} = {STEPS} }} }}',
        ]
    alone = arms.pop("", {"epochs": 1, "seeds": [0]})
    return Plan(
        name=shape.name, networks=models, arms=arms, epochs=alone["epochs"], seeds=alone["seeds"],
        images=shape.images, spread=shape.spread, data=shape.data, more="\n".join(more),
        accuracy=dict(zip(models, itertools.cycle(shape.accuracies), strict=False)),
        threads=2 if len(models) % 2 == 0 else None,
    )  # fmt: skip
