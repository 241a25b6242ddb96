"""One training: its state, its steps, its epochs, and how it is stopped and resumed.

Nothing random is kept between steps: order and augmentation are drawn from (seed, epoch), dropout
from (seed, epoch, step). So the state is weights, momentum and counters, and a training that was
stopped anywhere ends with the bits that it would have had.

There is no clock, no file and no log here: a :class:`Listener` is told what happened.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnpaper import metrics
from cnnpaper.config import Recipe, RunSpec
from cnnpaper.engine import augment, evaluate
from cnnpaper.engine.augment import key
from cnnpaper.engine.images import DataSet, Images
from cnnpaper.engine.initialise import build
from cnnpaper.engine.schedule import learning_rate

CHECK_EVERY = 50
"""Steps between looks at whether the loss is still finite; a look waits for a GPU."""


@dataclass(frozen=True, kw_only=True)
class EpochMetrics:
    """What came out of one epoch; losses may be infinite or NaN, and are never repaired."""

    epoch: int
    """From 0."""
    steps: int
    train_loss: float
    """Mean cross-entropy in nats, without smoothing, over the augmented images as trained on."""
    train_acc: float
    val_loss: float | None
    """None where the training loss diverged."""
    val_acc: float | None
    learning_rate: float
    """Of the last step."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a finished training predicts.

    Attributes:
        val_labels, test_labels: (N,) uint8.
        val_logits, test_logits: (N, 10) float32, of the last step's weights.
    """

    val_labels: npt.NDArray[np.uint8]
    val_logits: npt.NDArray[np.float32]
    test_labels: npt.NDArray[np.uint8]
    test_logits: npt.NDArray[np.float32]


class Listener:
    """Told of a training's progress; any method may raise to stop it."""

    def before_epoch(self, training: Training) -> None:
        """Steps are about to be done: a clock may start."""

    def after_step(self, training: Training, loss: Tensor) -> None:
        """A step is done; ``loss`` is the mean over its images, () float64 on the device."""

    def after_steps(self, training: Training) -> None:
        """The epoch's steps are done, evaluation follows: a clock may stop."""

    def after_epoch(self, training: Training, epoch: EpochMetrics) -> None:
        """An epoch is evaluated; ``training`` already stands at the next one."""

    def before_test(self, training: Training) -> None:
        """The test images are about to be read, once."""

    def tick(self) -> None:
        """A batch of an evaluation is done."""


def fit(training: Training, listener: Listener) -> Outcome | None:
    """Do the steps that are left, then predict with the last step's weights.

    Returns:
        The predictions; None where the loss did not stay finite.
    """
    while training.at.epoch < training.spec.epochs and not training.at.diverged:
        training.train_epoch(listener)
        epoch = training.finish_epoch(listener)
        listener.after_epoch(training, epoch)
    if training.at.diverged:
        return None
    if len(training.data.test.labels):
        listener.before_test(training)
    return training.outcome(listener)


def configure(device: torch.device) -> None:
    """The settings of the process that decide bits, threads apart: deterministic, no TF32."""
    # some of CUDA's kernels have no deterministic twin: there a warning has to do
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


@dataclass(kw_only=True)
class Counters:
    """Where a training stands, and the sums of the epoch that it is in."""

    epoch: int = 0
    step: int = 0
    """The next step of the epoch, from 0."""
    loss_sum: float = 0.0
    """Cross-entropy without smoothing, summed over the epoch's images so far."""
    correct: int = 0
    seen: int = 0
    diverged: bool = False


