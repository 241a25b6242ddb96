"""The text of studies of any shape: every sentence's condition is checked against the data.

No TeX. One example composes the whole English text and both faces' escapes; what is checked is what
a reader could find false.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cnnpaper.paper.compose import Document
from cnnpaper.study.analysis import Findings
from cnnpaper.study.load import StudyData
from tests.paper import invent

RANKING = re.compile(r"\b(?:more|less) accurate than|most accurate|\bbest\b network|\bwins?\b")
NAME = st.text(st.sampled_from("abcXYZ -V9(é한"), min_size=3, max_size=60).filter(
    lambda name: name.strip() == name and re.search(r"[a-zA-Z한]", name) is not None
)


@st.composite
def shapes(draw: st.DrawFn) -> invent.Shape:
    count = draw(st.integers(1, 12))
    names = draw(st.lists(NAME, min_size=count, max_size=count, unique=True))
    arms: dict[str, tuple[int, int]] = draw(st.sampled_from([
        {"": (3, 1)}, {"": (1, 5)}, {"": (500, 2)}, {"": (25, 20)}, {"short": (2, 5)},
        {"short": (2, 2), "equal": (1, 1)}, {"short": (2, 5), "equal": (2, 3), "long": (6, 3)},
    ]))  # fmt: skip
    runs = min(count * sum(seeds for _, seeds in arms.values()), 200)
    return invent.Shape(
        models={f"net{i}": name for i, name in enumerate(names)}, arms=arms,
        finished=draw(st.one_of(st.none(), st.integers(0, runs))),
        diverged=frozenset(draw(st.sets(st.integers(0, runs - 1), max_size=4))),
        data=draw(st.sampled_from(["jpeg75", "original", "synthetic", "any"])),
        accuracies=draw(st.sampled_from([(0.65, 0.78, 0.8), (0.7,), (0.1, 0.99)])),
        spread=draw(st.sampled_from([0.0, 0.004])),
        extras="" not in arms and draw(st.booleans()), contrast="" not in arms,
    )  # fmt: skip


def plain(source: str) -> str:
    """The English text of a source of TeX, roughly."""
    text = re.sub(r"\\begin\{korean\}.*?\\end\{korean\}", "", source, flags=re.DOTALL)
    text = re.sub(r"\\ledger\{[^}]*\}\{([^}]*)\}", r"\1", text)
    text = re.sub(r"\\(?:emph|textbf|code|mbox)\{([^}]*)\}", r"\1", text)
    return re.sub(r"\s+", " ", text.replace("~", " ").replace("\\%", "%").replace("{}", ""))


@pytest.mark.parametrize("examples", [25, pytest.param(400, marks=pytest.mark.soak)])
def test_no_sentence_is_false(examples: int) -> None:
    # a failing shape is small enough to read, and shrinking takes minutes
    @settings(max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck), report_multiple_bugs=False)  # fmt: skip
    @given(shapes())
    def run(shape: invent.Shape) -> None:
        with tempfile.TemporaryDirectory() as folder:
            data, found = invent.study(Path(folder), shape)
            document = Document(data, found, "en", draw=False)
            shown = plain(document.files["paper.tex"]).replace("\N{NO-BREAK SPACE}", " ")
            check_runs(data, shown)
            check_ranking(found, document.claims.record, shown)
            check_subjects(shape, data, shown)

    run()


def check_runs(data: StudyData, shown: str) -> None:
    """How many there are, of which seeds, and which diverged."""
    done, declared = len(data.logs), len(data.specs)
    if data.missing:
        assert f"{done:,} of {declared:,} declared runs have results" in shown
    complete = {arm or "": data.complete_seeds(arm or "") for arm in data.study.arms}
    lost = [
        run for run in data.logs.values()
        if run.result and run.result.status == "diverged"
        and run.header.seed in complete[run.header.arm or ""]
    ]  # fmt: skip
    conditions = {
        r"diverged and (?:is|are) counted": bool(lost),
        "None of the declared runs has a result": done == 0,
        "With a single seed": {len(seeds) for seeds in complete.values()} - {0} == {1},
        "no seed has results for all networks": done > 0 and not any(complete.values()),
    }
    assert {text: bool(re.search(text, shown)) for text in conditions} == conditions


def check_ranking(found: Findings, claims: list[tuple[str, str, str]], shown: str) -> None:
    """Words that rank stand only with a significant contrast."""
    ranked = {row.model for row in found.contrasts if row.significant}
    named = {kind for kind, _, _ in claims if kind.startswith(("contrast_more", "contrast_less"))}
    assert bool(RANKING.search(shown)) <= bool(ranked)
    if len(found.contrasts) <= 6:
        assert bool(named) == bool(ranked)


def check_subjects(shape: invent.Shape, data: StudyData, shown: str) -> None:
    """Data, arms and tests that the study has, and nothing that is left over."""
    contrast, budget = data.study.contrast is not None, data.study.budget is not None
    conditions = {
        "not photographs": shape.data == "synthetic",
        "near-duplicate": shape.data in ("original", "jpeg75"),
        "not the original ones": shape.data == "jpeg75",
        "Primary comparison": contrast,
        "In an arm of equal time, every": budget,
        "on two CPU cores, for the numbers of steps that take": budget and data.study.threads == 2,
        "Budgets follow the speed ratios": budget,
    }
    assert {text: text in shown for text in conditions} == conditions
    assert contrast or "not available yet" not in shown
    assert len(data.study.networks) > 1 or "All networks share" not in shown
    # of templates or of Python
    assert not re.search(r"\[\[|\]\]|\[%|%\]|\bNone\b(?! of)|\bnan\b|Sentence\(|Value\(", shown)
    assert not re.search(r"[a-z] [,.;](?!\d)", re.sub(r"\\[a-z]+ ", "", shown)), "a blank before"
