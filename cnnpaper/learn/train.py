"""One training: its state, its steps, its epochs, and how it is put away and taken up again.

Nothing random is kept between steps: order and augmentation are drawn anew from (seed, epoch),
dropout from (seed, epoch, step). So the state is weights, momentum and counters, and a training
that was stopped anywhere goes on to the bits that it would have had.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnpaper import predictions
from cnnpaper.config import Recipe, RunSpec
from cnnpaper.learn import augment, evaluate, models
from cnnpaper.learn.augment import key
from cnnpaper.learn.data import DataSet
from cnnpaper.learn.measure import Stopwatch, physical_cores, probe_gflops
from cnnpaper.predictions import Predictions
from cnnpaper.records import Epoch, finite

CHECK_EVERY = 50
"""Steps between looks at whether the loss is still finite; a look waits for a GPU."""


class Listener:
    """Told of a training's progress, outside the measured time; any method may raise to stop it."""

    def after_step(self, training: Training, loss: Tensor) -> None:
        """A step is done; ``loss`` is the mean over its images, () float64 on the device."""

    def after_epoch(self, training: Training, line: Epoch) -> None:
        """An epoch is evaluated; ``training`` already stands at the next one."""

    def before_test(self, training: Training) -> None:
        """The test images are about to be evaluated."""

    def tick(self) -> None:
        """A batch of an evaluation is done."""


def fit(training: Training, listener: Listener) -> Predictions | None:
    """Train the epochs that are left, then evaluate the best one on the test images.

    Returns:
        The predictions on the test images; None where the loss did not stay finite.
    """
    while training.at.epoch < training.spec.epochs and not training.at.diverged:
        training.train_epoch(listener)
        line = training.finish_epoch(listener)
        listener.after_epoch(training, line)
    if training.at.diverged:
        return None
    listener.before_test(training)
    return training.test(listener)


