"""One run on disk: its log, its checkpoints, its signals, its progress.

Order of writing, so that a kill at any moment loses at most the time since the last checkpoint and
the log never holds an epoch twice: at an epoch's end the checkpoint is written first, with the
epoch's line inside it and the number of lines that the log has before it; then the line is
appended. Going on from a checkpoint cuts the log to that number and appends that line.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from cnnpaper import files, fingerprint, predictions, records, textlog
from cnnpaper.certificate import CERTIFICATE_NAME
from cnnpaper.codeparts import Watched
from cnnpaper.config import RunSpec, run_folder
from cnnpaper.errors import Interrupted, UserError
from cnnpaper.learn import checkpoint, data, measure, models, provenance, replay, trials
from cnnpaper.learn.train import Listener, Training, fit
from cnnpaper.learn.verify import not_as_recorded
from cnnpaper.predictions import Predictions
from cnnpaper.records import LOG_NAME, PREDICTIONS_NAME, Epoch, Header, LogWriter, Result

CHECKPOINT_EVERY_S = 120.0
"""Seconds between checkpoints; so much is lost at most when a run is killed."""
LINE_EVERY_S = 30.0
"""Seconds between plain lines of progress where there is no terminal."""


def record(
    spec: RunSpec,
    *,
    root: Path,
    data_dir: Path,
    device: torch.device,
    force: bool,
    folder: Path | None = None,
) -> None:
    """Begin or go on with a run and write everything about it; the caller holds its locks.

    Args:
        spec: what to train.
        root: of the repository.
        data_dir: where the images are.
        device: where it is trained.
        force: begin anew.
        folder: where to write; without it that of the run below ``results/log``.
    """
    folder = folder or run_folder(root, spec.study, spec.run)
    with replay.watched() as loading:
        images = trials.load(spec.data, data_dir, root / "build" / "data")
    today = fingerprint.of_run(root, spec)
    training = Training(spec, images, device)
    recorder = Recorder(folder, spec, training)
    try:
        if force or not recorder.resume(today):
            recorder.begin(root, today, images, loading)
        with recorder:
            try:
                predicted = fit(training, recorder)
            except _NoTest:
                predicted = None
            recorder.finish(predicted)
    except OSError as error:
        raise UserError(
            f"{error.filename or folder}: {error.strerror}; the last good state is kept\n"
            f"mend the cause and give the same command again"
        ) from error


class _NoTest(Exception):
    """The study has no test images: a trial ends with its validation."""


class Recorder(Listener):
    """Writes down what a training tells.

    Args:
        folder: of the run.
        spec: of the run.
        training: that is recorded.
    """

    def __init__(self, folder: Path, spec: RunSpec, training: Training) -> None:
        self.folder, self.spec, self.training = folder, spec, training
        self._saved = time.monotonic()
        self._signal = 0
        self._progress = Progress(spec, training)

    # ---------------------------------------------------------------------------- beginning

    def begin(
        self, root: Path, today: records.Fingerprint, images: data.DataSet, loading: Watched
    ) -> None:
        """Put an old log aside, write the header, execute the miniature and write it."""
        log = self.folder / LOG_NAME
        if log.exists() and b'{"kind":"epoch",' not in log.read_bytes():
            log.unlink()  # it was stopped in its first epoch: there is nothing to keep
        kept = _put_aside(log)
        _put_aside(self.folder / CERTIFICATE_NAME)  # it vouches for the old log
        checkpoint.keep(self.folder, 0)
        if kept is not None:
            _say(f"{self.spec.run}: begins anew; the old log is kept as {kept.name}")
        precision = self.training.precision
        header = header_of(
            self.spec,
            root,
            today,
            images,
            self.training.net,
            self.training.device,
            precision={
                "autocast": str(precision.autocast or torch.float32),
                "tf32": precision.tf32,
            },
        )
        self._log = LogWriter(log)
        self._log.append(header)
        parameters = header.network.parameters
        _say(f"{self.spec.run}: {parameters:,} parameters; executing the run in small")
        small = replay.miniature(self.spec, images, self.training.device, loading)
        schedule = replay.schedule_digest(self.training)
        self._log.append(small.model_copy(update={"schedule_sha256": schedule}))

    def resume(self, today: records.Fingerprint) -> bool:
        """Go on from the newest checkpoint that can be believed; False where there is none.

        Raises:
            UserError: the run was begun with other code, another configuration, or elsewhere.
        """
        path = self.folder / LOG_NAME
        if not path.exists():
            return False
        if dropped := records.cut_to(path, records.whole_lines(path)):
            _say(f"{path}: the last line was cut off; its {dropped} bytes were dropped")
        if records.whole_lines(path) == 0:
            return False
        run = records.read_run(path)
        if run.header.fingerprint is None:
            raise UserError(f"{path}: an imported log cannot be trained; use another study")
        if changed := fingerprint.differences(run.header.fingerprint, today):
            raise UserError(
                f"{self.spec.run} was begun with something else: {changed[0]}\n"
                "FORCE=1 begins it anew and keeps the old log"
            )
        for state in checkpoint.load_newest(self.folder, self.training.device, _say):
            if other := begun_elsewhere(run.header, self.spec, self.training.device):
                raise UserError(
                    f"{self.spec.run} was begun elsewhere: {other}\n"
                    "go on with it there; FORCE=1 begins it anew here and keeps the old log"
                )
            if self._take_up(path, state):
                return True
        return False

    def _take_up(self, path: Path, state: dict[str, Any]) -> bool:
        """Bring training and log to where ``state`` was saved, if it belongs to this log."""
        if records.whole_lines(path) < state["log_lines"]:
            return False
        if records.digest_after(path, state["log_lines"]) != state["log_digest"]:
            return False
        self.training.restore(state["training"])
        records.cut_to(path, state["log_lines"])
        self._log = LogWriter(path)
        if state["pending"] is not None:
            self._log.append(Epoch.model_validate_json(state["pending"]))
        at = self.training.at
        _say(f"{self.spec.run}: goes on at epoch {at.epoch + 1}, step {at.step}")
        return True

    # ------------------------------------------------------------------------------- signals

    def __enter__(self) -> Recorder:
        self._before = {
            number: signal.signal(number, self._asked_to_stop)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.close()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _asked_to_stop(self, number: int, _frame: object) -> None:
        self._signal = number

    def tick(self) -> None:
        """Between two steps or two batches of an evaluation: save and stop if asked to."""
        if not self._signal:
            return
        self._save(None)
        again = f"make {self.spec.model} STUDY={self.spec.study} SEEDS={self.spec.seed}"
        if self.spec.study.startswith("single-"):
            again = (
                f"cnnpaper train --model {self.spec.model} "
                f"--epochs {self.spec.epochs} --seed {self.spec.seed}"
            )
        raise Interrupted(
            self._signal, f"{self.spec.run}: stopped, its state is saved; go on with: {again}"
        )

    # ------------------------------------------------------------------------------ progress

    def after_step(self, training: Training, loss: Tensor) -> None:
        if (line := replay.step_line(training, loss)) is not None:
            self._log.append(line)
        self._progress.step(training)
        self.tick()
        if time.monotonic() - self._saved > CHECKPOINT_EVERY_S:
            self._save(None)

    def after_epoch(self, training: Training, line: Epoch) -> None:
        self._save(line)
        self._log.append(line)
        self._write_text()
        self._progress.epoch(training, line)

    def before_test(self, training: Training) -> None:
        """Every evaluation on the test images is written down, also of runs given up later."""
        if self.spec.data.test_images == 0:
            raise _NoTest
        path = self.folder.parent / "test-evaluations.jsonl"
        entry = {
            "run": self.spec.run,
            "at": provenance.now_utc(),
            "log_digest": self._log.digest,
        }
        files.append_line(path, json.dumps(entry))

    def finish(self, predicted: Predictions | None) -> None:
        """Write the predictions, then the result line, and say what came out.

        That line comes last: once the log has it, the run is finished and nothing is done any more.
        """
        at = self.training.at
        values: dict[str, Any] = {"test_acc": None, "test_loss": None, "test_acc_tta": None}
        sha256 = None
        if predicted is not None:
            written = predicted.to_bytes()
            files.write_atomic(self.folder / PREDICTIONS_NAME, written)
            sha256 = files.sha256_bytes(written)
            labels = predicted.labels
            values = {
                "test_acc": predictions.accuracy(labels, predicted.logits),
                "test_loss": predictions.cross_entropy(labels, predicted.logits),
                "test_acc_tta": predictions.accuracy(labels, predicted.logits_tta),
            }
        result = Result(
            status="diverged" if at.diverged else "finished",
            best_epoch=at.best_epoch,
            best_val_acc=at.best_val_acc,
            total_s=at.total_s,
            predictions_sha256=sha256,
            peak_memory=measure.peak_memory(self.training.device),
            **values,
        )
        self._write_text(result)
        checkpoint.keep(self.folder, 1)
        self._log.append(result)
        self._progress.result(result)

    def _save(self, line: Epoch | None) -> None:
        at = self.training.at
        state = {
            "training": self.training.state(),
            "log_lines": self._log.lines,
            "log_digest": self._log.digest,
            "pending": None if line is None else json.dumps(records.fields_of(line)),
        }
        checkpoint.save(self.folder, state, epoch=at.epoch, step=at.step)
        self._saved = time.monotonic()

    def _write_text(self, result: Result | None = None) -> None:
        run = replace(records.read_run(self.folder / LOG_NAME), result=result)
        files.write_atomic(self.folder / "train.log", textlog.render(run).encode())


def begun_elsewhere(header: Header, spec: RunSpec, device: torch.device) -> str:
    """What is not as it was when the run was begun; empty where it may go on.

    A run has one header, so all its epochs come from one kind of machine.
    """
    now = measure.machine(device, spec.isa_cap)
    return ", ".join(not_as_recorded(header, now, provenance.packages()))


def header_of(
    spec: RunSpec,
    root: Path,
    today: records.Fingerprint,
    images: data.DataSet,
    net: nn.Module,
    device: torch.device,
    **more: Any,
) -> Header:
    """What is known of a run before its first step, and ``more`` fields."""
    return Header(
        schema=records.SCHEMA,
        origin="trained",
        study=spec.study,
        model=spec.model,
        variant=spec.variant,
        seed=spec.seed,
        spec=spec.model_dump(mode="json"),
        fingerprint=today,
        data=records.Data(name=images.name, digest=images.digest, address=images.address),
        machine=measure.machine(device, spec.isa_cap),
        packages=provenance.packages(),
        commit=provenance.commit(root),
        started=provenance.now_utc(),
        network=models.describe(net),
        **more,
    )


class Progress:
    """A bar on a terminal; a plain line now and then elsewhere."""

    def __init__(self, spec: RunSpec, training: Training) -> None:
        self._spec = spec
        self._terminal = sys.stderr.isatty()
        self._bar: tqdm[Any] | None = None
        self._said = self._began = time.monotonic()
        self._done = 0

    def step(self, training: Training) -> None:
        at = training.at
        self._done += 1
        if self._terminal:
            self._draw(training)
        elif time.monotonic() - self._said > LINE_EVERY_S:
            self._said = time.monotonic()
            _say(
                f"{self._spec.run}: epoch {at.epoch + 1}/{self._spec.epochs}, "
                f"step {at.step}/{training.steps}, {_now(training)}, {self._left(training)} left"
            )

    def _draw(self, training: Training) -> None:
        at = training.at
        if self._bar is None:
            self._bar = tqdm(
                total=training.steps,
                initial=at.step - 1,
                desc=f"{self._spec.run} {at.epoch + 1}/{self._spec.epochs}",
                unit="step",
                leave=False,
            )
        self._bar.set_postfix_str(_now(training), refresh=False)
        self._bar.update()

    def _left(self, training: Training) -> str:
        at = training.at
        steps = (self._spec.epochs - at.epoch) * training.steps - at.step
        each = (time.monotonic() - self._began) / self._done
        return tqdm.format_interval(steps * each)

    def epoch(self, training: Training, line: Epoch) -> None:
        self.close()
        values = " ".join(
            f"{name} {'–' if value is None else f'{value:.4f}'}"
            for name, value in (
                ("train loss", line.exact("train_loss")),
                ("acc", line.exact("train_acc")),
                ("val loss", line.exact("val_loss")),
                ("acc", line.exact("val_acc")),
            )
        )
        seconds = f"{line.train_s:.0f} s" if line.train_s is not None else ""
        _say(f"{self._spec.run}: epoch {line.epoch + 1}/{self._spec.epochs} {values} {seconds}")

    def result(self, result: Result) -> None:
        if result.test_acc is None:
            best = f", best {100 * result.best_val_acc:.2f} %" if result.best_val_acc else ""
            _say(f"{self._spec.run}: {result.status}{best}")
        else:
            _say(f"{self._spec.run}: {result.status}, test accuracy {100 * result.test_acc:.2f} %")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _now(training: Training) -> str:
    """Loss, accuracy and speed of the epoch so far."""
    at = training.at
    if not at.seen:
        return ""
    speed = at.seen / max(at.watch.wall_s, 1e-9)
    return f"loss {at.loss_sum / at.seen:.3f}, acc {at.correct / at.seen:.3f}, {speed:.0f} images/s"


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


def _put_aside(path: Path) -> Path | None:
    """Rename an old log to the first free ``run.jsonl.N``."""
    if not path.exists():
        return None
    number = 1
    while (kept := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.rename(kept)
    return kept
