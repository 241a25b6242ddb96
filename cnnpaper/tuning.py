"""The rules by which a study decides from its logs what it tries next, the same for every network.

*Tuning*: stage 1 tries the whole grid. Stage 2, the arm that ``refines`` it, tries the best value
and its two neighbours for longer; while the best of stage 2 is an end of those tried, the next
value is added, beyond the grid by its factor. The best of stage 2 wins, ties go to the lower value,
and a run that diverged scores as guessing. *Precision*: a network that loses much by bfloat16 gets
more seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from cnnpaper.advice import advice
from cnnpaper.config import (
    Experiment,
    Refined,
    RunSpec,
    Study,
    Value,
    load_study,
    run_spec,
    run_specs,
)
from cnnpaper.files import UserError
from cnnpaper.log import LOG_NAME, Run, read_run

GUESSING = 0.1
"""Score of a run that diverged."""
LOSS = 0.02
"""A network whose mean loses more than this by bfloat16 gets :data:`MORE` seeds."""
MORE = 3
Score = Callable[[float], float | None]
"""Validation accuracy at a value, None where a run is not finished."""
ValueT = TypeVar("ValueT", bound=Value)


def plan(
    grid: Sequence[float], stage1: Score, stage2: Score
) -> tuple[tuple[float, ...], float | None]:
    """The values that stage 2 tries by now, and the winner once it is decided.

    Args:
        grid: of stage 1, ascending, each value the same factor above the one before.
        stage1, stage2: the scores.

    Returns:
        Values in ascending order (none before stage 1 is complete), and the winner or None.
    """
    first = _best({value: stage1(value) for value in grid})
    if first is None:
        return (), None
    tried = [_below(grid, first), first, _above(grid, first)]
    while True:
        scores = {value: stage2(value) for value in tried}
        best = _best(scores)
        if best is None:
            return tuple(tried), None
        if len(set(scores.values())) == 1:  # as where all diverge: lower rates would tie for ever
            return tuple(tried), first
        if best == tried[0]:
            tried.insert(0, _below(grid, best))
        elif best == tried[-1]:
            tried.append(_above(grid, best))
        else:
            return tuple(tried), best


def _best(scores: Mapping[float, float | None]) -> float | None:
    """The value with the highest score, the lower one of equal ones; None where one is missing."""
    known = {value: score for value, score in sorted(scores.items()) if score is not None}
    return max(known, key=known.__getitem__) if len(known) == len(scores) else None


def _below(grid: Sequence[float], value: float) -> float:
    return max((v for v in grid if v < value), default=_rounded(value * grid[0] / grid[1]))


def _above(grid: Sequence[float], value: float) -> float:
    return min((v for v in grid if v > value), default=_rounded(value * grid[1] / grid[0]))


def _rounded(value: float) -> float:
    """Without the last bits that a factor leaves: 0.3 and not 0.30000000000000004."""
    return float(f"{value:.9g}")


# ------------------------------------------------------------------------------------- the logs


def refined(root: Path, study: Study) -> Refined:
    """(arm, network) → the values that the arm tries by now, for arms that refine another one."""
    return {
        (str(arm), model): _planned(root, study, str(arm), model)[0]
        for arm, settings in study.arms.items()
        if settings.refines is not None
        for model in study.networks
    }


def declared(root: Path, study: Study) -> list[RunSpec]:
    """All runs that a study declares by now."""
    return run_specs(root, study, refined(root, study)) + _more_pairs(root, study)


def _more_pairs(root: Path, study: Study) -> list[RunSpec]:
    """More seeds in both precisions, for each network that loses much by bfloat16."""
    if list(study.grid) != ["precision"]:
        return []
    found = []
    for arm, settings in study.arms.items():
        first = max(settings.seeds) + 1
        for model in study.networks:
            score = scores(root, study, arm, model, ("float32", "bfloat16"))
            before, after = score["float32"], score["bfloat16"]
            if before is None or after is None or round(before - after, 9) <= LOSS:
                continue
            found += [
                run_spec(root, study, model, seed, arm=arm, point={"precision": precision})
                for seed in range(first, first + MORE)
                for precision in score
            ]
    return found


def winner(root: Path, study: Study, model: str) -> float | None:
    """The value that the study chose for a network; None while runs are missing."""
    for arm, settings in study.arms.items():
        if settings.refines is not None:
            return _planned(root, study, str(arm), model)[1]
    return None


def scores(
    root: Path, study: Study, arm: str | None, model: str, values: Sequence[ValueT]
) -> dict[ValueT, float | None]:
    """Value → mean validation accuracy over the arm's seeds; None where a run is not finished."""
    return {value: _score(root, study, arm, model, value) for value in values}


def _score(root: Path, study: Study, arm: str | None, model: str, value: Value) -> float | None:
    found = []
    for seed in study.arms[arm].seeds:
        point = dict.fromkeys(study.grid, value)
        run = finished(run_spec(root, study, model, seed, arm=arm, point=point).folder(root))
        if run is None or run.result is None:
            return None
        found.append(GUESSING if run.result.status == "diverged" else run.result.val_acc or 0.0)
    return statistics.fmean(found)


def finished(folder: Path) -> Run | None:
    """The log of a run where it ends with a result, else None; one that is cut off does not."""
    path = folder / LOG_NAME
    if not path.exists() or not path.read_bytes().endswith(b"\n"):
        return None
    run = read_run(path)
    return run if run.result is not None else None


def _planned(
    root: Path, study: Study, arm: str, model: str
) -> tuple[tuple[float, ...], float | None]:
    """What :func:`plan` says of the logs that are there."""
    (key, raw), *others = study.grid.items()
    if others:
        raise UserError(
            f"experiments/study/{study.name}.toml: arm.{arm}.refines needs a [grid] of one key"
        )
    grid = sorted(float(value) for value in raw)
    if len(grid) < 2 or grid[0] <= 0:
        raise UserError(
            f"experiments/study/{study.name}.toml: grid.{key} = {list(raw)}: "
            "at least two positive values, each the same factor above the one before"
        )
    stage1 = partial(_score, root, study, study.arms[arm].refines, model)
    return plan(grid, stage1, partial(_score, root, study, arm, model))


def check_override(root: Path, model: str, experiment: Experiment) -> None:
    """Refuse a value that is said to come from a tuning study and does not.

    Raises:
        UserError: the study has not decided yet, or it decided otherwise.
    """
    for key, entry in experiment.override.items():
        if entry.from_study is None:
            continue
        where = f"{root / 'experiments' / model}.toml: override.{key}"
        study = load_study(root, entry.from_study)
        if key not in study.grid or model not in study.networks:
            raise UserError(f"{where}: study {study.name!r} does not tune {key} of {model}")
        won = winner(root, study, model)
        if won is None:
            raise UserError(
                f"{where} = {entry.value}: study {study.name!r} has not decided yet\n"
                f"train what it still has to try: {advice('experiments', STUDY=study.name)}"
            )
        if won != entry.value:
            raise UserError(
                f"{where} = {entry.value}: study {study.name!r} chose {won:g}\n"
                f"write value = {won:g} there; runs with another value are stale"
            )
