"""The rule about bfloat16, as ``experiments/study/reference.toml`` states it.

A study of precisions pairs runs of one network and seed, one in each precision. bfloat16 stands if
no run of it diverged and the lower bound of the mean change, over the pairs of the seeds that the
study file names, is above :data:`MARGIN`. The further seeds of a network that loses much
(``tuning.declared``) make its own estimate better and decide nothing.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import pandas as pd

from cnnpaper.advice import advice
from cnnpaper.files import UserError
from cnnpaper.study import stats
from cnnpaper.study.load import StudyData

MARGIN = -0.01  # the mean change in validation accuracy that bfloat16 must be shown to exceed
REMEDY = 'override.precision = { value = "float32", why = "bfloat16 does not stand" }'


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
    if data is None:
        return None
    low, high = (data.runs[data.runs["variant"] == kind] for kind in ("bfloat16", "float32"))
    pairs = low.merge(high, on=["arm", "model", "seed"], suffixes=("", "_float32"))
    pairs["change"] = pairs["val_acc"] - pairs["val_acc_float32"]
    arms = data.study.arms.values()
    deciding = pairs[pairs["seed"].isin({seed for arm in arms for seed in arm.seeds})]
    groups = [own["change"].to_list() for _, own in deciding.groupby("model", observed=True)]
    if not groups:
        return None
    complete = len(deciding) == len(data.study.networks) * sum(len(arm.seeds) for arm in arms)
    bound = stats.lower_bound_pooled(groups) if complete else None
    lost = (low["status"] == "diverged").any()
    changes = [_change(str(name), own) for name, own in pairs.groupby("model", observed=True)]
    return Precision(
        changes=tuple(changes),
        mean=statistics.fmean(statistics.fmean(group) for group in groups),
        bound=bound,
        stands=bound is not None and bound > MARGIN and not lost,
    )


def _change(model: str, pairs: pd.DataFrame) -> Change:
    mean = stats.summary(pairs["change"].to_list())
    paths = tuple(pairs[["path", "path_float32"]].to_numpy().ravel())
    return Change(model=model, change=mean.mean, interval=mean.interval, n=mean.n, paths=paths)


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
            f"{file}: bfloat16 does not stand: study {study.precision!r} gives a lower bound of "
            f"{100 * found.bound:.2f} points, or a run of it diverged\n"
            f"add there: {REMEDY}\n"
            f"measure step times in float32: {advice('timing', STUDY=study.name)}\n"
            "then name that session in its [budget], with the steps that this prints: "
            f"{advice('budget', STUDY=study.name)}"
        )
    return found
