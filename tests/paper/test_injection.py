r"""Strings of others in the paper: each is printed as it is, or refused by name.

Every string is set in two ways into a cell of a table of the real style, beside its number. The
text of the whole PDF must be the strings and the numbers in their order and nothing else, so no
string changes what stands before, behind or beside it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cnnpaper.errors import UserError
from cnnpaper.paper.latex import typeset
from cnnpaper.paper.ledger import Ledger
from cnnpaper.paper.tabular import booktabs, table
from cnnpaper.paper.tex import (
    LONGEST_TEXT,
    MATH,
    PUNCTUATION,
    Printer,
    breakable,
    escape,
    printable,
)

REPORT = Path(__file__).parents[2] / "report"

PRINTED = (
    *(r"\input{/etc/passwd}", r"\include{x}", r"\openin5=/etc/passwd", r"\IfFileExists{x}{}{}"),
    *(r"^^5cinput{x}", r"^^^^005c", r"^^M^^@", r"\catcode`\%=12", r"\catcode 92 11", r"\endcsname"),
    *(r"\write18{touch /tmp/x}", r"|ls", r'"|ls"', r"\immediate\write18{id}", r"`id`", "$(id)"),
    *(r"\end{document}", r"\end{tabular}", r"\endinput", r"\stop", r"\bye", r"\par", r"\\", "\\"),
    *("{", "}", "{{", "}}}", "}{", "$", "$$", "$x", "&", "&&", "#", "#1", "##", "%", "% x", "a%b"),
    *("_", "a_b", "^", "~", "~~", "^^", "--", "---", "''", "``", ",,", "<<", ">>", "?`", "!`", '"'),
    *("[", "]", "[1pt] x", "[hello]", "[[", " [x", "*", "*x", "*[2pt]", "(1-2)", "=", "@{}", "|l|"),
    *(r"\def\x{\x}\x", r"\let\item\undefined", r"\newcommand\VAR{x}", r"\csname x\endcsname"),
    *(r"\special{pdf:close}", r"\pdfximage{x}", r"\directlua{os.exit()}", r"\XeTeXinterchartoks"),
    *(r"\VAR{7*7}", r"\BLOCK{for x in y}", "%% for x in y", r"\#{x}", "{{7*7}}", "{% x %}"),
    *(r"\ledger{a}{b}", r"\hypertarget{ledger.a}{}", r"\verb|x|", r"\noalign{}", r"\omit x"),
    *(r"\relax", r"\expandafter", r"\loop\iftrue\repeat", r"\fi", r"\else", r"\iffalse", r"\or"),
    *("대표적인 합성곱 신경망", "한글abc한글", "ㄱㄴㄷㅏ", "「」『』", "한[글]_%"),
    *("e\u0301", "\u1112\u1161\u11ab", "A\u030a"),
    *("Ångström", "ſñ", "¿¡«»", "fi ffi fl", "“x” ‘y’ – —"),
    *("≤ ≥ ≈", "μ σ λ", "→ −1 ∞ √2", "Ω€₩", "¨a ´e ¸c ¯o", "a\u00a0b", "a\u2009b", "½¼²³"),
    *("a  b\n\n c\t d\r\ne", "\n[x]", "a\n\n\\par b", " ", "x" * 41, "x" * 2_000, "한" * 300),
    *("\\" * 60, "{" * 200, "}" * 200, "$" * 101, "../../etc/passwd", "/etc/passwd", "C:\\x"),
    *("=1+1", "@SUM(A1)", "'; DROP TABLE runs; --", "<script>alert(1)</script>", "%s%n{0}"),
)  # fmt: skip
REFUSED = (
    *("\u202eabc", "\u200fx", "\u2066x\u2069", "a\u200bb", "a\u200db", "\ufeffx", "a\u00adb"),
    *("x\u0323\u0302", "Z\u0351\u0343", "\u0301", "a\u2060b", "a\u3000b", "\u3164", "①", "\ufb01"),
    *("😀", "\U0001f469\u200d\U0001f467", "𝔸", "𝒳", "漢字", "שלום", "مرحبا", "ไทย", "ŉ", "ĳ", "≠"),
    *("\x00", "a\x07", "\x1b[2J", "\x0c", "\x0b", "\x7f", "\x85", "\u2028", "\u2029", "\ud800"),
    *("\ue000", "\ufffe", "\U0010ffff", "\U000e0041", "x" * (LONGEST_TEXT + 1)),
)  # fmt: skip

PLAIN = "".join(
    char
    for char in (*map(chr, range(0x20, 0x180)), *PUNCTUATION, *MATH, *"가힣한글ㄱㅎ\u3164")
    if printable(char)
)
PIECES = st.sampled_from([*"\\{}$&#%_^~[]*()\"'`-,;:@|=/<> \n", *PRINTED[:60], "a", "한", "b c"])
FUZZED = st.one_of(
    st.text(PLAIN, min_size=1, max_size=60),
    st.lists(PIECES, min_size=1, max_size=12).map("".join),
    st.lists(PIECES, min_size=1, max_size=12).map("".join),
    st.text(min_size=1, max_size=20),
)


def fuzzed(count: int) -> list[str]:
    """``count`` strings of hypothesis's, the same ones each time."""
    found: list[str] = []

    @settings(
        max_examples=count,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(FUZZED)
    def collect(text: str) -> None:
        found.append(text)

    collect()
    return found


def squeezed(text: str) -> str:
    """Without what setting lines changes: white space, and which of two equal characters it is."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))


def text_of(pdf: Path) -> str:
    command = ["pdftotext", "-raw", "-nopgbrk", str(pdf), "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8")


def document(folder: Path, rows: list[list[object]]) -> Path:
    """The rows in tables of the paper's style, five to a page that is wide enough for them."""
    widths = {0: "200mm", 1: "200mm", 2: "200mm"}
    five = [rows[at : at + 5] for at in range(0, len(rows), 5)]
    columns = ["A", "B", "C", "D"]
    tables = [booktabs(table("x", "llll", columns, r, widths=widths), Printer()) for r in five]
    shutil.copy(REPORT / "cnnpaper.sty", folder)
    (folder / "paper.tex").write_text(
        "\\documentclass{article}\n\\usepackage{cnnpaper}\n"
        "\\geometry{paperwidth=700mm,textwidth=660mm,paperheight=1400mm,textheight=1360mm}\n"
        "\\pagestyle{empty}\n\\hyphenpenalty=10000\n\\begin{document}\n\\noindent\n"
        + "\n\n\\newpage\\noindent\n".join(tables)
        + "\n\\end{document}\n",
        "utf-8",
    )
    return folder


def rows_of(strings: list[str]) -> tuple[list[list[object]], list[str], dict[str, str]]:
    """Rows of the strings that are printed, the text of each, and why the others are refused."""
    rows: list[list[object]] = []
    expected: list[str] = []
    refused: dict[str, str] = {}
    ledger = Ledger()
    for number, text in enumerate(strings):
        try:
            short = ledger.add(f"k{number}", 0, text=f"{text[:19]}.", formula="typed", sources=[])
            rows.append([escape(text), breakable(text), short, f"§{number}§"])
            Printer()(short)
        except UserError as error:
            refused[text] = str(error)
            continue
        expected.append(squeezed(f"{text}{text}{text[:19]}.§{number}§"))
    return rows, expected, refused


def check_document(folder: Path, strings: list[str]) -> tuple[int, dict[str, str]]:
    """Set the strings, compare the whole text; returns how many were printed, and the refusals."""
    rows, expected, refused = rows_of(strings)
    done = typeset(document(folder, rows), 0)
    assert [warning for warning in done.warnings if "Overfull" not in warning] == []
    found = text_of(done.pdf)
    found = squeezed(re.sub(r"^A B C D$", "", found, flags=re.MULTILINE))
    for text in expected:  # the first that differs, in place of two texts of a megabyte
        assert found.startswith(text), (text[:300], found[:300])
        found = found[len(text) :]
    assert found == ""
    return len(rows), refused


def check_refusals(refused: dict[str, str]) -> None:
    """Each refusal names a character that stands in the string and that no face has."""
    for text, message in refused.items():
        code = re.match(r"the paper cannot print U\+([0-9A-F]{4,6}) \((.+)\) in ", message)
        if code is None:
            assert len(text) > LONGEST_TEXT
            assert f"a text of {len(text):,} characters" in message
            continue
        char = chr(int(code[1], 16))
        assert char in unicodedata.normalize("NFC", text)
        assert not printable(char)
        assert code[2] == unicodedata.name(char, "unnamed control character")
        assert message.isprintable() or "\n" in message
        assert all(line.isprintable() for line in message.splitlines())


@pytest.mark.tex
def test_hostile_strings_are_printed_or_refused(tmp_path: Path) -> None:
    printed, refused = check_document(tmp_path, [*PRINTED, *REFUSED])
    assert printed == len(PRINTED)
    assert list(refused) == list(REFUSED)
    check_refusals(refused)


@pytest.mark.tex
@pytest.mark.parametrize("count", [150, pytest.param(1_000, marks=pytest.mark.soak)])
def test_fuzzed_strings_are_printed_or_refused(tmp_path: Path, count: int) -> None:
    strings = fuzzed(count)
    assert len(strings) == count
    printed, refused = check_document(tmp_path, strings)
    assert printed > count / 2
    check_refusals(refused)
