"""The loop that a user would write instead: what ours is measured against.

Its recipe is the public one of kuangliu/pytorch-cifar in its fair form: the rate falls to zero
within the epochs that there are, and the networks, split, threads and epochs are ours. Channels are
standardised by CIFAR-10's own mean and deviation, as ours are. Its code is what a PyTorch tutorial
has: a data set of PIL images, torchvision's transforms, a loader with two workers, tensors in
PyTorch's own order, weights as PyTorch draws them.

A run is a log of study ``peer``, like any other, without evaluation on test images. It is saved at
the end of each epoch; an epoch draws from a seed of its own, so one that is begun again gives what
it would have given.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import resource
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from cnnpaper import config, files, fingerprint, predictions, records, textlog
from cnnpaper.comparison import RIGHT_NAME, study_name
from cnnpaper.config import Recipe, RunSpec, Study, run_folder
from cnnpaper.errors import Interrupted, UserError
from cnnpaper.learn import augment, checkpoint, data, measure, models
from cnnpaper.learn.augment import key
from cnnpaper.learn.data import DataSet, Images
from cnnpaper.learn.recorder import begun_elsewhere, header_of
from cnnpaper.records import LOG_NAME, Epoch, LogWriter, Result, finite

WORKERS = 2
RATES = {"alexnet": (0.1, 0.01)}
"""Rates that are tried; the better one counts. Others than these have the published rate alone."""
PUBLISHED_RATES = (0.1,)
ENTRIES = ("cnnpaper.learn.peer:PlainLoop", "cnnpaper.learn.data:load")
"""What decides a run's numbers; see :data:`cnnpaper.fingerprint.ENTRIES`."""


def recipe(rate: float) -> Recipe:
    """The published recipe in the words of ours; its rate falls along a cosine, not a line."""
    return Recipe(
        batch_size=128,
        peak_learning_rate=rate,
        warmup_share=0.0,
        momentum=0.9,
        nesterov=False,
        weight_decay=5e-4,
        weight_decay_on="all",
        label_smoothing=0.0,
        crop_padding=4,
        crop_mode="zeros",
        flip="random",
        low_resolution=augment.SIDE,
        low_resolution_share=0.0,
        ema_decay=0.0,
        clip_norm=0.0,
        memory_format="contiguous",
    )


def specs(root: Path, study: Study, model: str, epochs: int) -> list[RunSpec]:
    """The peer's runs of one network: the study's data, threads and first seed, each rate."""
    ours = config.run_spec(root, study, model, study.seeds[0])
    changed = {"study": study_name(study.name), "initialisation": "pytorch", "epochs": epochs}
    return [
        ours.model_copy(update={**changed, "recipe": recipe(rate), "variant": f"rate{rate:g}"})
        for rate in RATES.get(model, PUBLISHED_RATES)
    ]


# ------------------------------------------------------------------------------- the plain loop


class PilImages(Dataset[tuple[Tensor, int]]):
    """Images as a tutorial's data set gives them: from PIL, transformed one by one."""

    def __init__(self, images: Images, transform: Callable[[Any], Tensor]) -> None:
        self._pixels = np.ascontiguousarray(images.pixels.transpose(0, 2, 3, 1))  # (N, 32, 32, 3)
        self._labels = images.labels.tolist()
        self._transform = transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._pixels[index])), self._labels[index]


