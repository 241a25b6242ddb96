"""The plain loop: its recipe, its runs, and the comparison of speed."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from cnnpaper import comparison, records, timings  # noqa: E402
from cnnpaper.config import DataSpec, RunSpec  # noqa: E402
from cnnpaper.errors import Interrupted, UserError  # noqa: E402
from cnnpaper.learn import augment, data, measure, models, peer, speed  # noqa: E402
from cnnpaper.learn.data import DataSet  # noqa: E402
from cnnpaper.learn.timing import at_full_resolution  # noqa: E402
from cnnpaper.learn.train import Training  # noqa: E402
from tests.learn import tiny  # noqa: E402

pytestmark = pytest.mark.train
TIMES = {"train_s", "train_cpu_s", "eval_s", "other_cpu_s", "probe_gflops", "total_s"}


@pytest.fixture
def spec(make_spec: Callable[..., RunSpec]) -> RunSpec:
    """Of the tiny network: 160 images are two steps of 128 and 32."""
    values = {"initialisation": "pytorch", "variant": "rate0.1", "recipe": peer.recipe(0.1)}
    return make_spec(epochs=3).model_copy(update=values)


@pytest.fixture(autouse=True)
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The speed of the machine is not what is tried here."""
    monkeypatch.setattr(measure, "PROBE_SIDE", 64)
    monkeypatch.setattr(speed, "SGEMM_SIDE", 256)


def nothing() -> None:
    """No signal came."""


# ------------------------------------------------------------------------------- the recipe


def test_the_rate_falls_along_a_cosine_to_zero(spec: RunSpec, images: DataSet) -> None:
    loop = peer.PlainLoop(spec, images)
    x, y = torch.zeros(2, 3, 32, 32), torch.zeros(2, dtype=torch.int64)
    rates = []
    for _ in range(6):
        rates.append(loop.optimizer.param_groups[0]["lr"])
        loop.step(x, y)
    assert rates == pytest.approx([0.05 * (1 + math.cos(math.pi * t / 6)) for t in range(6)])
    assert loop.optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)


def test_a_step_is_that_of_the_published_recipe(spec: RunSpec, images: DataSet) -> None:
    """v ← 0.9 v + g + 5e-4 w for every parameter, biases and batch norm too; w ← w - rate v."""
    loop = peer.PlainLoop(spec, images)
    twin = models.build("tiny", "pytorch", 0.01)
    twin.load_state_dict(loop.net.state_dict())
    velocity = [torch.zeros_like(w) for w in twin.parameters()]
    x, y = next(loop.batches(0))
    for rate in (0.1, 0.05 * (1 + math.cos(math.pi / 6))):
        for net in (twin, loop.net):
            net[8].p = 0.0  # no dropout
        torch.nn.functional.cross_entropy(twin(x), y).backward()
        with torch.no_grad():
            for v, w in zip(velocity, twin.parameters(), strict=True):
                assert w.grad is not None
                v.mul_(0.9).add_(w.grad + 5e-4 * w)
                w.sub_(rate * v)
                w.grad = None
        loop.step(x, y)
    for ours, expected in zip(loop.net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, expected)


def test_images_are_standardised_and_in_pytorchs_order(spec: RunSpec, images: DataSet) -> None:
    loop = peer.PlainLoop(spec, images)
    x, _ = next(iter(loop.validation))
    expected = images.validation.pixels[:100] / 255
    mean, std = (np.array(v)[:, None, None] for v in (augment.MEAN, augment.STD))
    np.testing.assert_allclose(x.numpy(), (expected - mean) / std, rtol=0, atol=1e-5)
    assert x.is_contiguous()
    assert all(w.is_contiguous() for w in loop.net.parameters())