def configure_torch(spec: RunSpec, device: torch.device) -> None:
    """The settings of the process that decide bits: threads, deterministic kernels, TF32."""
    torch.set_num_threads(spec.threads or physical_cores())
    # some of CUDA's kernels have no deterministic twin: there a warning has to do
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    tf32 = Precision.of(device).tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


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
    watch: Stopwatch = field(default_factory=Stopwatch)
    """Training of the epoch so far."""
    total_s: float = 0.0
    """Training and evaluation of all finished epochs."""
    probe_gflops: float | None = None
    best_epoch: int | None = None
    best_val_acc: float | None = None
    diverged: bool = False


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How a device multiplies: mixed precision in the steps, elsewhere TF32 or plain float32.

    Networks are evaluated without mixed precision: logits of sixteen bits would tie.
    """

    autocast: torch.dtype | None
    tf32: bool

    @classmethod
    def of(cls, device: torch.device) -> Precision:
        """On CUDA bfloat16 where it is native, else float16; on the CPU float32."""
        if device.type != "cuda":
            return cls(autocast=None, tf32=False)
        native = torch.cuda.get_device_capability(device) >= (8, 0)
        return cls(autocast=torch.bfloat16 if native else torch.float16, tf32=True)


class Training:
    """A network while it is trained.

    Args:
        spec: what to train and how.
        data: all images; those of the test set are touched by :meth:`test` alone.
        device: where everything lives.
    """

    def __init__(self, spec: RunSpec, data: DataSet, device: torch.device) -> None:
        self.spec, self.recipe, self.device = spec, spec.recipe, device
        self.precision = Precision.of(device)
        configure_torch(spec, device)
        self._format = (
            torch.channels_last
            if self.recipe.memory_format == "channels_last"
            else torch.contiguous_format
        )
        torch.manual_seed(key(spec.seed, "initial weights"))
        net = models.build(spec.builder, spec.initialisation, spec.initialisation_std)
        self.net = net.to(device).to(memory_format=self._format).train()
        self.optimizer = _optimizer(self.net, self.recipe)
        self.ema = copy.deepcopy(self.net) if self.recipe.ema_decay else None
        fp16 = self.precision.autocast is torch.float16
        self.scaler = torch.amp.GradScaler(device.type, enabled=fp16)
        self.best: dict[str, Tensor] | None = None
        self.at = Counters()
        self.data = data
        self._images = augment.padded(data.train.pixels, self.recipe).to(device)
        self._labels = _labels(data.train.labels, device)  # (N,)
        self._val_images = _channels_last_bytes(data.validation.pixels, device)
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)  # loss, correct, seen

    @property
    def steps(self) -> int:
        """Steps of an epoch; a last batch of one image, which batch norm refuses, is left out."""
        images, size = len(self._labels), self.recipe.batch_size
        return images // size + (images % size > 1)

    # ------------------------------------------------------------------------------ training

    def learning_rate(self, epoch: int, step: int) -> float:
        """The triangle: linear from near zero to the peak, then linear to near zero."""
        done = (epoch * self.steps + step + 0.5) / (self.spec.epochs * self.steps)
        rise = done / self.recipe.warmup_share if self.recipe.warmup_share else 1.0
        fall = (1 - done) / (1 - self.recipe.warmup_share) if self.recipe.warmup_share < 1 else 1.0
        return self.recipe.peak_learning_rate * min(rise, fall, 1.0)

    def train_epoch(self, listener: Listener) -> None:
        """Do the steps that the epoch still lacks."""
        at = self.at
        if at.step == 0:
            at.probe_gflops = probe_gflops() if self.device.type == "cpu" else None
            self._sums.zero_()
        at.watch.start()
        plan = augment.epoch_plan(self.recipe, len(self._labels), self.spec.seed, at.epoch)
        plan = augment.on_device(plan, self.device)
        at.watch.stop()
        while at.step < self.steps and not at.diverged:
            at.watch.start()
            loss = self._step(plan)
            at.step += 1
            # fixed steps, so that a run ends at the same step wherever it is executed
            due = at.step % CHECK_EVERY == 0 or at.step == self.steps
            if due or self.device.type == "cpu":
                self._fetch_sums()
            at.diverged = due and not math.isfinite(at.loss_sum)
            at.watch.stop()
            listener.after_step(self, loss)

    def _fetch_sums(self) -> None:
        """Copy the epoch's sums from the device, which waits for a GPU."""
        loss, correct, seen = self._sums.tolist()
        self.at.loss_sum, self.at.correct, self.at.seen = loss, int(correct), int(seen)

    def _step(self, plan: augment.EpochPlan) -> Tensor:
        """One step; returns the mean loss of its images without smoothing, () float64."""
        at, recipe = self.at, self.recipe
        start = at.step * recipe.batch_size
        positions = slice(start, min(start + recipe.batch_size, len(self._labels)))
        size = augment.resolution(recipe, at.epoch, self.spec.epochs)
        x = augment.batch(self._images, plan, positions, recipe, size)  # (B, 3, size, size)
        y = self._labels[plan.order[positions]]  # (B,)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(at.epoch, at.step)
        torch.manual_seed(key(self.spec.seed, at.epoch, at.step, "dropout"))
        self.optimizer.zero_grad()  # before the forward pass, which then has their memory
        with self._autocast():
            logits = self.net(x).float()  # (B, 10)
        loss = functional.cross_entropy(logits, y, label_smoothing=recipe.label_smoothing)
        self.scaler.scale(loss).backward()
        if recipe.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.net.parameters(), recipe.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema is not None:
            _average(self.ema, self.net, recipe.ema_decay)
        sums = _sums_of(logits.detach(), y)  # (3,)
        self._sums += sums
        return sums[0] / sums[2]

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.precision.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.precision.autocast)

    # ---------------------------------------------------------------------------- evaluation

    def finish_epoch(self, listener: Listener) -> Epoch:
        """Evaluate on the validation images, keep the best weights, and go to the next epoch."""
        at = self.at
        evaluation = Stopwatch()
        evaluation.start()
        val_loss = val_acc = None
        if not at.diverged:
            val_loss, val_acc = self._validate(listener)
            at.diverged = not math.isfinite(val_loss)
        evaluation.stop()
        line = Epoch(
            epoch=at.epoch,
            weights="raw" if self.ema is None else "ema",
            resolution=augment.resolution(self.recipe, at.epoch, self.spec.epochs),
            train_s=at.watch.wall_s,
            train_cpu_s=at.watch.cpu_s,
            eval_s=evaluation.wall_s,
            other_cpu_s=at.watch.other_cpu_s,
            learning_rate=self.learning_rate(at.epoch, at.step - 1),
            probe_gflops=at.probe_gflops,
            **finite(
                train_loss=at.loss_sum / at.seen,
                train_acc=at.correct / at.seen,
                val_loss=val_loss,
                val_acc=val_acc,
            ),
        )
        better = val_acc is not None and (at.best_val_acc is None or val_acc > at.best_val_acc)
        if better and not at.diverged:  # of equal epochs the first is kept
            at.best_epoch, at.best_val_acc = at.epoch, val_acc
            self.best = {name: value.clone() for name, value in self._evaluated().items()}
        self.at = Counters(
            epoch=at.epoch + 1,
            total_s=at.total_s + at.watch.wall_s + evaluation.wall_s,
            best_epoch=at.best_epoch,
            best_val_acc=at.best_val_acc,
            diverged=at.diverged,
        )
        return line

    def _validate(self, listener: Listener) -> tuple[float, float]:
        """Loss and accuracy of the present weights on the validation images."""
        logits = evaluate.logits(
            self.net if self.ema is None else self.ema,
            self._val_images,
            self.recipe.memory_format,
            tick=listener.tick,
        )  # (N, 10)
        labels = self.data.validation.labels
        return predictions.cross_entropy(labels, logits), predictions.accuracy(labels, logits)

    def test(self, listener: Listener) -> Predictions:
        """Predictions of the best epoch's weights on the test images."""
        assert self.best is not None, "no epoch was evaluated"
        net = copy.deepcopy(self.net)
        net.load_state_dict(self.best)
        images = _channels_last_bytes(self.data.test.pixels, self.device)
        plain, mirror = (
            evaluate.logits(
                net, images, self.recipe.memory_format, mirrored=side, tick=listener.tick
            )
            for side in (False, True)
        )
        return Predictions(
            labels=self.data.test.labels, logits=plain, logits_tta=(plain + mirror) / np.float32(2)
        )

    def _evaluated(self) -> dict[str, Tensor]:
        return (self.net if self.ema is None else self.ema).state_dict()

    # --------------------------------------------------------------------------------- state

    def state(self) -> dict[str, Any]:
        """Everything that :meth:`restore` needs, as tensors, numbers and strings only."""
        self._fetch_sums()
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "scaler": self.scaler.state_dict(),
            "best": self.best,
            "counters": asdict(self.at),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state; the tensors' order in memory, which decides bits, must be the same."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.scaler.load_state_dict(state["scaler"])
        self.best = state["best"]
        counters = dict(state["counters"])
        self.at = Counters(**{**counters, "watch": Stopwatch(**counters["watch"])})
        sums = [self.at.loss_sum, self.at.correct, self.at.seen]
        self._sums = torch.tensor(sums, dtype=torch.float64, device=self.device)
        for parameter in self.net.parameters():
            momentum = self.optimizer.state[parameter].get("momentum_buffer")
            layout = self._format if parameter.ndim == 4 else torch.contiguous_format
            assert momentum is None or momentum.is_contiguous(memory_format=layout)

    def digest(self) -> str:
        """SHA-256 over weights, buffers and momentum, 64 hexadecimal digits."""
        total = hashlib.sha256()
        for name, value in self.net.state_dict().items():
            total.update(name.encode() + _bytes(value))
        for parameter in self.net.parameters():
            momentum = self.optimizer.state[parameter].get("momentum_buffer")
            total.update(b"none" if momentum is None else _bytes(momentum))
        return total.hexdigest()


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


@torch.no_grad()
def _average(ema: nn.Module, net: nn.Module, decay: float) -> None:
    """Move the averaged weights towards the present ones; counters and statistics are copied."""
    for mean, value in zip(ema.parameters(), net.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)
    for kept, now in zip(ema.buffers(), net.buffers(), strict=True):
        kept.copy_(now)


def _sums_of(logits: Tensor, y: Tensor) -> Tensor:
    """Summed cross-entropy without smoothing, how many are right, how many there are: (3,)."""
    loss = functional.cross_entropy(logits, y, reduction="sum").double()
    correct = (logits.argmax(1) == y).sum().double()
    return torch.stack([loss, correct, torch.full_like(loss, len(y))])


def _labels(labels: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(labels.astype(np.int64)).to(device)


def _channels_last_bytes(pixels: np.ndarray, device: torch.device) -> Tensor:
    """Pixels (N, 3, 32, 32) → (N, 32, 32, 3) uint8 on the device."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))).to(device)


def _bytes(value: Tensor) -> bytes:
    return value.detach().cpu().contiguous().numpy().tobytes()
