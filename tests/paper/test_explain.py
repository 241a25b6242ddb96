"""A printed number, traced to its lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from cnnpaper.files import UserError
from cnnpaper.paper.explain import explanation


def test_a_key_leads_to_its_lines(compose: Callable[..., Any]) -> None:
    _, document = compose(spread=0.0)
    text = explanation(document, "equal.vgg16.test_acc")
    assert text.splitlines()[:4] == [
        "equal.vgg16.test_acc",
        "  printed   78.00",
        "  exact     0.78 (fraction)",
        "  computed  mean over seeds of test_acc",
    ]
    assert "results/log/reference/equal/vgg16-s0/run.jsonl:8" in text


def test_a_text_leads_to_every_value_that_prints_it(compose: Callable[..., Any]) -> None:
    _, document = compose(spread=0.0)
    text = explanation(document, "78.00%")
    assert "short.vgg16.test_acc" in text
    assert "also printed as 78.00%" in text


def test_a_setting_leads_to_its_file(compose: Callable[..., Any]) -> None:
    _, document = compose()
    text = explanation(document, "recipe.weight_decay")
    assert re.search(r"experiments/recipe\.toml:\d+ ", text)
    assert "weight_decay = 5e-4" in text


def test_what_is_not_there_is_said_with_the_nearest(compose: Callable[..., Any]) -> None:
    _, document = compose()
    with pytest.raises(UserError, match=r"nearest keys: .*short\.vgg16\.test_acc"):
        explanation(document, "short.vgg16.test_ac")
