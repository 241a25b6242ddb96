"""Stray numerals of many forms, typed into text and figures: each one is caught."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from cnnpaper.errors import UserError
from cnnpaper.paper import latex, numerals, style
from cnnpaper.paper.drawings import tick_texts
from cnnpaper.paper.ledger import Ledger
from cnnpaper.paper.numerals import Numbering, check_figures, has_numeral, strays
from tests import fabricate

STRAYS = [
    "7", "42", "3.14", "1,234", "56 %", "−8", "+9", "1e-3", "12/13", "2:30", "2024-05-06", "3rd",
    "1 000", "5th", "0x1F", "(6)", "v2", "±0.3", "0.5–0.7", "half (½)", "x² + y³", "Table 99",
    "Figure 77", "Section 8.8", "in 1999", "<0.01", "ten (10)", "1.2.3", "№ 4", "18 s",
]  # fmt: skip
"""Thirty forms."""
ROMAN = "XIV"
"""Roman numerals are letters: no form that the check could tell from a word."""


@pytest.mark.tex
def test_every_stray_form_in_a_page_is_caught(tmp_path: Path) -> None:
    """One document, a paragraph for each form, between paragraphs of the ledger's numbers."""
    shutil.copy(fabricate.REPOSITORY / "report" / "cnnpaper.sty", tmp_path)
    ledger = Ledger()
    ledger.add("a.test_acc", 0.7761, text="77.61", formula="as recorded", sources=[])
    escaped = [form.replace("%", r"\%").replace("<", r"\textless{}") for form in STRAYS]
    printed = r"It is \ledger{a.test_acc}{77.61}~\%, on CIFAR-10, by ResNet-18 on $32\times32$."
    body = "\n\n".join([printed, *(f"Stray {form} here." for form in escaped)])
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\\usepackage{cnnpaper}\\begin{document}\n"
        f"{body}\n\n\\hypertarget{{ledger.a.test_acc}}{{}}\\end{{document}}\n",
        "utf-8",
    )
    done = latex.typeset(tmp_path, 0)
    found = strays(
        numerals.page_texts(done.pdf),
        numerals.read_aux(done.pdf.with_suffix(".aux")),
        done.uses,
        ledger,
        {},
        ["ResNet-18"],
    )
    caught = " ".join(stray.context for stray in found)
    missed = [form for form in STRAYS if f"Stray {form} here." not in caught]
    assert missed == []
    assert "77.61" not in caught  # what the ledger printed is accounted for


def on_a_page(text: str, **printed: str) -> list[str]:
    """The strays of one page on which the ledger printed ``printed``."""
    ledger = Ledger()
    for key, shown in printed.items():
        ledger.add(key, None, text=shown, formula="f", sources=[])
    numbering = Numbering(
        headings=(("2", "Results", 1),), labels=frozenset({"3", "4"}), years=frozenset({"2016"})
    )
    uses = [(key, 1) for key in printed]
    return [s.numeral for s in strays([text], numbering, uses, ledger, {}, ["VGG-16", "a1.b2"])]


@pytest.mark.parametrize(
    "text,printed,left",
    [
        ("so 77.61 % it is", {"a": "77.61"}, []),
        ("so 77.61 and 77.61", {"a": "77.61"}, ["77.61"]),  # printed once, there twice
        ("177.61", {"a": "77.61"}, ["177.61"]),  # a part of another numeral
        ("77.613", {"a": "77.61"}, ["77.613"]),
        ("5 of 15", {"a": "5"}, ["15"]),
        ("by 24 Novem-\nber 2026", {"a": "24 November 2026"}, []),
        ("VGG-16, VGG-\n16 and a1.b2", {}, []),  # names, broken over lines too
        ("2 Results\nTable 3 and Figures 3 to 4\n1", {}, []),  # TeX's own numbers, and the page's
        ("Table 5", {}, ["5"]),  # no such table
        ("(He et al., 2016), He (2016) and 2017", {}, ["2017"]),
        ("2016 images", {}, ["2016"]),  # not a citation
        ("CIFAR-10 has 32 × 32 pixels; CIFAR-100", {}, ["CIFAR-100"]),
        ("a\nReferences\nA. Name, 12(3):4–5, 1999.", {}, []),
    ],
)
def test_accounting(text: str, printed: dict[str, str], left: list[str]) -> None:
    assert on_a_page(text, **printed) == left


@pytest.mark.parametrize("text,answer", [("a1", True), ("½", True), ("²", True), ("Ⅳ", True),
                                         ("٣", True), ("four", False), ("XIV", False)])  # fmt: skip
def test_what_a_numeral_is(text: str, answer: bool) -> None:
    assert has_numeral(text) == answer


def test_the_error_names_page_line_and_context(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        raise_for(tmp_path, ["no number here\nbut 12 here"])
    assert "page 1, line 2: '12' in “but 12 here”" in str(caught.value)


def raise_for(folder: Path, pages: list[str]) -> None:
    (folder / "paper.aux").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numerals, "page_texts", lambda _: pages)
        numerals.check(folder / "paper.pdf", [], Ledger(), {}, [])


# ------------------------------------------------------------------------------- figures


def figure(text: str) -> dict[str, dict[str, list[str]]]:
    """What a figure with this annotation registers."""
    with style.settings():
        drawn = Figure(figsize=(2, 2))
        axes = drawn.add_subplot()
        axes.plot([0, 10], [0, 200])
        axes.annotate(text, (5, 5))
        return {"f.pdf": {"texts": style.texts(drawn), "ticks": tick_texts(drawn)}}


@pytest.mark.parametrize("form", STRAYS)
def test_every_stray_form_in_a_figure_is_caught(form: str) -> None:
    with pytest.raises(UserError, match=r"figure f\.pdf: '.+' in the text"):
        check_figures(figure(f"stray {form}"), Ledger(), [])


def test_what_a_figure_may_show() -> None:
    ledger = Ledger()
    ledger.add("a", 0.7761, text="77.61", formula="f", sources=[])
    check_figures(figure("VGG-16: 77.61 %"), ledger, ["VGG-16"])


def test_a_tick_s_text_is_no_excuse_for_an_annotation() -> None:
    """The axis has a tick 200; an annotation 200 beside it is a second one."""
    shown = figure("200")
    assert "200" in shown["f.pdf"]["ticks"]
    with pytest.raises(UserError, match="'200'"):
        check_figures(shown, Ledger(), [])