class PlainLoop:
    """One training of the peer.

    Args:
        spec: one of :func:`specs`.
        images: of the study; those of the test set are not touched.
    """

    def __init__(self, spec: RunSpec, images: DataSet) -> None:
        plain_torch(spec)
        recipe = spec.recipe
        standardise = [transforms.ToTensor(), transforms.Normalize(augment.MEAN, augment.STD)]
        moved = [
            transforms.RandomCrop(augment.SIDE, padding=recipe.crop_padding),
            transforms.RandomHorizontalFlip(),
        ]
        train = PilImages(images.train, transforms.Compose([*moved, *standardise]))
        validation = PilImages(images.validation, transforms.Compose(standardise))
        self.loader = DataLoader(
            train, batch_size=recipe.batch_size, shuffle=True, num_workers=WORKERS
        )
        self.validation = DataLoader(validation, batch_size=100, num_workers=WORKERS)
        self.spec, self.labels = spec, images.validation.labels
        torch.manual_seed(key(spec.seed, "plain loop"))
        self.net = models.build(spec.builder, spec.initialisation, spec.initialisation_std).train()
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(
            self.net.parameters(),
            lr=recipe.peak_learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
        steps = spec.epochs * len(self.loader)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=steps)

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch; its order, crops, flips and dropout follow from its number.

        The workers have started when this returns.
        """
        torch.manual_seed(key(self.spec.seed, epoch, "plain loop"))
        return iter(self.loader)

    def step(self, x: Tensor, y: Tensor) -> tuple[float, int]:
        """One step; returns the summed loss of its images and how many it had right."""
        self.optimizer.zero_grad()
        logits = self.net(x)  # (B, 10)
        loss = self.criterion(logits, y)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.item() * len(y), int((logits.argmax(1) == y).sum())

    def train_epoch(self, epoch: int, tick: Callable[[], None]) -> tuple[Epoch, np.ndarray | None]:
        """Train and validate; returns the epoch's line and which images were right, (N,) bool.

        A loss that is not finite ends the epoch; then nothing is validated.
        """
        probe = measure.probe_gflops()
        batches = self.batches(epoch)
        watch, workers_s = measure.Stopwatch(), _children_cpu_s()
        watch.start()
        loss_sum, correct, seen, rate = 0.0, 0, 0, 0.0
        for x, y in batches:
            rate = self.optimizer.param_groups[0]["lr"]
            loss, right = self.step(x, y)
            loss_sum, correct, seen = loss_sum + loss, correct + right, seen + len(y)
            if not math.isfinite(loss_sum):
                break
            tick()
        watch.stop()
        del batches  # the workers end, and their seconds can be told
        workers_s = _children_cpu_s() - workers_s
        evaluation = measure.Stopwatch()
        evaluation.start()
        logits = self.validate(tick) if math.isfinite(loss_sum) else None
        evaluation.stop()
        line = Epoch(
            epoch=epoch,
            weights="raw",
            resolution=augment.SIDE,
            train_s=watch.wall_s,
            train_cpu_s=watch.cpu_s + workers_s,
            eval_s=evaluation.wall_s,
            other_cpu_s=None if watch.other_cpu_s is None else watch.other_cpu_s - workers_s,
            learning_rate=rate,
            probe_gflops=probe,
            **finite(
                train_loss=loss_sum / seen,
                train_acc=correct / seen,
                val_loss=None if logits is None else predictions.cross_entropy(self.labels, logits),
                val_acc=None if logits is None else predictions.accuracy(self.labels, logits),
            ),
        )
        return line, None if logits is None else logits.argmax(axis=1) == self.labels

    @torch.no_grad()
    def validate(self, tick: Callable[[], None]) -> np.ndarray:
        """Logits of the validation images, (N, 10) float32."""
        self.net.eval()
        parts = []
        for x, _ in self.validation:
            parts.append(self.net(x))  # (B, 10)
            tick()
        self.net.train()
        return torch.cat(parts).numpy()


def plain_torch(spec: RunSpec) -> None:
    """The process as a plain loop has it: torch's own kernels, and as many threads as ours."""
    torch.set_num_threads(spec.threads or measure.physical_cores())
    torch.use_deterministic_algorithms(False)


