"""Stray numerals of many forms, typed into text and figures: each one is caught."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.axes import Axes
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
PLACES = {
    "caption of a figure": r"\begin{figure}[h]\caption{NAME of 7}\end{figure}",
    "caption of a table": r"\begin{table}[h]\caption{NAME of 7}\end{table}",
    "title of a section": r"\section{NAME of 7 parts}",
    "paragraph's title": r"\paragraph{NAME of 7} and text.",
    "footnote": r"Text.\footnote{NAME of 7}",
    "cell of a table": r"\begin{tabular}{ll}a & NAME of 7 \\ \end{tabular}",
    "cell right-aligned": r"\begin{tabular}{lr}NAME & 7 \\ \end{tabular}",
    "item's label": r"\begin{description}\item[NAME of 7] text\end{description}",
    "white on white": r"NAME of {\color{white}7}",
    "tiny": r"NAME of {\fontsize{1}{1}\selectfont 7}",
    "mono face": r"NAME of \code{7}",
    "sans and bold": r"NAME of {\sffamily\bfseries 7}",
    "hyperlink": r"NAME of \href{https://example.org}{7}",
    "superscript": r"NAME of a\textsuperscript{7}",
    "subscript in mathematics": r"NAME of $a_7$",
    "power in mathematics": r"NAME of $10^{-3}$",
    "fraction in mathematics": r"NAME of $\frac{1}{2}$",
    "thin space": r"NAME of 4\,321",
    "kerned apart": r"NAME of 4\kern3pt2",
    "kerned together": r"NAME of 4\kern-1pt2",
    "in a box": r"NAME of \mbox{4}\mbox{2}",
    "counter": r"NAME of \the\count0",
    "character code": r"NAME of \char55",
    "number command": r"NAME of \num{1234}",
    "Korean, with a counter": r"NAME 망 7개를",
    "Korean, with a particle": r"NAME 77은",
    "Korean date": r"NAME 11월 둘째 주",
    "circled": r"NAME of ①",
    "fullwidth": r"NAME of ７",
    "two thirds": r"NAME of ⅔",
    "a value that is printed elsewhere": r"NAME of 77.61",
    "a value's beginning": r"NAME of 77.6",
    "text of a value, by hand in its macro": r"NAME of \mbox{77.61}",
}
"""Where a stray may stand, and how TeX may make it."""
NOT_IN_FACES = {"circled": "①", "fullwidth": "７", "two thirds": "⅔"}
"""TeX leaves out what no face of the paper has, with a warning."""


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


@pytest.mark.tex
def test_a_stray_is_caught_wherever_it_stands(tmp_path: Path) -> None:
    shutil.copy(fabricate.REPOSITORY / "report" / "cnnpaper.sty", tmp_path)
    ledger = Ledger()
    ledger.add("a.test_acc", 0.7761, text="77.61", formula="as recorded", sources=[])
    letters = {name: f"Q{chr(97 + i // 26)}{chr(97 + i % 26)}" for i, name in enumerate(PLACES)}
    body = "\n\n".join(tex.replace("NAME", f"{letters[name]} 자리") for name, tex in PLACES.items())
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\\usepackage{cnnpaper}\\begin{document}\n"
        "It is \\ledger{a.test_acc}{77.61}.\n\n"
        f"{body}\n\n\\hypertarget{{ledger.a.test_acc}}{{}}\\end{{document}}\n",
        "utf-8",
    )
    done = latex.typeset(tmp_path, 0)
    aux = numerals.read_aux(done.pdf.with_suffix(".aux"))
    found = strays(numerals.page_texts(done.pdf), aux, done.uses, ledger, {}, [])
    caught = " ".join(stray.context for stray in found)
    missed = {name for name in PLACES if letters[name] not in caught}
    assert missed == set(NOT_IN_FACES)  # nothing is on the page, and the build says so
    for name in missed:
        assert any("Missing character" in w and NOT_IN_FACES[name] in w for w in done.warnings)


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
        return registered(drawn)


def registered(drawn: Figure, *printed: str) -> dict[str, dict[str, list[str]]]:
    return {
        "f.pdf": {
            "texts": style.texts(drawn),
            "ticks": tick_texts(drawn),
            "printed": list(printed),
        }
    }


@pytest.mark.parametrize("form", STRAYS)
def test_every_stray_form_in_a_figure_is_caught(form: str) -> None:
    with pytest.raises(UserError, match=r"figure f\.pdf: '.+' in the text"):
        check_figures(figure(f"stray {form}"), Ledger(), [])


def test_what_a_figure_may_show() -> None:
    ledger = Ledger()
    ledger.add("a", 0.7761, text="77.61", formula="f", sources=[])
    shown = figure("VGG-16: 77.61 %")
    with pytest.raises(UserError, match=r"'77\.61'"):
        check_figures(shown, ledger, ["VGG-16"])  # a value of the paper, but not of this figure
    shown["f.pdf"]["printed"] = ["77.61"]
    check_figures(shown, ledger, ["VGG-16"])


def test_a_tick_s_text_is_no_excuse_for_an_annotation() -> None:
    """The axis has a tick 200; an annotation 200 beside it is a second one."""
    shown = figure("200")
    assert "200" in shown["f.pdf"]["ticks"]
    with pytest.raises(UserError, match="'200'"):
        check_figures(shown, Ledger(), [])


TYPED: dict[str, Callable[[Axes], object]] = {
    "title": lambda axes: axes.set_title("of 7"),
    "axis": lambda axes: axes.set_xlabel("of 7"),
    "tick typed by hand": lambda axes: axes.set_xticks([2.0], ["7"]),
    "tick in words and numerals": lambda axes: axes.set_yticks([100.0], ["of 7"]),
    "minor tick typed by hand": lambda axes: axes.set_xticks([2.0], ["7"], minor=True),
    "legend": lambda axes: axes.legend([axes.lines[0]], ["of 7"]),
    "text in a corner": lambda axes: axes.text(0.9, 0.9, "7", transform=axes.transAxes),
    "text of the figure": lambda axes: axes.figure.text(0.5, 0.5, "7"),
    "label of a bar": lambda axes: axes.bar_label(axes.bar([1], [7]), fmt="%g"),
    "place of a tick out of view": lambda axes: (axes.set_ylim(0, 190), axes.text(1, 1, "200")),
    "white": lambda axes: axes.text(1, 1, "7", color="white"),
}


@pytest.mark.parametrize("place", TYPED)
def test_a_stray_in_a_figure_is_caught_wherever_it_stands(place: str) -> None:
    with style.settings():
        drawn = Figure(figsize=(2, 2))
        axes = drawn.add_subplot()
        axes.plot([0, 10], [0, 200])
        TYPED[place](axes)
        shown = registered(drawn)
    with pytest.raises(UserError, match=r"figure f\.pdf: '(7|200)' in the text"):
        check_figures(shown, Ledger(), [])


# ------------------------------------------------------------------------------- words

WORDS = re.compile(
    r"\b(two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twice|thrice|dozen|hundred|"
    r"thousand|million|half|third|quarter)\b"
    r"|(?<![가-힣])(두|세|네|다섯|여섯|일곱|여덟|아홉|열|스무) (?=개|번|가지|시간|망|장|회|종)",
    re.IGNORECASE,
)
REVIEWED = {
    "networks.tex.j2": ["three wide linear layers", "three by three"],
    "experiment.tex.j2": ["ten classes", "six batches"],
    "introduction.tex.j2": ["ranks two networks"],
    "results.tex.j2": ["from zero to two"],
    "statistics.tex.j2": [
        "Two networks",
        "covers two sources of chance",
        "squared half widths",
        "half width of the interval",
        "where the two disagree",
    ],
    "discussion.tex.j2": ["ten classes", "The two cannot be compared", "one of the two results"],
}
"""Number words of the templates that count no value of a study."""


def test_number_words_in_templates_are_reviewed() -> None:
    """A typed count of networks, seeds or epochs would be as wrong in words as in digits."""
    for path in sorted((fabricate.REPOSITORY / "report").glob("*.j2")):
        text = re.sub(r"\\VAR\{[^}]*\}|\\BLOCK\{[^}]*\}|(?m:^%%.*$)", "", path.read_text("utf-8"))
        for phrase in REVIEWED.get(path.name, []):
            text = text.replace(phrase, "")
        assert [text[max(0, m.start() - 30) : m.end() + 30] for m in WORDS.finditer(text)] == [], (
            path
        )