def test_each_image_comes_once_cropped_from_zeros(spec: RunSpec, images: DataSet) -> None:
    """Every image of an epoch is a window of a training image padded by four black pixels."""
    loop = peer.PlainLoop(spec, images)
    batches = list(loop.batches(0))
    assert [len(y) for _, y in batches] == [128, 32]
    mean, std = (torch.tensor(v)[:, None, None] for v in (augment.MEAN, augment.STD))
    padded = np.pad(images.train.pixels, ((0, 0), (0, 0), (4, 4), (4, 4)))
    windows = {
        side[:, row : row + 32, column : column + 32].tobytes(): number
        for number, image in enumerate(padded)
        for side in (image, image[:, :, ::-1])
        for row in range(9)
        for column in range(9)
    }
    found = []
    for x, y in batches:
        for image, label in zip(x, y, strict=True):
            pixels = ((image * std + mean) * 255).round().to(torch.uint8).numpy()
            found.append(windows[pixels.tobytes()])
            assert images.train.labels[found[-1]] == label
    assert sorted(found) == list(range(160))
    assert found != sorted(found)


def test_an_epoch_is_drawn_from_its_number(spec: RunSpec, images: DataSet) -> None:
    loop = peer.PlainLoop(spec, images)
    first, again, other = (next(loop.batches(epoch)) for epoch in (0, 0, 1))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_the_specs_are_the_studys_but_for_the_recipe() -> None:
    root = Path(__file__).parents[2]
    from cnnpaper import config

    study = config.load_study(root, "reference")
    ours = config.run_spec(root, study, "alexnet", 0)
    both = peer.specs(root, study, "alexnet", 7)
    assert [spec.run for spec in both] == ["alexnet-rate0.1-s0", "alexnet-rate0.01-s0"]
    assert [spec.recipe.peak_learning_rate for spec in both] == [0.1, 0.01]
    same = {"data", "threads", "isa_cap", "seed", "builder", "model"}
    assert all(spec.model_dump(include=same) == ours.model_dump(include=same) for spec in both)
    assert {spec.epochs for spec in both} == {7}
    assert {spec.initialisation for spec in both} == {"pytorch"}
    assert [spec.run for spec in peer.specs(root, study, "resnet18", 3)] == ["resnet18-rate0.1-s0"]


# ------------------------------------------------------------------------------- runs


@pytest.fixture
def place(root: Path) -> Path:
    tiny.add_to(root, epochs=3)
    return root


def content(folder: Path) -> tuple[list[dict[str, Any]], bytes]:
    """The epochs and the result without times; which images were right."""
    run = records.read_run(folder / "run.jsonl")
    assert run.result is not None
    lines = [*run.epochs, run.result]
    kept = [line.model_dump(exclude=TIMES | {"peak_memory", "digest"}) for line in lines]
    return kept, (folder / comparison.RIGHT_NAME).read_bytes()


def run_of(root: Path, spec: RunSpec, images: DataSet, tick: Callable[[], None]) -> Path:
    """Begin or go on with the run; ``tick`` may stop it."""
    run = peer.PeerRun(root, spec, lambda _: None)
    assert not run.finished()
    run.begin_or_resume(images)
    run.finish(tick)
    return run.folder


class Stop(Exception):
    """In place of a kill."""


@pytest.mark.parametrize("batches", [0, 4, 7], ids=lambda n: f"after {n} batches")
def test_a_run_that_was_stopped_ends_as_it_would_have(
    place: Path, spec: RunSpec, images: DataSet, batches: int
) -> None:
    """An epoch has three batches: two steps and one of validation."""
    whole = content(run_of(place, spec, images, nothing))
    for path in (place / "results" / "log" / "small" / spec.run).iterdir():
        path.unlink()
    left = batches

    def tick() -> None:
        nonlocal left
        if not left:
            raise Stop
        left -= 1

    with pytest.raises(Stop):
        run_of(place, spec, images, tick)
    assert content(run_of(place, spec, images, nothing)) == whole
    right = np.load(place / "results" / "log" / "small" / spec.run / comparison.RIGHT_NAME)
    assert right.mean() == max(line["val_acc"] for line in whole[0][:-1])


