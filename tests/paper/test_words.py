"""Sentences from words.toml: places, lists, Korean particles, no typed number."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnpaper.files import UserError
from cnnpaper.paper.ledger import Ledger
from cnnpaper.paper.words import Words, particle
from tests.paper.invent import HERE

WORDS = """
language = "ko"
[join]
comma = ", "
and = " and "
and_last = ", and "
[sentence]
greet = "{name_topic} {count}개를 {other_and} 나눈다."
"""


def words(tmp_path: Path, text: str = WORDS) -> Words:
    path = tmp_path / "words.toml"
    path.write_text(text, "utf-8")
    return Words(path, {"ResNet-18": "레즈넷 십팔", "VGG-16": "브이지지 십육"})


@pytest.mark.parametrize(
    "reading,kind,expected",
    [
        ("레즈넷 십팔", "topic", "은"),
        ("브이지지 십육", "topic", "은"),
        ("구글", "by", "로"),  # after ㄹ as after a vowel
        ("구글넷", "by", "으로"),
        ("모델", "subject", "이"),
        ("나무", "object", "를"),
        ("3", "topic", "은"),  # 삼
        ("4", "topic", "는"),  # 사
        ("7", "by", "로"),  # 칠
        ("SGD", "and", "와"),  # 디
        ("L", "subject", "이"),  # 엘
        ("77.61%", "topic", "는"),  # 퍼센트
        ("알렉스넷(변형)", "topic", "은"),
        ("", "topic", "은(는)"),
        ("?", "object", "을(를)"),
    ],
)
def test_particles(reading: str, kind: str, expected: str) -> None:
    assert particle(reading, kind) == expected


def test_places_and_particles_in_a_sentence(tmp_path: Path) -> None:
    count = Ledger().number("n", 3, formula="f", sources=[])
    said = words(tmp_path).say("greet", name="ResNet-18", count=count, other="VGG-16")
    assert str(said) == "ResNet-18은 3개를 VGG-16과 나눈다."
    assert count in said.parts


def test_a_place_that_is_not_filled_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"words\.toml: sentence\.greet: there is no \{count\}"):
        words(tmp_path).say("greet", name="a")


def test_lists(tmp_path: Path) -> None:
    found = words(tmp_path)
    texts = [str(found.listing(items)) for items in (["a"], ["a", "b"], ["a", "b", "c"], [])]
    assert texts == ["a", "a and b", "a, b, and c", ""]


def test_a_typed_number_in_the_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sentence\.x = .*a number is typed"):
        words(tmp_path, WORDS + 'x = "all 5 seeds"\n')


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_words_of_the_paper_are_in_order(language: str) -> None:
    assert Words(HERE / "report" / language / "words.toml").language == language
