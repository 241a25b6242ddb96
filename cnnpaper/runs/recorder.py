"""One run on disk: its log, its checkpoints, its signals, its progress.

Order of writing, so that a kill at any moment loses at most the time since the last checkpoint and
the log never holds an epoch twice: at an epoch's end the checkpoint is written first, with the
epoch's line inside it and the number of lines that the log has before it; then the line is
appended; then it is printed. Resuming cuts the log to that number and appends that line.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from cnnpaper import fingerprint, log, metrics, predict
from cnnpaper.advice import advice, trouble
from cnnpaper.config import RunSpec
from cnnpaper.engine.images import DataSet
from cnnpaper.engine.training import EpochMetrics, Listener, Outcome, Training, fit
from cnnpaper.files import Interrupted, UserError, memory_ran_out, write_atomic
from cnnpaper.log import Epoch, Fingerprint, Header, Predictions, Result
from cnnpaper.runs import checkpoint, machine, miniature, provenance
from cnnpaper.runs.dataset import load_images
from cnnpaper.runs.describe import describe
from cnnpaper.runs.machine import Stopwatch
from cnnpaper.runs.progress import Progress, say
from cnnpaper.timings import without_bfloat16

CHECKPOINT_EVERY_S = 120.0
"""Seconds between checkpoints; so much is lost at most when a run is killed."""


def record(
    spec: RunSpec,
    *,
    root: Path,
    data_dir: Path,
    device: torch.device,
    force: bool,
    folder: Path | None = None,
    again: str | None = None,
) -> None:
    """Start or resume a run and write everything about it; the caller holds its locks.

    Args:
        spec, root, data_dir, device, force: as for :func:`cnnpaper.runs.launch.train_run`.
        folder: where to write; by default that of the run below ``results/log``.
        again: the command that resumes it; by default the one that trains the run.
    """
    folder = folder or spec.folder(root)
    again = again or log.again(spec)
    torch.set_num_threads(spec.threads or machine.physical_cores())
    images = load_images(spec.data, data_dir)
    today = fingerprint.of_spec(root, spec, data=images.digest)
    try:
        recorder = Recorder(folder, spec, Training(spec, images, device), again)
        with machine.stopped_by(recorder.asked_to_stop):
            if force or not recorder.resume(root, today):
                recorder.start(root, today, images)
            recorder.finish(fit(recorder.training, recorder))
    except Exception as error:
        if (remedy := trouble(error)) is None:
            raise
        message = f"{spec.run}: {remedy} and rerun: {again}\nits last saved state is kept"
        if memory_ran_out(error):
            fewer = max(2, spec.recipe.batch_size // 2)
            smaller = advice(spec.model, EPOCHS=spec.epochs, BATCH_SIZE=fewer, SEEDS=spec.seed)
            message += f"\nfewer images, in a study of your own: {smaller}"
        raise UserError(message) from error


class Recorder(Listener):
    """Writes down what a training tells; ``again`` is the command that resumes it."""

    def __init__(self, folder: Path, spec: RunSpec, training: Training, again: str) -> None:
        self.folder, self.spec, self.training, self.again = folder, spec, training, again
        self.watch, self.evaluation = Stopwatch(), Stopwatch()
        """Of the epoch so far."""
        self.train_s = self.total_s = 0.0
        """Of all finished epochs."""
        self._path = folder / log.LOG_NAME
        self._saved = time.monotonic()
        self.asked: list[int] = []
        """The signals that asked to stop."""
        self._progress = Progress(spec)

    def start(self, root: Path, today: Fingerprint, images: DataSet) -> None:
        """Save an old log, write the header, execute the miniature and write it."""
        saved = _save_old(self._path)
        (self.folder / fingerprint.VERIFIED_NAME).unlink(missing_ok=True)
        checkpoint.keep(self.folder, 0)
        if saved is not None:
            say(f"{self.spec.run}: starting over; previous log saved as {saved.name}")
        device = self.training.device
        here = machine.describe_machine(device)
        header = Header(
            schema=log.SCHEMA,
            origin="trained",
            **self.spec.model_dump(include={"study", "arm", "model", "variant", "seed"}),
            spec=self.spec.model_dump(mode="json"),
            fingerprint=today,
            data=log.Data(name=images.name, digest=images.digest, address=images.address),
            machine=here,
            precision=self.spec.recipe.precision,
            packages=provenance.packages(),
            commit=provenance.commit(root),
            started=provenance.now_utc(),
            network=describe(self.training.net),
        )
        log.append(self._path, header)
        where = here.gpu or f"the CPU ({here.processor}, {here.threads} threads)"
        say(f"{self.spec.run}: on {where}, {self.spec.recipe.precision}; miniature first")
        if header.precision == "bfloat16" and not here.gpu and (told := without_bfloat16()):
            own = advice(self.spec.model, EPOCHS=self.spec.epochs, PRECISION="float32")
            say(f"{told}; to train in float32 instead: {own}")
        log.append(self._path, miniature.miniature(self.spec, images, device))

    def resume(self, root: Path, today: Fingerprint) -> bool:
        """Resume from the newest valid checkpoint; False where there is none.

        Raises:
            UserError: the run was started with other code or another configuration, or elsewhere.
        """
        path = self._path
        if not path.exists():
            return False
        if dropped := log.cut_to(path, log.whole_lines(path)):
            say(f"{path}: the last line was cut off; its {dropped} bytes were dropped")
        if log.whole_lines(path) == 0:
            return False
        run = log.read_run(path)
        assert run.header.fingerprint is not None, "imported logs are not trained"
        over = f"start over, the old log is kept: {log.again(self.spec, FORCE=1)}"
        # a reproduction starts over by itself: nobody needs what is left of it
        needed = self.folder == self.spec.folder(root)
        if changed := fingerprint.differences(run.header.fingerprint, today):
            if not (run.epochs and needed):
                return False
            raise UserError(
                f"{self.spec.run} was started with different code or settings: {changed[0]}\n{over}"
            )
        for state in checkpoint.load_newest(self.folder, self.training.device, say):
            here = machine.describe_machine(self.training.device).model_dump()
            if other := provenance.elsewhere(run.header, here | provenance.packages()):
                if not needed:
                    return False
                raise UserError(
                    f"{self.spec.run} was started on different hardware: {other}\n"
                    f"resume it there; or {over}"
                )
            if self._restore(state):
                return True
        return False

    def _restore(self, state: dict[str, Any]) -> bool:
        """Bring training and log to where ``state`` was saved, if it belongs to this log."""
        path, lines = self._path, state["log_lines"]
        if log.whole_lines(path) < lines or _first_line(path) != state["header"]:
            return False
        self.training.restore(state["training"])
        self.watch = Stopwatch(**state["watch"])
        self.train_s, self.total_s = state["train_s"], state["total_s"]
        log.cut_to(path, lines)
        if state["pending"] is not None:
            log.append(path, Epoch.model_validate_json(state["pending"]))
        at = self.training.at
        say(f"{self.spec.run}: resuming at epoch {at.epoch + 1}, step {at.step}")
        return True

    def asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        """Heard a signal; a step may take half a minute, so it is answered at once."""
        if not self.asked:
            say(f"{self.spec.run}: stopping when this step is done")
        self.asked.append(number)

    def tick(self) -> None:
        """Between two steps or two batches of an evaluation: save and stop if asked to."""
        if self.asked:
            self._save()
            message = f"{self.spec.run}: stopped, its state is saved; resume: {self.again}"
            raise Interrupted(self.asked[-1], message)

    def before_epoch(self, training: Training) -> None:
        self.watch.start()

    def after_step(self, training: Training, loss: Tensor) -> None:
        self.watch.lap()
        due = time.monotonic() - self._saved > CHECKPOINT_EVERY_S
        line = miniature.step_line(training, loss)
        if line is not None or due or self.asked:  # work that is not training
            self.watch.stop()
            if line is not None:
                log.append(self._path, line)
            self.tick()
            if due:
                self._save()
            self.watch.start()
        self._progress.step(training, self.watch)

    def after_steps(self, training: Training) -> None:
        self.watch.stop()
        self.evaluation.start()

    def after_epoch(self, training: Training, epoch: EpochMetrics) -> None:
        self.evaluation.stop()
        watch, evaluation = self.watch, self.evaluation
        line = Epoch(
            **log.finite(**vars(epoch)),
            train_s=watch.wall_s,
            train_cpu_s=watch.cpu_s,
            other_cpu_s=watch.other_cpu_s,
            eval_s=evaluation.wall_s,
            suspended_s=watch.suspended_s + evaluation.suspended_s,
            contended=watch.contended,
        )
        self.train_s += watch.wall_s
        self.total_s += watch.wall_s + evaluation.wall_s
        self.watch, self.evaluation = Stopwatch(), Stopwatch()
        self._save(line)
        log.append(self._path, line)
        self._write_text()
        self._progress.epoch(line)

    def before_test(self, training: Training) -> None:
        """Every reading of the test images is a line of the log, also of a run given up later."""
        images = len(training.data.test.labels)
        log.append(self._path, log.Reading(at=provenance.now_utc(), images=images))
        self._save()  # else a run that is killed now would forget the line when it resumes

    def finish(self, outcome: Outcome | None) -> None:
        """Write predictions and weights, then the result line, and say what came out.

        That line comes last: once the log has it, the run is finished and nothing more is done.
        """
        values: dict[str, Any] = dict.fromkeys(("val_loss", "val_acc", "test_loss", "test_acc"))
        digests: dict[str, Any] = dict.fromkeys(("predictions_sha256", "weights_sha256"))
        if outcome is not None:
            predicted = vars(outcome)
            for part in ("val", "test") if len(outcome.test_labels) else ("val",):
                both = predicted[f"{part}_labels"], predicted[f"{part}_logits"]
                values[f"{part}_loss"] = metrics.cross_entropy(*both)
                values[f"{part}_acc"] = metrics.accuracy(*both)
            state = self.training.net.state_dict().items()
            weights = {name: value.detach().cpu().contiguous() for name, value in state}
            files = {
                log.PREDICTIONS_NAME: Predictions(**predicted).to_bytes(),
                log.WEIGHTS_NAME: safetensors.torch.save(weights),
            }
            digests = dict(zip(digests, map(self._write, files, files.values()), strict=True))
        result = Result(
            status="finished" if outcome is not None else "diverged",
            train_s=self.train_s,
            total_s=self.total_s,
            peak_memory=machine.peak_memory(self.training.device),
            **digests,
            **log.finite(**values),
        )
        self._write_text(result)
        log.append(self._path, result)
        checkpoint.keep(self.folder, 0)
        if outcome is not None:
            card = predict.model_card(log.read_run(self._path))
            self._write(predict.CARD_NAME, card.encode())
        self._progress.result(result)

    def _write(self, name: str, data: bytes) -> str:
        """Write a file of the run; returns its SHA-256."""
        write_atomic(self.folder / name, data)
        return hashlib.sha256(data).hexdigest()

    def _save(self, line: Epoch | None = None) -> None:
        at = self.training.at
        state = {
            "training": self.training.state(),
            "watch": asdict(self.watch),
            "train_s": self.train_s,
            "total_s": self.total_s,
            "header": _first_line(self._path),
            "log_lines": log.whole_lines(self._path),
            "pending": None if line is None else line.model_dump_json(by_alias=True),
        }
        checkpoint.save(self.folder, state, epoch=at.epoch, step=at.step)
        self._saved = time.monotonic()

    def _write_text(self, result: Result | None = None) -> None:
        run = replace(log.read_run(self._path), result=result)
        self._write(log.TEXT_NAME, log.text_log(run).encode())


def _first_line(path: Path) -> str:
    """Digest of the header, which says whether a checkpoint belongs to a log."""
    with path.open("rb") as file:
        return hashlib.sha256(file.readline()).hexdigest()


def _save_old(path: Path) -> Path | None:
    """Rename an old log to the first free ``run.jsonl.N``; one without an epoch is dropped."""
    if not path.exists() or b'{"kind":"epoch",' not in path.read_bytes():
        path.unlink(missing_ok=True)
        return None
    names = (path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
    return path.rename(next(saved for saved in names if not saved.exists()))
