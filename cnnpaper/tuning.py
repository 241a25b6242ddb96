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

from cnnpaper.advice import advice
from cnnpaper.config import Experiment, RunSpec, Study, Value, load_study, run_spec, run_specs
from cnnpaper.files import UserError
from cnnpaper.log import LOG_NAME, Run, read_run

GUESSING = 0.1  # score of a run that diverged
LOSS, MORE = 0.02, 3  # a network whose mean loses more than that by bfloat16 gets so many seeds
Score = Callable[[float], float | None]
"""Validation accuracy at a value, None where a run is not finished."""
Plan = tuple[tuple[float, ...], float | None]


def plan(grid: Sequence[float], stage1: Score, stage2: Score) -> Plan:
    """The values that stage 2 tries by now, ascending (none before stage 1 is complete), and the
    winner once it is decided.

    Args:
        grid: of stage 1, ascending, each value the same factor above the one before.
    """
    first = _best({value: stage1(value) for value in grid})
    if first is None:
        return (), None
    tried = [_beside(grid, first, -1), first, _beside(grid, first, 1)]
    while True:
        scores = {value: stage2(value) for value in tried}
        best = _best(scores)
        if best is None:
            return tuple(tried), None
        if len(set(scores.values())) == 1:  # as where all diverge: lower rates would tie for ever
            return tuple(tried), first
        if best not in (tried[0], tried[-1]):
            return tuple(tried), best
        tried = sorted([*tried, _beside(grid, best, -1 if best == tried[0] else 1)])


def _best(scores: Mapping[float, float | None]) -> float | None:
    """The value with the highest score, the lower one of equal ones; None where one is missing."""
    known = {value: score for value, score in sorted(scores.items()) if score is not None}
    return max(known, key=known.__getitem__) if len(known) == len(scores) else None


def _beside(grid: Sequence[float], value: float, side: int) -> float:
    """The next value of the grid, below (-1) or above (1), or beyond it by its factor."""
    inside = [other for other in grid if side * (other - value) > 0]
    if inside:
        return min(inside, key=lambda other: abs(other - value))
    # without the last bits that a factor leaves: 0.3 and not 0.30000000000000004
    return float(f"{value * (grid[1] / grid[0]) ** side:.9g}")


# ------------------------------------------------------------------------------------- the logs


def declared(root: Path, study: Study) -> list[RunSpec]:
    """All runs that a study declares by now."""
    tried = {(arm, model): values for (arm, model), (values, _) in plans(root, study).items()}
    return run_specs(root, study, tried) + _more_pairs(root, study)


def plans(root: Path, study: Study) -> dict[tuple[str, str], Plan]:
    """(arm, network) → what :func:`plan` says of the logs, for arms that refine another one.

    Raises:
        UserError: the study's grid cannot be refined, or a log is damaged.
    """
    found = {}
    for arm, settings in study.arms.items():
        if settings.refines is None:
            continue
        grid = [sorted(float(value) for value in values) for values in study.grid.values()]
        if len(grid) != 1 or len(grid[0]) < 2 or grid[0][0] <= 0:
            raise UserError(
                f"experiments/study/{study.name}.toml: arm.{arm}.refines needs a [grid] of one "
                "key, with at least two positive values, each the same factor above the one before"
            )
        for model in study.networks:
            stages = (partial(score, root, study, one, model) for one in (settings.refines, arm))
            found[str(arm), model] = plan(grid[0], *stages)
    return found


def winners(planned: Mapping[tuple[str, str], Plan]) -> dict[str, float]:
    """Network → the value that the first arm which refines another one chose, once it has."""
    found: dict[str, float | None] = {}
    for (_, model), (_, won) in planned.items():
        found.setdefault(model, won)
    return {model: won for model, won in found.items() if won is not None}


def _more_pairs(root: Path, study: Study) -> list[RunSpec]:
    """More seeds in both precisions, for each network that loses much by bfloat16."""
    if list(study.grid) != ["precision"]:
        return []
    found = []
    for arm, settings in study.arms.items():
        first = max(settings.seeds) + 1
        for model in study.networks:
            before, after = (score(root, study, arm, model, p) for p in ("float32", "bfloat16"))
            if before is None or after is None or round(before - after, 9) <= LOSS:
                continue
            found += [
                run_spec(root, study, model, seed, arm=arm, point={"precision": precision})
                for seed in range(first, first + MORE)
                for precision in ("float32", "bfloat16")
            ]
    return found


def score(root: Path, study: Study, arm: str | None, model: str, value: Value) -> float | None:
    """Mean validation accuracy at a value over the arm's seeds; None where a run is not
    finished."""
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


def check_overrides(root: Path, experiments: Mapping[str, Experiment]) -> None:
    """Refuse values that are said to come from a tuning study and do not.

    Raises:
        UserError: the study has not decided yet, or it decided otherwise.
    """
    decided: dict[str, dict[str, float]] = {}
    for model, experiment in experiments.items():
        for key, entry in experiment.override.items():
            if entry.from_study is None:
                continue
            where = f"{root / 'experiments' / model}.toml: override.{key}"
            study = load_study(root, entry.from_study)
            if key not in study.grid or model not in study.networks:
                raise UserError(f"{where}: study {study.name!r} does not tune {key} of {model}")
            if study.name not in decided:
                decided[study.name] = winners(plans(root, study))
            won = decided[study.name].get(model)
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


def tuning_text(root: Path, name: str) -> str:
    """For each network, what a tuning study has tried, what is next, and what it chose.

    Raises:
        UserError: the study tunes nothing, or a log is damaged.
    """
    study = load_study(root, name)
    planned = plans(root, study)
    won = winners(planned)
    if not planned:
        raise UserError(
            f"experiments/study/{name}.toml: no arm refines another one, so it tunes nothing"
        )
    (grid,), lines = study.grid.values(), []
    for model in study.networks:
        lines.append(f"{model}: {f'{won[model]:g} wins' if model in won else 'not decided yet'}")
        for arm, settings in study.arms.items():
            tried = planned[str(arm), model][0] if settings.refines else map(float, grid)
            scores = {value: score(root, study, arm, model, value) for value in tried}
            said = [
                f"{value:g} " + ("not tried yet" if one is None else f"{100 * one:.2f} %")
                for value, one in scores.items()
            ]
            lines.append(f"  {arm}: {', '.join(said) or f'waits for {settings.refines}'}")
    if len(won) < len(study.networks):
        lines.append(f"try what is next: {advice('experiments', STUDY=name)}")
    return "\n".join(lines)
