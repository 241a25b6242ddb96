"""Templates: typed and bare numbers are refused with file and line; every text is escaped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnpaper.files import UserError
from cnnpaper.paper.html import HtmlFace
from cnnpaper.paper.ledger import PERCENT, Cite, Ledger, PValue, Sentence
from cnnpaper.paper.templates import Face, environment, render
from cnnpaper.paper.tex import TexFace

VALUE = Ledger().number("acc", 0.7761, PERCENT, "f", [])


def keys(cite: Cite) -> list[tuple[str, str]]:
    return [(key, key) for key in cite.keys]


def printed(tmp_path: Path, text: str, face: Face | None = None, **context: Any) -> str:
    face = face or TexFace(keys)
    folder = tmp_path / "report"
    (folder / "layout").mkdir(parents=True, exist_ok=True)
    (folder / "en").mkdir(exist_ok=True)
    macros = "[% macro em(text) %]<em>[[ text ]]</em>[% endmacro %]"
    (folder / "layout" / f"macros.{face.name}.j2").write_text(macros, "utf-8")
    (folder / "en" / "x.j2").write_text(text, "utf-8")
    env = environment(folder, face, {})
    return render(env, "en/x.j2", context)


def test_names_with_digits_are_allowed(tmp_path: Path) -> None:
    text = "CIFAR-10 of 2023 under CC BY 4.0 in bfloat16, [[ ref ]]"
    assert "CIFAR-10 of 2023" in printed(tmp_path, text, ref="he2016deep")


@pytest.mark.parametrize("thing", [3, 0.5, None, ["a"], {"a": 1}, True])
def test_a_bare_number_is_refused_with_its_line(tmp_path: Path, thing: Any) -> None:
    with pytest.raises(UserError, match=r"report/en/x\.j2:2: .* is no value of the ledger"):
        printed(tmp_path, "one\n[[ thing ]]", thing=thing)


@pytest.mark.parametrize(
    "text,said",
    [
        ("accuracy is 77.61 percent", "a number is typed here"),
        ("VGG-16 has layers", "a number is typed here"),
        ('[[ em("5 of 6") ]]', "a number is typed here"),
        ("CIFAR-100", "a number is typed here"),
        ("[[ thing ]]", "'thing' is undefined"),
        ('[[ "a" ~ "b" ]]', "'~' joins"),
    ],
)
def test_a_mistake_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=rf"report/en/x\.j2:2: {said}"):
        printed(tmp_path, f"first line\n{text}\n")


def test_values_are_links_in_both_faces(tmp_path: Path) -> None:
    assert printed(tmp_path, "[[ v ]]", v=VALUE) == r"\ledger{acc}{77.61}"
    small = Ledger().number("p", 0.0004, PValue(), "f", [])
    assert printed(tmp_path, "[[ v ]]", v=small) == r"\ledger{p}{< 0.001}"
    html = printed(tmp_path, "[[ v ]]", HtmlFace(keys), v=Sentence(("a ", VALUE)))
    assert html == 'a <a class="v" href="#v.acc" title="f">77.61</a>'


def test_prose_is_escaped_as_strings_are(tmp_path: Path) -> None:
    prose = r"50% & {x}_$ \input ~ <b>".replace("50", "")
    assert printed(tmp_path, prose) == printed(tmp_path, "[[ s ]]", s=prose)
    assert printed(tmp_path, "a < b & c", HtmlFace(keys)) == "a &lt; b &amp; c"


ANY = st.text(st.characters(blacklist_categories=("C",)), max_size=60)


@given(ANY)
def test_any_string_is_inert(text: str) -> None:
    assert not re.search(r"[<>\"']|&(?!\w+;|#x?\w+;)", str(HtmlFace(keys).escape(text)))
    source = str(TexFace(keys).escape(text))
    known = (
        r"\\(?:textbackslash|textascii(?:circum|tilde)|allowbreak)\{\}"
        r"|\\ensuremath\{\\[a-z]+\}|\\[{}$&#%_,]"
    )
    rest = re.sub(known, "", source.removeprefix("{}"))
    assert not re.search(r"[\\{}$&#%_^]", rest)


def test_control_characters_are_named() -> None:
    with pytest.raises(UserError, match=r"U\+202E \(RIGHT-TO-LEFT OVERRIDE\)"):
        TexFace(keys).escape("a\u202eb")
