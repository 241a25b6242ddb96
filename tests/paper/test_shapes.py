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

from cnnpaper.paper.compose import Composer, Document
from cnnpaper.study.analysis import Findings
from tests.paper import invent

RANKING = re.compile(r"\b(?:more|less) accurate than|most accurate|\bbest\b network|\bwins?\b")
NAME = st.text(st.sampled_from("abcXYZ -V9(é한"), min_size=3, max_size=60).filter(
    lambda name: name.strip() == name and re.search(r"[a-zA-Z한]", name) is not None
)


@st.composite
def shapes(draw: st.DrawFn) -> invent.Shape:
    count = draw(st.integers(1, 12))
    names = draw(st.lists(NAME, min_size=count, max_size=count, unique=True))
    arms = draw(
        st.sampled_from(
            [
                {"": (3, 1)}, {"": (1, 5)}, {"": (500, 2)}, {"short": (2, 5)},
                {"short": (2, 2), "equal": (1, 1)},
                {"short": (2, 5), "equal": (2, 3), "long": (6, 3)}, {"": (25, 50)},
            ]
        )
    )  # fmt: skip
    runs = count * sum(seeds for _, seeds in arms.values())
    runs = min(runs, 200)
    finished = draw(st.one_of(st.none(), st.integers(0, runs)))
    diverged = draw(st.sets(st.integers(0, runs - 1), max_size=4))
    return invent.Shape(
        models={f"net{i}": name for i, name in enumerate(names)}, arms=arms, finished=finished,
        diverged=frozenset(diverged), data=draw(st.sampled_from(["jpeg75", "original",
                                                                 "synthetic", "any"])),
        accuracies=draw(st.sampled_from([(0.65, 0.78, 0.8), (0.7,), (0.1, 0.99)])),
        spread=draw(st.sampled_from([0.0, 0.004])),
        extras="" not in arms and draw(st.booleans()), contrast="" not in arms,
    )  # fmt: skip


def composed(root: Path, shape: invent.Shape) -> tuple[invent.Study, Findings, Document, str]:
    data, found = invent.study(root, shape)
    composer = Composer(data, found, "en", draw=False)
    document = composer.document()
    return data, found, document, plain(document.files["paper.tex"])


def plain(source: str) -> str:
    """The English text of a source of TeX, roughly."""
    text = re.sub(r"\\begin\{korean\}.*?\\end\{korean\}", "", source, flags=re.DOTALL)
    text = re.sub(r"\\ledger\{[^}]*\}\{([^}]*)\}", r"\1", text)
    text = re.sub(r"\\(?:emph|textbf|code|mbox)\{([^}]*)\}", r"\1", text)
    return re.sub(r"\s+", " ", text.replace("~", " ").replace("\\%", "%").replace("{}", ""))


@pytest.mark.parametrize("examples", [40])
def test_no_sentence_is_false(examples: int) -> None:
    check_shapes(examples)


@pytest.mark.soak
def test_no_sentence_is_false_in_many_shapes() -> None:
    check_shapes(400)


def check_shapes(examples: int) -> None:
    # a failing shape is small enough to read, and shrinking takes minutes
    @settings(max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck), report_multiple_bugs=False)  # fmt: skip
    @given(shapes())
    def run(shape: invent.Shape) -> None:
        with tempfile.TemporaryDirectory() as folder:
            data, found, document, text = composed(Path(folder), shape)
            check(shape, data, found, document, text)

    run()


def check(shape: invent.Shape, data: invent.Study, found: Findings, document: Document,
          text: str) -> None:  # fmt: skip
    """Every condition that a sentence of the paper has."""
    done, declared = len(data.logs), len(data.specs)
    said = dict(document_claims(document))
    shown = text.replace("\N{NO-BREAK SPACE}", " ")
    # the state of the study, on its first page
    if data.missing:
        assert f"{done:,} of {declared:,} declared runs have results" in shown
    # ranking words only with a significant contrast
    ranked = {row.model for row in found.contrasts if row.significant}
    named = [
        kind
        for kind, _ in document_claims(document)
        if kind.startswith(("contrast_more", "contrast_less"))
    ]
    assert bool(RANKING.search(strip_protocol(shown))) <= bool(ranked)
    if len(found.contrasts) <= 6:
        assert len(set(named)) <= len(ranked) * 4
        assert bool(named) == bool(ranked)
    # seeds, divergence, emptiness
    lost = [run for run in data.logs.values() if run.result and run.result.status == "diverged"]
    complete = {arm or "": data.complete_seeds(arm or "") for arm in data.study.arms}
    lost_shown = [
        run for path, run in data.logs.items()
        if run in lost and run.header.seed in complete[run.header.arm or ""]
    ]  # fmt: skip
    assert ("diverged and count" in shown) == bool(lost_shown)
    assert ("None of the declared runs has a result" in shown) == (done == 0)
    assert ("With a single seed" in shown) == any(len(seeds) == 1 for seeds in complete.values())
    assert ("no seed has results for all networks" in shown) == (
        done > 0 and not any(complete.values())
    )
    # data
    assert ("not photographs" in shown) == (shape.data == "synthetic")
    assert ("near-duplicate" in shown) == (shape.data in ("original", "jpeg75"))
    assert ("not the original ones" in shown) == (shape.data == "jpeg75")
    # what the study has
    assert ("Primary comparison" in shown) == (data.study.contrast is not None)
    assert ("not available yet" in shown) <= (data.study.contrast is not None)
    assert ("In an arm of equal time, every" in shown) == (data.study.budget is not None)
    assert ("Budgets follow the speed ratios" in shown) == (data.study.budget is not None)
    assert len(data.study.networks) > 1 or "share" not in said.get("abstract", "")
    # nothing is left over from templates or from Python
    assert not re.search(r"\[\[|\]\]|\[%|%\]|\bNone\b(?! of)|\bnan\b|Sentence\(|Value\(", shown)
    assert not re.search(r"[a-z] [,.;](?!\d)", re.sub(r"\\[a-z]+ ", "", shown)), "a blank before"


def document_claims(document: Document) -> list[tuple[str, str]]:
    import json

    record = json.loads(document.attachments["ledger.json"])["claims"]
    return [(kind, sentence) for kind, _, sentence in record]


def strip_protocol(text: str) -> str:
    """Without the sentence that says when networks are ranked."""
    return text.replace("We call networks more or less accurate only where", "")
