"""The table of step times: its figures, its links, its absence, and times that are not today's.

That a paper with it is typeset is tried in ``test_documents``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnpaper import timings
from cnnpaper.errors import UserError
from cnnpaper.paper.explain import explain
from cnnpaper.paper.study import StudyPaper
from cnnpaper.paper.tabular import markdown
from tests import fabricate
from tests.fabricate import Plan

PLAN = Plan(networks=("alexnet", "resnet18"), images=200, epochs=1)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return fabricate.study(tmp_path, PLAN, code=True)


def test_figures_worked_out_by_hand(place: Path) -> None:
    """AlexNet's steps: 1.7638, 1.7741 and 1.7841 s."""
    fabricate.write_timings(place, PLAN, shared=("resnet18",))
    text = StudyPaper(place, PLAN.name).text
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in markdown(text.tables["timing"]).splitlines()
    ]
    batch, other = (str(timings_of(place)[name].batch_size) for name in ("alexnet", "resnet18"))
    assert rows[2][:10] == [
        "AlexNet", batch, "1,774", "1,769 to 1,779", "1.1", "510", "1,250", "12", "0.4", rows[2][9],
    ]  # fmt: skip
    assert float(rows[2][9]) == round(int(batch) / 1.7741)
    assert rows[2][10] == "1.50"
    assert rows[3][:4] == ["ResNet-18", other, "2,274 †", "2,269 to 2,279"]
    value = text.ledger["resnet18.step"]
    assert value.exact == pytest.approx(2.2741)
    assert [str(source) for source in value.sources] == ["results/log/invented/timing.jsonl:2"]
    assert "tab:timing" in text.files["results.tex"]
    assert "other processes" in text.files["results.tex"]


def timings_of(root: Path) -> dict[str, timings.AnyMeasured]:
    path = root / "results" / "log" / PLAN.name / timings.TIMING_NAME
    return {line.model: line for _, line in timings.read(path).values()}


def test_without_the_file_the_paper_is_as_it_was(place: Path) -> None:
    before = StudyPaper(place, PLAN.name).text
    path = fabricate.write_timings(place, PLAN)
    assert StudyPaper(place, PLAN.name).text.files != before.files
    path.unlink()
    after = StudyPaper(place, PLAN.name).text
    assert after.files == before.files
    assert "timing" not in after.tables
    assert "tab:timing" not in after.files["results.tex"]


def test_times_of_other_code_are_refused(place: Path) -> None:
    fabricate.write_timings(place, PLAN)
    recipe = place / "experiments" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("momentum = 0.9", "momentum = 0.8"))
    with pytest.raises(UserError, match="are stale"):
        StudyPaper(place, PLAN.name)
    allowed = StudyPaper(place, PLAN.name, allow_stale=True)
    assert "timing" not in allowed.text.tables


def test_stale_times_of_fresh_runs_are_refused(place: Path) -> None:
    path = fabricate.write_timings(place, PLAN)
    line = timings_of(place)["resnet18"]
    timings.append(path, line.model_copy(update={"fingerprint": "0" * 12}))
    with pytest.raises(UserError) as caught:
        StudyPaper(place, PLAN.name)
    assert "timing.jsonl:3: resnet18 was timed with other code" in str(caught.value)
    assert "make timing STUDY=invented" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 5


def test_times_of_another_study_are_refused(place: Path) -> None:
    path = fabricate.write_timings(place, PLAN)
    line = timings_of(place)["resnet18"]
    timings.append(path, line.model_copy(update={"study": "another"}))
    with pytest.raises(UserError, match=r"timing\.jsonl:3: not a time of study 'invented'"):
        StudyPaper(place, PLAN.name)


def test_a_number_of_the_table_is_explained(place: Path) -> None:
    fabricate.write_timings(place, PLAN)
    text = explain(place, PLAN.name, "alexnet.step")
    assert "1,774" in text
    assert "results/log/invented/timing.jsonl:1" in text
    assert "made by   make timing STUDY=invented" in text
