"""Step times: real steps, cut into sections; their file; and the command line around them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from cnnpaper import timings  # noqa: E402
from cnnpaper.errors import UserError  # noqa: E402
from cnnpaper.learn import timing  # noqa: E402
from cnnpaper.learn.data import DataSet  # noqa: E402
from cnnpaper.learn.train import Listener, Training  # noqa: E402
from tests.learn import tiny  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture
def training(make_spec: Callable[..., object], images: DataSet) -> Training:
    """160 images in steps of 16: ten steps an epoch; the first of two epochs is at 24 pixels."""
    return Training(make_spec(), images, torch.device("cpu"))  # type: ignore[arg-type]


def test_sections_come_in_order_in_every_step(training: Training) -> None:
    ended: list[str] = []
    with timing.Sections(training, ended.append) as sections:
        timing.run_steps(training, 3, sections)
    assert ended == ["data", "forward", "backward", "optimizer", "other"] * 3
    timing.run_steps(training, 1, Listener())
    assert len(ended) == 15  # the hooks are gone


def test_an_update_that_overflow_left_out_has_its_sections(training: Training) -> None:
    ended: list[str] = []
    before = next(training.net.parameters()).detach().clone()
    training.scaler = torch.amp.GradScaler("cpu", init_scale=float("inf"), growth_interval=10**6)
    with timing.Sections(training, ended.append) as sections:
        timing.run_steps(training, 2, sections)
    assert torch.equal(next(training.net.parameters()), before)
    assert ended == ["data", "forward", "backward", "optimizer", "other"] * 2


def test_the_sections_are_those_that_work(training: Training) -> None:
    """The images are there when data ends, the gradients when backward ends, and so on."""
    seen: dict[str, list[bool]] = {name: [] for name in timings.SECTIONS}
    parameter = next(training.net.parameters())
    before = parameter.detach().clone()
    inputs: list[torch.Size] = []
    training.net[0].register_forward_pre_hook(  # type: ignore[index]
        lambda _, given: inputs.append(given[0].shape)
    )

    def ended(section: str) -> None:
        moved = not torch.equal(parameter.detach(), before)
        seen[section] = [len(inputs) == 1, parameter.grad is not None, moved]

    with timing.Sections(training, ended) as sections:
        timing.run_steps(training, 1, sections)
    assert seen == {
        "data": [False, False, False],
        "forward": [True, False, False],
        "backward": [True, True, False],
        "optimizer": [True, True, True],
        "other": [True, True, True],
    }
    assert inputs == [(16, 3, 32, 32)]


def test_steps_go_round_within_an_epoch_and_nothing_is_evaluated(training: Training) -> None:
    steps: list[int] = []

    class Note(Listener):
        def after_step(self, training: Training, loss: torch.Tensor) -> None:
            steps.append(training.at.step)

        def tick(self) -> None:
            raise AssertionError("evaluated")

    timing.run_steps(training, 4, Note())
    timing.run_steps(training, 8, Note())
    assert steps == [2, 3, 4, 5, 6, 7, 8, 9, 10, 2, 3, 4]
    assert training.at.epoch == 0


def test_an_epoch_of_one_step_is_refused(make_spec, images: DataSet) -> None:  # type: ignore[no-untyped-def]
    training = Training(make_spec(batch_size=160), images, torch.device("cpu"))
    with pytest.raises(UserError, match="epoch of one step"):
        timing.run_steps(training, 1, Listener())


def test_full_resolution_changes_nothing_else(make_spec) -> None:  # type: ignore[no-untyped-def]
    spec = make_spec(low_resolution_share=0.5)
    full = timing.at_full_resolution(spec)
    assert full.recipe.low_resolution_share == 0.0
    assert full.model_copy(update={"recipe": spec.recipe}) == spec
    assert full.recipe.batch_size == 16
    assert timing.at_full_resolution(spec, batch_size=128).recipe.batch_size == 128


def test_the_command_measures_each_network_in_its_own_process(
    root: Path,
    cnnpaper,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    tiny.add_to(root, epochs=2)
    monkeypatch.setenv("PYTHONPATH", str(root))  # the children's builder is the copy's
    answer = cnnpaper("timing", "--study", "small", "--gpus", "cpu", "--repetitions", "4")
    assert answer.code == 0, answer.err
    path = root / "results" / "log" / "small" / "timing.jsonl"
    (number, line), *others = timings.read(path).values()
    assert (number, others) == (1, [])
    assert isinstance(line, timings.Timing)
    assert (line.model, line.batch_size, line.resolution, line.warmup) == ("tiny", 16, 32, 3)
    assert all(len(seconds) == 4 for seconds in line.sections.values())
    assert all(seconds > 0 for section in line.sections.values() for seconds in section)
    assert len(line.probe_gflops) == 2
    # torch and 160 images; the process of this test, which has more in it, is not what is measured
    assert 2**26 < line.peak_memory < 2**31
    assert line.machine.threads == 1
    assert "tiny: " in answer.out
    assert "peak memory" in answer.out
    raw = json.loads(path.read_text())
    assert raw["kind"] == "timing"


def test_a_network_that_the_study_has_not(root: Path, cnnpaper) -> None:  # type: ignore[no-untyped-def]
    answer = cnnpaper("timing", "--study", "smoke", "--model", "resnet50")
    assert (answer.code, answer.err.count("\n")) == (2, 2)
    assert "is not about 'resnet50'" in answer.err


def test_one_device(root: Path, cnnpaper) -> None:  # type: ignore[no-untyped-def]
    answer = cnnpaper("timing", "--study", "smoke", "--gpus", "0,1")
    assert answer.code == 2
    assert "a measurement uses one device" in answer.err
