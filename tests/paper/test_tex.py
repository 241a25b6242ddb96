"""Text to TeX: nothing is printed by accident, nothing that is read changes the document."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnpaper.errors import UserError
from cnnpaper.paper.ledger import Cite, Ledger, Source, sentence
from cnnpaper.paper.tex import (
    MATH,
    PUNCTUATION,
    SPECIAL,
    Printer,
    Tex,
    breakable,
    environment,
    escape,
    printable,
    prose,
    render,
)

REPORT = Path(__file__).parents[2] / "report"


@pytest.mark.parametrize(
    "text,tex",
    [
        ("50 % & #1_2", r"50 \% \& \#1\_2"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("^^5c", r"\textasciicircum{}\textasciicircum{}5c"),
        ("$x$ ~", r"\$x\$ \textasciitilde{}"),
        ("a\n\n b\t c", "a b c"),  # no paragraph can be begun
        ("대표 --- 'x'", "대표 --- 'x'"),
        ("7\u00a0%", r"7~\%"),
        ("p ≤ σ", r"p \ensuremath{\leq} \ensuremath{\sigma}"),
        ("e\u0301", "é"),  # composed
        ("\u1112\u1161\u11ab", "한"),  # letters of Hangul composed to a syllable
        ("[1pt] x]", "{}[1pt] x]"),  # no option of the command before it
        (" [x", "{} [x"),
        ("*", "{}*"),
        ("x" * 40, "x" * 40),
        ("x" * 41, "x" * 20 + r"\allowbreak{}" + "x" * 20 + r"\allowbreak{}" + "x"),
    ],
)
def test_escape(text: str, tex: str) -> None:
    assert escape(text) == tex


@pytest.mark.parametrize(
    "text,name",
    [
        ("a\x00b", "U+0000"),
        ("a\x1bb", "U+001B"),
        ("a\u202eb", "RIGHT-TO-LEFT OVERRIDE"),
        ("a\u200bb", "ZERO WIDTH SPACE"),
        ("x\u0323\u0302\u0304", "COMBINING"),
        ("שלום", "HEBREW LETTER SHIN"),
        ("😀", "GRINNING FACE"),
        ("𝔸", "MATHEMATICAL DOUBLE-STRUCK CAPITAL A"),
        ("漢", "CJK UNIFIED IDEOGRAPH-6F22"),
        ("a\u00adb", "SOFT HYPHEN"),
        ("\ud800", "U+D800"),
        ("\u3164", "HANGUL FILLER"),
        ("a ≠ b", "NOT EQUAL TO"),
        ("\ue000", "U+E000"),
    ],
)
def test_what_cannot_be_printed_is_refused_by_name(text: str, name: str) -> None:
    with pytest.raises(UserError, match=re.escape(name)):
        escape(text)


@given(st.text())
@settings(max_examples=1000)
def test_any_string_is_escaped_or_refused(text: str) -> None:
    """No character of TeX's is left active: each ``\\`` begins one of our own commands."""
    try:
        tex = escape(text)
    except UserError:
        return
    rest = str(tex).removeprefix("{}").replace(r"\allowbreak{}", "")
    for char, replacement in sorted(SPECIAL.items(), key=lambda pair: -len(pair[1])):
        if char not in "\u00a0\u2009\u202f":
            rest = rest.replace(replacement, "")
    rest = re.sub(r"\\ensuremath\{\\[a-z]+\}|\\,|~", "", rest)
    assert not set(rest) & set("\\{}$&#%_^\n")


def test_a_text_that_is_too_long_is_refused() -> None:
    assert escape("가나다 " * 2_500)
    with pytest.raises(UserError, match="cannot print a text of 10,001 characters: 'xxx"):
        escape("x" * 10_001)


def test_every_printable_character_has_a_glyph() -> None:
    """In Latin Modern or Nanum, as the fonts themselves say."""
    from fontTools.ttLib import TTFont

    from cnnpaper.paper.style import find_face

    latin = [
        set(TTFont(find_face(f"{name}.otf")).getBestCmap())
        for name in ("lmroman10-regular", "lmsans10-regular", "lmmono10-regular", "lmroman10-bold")
    ]
    korean = [
        set(TTFont(find_face(f"{name}.ttf")).getBestCmap())
        for name in ("NanumMyeongjo", "NanumGothic")
    ]
    spaces = {" ", "\u00a0", "\u2009", "\u202f"}
    for code in [*range(0x20, 0x180), *range(0x3131, 0x318F), *range(0xAC00, 0xD7A4),
                 *map(ord, PUNCTUATION)]:  # fmt: skip
        char = chr(code)
        if not printable(char) or char in MATH or char in spaces:
            continue
        faces = korean if code >= 0x3001 else latin
        assert all(code in face for face in faces), f"U+{code:04X} {char}"


