"""``budget`` and ``tune``: what the rules of a study give by now, as text for its files."""

from __future__ import annotations

from pathlib import Path

from cnnpaper import timings, tuning
from cnnpaper.advice import advice
from cnnpaper.config import load_study
from cnnpaper.files import UserError
from cnnpaper.study.checks import budget_session
from cnnpaper.study.status import duration


def budget_text(root: Path, name: str) -> str:
    """The steps of each arm of equal time as lines of the study file, with what they leave over.

    Raises:
        UserError: the study has no budget, or its session was not measured.
    """
    study = load_study(root, name)
    budget, session = budget_session(root, study)
    step_s = session[budget.like][1].step_s
    lines = [f"# session {budget.session} of study {budget.timing}, {budget.processor}"]
    for arm, count in budget.steps.items():
        found = timings.budget(session, budget.like, count)
        values = ", ".join(f"{model} = {found[model][0]}" for model in study.networks)
        over = ", ".join(f"{model} {found[model][1]:+.2f} s" for model in study.networks)
        lines += [
            f"[arm.{arm}] # {duration(count * step_s)} of training",
            f"steps = {{ {values} }}",
            f"# predicted minus budget: {over}",
        ]
    return "\n".join(lines)


def tuning_text(root: Path, name: str) -> str:
    """For each network, what a tuning study has tried, what is next, and what it chose.

    Raises:
        UserError: the study tunes nothing, or a log is damaged.
    """
    study = load_study(root, name)
    planned = tuning.refined(root, study)
    if not planned:
        raise UserError(
            f"experiments/study/{name}.toml: no arm refines another one, so it tunes nothing"
        )
    grid = tuple(float(value) for value in next(iter(study.grid.values())))
    lines, winners = [], [tuning.winner(root, study, model) for model in study.networks]
    for model, won in zip(study.networks, winners, strict=True):
        lines.append(f"{model}: {'not decided yet' if won is None else f'{won:g} wins'}")
        for arm, settings in study.arms.items():
            values = planned[str(arm), model] if settings.refines else grid
            scores = tuning.scores(root, study, str(arm), model, list(map(float, values)))
            each = ", ".join(f"{value:g} {_score(score)}" for value, score in scores.items())
            lines.append(f"  {arm}: {each or f'waits for {settings.refines}'}")
    if None in winners:
        lines.append(f"try what is next: {advice('experiments', STUDY=name)}")
    return "\n".join(lines)


def _score(score: float | None) -> str:
    return "not tried yet" if score is None else f"{100 * score:.2f} %"