def test_a_run_that_was_begun_on_another_processor_is_not_gone_on_with(
    place: Path, spec: RunSpec, images: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 4  # batches: one epoch and a step of the next

    def tick() -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Stop

    with pytest.raises(Stop):
        run_of(place, spec, images, tick)
    path = place / "results" / "log" / "small" / spec.run / "run.jsonl"
    before = path.read_bytes()
    monkeypatch.setattr(peer.measure, "_cpuinfo", lambda: {"cpu family": "12345"})
    with pytest.raises(UserError, match=r"begun elsewhere: cpu_family .* -> 12345"):
        run_of(place, spec, images, nothing)
    assert path.read_bytes() == before


def test_killed_between_checkpoint_and_log(
    place: Path, spec: RunSpec, images: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = content(run_of(place, spec, images, nothing))
    for path in (place / "results" / "log" / "small" / spec.run).iterdir():
        path.unlink()
    append, epochs = records.LogWriter.append, []

    def killed(self: records.LogWriter, line: records.Line) -> None:
        if isinstance(line, records.Epoch):
            epochs.append(line)
            if len(epochs) == 2:
                raise Stop
        append(self, line)

    with monkeypatch.context() as patch:
        patch.setattr(records.LogWriter, "append", killed)
        with pytest.raises(Stop):
            run_of(place, spec, images, nothing)
    assert content(run_of(place, spec, images, nothing)) == whole


def test_a_finished_run_of_another_recipe_is_refused(
    place: Path, spec: RunSpec, images: DataSet
) -> None:
    run_of(place, spec, images, nothing)
    assert peer.PeerRun(place, spec, lambda _: None).finished()
    longer = spec.model_copy(update={"epochs": 4})
    with pytest.raises(UserError, match=r"epochs.*3 -> 4\nremove this folder"):
        peer.PeerRun(place, longer, lambda _: None).finished()


def test_a_run_that_diverges_says_so_and_ends(place: Path, spec: RunSpec, images: DataSet) -> None:
    wild = spec.model_copy(update={"recipe": peer.recipe(1e30)})
    folder = run_of(place, wild, images, nothing)
    run = records.read_run(folder / "run.jsonl")
    assert run.result is not None
    assert run.result.status == "diverged"
    assert len(run.epochs) < 3 or run.epochs[-1].val_loss is None
    assert run.epochs[-1].nonfinite


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_between_two_batches(spec: RunSpec, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with peer._stoppable(spec) as tick:
        tick()
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted) as caught:
            tick()
    assert caught.value.signal == number
    assert signal.getsignal(number) is before


# ------------------------------------------------------------------------------- speed


@pytest.fixture(scope="module")
def many() -> DataSet:
    """Seven batches of 128."""
    return data.synthetic(
        DataSpec(set="synthetic", train_images=900, validation_images=100, test_images=100)
    )


def test_only_the_steps_are_timed(spec: RunSpec, many: DataSet) -> None:
    """Warm-up and the start of the workers are not; every timed image is learnt."""
    loop = peer.PlainLoop(spec, many)
    seen: list[int] = []
    loop.net.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    speed._plain_s(loop, 0, steps=3, warmup=2)
    assert seen == [128] * 5


def test_the_profile_accounts_for_the_step(place: Path, spec: RunSpec, many: DataSet) -> None:
    training = Training(at_full_resolution(spec), many, torch.device("cpu"))
    line = speed.profile_step(place, spec, training)
    assert {"convolution, forward", "convolution, backward", "data", "optimizer"} <= set(
        line.seconds
    )
    named = [kind for kind, _ in speed.KINDS]
    assert set(line.seconds) <= {*named, "data", "optimizer", speed.OTHER}
    assert all(seconds > 0 for seconds in line.seconds.values())


class Event:
    """What :func:`speed.kind_of` reads of an event of the profiler."""

    def __init__(self, *names: str) -> None:
        self.name = names[0]
        self.cpu_parent = Event(*names[1:]) if names[1:] else None


EVENTS = {
    ("aten::copy_", "aten::mkldnn_convolution", "section forward"): "convolution, forward",
    (
        "aten::convolution_backward",
        "ConvolutionBackward0",
        "section backward",
    ): "convolution, backward",
    ("aten::native_batch_norm", "section forward"): "batch norm, forward and backward",
    ("aten::empty", "NativeBatchNormBackward0", "section backward"): (
        "batch norm, forward and backward"
    ),
    ("aten::threshold_backward", "section backward"): "ReLU, forward and backward",
    ("aten::max_pool2d_with_indices", "section forward"): "pooling, forward and backward",
    ("aten::addmm", "aten::linear", "section forward"): "linear layers, forward and backward",
    ("aten::_log_softmax", "section backward"): "loss",
    ("aten::index", "section data"): "data",
    ("aten::_foreach_add_", "Optimizer.step#SGD.step", "section optimizer"): "optimizer",
    ("aten::add_", "section backward"): speed.OTHER,
    ("aten::mm", "outside"): None,
}


@pytest.mark.parametrize("names, kind", EVENTS.items(), ids=lambda value: str(value)[:40])
def test_kinds_of_operators(names: tuple[str, ...], kind: str | None) -> None:
    assert speed.kind_of(Event(*names)) == kind  # type: ignore[arg-type]


# ------------------------------------------------------------------------------- the command


def test_the_command_does_all_of_it(
    root: Path, cnnpaper: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(models.BUILDERS, "tiny", tiny.build)
    tiny.add_to(root, epochs=2, images=900)
    monkeypatch.setenv("PYTHONPATH", str(root))  # the builder of our loop's process is the copy's
    assert cnnpaper("train", "--model", "tiny", "--study", "small", "--gpus", "cpu").code == 0
    command = ("peer", "--study", "small", "--models", "tiny", "--pairs", "2", "--steps", "2")
    answer = cnnpaper(*command)
    assert answer.code == 0, answer.err
    folder = root / "results" / "log" / "peer-small"
    run = records.read_run(folder / "tiny-rate0.1-s0" / "run.jsonl")
    assert len(run.epochs) == 2
    assert run.result is not None
    assert run.result.test_acc is None
    assert not list(folder.glob("*/checkpoint-*"))
    text = (root / "build" / "bench-peer.md").read_text()
    assert "(paired)" in text
    assert "times as fast" in text
    assert text in answer.out
    ((found, (_, line)),) = timings.read(folder / "speed.jsonl").items()
    assert found == ("speed", "tiny")
    assert isinstance(line, timings.Speed)
    assert len(line.ours) == len(line.plain) == len(line.sgemm_gflops) == 2
    assert (line.steps, line.batch_size, line.resolution) == (2, 128, 32)
    # by hand: 8·3·9 products at 16 x 16 places, 16·8·9 at 8 x 8, and 16·10
    assert line.macs == 216 * 256 + 1152 * 64 + 160
    assert not multiprocessing.active_children()

    log = run.path.read_bytes()
    again = cnnpaper(*command[:-4], "--pairs", "0")
    assert again.code == 0, again.err
    assert "peer-small/tiny-rate0.1-s0 is finished" in again.out
    assert run.path.read_bytes() == log

    too_many = cnnpaper(*command[:-1], "5")
    assert too_many.code == 2
    assert "900 images give 4 steps of 128 to time" in too_many.err


def test_ours_without_its_weights_is_compared_unpaired(
    root: Path, cnnpaper: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(models.BUILDERS, "tiny", tiny.build)
    tiny.add_to(root, epochs=1, images=160)
    assert cnnpaper("train", "--model", "tiny", "--study", "small", "--gpus", "cpu").code == 0
    for path in (root / "results" / "log" / "small" / "tiny-s0").glob("checkpoint-*"):
        path.unlink()
    answer = cnnpaper("peer", "--study", "small", "--models", "tiny", "--pairs", "0")
    assert answer.code == 0, answer.err
    assert "its weights are not here" in answer.out
    assert "(unpaired)" in answer.out


def test_our_process_that_ends_is_no_traceback(place: Path, spec: RunSpec) -> None:
    """There is no such network in the process's own repository."""
    with (
        speed.OurProcess(place, spec.model_copy(update={"model": "nothing"}), place) as ours,
        pytest.raises(UserError, match="the process of our loop ended"),
    ):
        ours.seconds(1)


def test_a_network_that_the_study_has_not(root: Path, cnnpaper: Callable[..., Any]) -> None:
    answer = cnnpaper("peer", "--study", "smoke", "--models", "resnet50")
    assert answer.code == 2
    assert "is not about 'resnet50'" in answer.err


def test_dropout_is_in_the_tiny_network() -> None:
    """The test of a step switches it off by its place."""
    assert isinstance(tiny.build()[8], nn.Dropout)  # type: ignore[index]