@pytest.mark.parametrize(
    "text,printed",
    [
        ("the network's", "the network’s"),
        ('a "word" (and "two")', "a “word” (and “two”)"),
        ("one -- two", "one – two"),
    ],
)
def test_prose_has_typographic_quotes(text: str, printed: str) -> None:
    assert prose(text) == printed


def test_a_path_may_break_after_punctuation() -> None:
    assert breakable("a_b/c", plain=True) == r"a\_\allowbreak{}b/\allowbreak{}c"
    assert breakable("e\u0301/x", plain=True) == r"é/\allowbreak{}x"  # as macOS writes names


def test_a_long_name_without_punctuation_may_break() -> None:
    broken = "x" * 20 + r"\allowbreak{}"
    assert breakable("x" * 45, plain=True) == broken * 2 + "x" * 5


def test_a_digest_may_break_between_eight_digits() -> None:
    assert breakable("0123456789abcdef") == (r"\code{01234567\allowbreak{}89abcdef\allowbreak{}}")


# ------------------------------------------------------------------------------- templates


def value(ledger: Ledger, key: str = "a.b", text: str = "77.61") -> object:
    source = Source(file="results/log/x/a-s0/run.jsonl", line=3, digest="0" * 64)
    return ledger.add(key, 0.7761, text=text, formula="as recorded", sources=[source])


def rendered(
    tmp_path: Path, template: str, printer: Printer | None = None, **context: object
) -> str:
    (tmp_path / "t.tex.j2").write_text(template, "utf-8")
    return render(environment(tmp_path, printer or Printer()), "t.tex.j2", context)


def test_a_value_is_a_link_and_is_noted(tmp_path: Path) -> None:
    printer = Printer()
    out = rendered(tmp_path, r"\VAR{v}~\%", printer, v=value(Ledger()))
    assert out == r"\ledger{a.b}{77.61}~\%"
    assert list(printer.printed) == ["a.b"]


def test_a_value_of_a_stale_run_is_marked(tmp_path: Path) -> None:
    printer = Printer(frozenset({"results/log/x/a-s0/run.jsonl"}))
    assert rendered(tmp_path, r"\VAR{v}", printer, v=value(Ledger())).endswith(r"\stalemark{}")


def test_a_long_value_is_no_link_that_could_break(tmp_path: Path) -> None:
    long = value(Ledger(), text="a long name of a machine with threads")
    assert rendered(tmp_path, r"\VAR{v}", v=long).startswith(r"\ledgerplain{a.b}")


def test_sentences_print_their_parts(tmp_path: Path) -> None:
    said = sentence("A & {v} {c}", v=value(Ledger()), c=Cite("he2016deep"))  # type: ignore[arg-type]
    assert rendered(tmp_path, r"\VAR{s}", s=said) == r"A \& \ledger{a.b}{77.61} \citep{he2016deep}"


def test_tex_is_printed_as_it_is(tmp_path: Path) -> None:
    assert rendered(tmp_path, r"\VAR{t}", t=Tex(r"\alpha")) == r"\alpha"


@pytest.mark.parametrize("number", [1, 0.5, 3.0, True, 10**30, float("nan")])
def test_a_bare_number_names_template_and_line(tmp_path: Path, number: object) -> None:
    with pytest.raises(UserError, match=r"report/t\.tex\.j2:3: .* is a bare \w+"):
        rendered(tmp_path, "a\n\n" + r"\VAR{n} \VAR{x}", n=number, x="")


@pytest.mark.parametrize(
    "template,message",
    [
        (r"\VAR{1.5}", r":1: 1\.5 is a bare float"),
        (r"\VAR{2 + 3}", r":1: 5 is a bare int"),
        ("\n" + r"\VAR{nobody}", r":2: 'nobody' is undefined"),
        (r"\VAR{v.nothing}", r"has no attribute 'nothing'"),
        ("a\n" + r"\VAR{v | round}", r"t\.tex\.j2:2: No filter named 'round'"),
        ("%% for x in y\n", r"t\.tex\.j2:\d: Unexpected end of template"),
        (r"\BLOCK{include 'gone.tex.j2'}", r"gone\.tex\.j2: the template is missing"),
        (r"\VAR{none}", r"None is a bare NoneType"),
    ],
)
def test_a_mistake_names_template_and_line(tmp_path: Path, template: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        rendered(tmp_path, template, v=value(Ledger()))


def test_a_string_of_a_log_cannot_begin_a_template(tmp_path: Path) -> None:
    out = rendered(tmp_path, r"\VAR{s}", s=r"\VAR{secret} \BLOCK{x} %% for")
    assert "VAR\\{secret\\}" in out


def test_no_command_swallows_what_a_value_begins_with() -> None:
    r"""``\large\VAR{x}`` would become ``\large한글``, one command to XeTeX."""
    for template in sorted(REPORT.glob("*.j2")):
        found = re.search(r"\\[A-Za-z]+\\VAR\{", template.read_text("utf-8"))
        assert found is None, f"{template.name}: {found and found[0]}"
