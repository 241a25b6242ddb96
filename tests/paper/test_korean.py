"""The Korean edition says what the English one says, and all of it in Korean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from lxml import html as lxml_html

from cnnpaper import config
from cnnpaper.config import read_toml
from cnnpaper.paper import Edition
from cnnpaper.paper.compose import Document
from cnnpaper.paper.html import kept_together
from cnnpaper.paper.words import PARTICLES, particle
from tests import fabricate, textlogs
from tests.paper import invent
from tests.paper.conftest import ARMS

SHAPES: dict[str, dict[str, Any]] = {
    "whole": {"arms": ARMS},
    "nothing yet": {"arms": ARMS, "finished": 0},
    "a part, some diverged": {"arms": ARMS, "finished": 30, "diverged": frozenset({1, 5, 6})},
    "one seed, synthetic": {"arms": {"": (3, 1)}, "contrast": False, "extras": False,
                            "data": "synthetic"},
    "eight networks": {"models": dict.fromkeys(config.known_models(invent.HERE), ""),
                       "arms": {"": (25, 5)}, "contrast": False, "extras": False,
                       "data": "original", "name": "full"},
}  # fmt: skip
READ = {"MAC": "맥", "XeTeX": "제텍"}
"""Abbreviations that are read as words."""


def composed(data: Any, found: Any, edition: Any, draw: bool = False) -> Document:
    return Document(data, found, edition, draw=draw)


@pytest.fixture(params=[*SHAPES, "imported"])
def editions(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Document]:
    if request.param == "imported":
        fabricate.repository(tmp_path)
        data, found = textlogs.study(tmp_path, 2)
    else:
        data, found = invent.study(tmp_path, invent.Shape(**SHAPES[request.param]))
    return {edition: composed(data, found, edition) for edition in get_args(Edition)}


def test_all_editions_have_the_same_keys_numbers_and_claims(editions: dict[str, Document]) -> None:
    english = editions["en"]
    for name, other in editions.items():
        assert kinds(other) == kinds(english), name
        assert set(other.ledger) == set(english.ledger), name
        exact = {key: value.exact for key, value in other.printed.items()}
        assert exact == {key: value.exact for key, value in english.printed.items()}, name
    texts = {e: {k: v.text for k, v in made.printed.items()} for e, made in editions.items()}
    assert (texts["en"], texts["ko"]) == (texts["html"], texts["ko.html"])


def kinds(document: Document) -> list[str]:
    return [kind for kind, _, _ in document.claims.record]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    data, found = invent.study(tmp_path_factory.mktemp("ko"), invent.Shape(arms=ARMS))
    return composed(data, found, "ko.html", draw=True).files["paper.html"]


def korean(page: str) -> Iterator[str]:
    """Every text and description of the page outside of the English abstract, references, code."""
    tree = lxml_html.fromstring(page)
    for part in tree.xpath("//style | //pre | //code | //*[@lang='en'] | //*[@class='references']"):
        part.drop_tree()
    for part in tree.iter("math"):
        part.clear(keep_tail=True)
        part.text = "∎"
    blocks = ("p", "li", "h1", "h2", "h3", "caption", "figcaption", "th", "td", "title", "desc")
    for part in tree.iter(*blocks):
        yield part.text_content().replace("\N{WORD JOINER}", "").replace("\xa0", " ")
    yield from tree.xpath("//@title | //@aria-label")


def test_no_english_is_left(page: str) -> None:
    found = [m for text in korean(page) for m in re.findall(r"[a-z]{2,}(?: [a-z]{2,}){3,}", text)]
    assert found == []
    text = " ".join(korean(page))
    for word in ("Table", "Figure", "Section", "seeds", "counted", "mean", "recorded"):
        assert not re.search(rf"\b{word}\b", text), word
    titles = set(lxml_html.fromstring(page).xpath("//a[@class='v']/@title"))
    assert len(titles) > 30
    assert [title for title in titles if not re.search("[가-힣]", title)] == []


def test_every_particle_follows_its_reading(page: str) -> None:
    """Those that were typed as well as those that were chosen."""
    networks = [config.load_experiment(invent.HERE, m) for m in config.known_models(invent.HERE)]
    readings = READ | {network.name: network.korean for network in networks}
    pairs = {form: kind for kind, forms in PARTICLES.items() if kind not in ("is", "was")
             for form in forms[:2]}  # fmt: skip
    pattern = re.compile(
        r"([\w.%-]*[A-Za-z\d%])((?:\([^()]*\))?)(으로|[은는이가을를과와로])(?![가-힣])"
    )
    found = [
        match for text in korean(page) for match in pattern.finditer(re.sub(" ?, ?", ", ", text))
    ]
    assert len(found) > 40
    for match in found:
        word, _, form = match.groups()
        assert form == particle(readings.get(word, word), pairs[form]), match[0]

    text = " ".join(korean(page))
    assert not re.search(r"[은이을와]\([는가를과]\)|\(으\)로", text)
    assert not re.search(r"\d %", text)
    assert not re.search(r" 및 |우리", text)


def test_large_counts_are_in_units_of_korean(tmp_path: Path) -> None:
    data, found = invent.study(tmp_path, invent.Shape(arms=ARMS))
    made = composed(data, found, "ko")  # AlexNet: 28,711,754 parameters, 201,912,320 operations
    rows = made.tables["networks"].rows
    assert [str(cell) for cell in rows[0][-2:]] == ["2,871", "2.02"]
    heads = [column.head for column in made.tables["networks"].columns[-2:]]
    assert heads == ["매개변수|(만 개)", "MAC|(억 회)"]


def test_the_words_of_both_languages_have_the_same_keys_and_places() -> None:
    english, own = (
        read_toml(invent.HERE / f"report/{language}/words.toml") for language in ("en", "ko")
    )
    for name, entries in english.items():
        assert name == "language" or set(entries) <= set(own[name]), name
    suffix = f"_(?:{'|'.join(PARTICLES)})$"
    for table in ("sentence", "figure"):
        for key, text in english[table].items():
            places = {re.sub(suffix, "", p) for p in re.findall(r"{(\w+)}", own[table][key])}
            assert places == set(re.findall(r"{(\w+)}", text)), key


def test_lines_of_html_break_at_spaces_only() -> None:
    text = '<p title="가(나">낮았다(차)로 <math>S</math>개 ResNet-18보다</p><a href="#x-1">a-1</a>'
    kept = (
        '<p title="가(나">낮았다|(차)|로 <math>S</math>|개 ResNet-|18보다</p><a href="#x-1">a-1</a>'
    )
    assert kept_together(text).replace("\N{WORD JOINER}", "|") == kept
