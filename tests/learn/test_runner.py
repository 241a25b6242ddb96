"""Devices by name."""

from __future__ import annotations

import pytest

from cnnpaper.errors import UserError
from cnnpaper.learn import runner

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    "given, expected",
    [
        ("auto", ["auto"]),
        ("cpu", ["cpu"]),
        ("0", ["0"]),
        ("0, 1", ["0", "1"]),
        ("cpu:0,cpu:1", ["cpu:0", "cpu:1"]),
    ],
)
def test_devices(given: str, expected: list[str]) -> None:
    assert runner.devices_of(given) == expected


@pytest.mark.parametrize("given", ["", "gpu", "0,0", "-1", "auto,0", "0;1", "cuda:0"])
def test_no_devices(given: str) -> None:
    with pytest.raises(UserError, match="--gpus"):
        runner.devices_of(given)


def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(UserError, match="there is no GPU 99"):
        runner.torch_device("99")


def test_the_cap_comes_before_torch(monkeypatch: pytest.MonkeyPatch, make_spec) -> None:
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    capped = make_spec().model_copy(update={"isa_cap": "avx2"})
    with pytest.raises(UserError, match="before torch"):
        runner.set_environment(capped)
