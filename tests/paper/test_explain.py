"""A printed number, traced to its lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from cnnpaper.files import UserError
from cnnpaper.paper.explain import explanation


def test_a_key_or_a_text_leads_to_its_lines(compose: Callable[..., Any]) -> None:
    _, document = compose(spread=0.0)
    text = explanation(document, "equal.vgg16.test_acc")
    assert text.splitlines()[:4] == [
        "equal.vgg16.test_acc",
        "  printed   78.00",
        "  exact     0.78 (fraction)",
        "  computed  mean over seeds of test_acc",
    ]
    assert "results/log/reference/equal/vgg16-s0/run.jsonl:8" in text
    every = explanation(document, "78.00%")
    assert "short.vgg16.test_acc" in every
    assert "also printed as 78.00%" in every
    setting = explanation(document, "recipe.weight_decay")
    assert re.search(r"experiments/recipe\.toml:\d+ ", setting)
    assert "weight_decay = 5e-4" in setting
    with pytest.raises(UserError, match=r"nearest keys: .*short\.vgg16\.test_acc"):
        explanation(document, "short.vgg16.test_ac")