class Training:
    """A network while it is trained.

    Args:
        spec: what to train and how.
        data: all images; those of the test set are touched by :meth:`outcome` alone.
        device: where everything lives.
    """

    def __init__(self, spec: RunSpec, data: DataSet, device: torch.device) -> None:
        self.spec, self.recipe, self.data, self.device = spec, spec.recipe, data, device
        configure(device)
        self._format = (
            torch.channels_last
            if self.recipe.memory_format == "channels_last"
            else torch.contiguous_format
        )
        torch.manual_seed(key(spec.seed, "initial weights"))
        self.net = build(spec.builder).to(device).to(memory_format=self._format).train()
        self.optimizer = _optimizer(self.net, self.recipe)
        self.at = Counters()
        self.val_logits: npt.NDArray[np.float32] | None = None
        """Of the last evaluation."""
        self._images = augment.padded(data.train.pixels, self.recipe).to(device)
        self._labels = torch.from_numpy(data.train.labels.astype(np.int64)).to(device)  # (N,)
        self._val_images = _bytes_on(device, data.validation)
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)  # loss, correct, seen

    def steps_of(self, epoch: int) -> int:
        """Steps of ``epoch``; the last one may be partial."""
        whole = self.spec.steps_per_epoch
        return min(whole, self.spec.steps - epoch * whole)

    # ------------------------------------------------------------------------------ training

    def learning_rate(self, epoch: int, step: int) -> float:
        """Of one step of an epoch, both from 0."""
        return learning_rate(self.recipe, epoch * self.spec.steps_per_epoch + step, self.spec.steps)

    def train_epoch(self, listener: Listener) -> None:
        """Do the steps that the epoch still lacks."""
        at, steps = self.at, self.steps_of(self.at.epoch)
        if at.step == 0:
            self._sums.zero_()
        listener.before_epoch(self)
        plan = augment.epoch_plan(self.recipe, len(self._labels), self.spec.seed, at.epoch)
        plan = augment.on_device(plan, self.device)
        while at.step < steps and not at.diverged:
            loss = self._step(plan)
            at.step += 1
            # at fixed steps, so that a run ends at the same step wherever it is executed
            due = at.step % CHECK_EVERY == 0 or at.step == steps
            if due or self.device.type == "cpu":
                self._fetch_sums()
            at.diverged = due and not math.isfinite(at.loss_sum)
            listener.after_step(self, loss)
        listener.after_steps(self)

    def _fetch_sums(self) -> None:
        """Copy the epoch's sums from the device, which waits for a GPU."""
        loss, correct, seen = self._sums.tolist()
        self.at.loss_sum, self.at.correct, self.at.seen = loss, int(correct), int(seen)

    def _step(self, plan: augment.EpochPlan) -> Tensor:
        """One step; returns the mean loss of its images without smoothing, () float64."""
        at, recipe = self.at, self.recipe
        start = at.step * recipe.batch_size
        positions = slice(start, min(start + recipe.batch_size, len(self._labels)))
        x = augment.batch(self._images, plan, positions, recipe)  # (B, 3, 32, 32)
        y = self._labels[plan.order[positions]]  # (B,)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(at.epoch, at.step)
        torch.manual_seed(key(self.spec.seed, at.epoch, at.step, "dropout"))
        self.optimizer.zero_grad()  # before the forward pass, which then has their memory
        with self._autocast():
            logits = self.net(x).float()  # (B, 10)
        loss = functional.cross_entropy(logits, y, label_smoothing=recipe.label_smoothing)
        loss.backward()
        if recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.net.parameters(), recipe.clip_norm)
        self.optimizer.step()
        sums = _sums_of(logits.detach(), y)  # (3,)
        self._sums += sums
        return sums[0] / sums[2]

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.recipe.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    # ---------------------------------------------------------------------------- evaluation

    def finish_epoch(self, listener: Listener) -> EpochMetrics:
        """Evaluate on the validation images and go to the next epoch."""
        at, labels = self.at, self.data.validation.labels
        val_loss = val_acc = None
        if not at.diverged:
            self.val_logits = self._logits(self._val_images, listener)  # (N, 10)
            val_loss = metrics.cross_entropy(labels, self.val_logits)
            val_acc = metrics.accuracy(labels, self.val_logits)
        epoch = EpochMetrics(
            epoch=at.epoch,
            steps=at.step,
            train_loss=at.loss_sum / at.seen,
            train_acc=at.correct / at.seen,
            val_loss=val_loss,
            val_acc=val_acc,
            learning_rate=self.learning_rate(at.epoch, at.step - 1),
        )
        diverged = at.diverged or not math.isfinite(val_loss or 0.0)
        self.at = Counters(epoch=at.epoch + 1, diverged=diverged)
        return epoch

    def outcome(self, listener: Listener) -> Outcome:
        """Predictions of the present weights; the test images are read here and nowhere else."""
        assert self.val_logits is not None, "no epoch was evaluated"
        return Outcome(
            val_labels=self.data.validation.labels,
            val_logits=self.val_logits,
            test_labels=self.data.test.labels,
            test_logits=self._logits(_bytes_on(self.device, self.data.test), listener),
        )

    def _logits(self, images: Tensor, listener: Listener) -> npt.NDArray[np.float32]:
        return evaluate.logits(self.net, images, self.recipe.memory_format, listener.tick)

    # --------------------------------------------------------------------------------- state

    def state(self) -> dict[str, Any]:
        """Everything that :meth:`restore` needs, as tensors, numbers and strings only."""
        self._fetch_sums()
        logits = self.val_logits
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "val_logits": None if logits is None else torch.from_numpy(logits),
            "counters": asdict(self.at),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a state; the tensors' order in memory, which decides bits, is the same."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        logits = state["val_logits"]
        self.val_logits = None if logits is None else logits.cpu().numpy()
        self.at = Counters(**state["counters"])
        sums = [self.at.loss_sum, self.at.correct, self.at.seen]
        self._sums = torch.tensor(sums, dtype=torch.float64, device=self.device)
        for parameter, momentum in self._momenta():
            layout = self._format if parameter.ndim == 4 else torch.contiguous_format
            assert momentum is None or momentum.is_contiguous(memory_format=layout)

    def digest(self) -> str:
        """SHA-256 over weights, buffers and momentum, 64 hexadecimal digits."""
        total = hashlib.sha256()
        for name, value in self.net.state_dict().items():
            total.update(name.encode() + _raw(value))
        for _, momentum in self._momenta():
            total.update(b"none" if momentum is None else _raw(momentum))
        return total.hexdigest()

    def _momenta(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        for parameter in self.net.parameters():
            yield parameter, self.optimizer.state[parameter].get("momentum_buffer")


def _optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD with momentum and weight decay, on biases and batch norm too if the recipe says so."""
    weights = [p for p in net.parameters() if p.ndim > 1]  # convolutions and linear layers
    others = [p for p in net.parameters() if p.ndim <= 1]  # biases, scales of batch norm
    decay_others = recipe.weight_decay if recipe.weight_decay_on == "all" else 0.0
    return torch.optim.SGD(
        [
            {"params": weights, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": decay_others},
        ],
        lr=recipe.peak_learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
    )


def _sums_of(logits: Tensor, y: Tensor) -> Tensor:
    """Summed cross-entropy without smoothing, how many are correct, how many there are: (3,)."""
    loss = functional.cross_entropy(logits, y, reduction="sum").double()
    correct = (logits.argmax(1) == y).sum().double()
    return torch.stack([loss, correct, torch.full_like(loss, len(y))])


def _bytes_on(device: torch.device, images: Images) -> Tensor:
    """Pixels (N, 3, 32, 32) → (N, 32, 32, 3) uint8 on the device."""
    pixels = np.ascontiguousarray(images.pixels.transpose(0, 2, 3, 1))
    return torch.from_numpy(pixels).to(device)


def _raw(value: Tensor) -> bytes:
    return value.detach().cpu().contiguous().numpy().tobytes()