def _children_cpu_s() -> float:
    """CPU seconds of the processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# ------------------------------------------------------------------------------- a run on disk


def train(root: Path, spec: RunSpec, data_dir: Path, say: Callable[[str], None]) -> None:
    """Do one run of the peer: begin it, go on with it, or say that it is finished.

    Raises:
        UserError: wrong data, or a log of another configuration.
        Interrupted: a signal asked to stop; the epochs that were finished are kept.
    """
    folder = run_folder(root, spec.study, spec.run)
    with files.lock(folder / "run.lock", what=f"the run {spec.study}/{spec.run}"):
        run = PeerRun(root, spec, say)
        if run.finished():
            return
        run.begin_or_resume(data.load(spec.data, data_dir, root / "build" / "data"))
        with _stoppable(spec) as tick:
            run.finish(tick)


class PeerRun:
    """A run of the peer and its folder; the order of writing is that of the recorder."""

    def __init__(self, root: Path, spec: RunSpec, say: Callable[[str], None]) -> None:
        self.root, self.spec, self.say = root, spec, say
        self.folder = run_folder(root, spec.study, spec.run)
        self.path = self.folder / LOG_NAME
        self.today = fingerprint.of_run(root, spec, entries=ENTRIES)

    def finished(self) -> bool:
        """Is there nothing to do?

        Raises:
            UserError: the log is of another configuration, or unfinished and of other code.
        """
        if not self.path.exists():
            return False
        if dropped := records.cut_to(self.path, records.whole_lines(self.path)):
            self.say(f"{self.path}: the last line was cut off; its {dropped} bytes were dropped")
        if records.whole_lines(self.path) == 0:
            return False
        run = records.read_run(self.path)
        assert run.header.fingerprint is not None
        changed = fingerprint.differences(run.header.fingerprint, self.today)
        decisive = [c for c in changed if run.result is None or c.kind in ("config", "data")]
        if decisive:
            raise UserError(
                f"{self.folder} was made with something else: {decisive[0]}\n"
                "remove this folder, and the same command trains the run anew"
            )
        if run.result is not None:
            old = f", but by other code ({changed[0]})" if changed else ""
            self.say(f"{self.spec.study}/{self.spec.run} is {run.result.status}{old}")
        return run.result is not None

    def begin_or_resume(self, images: DataSet) -> None:
        """Go on from the newest checkpoint that belongs to the log, or write a new log's header."""
        self.loop = PlainLoop(self.spec, images)
        self.lines: list[Epoch] = []
        self.best: np.ndarray | None = None
        self.total_s = 0.0
        for state in checkpoint.load_newest(self.folder, torch.device("cpu"), self.say):
            if self._take_up(state):
                return
        self.path.unlink(missing_ok=True)  # a header without a finished epoch: nothing is lost
        checkpoint.keep(self.folder, 0)
        self.log = LogWriter(self.path)
        header = header_of(
            self.spec,
            self.root,
            self.today,
            images,
            self.loop.net,
            torch.device("cpu"),
            loop="plain",
            workers=WORKERS,
        )
        self.log.append(header)

    def _take_up(self, state: dict[str, Any]) -> bool:
        """Bring loop and log to where ``state`` was saved, if it belongs to this log."""
        lines = state["log_lines"]
        if not self.path.exists() or records.whole_lines(self.path) < lines:
            return False
        if records.digest_after(self.path, lines) != state["log_digest"]:
            return False
        header = records.read_run(self.path).header
        if other := begun_elsewhere(header, self.spec, torch.device("cpu")):
            raise UserError(
                f"{self.folder} was begun elsewhere: {other}\n"
                "go on with it there, or remove this folder, and the run begins anew here"
            )
        self.loop.net.load_state_dict(state["net"])
        self.loop.optimizer.load_state_dict(state["optimizer"])
        self.loop.schedule.load_state_dict(state["schedule"])
        self.best = None if state["best"] is None else state["best"].numpy()
        self.lines = [Epoch.model_validate_json(line) for line in json.loads(state["lines"])]
        self.total_s = state["total_s"]
        records.cut_to(self.path, lines)
        self.log = LogWriter(self.path)
        self.log.append(self.lines[-1])
        self.say(f"{self.spec.run}: goes on at epoch {len(self.lines) + 1}")
        return True

    def finish(self, tick: Callable[[], None]) -> None:
        """Train the epochs that are left and write the result."""
        while len(self.lines) < self.spec.epochs and not self._diverged():
            line, right = self.loop.train_epoch(len(self.lines), tick)
            before = self._best_epoch()
            self.lines.append(line)
            if self._best_epoch() != before:
                self.best = right
            self.total_s += (line.train_s or 0.0) + (line.eval_s or 0.0)
            self._save(line)
            self.say(_said(self.spec, line))
        best = self._best_epoch()
        if self.best is not None:
            write_array(self.folder / RIGHT_NAME, self.best)
        result = Result(
            status="diverged" if self._diverged() else "finished",
            best_epoch=best,
            best_val_acc=None if best is None else self.lines[best].val_acc,
            total_s=self.total_s,
            test_acc=None,
            test_loss=None,
            test_acc_tta=None,
            predictions_sha256=None,
        )
        text = textlog.render(replace(records.read_run(self.path), result=result))
        files.write_atomic(self.folder / "train.log", text.encode())
        self.log.append(result)  # after the text, which nobody would write later
        checkpoint.keep(self.folder, 0)

    def _diverged(self) -> bool:
        return bool(self.lines) and self.lines[-1].val_loss is None

    def _best_epoch(self) -> int | None:
        """The first of the highest validation accuracy among the epochs that did not diverge."""
        known = [line.val_acc for line in self.lines if line.val_loss is not None]
        values = [value for value in known if value is not None]
        return values.index(max(values)) if values else None

    def _save(self, line: Epoch) -> None:
        """Save the state with the epoch's line inside it, then append the line."""
        state = {
            "net": self.loop.net.state_dict(),
            "optimizer": self.loop.optimizer.state_dict(),
            "schedule": self.loop.schedule.state_dict(),
            "best": None if self.best is None else torch.from_numpy(self.best),
            "lines": json.dumps([json.dumps(records.fields_of(line)) for line in self.lines]),
            "total_s": self.total_s,
            "log_lines": self.log.lines,
            "log_digest": self.log.digest,
        }
        checkpoint.save(self.folder, state, epoch=len(self.lines), step=0)
        self.log.append(line)


def _said(spec: RunSpec, line: Epoch) -> str:
    accuracy = "diverged" if line.val_acc is None else f"val acc {line.val_acc:.4f}"
    return f"{spec.run}: epoch {line.epoch + 1}/{spec.epochs} {accuracy}, {line.train_s:.0f} s"


def write_array(path: Path, array: np.ndarray) -> None:
    """``array`` as a ``.npy`` file, whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    files.write_atomic(path, buffer.getvalue())


@contextlib.contextmanager
def _stoppable(spec: RunSpec) -> Iterator[Callable[[], None]]:
    """Gives what raises, between two batches, after a signal asked to stop."""
    asked: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda number, _: asked.append(number)) for n in numbers}

    def tick() -> None:
        if asked:
            raise Interrupted(
                asked[0],
                f"{spec.run}: stopped; its finished epochs are kept, and the same command goes on",
            )

    try:
        yield tick
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
