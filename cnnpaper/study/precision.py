"""The rule about bfloat16, as ``experiments/study/reference.toml`` states it.

A study of precisions pairs runs of one network and seed, one in each precision. bfloat16 stands if
no run of it diverged and the lower bound of the mean change, over the pairs of the seeds that the
study file names, is above :data:`MARGIN`. The further seeds of a network that loses much
(``tuning.declared``) make its own estimate better and decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnnpaper.advice import advice
from cnnpaper.files import UserError
from cnnpaper.study import stats
from cnnpaper.study.load import StudyData

MARGIN = -0.01  # the mean change in validation accuracy that bfloat16 must be shown to exceed


@dataclass(frozen=True, kw_only=True)
class Change:
    """What bfloat16 changes for one network: validation accuracy, bfloat16 minus float32."""

    model: str
    change: float
    interval: stats.Interval | None
    n: int  # pairs of one seed
    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Precision:
    """The comparison of precisions."""

    changes: tuple[Change, ...]
    mean: float  # of the networks' means, over the seeds that decide
    bound: float | None
    """One-sided lower 95 % bound of it; None while a pair that decides is missing."""
    stands: bool  # no bfloat16 run diverged, and the bound is above `MARGIN`


def compare(data: StudyData | None) -> Precision | None:
    """What the study of precisions found by now; None where there is no pair."""
    if data is None or "precision" not in data.study.grid:
        return None
    runs = {(s.model, s.seed, s.recipe.precision): s.path for s in data.specs}
    scores = data.runs.set_index("path")["val_acc"]
    named = {seed for arm in data.study.arms.values() for seed in arm.seeds}
    changes, deciding, complete = [], [], True
    for model in data.study.networks:
        pairs = {
            seed: (path, runs[model, seed, "float32"])
            for (own, seed, precision), path in runs.items()
            if own == model and precision == "bfloat16"
        }
        found = {s: pair for s, pair in pairs.items() if all(path in data.logs for path in pair)}
        own = {seed: float(scores[one] - scores[other]) for seed, (one, other) in found.items()}
        complete &= named <= set(own)
        if not own:
            continue
        deciding.append([change for seed, change in own.items() if seed in named])
        mean = stats.summary(list(own.values()))
        paths = tuple(path for pair in found.values() for path in pair)
        changes.append(
            Change(model=model, change=mean.mean, interval=mean.interval, n=mean.n, paths=paths)
        )
    groups = [group for group in deciding if group]
    if not groups:
        return None
    lost = any(
        run.header.precision == "bfloat16" and run.result and run.result.status == "diverged"
        for run in data.logs.values()
    )
    bound = stats.lower_bound_pooled(groups) if complete else None
    return Precision(
        changes=tuple(changes),
        mean=sum(sum(group) / len(group) for group in groups) / len(groups),
        bound=bound,
        stands=bound is not None and bound > MARGIN and not lost,
    )


def allowed(data: StudyData) -> Precision | None:
    """What a study's comparison of precisions found, which allows the study.

    Raises:
        UserError: the study is in bfloat16, and the rule has decided against it.
    """
    found, study = compare(data.precision), data.study
    if found is None or found.bound is None or found.stands:
        return found
    if any(spec.recipe.precision == "bfloat16" for spec in data.specs):
        file = data.root / "experiments" / "study" / f"{study.name}.toml"
        raise UserError(
            f"{file}: bfloat16 does not stand: study "
            f"{study.precision!r} gives a lower bound of {100 * found.bound:.2f} points, or a run "
            "of it diverged\n"
            'add there: override.precision = { value = "float32", why = "bfloat16 does not stand" '
            "}\n"
            f"measure step times in float32: {advice('timing', STUDY=study.name)}\n"
            "then name that session in its [budget], with the steps that this prints: "
            f"{advice('budget', STUDY=study.name)}"
        )
    return found
