"""Sentences from words.toml: places, lists, Korean particles, no typed number."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnnpaper.files import UserError
from cnnpaper.paper.ledger import COUNT, Ledger
from cnnpaper.paper.words import PARTICLES, Words, particle

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


CASES = """
알렉스넷 은 이 을 과 으로 이다 이었다 | 브이지지 십육 은 이 을 과 으로 이다 이었다
레즈넷 십팔 은 이 을 과 로 이다 이었다 | 구글 은 이 을 과 로 이다 이었다
나무 는 가 를 와 로 다 였다 | 레즈넷 오십 은 이 을 과 으로 이다 이었다
0 은 이 을 과 으로 이다 이었다 | 1 은 이 을 과 로 이다 이었다
2 는 가 를 와 로 다 였다 | 3 은 이 을 과 으로 이다 이었다
4 는 가 를 와 로 다 였다 | 5 는 가 를 와 로 다 였다
6 은 이 을 과 으로 이다 이었다 | 7 은 이 을 과 로 이다 이었다
8 은 이 을 과 로 이다 이었다 | 9 는 가 를 와 로 다 였다
10 은 이 을 과 으로 이다 이었다 | 45,000 은 이 을 과 으로 이다 이었다
0.50 은 이 을 과 으로 이다 이었다 | 3.2 는 가 를 와 로 다 였다
77.61% 는 가 를 와 로 다 였다 | 1.05%p 는 가 를 와 로 다 였다
SGD 는 가 를 와 로 다 였다 | URL 은 이 을 과 로 이다 이었다
LM 은 이 을 과 으로 이다 이었다 | PNG 는 가 를 와 로 다 였다
ImageNet 은 이 을 과 으로 이다 이었다 | Huang 은 이 을 과 으로 이다 이었다
Google 은 이 을 과 로 이다 이었다 | Jordan(2024) 은 이 을 과 으로 이다 이었다
AMD EPYC (family 25, model 17)(실행 4개) 은 이 을 과 으로 이다 이었다 | AMD 는 가 를 와 로 다 였다
구글넷 0.79배(차이) 는 가 를 와 로 다 였다 | ‘단기’ 는 가 를 와 로 다 였다
"""
"""A reading, and what follows it: topic, subject, object, and, by, is, was."""


@pytest.mark.parametrize("case", re.split(r"[|\n]", CASES.strip()))
def test_particles(case: str) -> None:
    *reading, _, _, _, _, _, _, _ = case.split()
    forms = case.split()[len(reading) :]
    assert [particle(" ".join(reading), kind) for kind in PARTICLES] == forms


def test_what_cannot_be_read_takes_both_particles() -> None:
    assert [particle("", "topic"), particle("?", "object")] == ["은(는)", "을(를)"]


def test_places_and_particles_in_a_sentence(tmp_path: Path) -> None:
    count, say = Ledger().number("n", 3, COUNT, "f", []), words(tmp_path).say
    said = say("greet", name="ResNet-18", count=count, other="VGG-16")
    assert str(said) == "ResNet-18은 3개를 VGG-16과 나눈다."
    assert count in said.parts
    assert not say("greet", name="ResNet-18", count=None, other="VGG-16")  # nothing to say
    with pytest.raises(UserError, match=r"words\.toml: sentence\.greet: there is no \{count\}"):
        say("greet", name="a")


def test_lists(tmp_path: Path) -> None:
    found = words(tmp_path)
    texts = [str(found.listing(items)) for items in (["a"], ["a", "b"], ["a", "b", "c"], [])]
    assert texts == ["a", "a and b", "a, b, and c", ""]


def test_a_typed_number_in_the_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sentence\.x = .*a number is typed"):
        words(tmp_path, WORDS + 'x = "all 5 seeds"\n')
