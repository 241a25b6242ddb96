"""Ways to make the paper and the logs disagree, each with its right answer.

A row of :data:`REFUSED` must be refused before anything is typeset, with a message that names the
place. A row of :data:`HARMLESS` must leave the paper as it was. :data:`UNSEEN` has what the files
cannot tell, since every copy of every fact was forged alike: the README says that only executing
the run again shows it. ``pytest -v`` prints the rows by name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnpaper import cli
from cnnpaper.errors import UserError
from cnnpaper.files import sha256_file
from cnnpaper.paper.study import StudyPaper
from cnnpaper.predictions import Predictions
from tests import fabricate

PLAN = fabricate.Plan(networks=("alexnet", "resnet18"), seeds=(0, 1), images=50, epochs=3)
WHOLE = fabricate.Plan(name="whole", networks=("alexnet",), epochs=1)
"""With all of CIFAR-10's test images."""
RUN = "alexnet-s0"
STEPS, EPOCHS, RESULT = (3, 4), (5, 6, 7), 8
"""Line numbers in a log of :data:`PLAN`; the header is line 1, the miniature line 2."""

# ------------------------------------------------------------------------------- how one tampers


@dataclass(frozen=True)
class Study:
    """The study that is tampered with."""

    root: Path
    name: str = PLAN.name

    @property
    def folder(self) -> Path:
        return self.root / "results" / "log" / self.name

    def log(self, run: str = RUN) -> Path:
        return self.folder / run / "run.jsonl"

    def npz(self, run: str = RUN) -> Path:
        return self.folder / run / "predictions.npz"

    @property
    def evaluations(self) -> Path:
        return self.folder / "test-evaluations.jsonl"

    @property
    def study_file(self) -> Path:
        return self.root / "experiments" / "study" / f"{self.name}.toml"


Tampering = Callable[[Study], None]


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(old) >= 1, f"{path}: no {old!r}"
    path.write_text(text.replace(old, new, 1), "utf-8")


def digest_of(previous: str, fields: dict[str, Any]) -> tuple[str, str]:
    """Text and digest of a line, by the rule that the log format states."""
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.sha256((previous + text).encode()).hexdigest()
    return f'{text[:-1]},"digest":"{digest}"}}', digest


def forged(
    path: Path, change: Callable[[list[dict[str, Any]]], None], *, noted: bool = True
) -> None:
    """A log with other lines, and every digest made anew.

    Args:
        change: edits the lines in place.
        noted: make the digest in the log of test evaluations anew, too.
    """
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for line in lines:
        del line["digest"]
    change(lines)
    previous, texts, before = "0" * 64, [], ""
    for fields in lines:
        before = previous
        text, previous = digest_of(previous, fields)
        texts.append(text)
    path.write_text("\n".join(texts) + "\n", "utf-8")
    if noted:
        note(path.parent.parent / "test-evaluations.jsonl", path.parent.name, before)


def note(path: Path, run: str, digest: str) -> None:
    entries = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for entry in entries:
        if entry["run"] == run:
            entry["log_digest"] = digest
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))


def forge(line: int, *, run: str = RUN, noted: bool = True, **fields: Any) -> Tampering:
    """Other values for fields of one line; ``a__b`` is field b of a; digests made anew."""

    def change(lines: list[dict[str, Any]]) -> None:
        for name, value in fields.items():
            *tables, key = name.split("__")
            at = lines[line - 1]
            for table in tables:
                at = at[table]
            at[key] = value

    return lambda study: forged(study.log(run), change, noted=noted)


def in_plan(run: str = RUN, **fields: Any) -> Tampering:
    """Other values in the spec and in the fingerprint's configuration alike."""
    names = {f"spec__{name}": value for name, value in fields.items()}
    names |= {f"fingerprint__config__{name}": value for name, value in fields.items()}
    return forge(1, run=run, **names)


def lines_edited(change: Callable[[list[bytes]], list[bytes]]) -> Tampering:
    """Lines of a log moved, removed or doubled, as they are."""

    def tamper(study: Study) -> None:
        path = study.log()
        path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))

    return tamper


def digit(line: int, name: str) -> Tampering:
    """Another last digit for a number in a log."""

    def change(lines: list[bytes]) -> list[bytes]:
        found = re.search(rb'"%s":[0-9.e-]*([0-9])' % name.encode(), lines[line - 1])
        assert found is not None, name
        place, old = found.start(1), lines[line - 1]
        new = b"1" if found[1] != b"1" else b"2"
        return [*lines[: line - 1], old[:place] + new + old[place + 1 :], *lines[line:]]

    return lines_edited(change)


def digit_and_digest(line: int, name: str) -> Tampering:
    """The same, and the digest of this line made anew, but not those after it."""

    def tamper(study: Study) -> None:
        digit(line, name)(study)
        lines = study.log().read_text("utf-8").splitlines()
        fields = json.loads(lines[line - 1])
        del fields["digest"]
        previous = json.loads(lines[line - 2])["digest"]
        lines[line - 1] = digest_of(previous, fields)[0]
        study.log().write_text("\n".join(lines) + "\n", "utf-8")

    return tamper


def arrays(change: Callable[[dict[str, Any]], None], *, bound: bool = False) -> Tampering:
    """Other predictions.

    Args:
        bound: forge the result line: SHA-256 and metrics of the new arrays, all digests anew.
    """

    def tamper(study: Study) -> None:
        rewrite_arrays(study, RUN, change, bound)

    return tamper


def rewrite_arrays(
    study: Study, run: str, change: Callable[[dict[str, Any]], None], bound: bool
) -> None:
    path = study.npz(run)
    with np.load(path) as found:
        values = {name: found[name] for name in found.files}
    change(values)
    made = Predictions(**values)
    path.write_bytes(made.to_bytes())
    if bound:
        right = [(values[n].argmax(1) == values["labels"]).mean() for n in ("logits", "logits_tta")]
        forged(study.log(run), lambda lines: lines[-1].update(
            predictions_sha256=sha256_file(path),
            test_acc=float(right[0]),
            test_acc_tta=float(right[1]),
            test_loss=loss(made),
        ))  # fmt: skip


def loss(made: Predictions) -> float:
    logits = made.logits.astype(np.float64)
    shifted = logits - logits.max(1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(1))
    return float((log_sum - shifted[np.arange(len(logits)), made.labels]).mean())


def one_logit(values: dict[str, Any]) -> None:
    values["logits"][7, 3] += 1


def one_label(values: dict[str, Any]) -> None:
    values["labels"][7] = (values["labels"][7] + 1) % 10


def fewer_images(values: dict[str, Any]) -> None:
    for name in values:
        values[name] = values[name][:-10]


def all_right(values: dict[str, Any]) -> None:
    """Every image classified as its label says."""
    values["logits"][np.arange(len(values["labels"])), values["labels"]] += 100
    values["logits_tta"][np.arange(len(values["labels"])), values["labels"]] += 100


def copied(source: str, target: str) -> Tampering:
    def tamper(study: Study) -> None:
        for path in (study.folder / source).iterdir():
            (study.folder / target).mkdir(exist_ok=True)
            shutil.copyfile(path, study.folder / target / path.name)

    return tamper


def copied_and_renamed(study: Study) -> None:
    """Another seed's run under this run's name, in its header too."""
    copied("alexnet-s1", RUN)(study)
    in_plan(seed=0)(study)
    forge(1, seed=0)(study)


def renamed(source: str, target: str) -> Tampering:
    return lambda study: (study.folder / source).rename(study.folder / target) and None


def swapped_predictions(study: Study) -> None:
    a, b = study.npz("alexnet-s0").read_bytes(), study.npz("alexnet-s1").read_bytes()
    study.npz("alexnet-s0").write_bytes(b)
    study.npz("alexnet-s1").write_bytes(a)


def swapped_folders(study: Study) -> None:
    (study.folder / "alexnet-s0").rename(study.folder / "x")
    (study.folder / "alexnet-s1").rename(study.folder / "alexnet-s0")
    (study.folder / "x").rename(study.folder / "alexnet-s1")


def without_epoch(lines: list[dict[str, Any]]) -> None:
    del lines[EPOCHS[1] - 1]


def shorter(lines: list[dict[str, Any]]) -> None:
    """The last epoch left out, the best one chosen among the others, all sums right."""
    del lines[EPOCHS[2] - 1]
    epochs = [line for line in lines if line["kind"] == "epoch"]
    best = max(epochs, key=lambda line: line["val_acc"])
    lines[-1].update(
        best_epoch=best["epoch"],
        best_val_acc=best["val_acc"],
        total_s=sum(line["train_s"] + line["eval_s"] for line in epochs),
    )


def second_epoch_again(lines: list[dict[str, Any]]) -> None:
    lines.insert(EPOCHS[1], dict(lines[EPOCHS[1] - 1]))


def best_of_the_worst(lines: list[dict[str, Any]]) -> None:
    """The epoch of the lowest validation accuracy, with its right accuracy."""
    worst = min((lines[n - 1] for n in EPOCHS), key=lambda line: line["val_acc"])
    lines[-1].update(best_epoch=worst["epoch"], best_val_acc=worst["val_acc"])


def untested(lines: list[dict[str, Any]]) -> None:
    """A result that nobody likes, taken back."""
    lines[-1].update(predictions_sha256=None, test_acc=None, test_loss=None, test_acc_tta=None)


def second_step_first(lines: list[dict[str, Any]]) -> None:
    lines[STEPS[0] - 1], lines[STEPS[1] - 1] = lines[STEPS[1] - 1], lines[STEPS[0] - 1]


def another_network(lines: list[dict[str, Any]]) -> None:
    """One parameter and one multiplication more, in a layer and in the sums."""
    network = lines[0]["network"]
    for at in (network, network["layers"][0]):
        at["parameters"] += 1
        at["macs"] += 1


def nothing_recorded(lines: list[dict[str, Any]]) -> None:
    lines[0].update(fingerprint=None)


def extra_run(study: Study) -> None:
    """A finished run of a seed that the study does not name."""
    copied("alexnet-s1", "alexnet-s2")(study)


def without_seed(study: Study) -> None:
    """The study names one seed less than was run: a choice made after the results."""
    replaced(study.study_file, "seeds = [0, 1]", "seeds = [0]")


def certificate(text: str) -> Tampering:
    """A certificate beside a run that has become stale."""

    def tamper(study: Study) -> None:
        # a certificate is read only where something of the code has changed
        replaced(study.root / "cnnpaper" / "learn" / "evaluate.py", "BATCH = 500", "BATCH = 250")
        (study.folder / RUN / "certificate.json").write_text(text)

    return tamper


def evaluations_without(run: str) -> Tampering:
    def tamper(study: Study) -> None:
        kept = [x for x in study.evaluations.read_text().splitlines() if run not in x]
        study.evaluations.write_text("".join(f"{line}\n" for line in kept))

    return tamper


def chained(*tamperings: Tampering) -> Tampering:
    def tamper(study: Study) -> None:
        for each in tamperings:
            each(study)

    return tamper


# ------------------------------------------------------------------------------- the tables

CHANGED = "this line was changed after it was written"
LOG = f"{RUN}/run.jsonl"

REFUSED: dict[str, tuple[Tampering, str]] = {
    # the log as it is: its digests show it
    "a digit of the test accuracy": (digit(RESULT, "test_acc"), f"{LOG}:8: {CHANGED}"),
    "a digit of a validation accuracy": (digit(6, "val_acc"), f"{LOG}:6: {CHANGED}"),
    "a digit, and this line's digest": (digit_and_digest(6, "val_acc"), f"{LOG}:7: {CHANGED}"),
    "a digit of seconds": (digit(6, "train_s"), f"{LOG}:6: {CHANGED}"),
    "the seed in the header": (
        lambda s: replaced(s.log(), '"seed":0', '"seed":1'),
        f"{LOG}:1: {CHANGED}",
    ),
    "the commit in the header": (
        lambda s: replaced(s.log(), '"commit":"0', '"commit":"1'),
        f"{LOG}:1: {CHANGED}",
    ),
    "the name of the data in the header": (
        lambda s: replaced(s.log(), "CIFAR-10, re-encoded", "CIFAR-10"),
        f"{LOG}:1: {CHANGED}",
    ),
    "two lines swapped": (
        lines_edited(lambda x: [*x[:4], x[5], x[4], *x[6:]]),
        f"{LOG}:5: {CHANGED}",
    ),
    "an epoch removed": (lines_edited(lambda x: [*x[:5], *x[6:]]), f"{LOG}:6: {CHANGED}"),
    "an epoch doubled": (lines_edited(lambda x: [*x[:6], x[5], *x[6:]]), f"{LOG}:7: {CHANGED}"),
    "the first line removed": (lines_edited(lambda x: x[1:]), f"{LOG}:1: {CHANGED}"),
    "the result removed": (
        lines_edited(lambda x: x[:-1]),
        f"{RUN} is incomplete (3 of 3 epochs): make alexnet",
    ),
    "the last line cut off": (
        lines_edited(lambda x: [*x[:-1], x[-1][:-9]]),
        f"{LOG}:8: the last line is cut off",
    ),
    "line ends of Windows": (
        lines_edited(lambda x: [line.replace(b"\n", b"\r\n") for line in x]),
        f"{LOG}:1: not a line of a log",
    ),
    "a line of one's own at the end": (
        lines_edited(lambda x: [*x, b'{"kind":"result","test_acc":1}\n']),
        f"{LOG}:9: not a line of a log",
    ),
    "an empty log": (lines_edited(lambda x: []), f"{LOG}: empty"),
    "a future schema": (forge(1, schema=2), f"{LOG}:1: schema = 2, this version"),
    # the digests made anew, but not the note of the test: it remembers the digest of that time
    "the commit, digests anew": (
        forge(1, commit="1" * 40, noted=False),
        f"{LOG}:8: *test-evaluations.jsonl does not say",
    ),
    "a training loss, digests anew": (
        forge(6, train_loss=1.25, noted=False),
        f"{LOG}:8: *test-evaluations.jsonl does not say",
    ),
    "the processor, digests anew": (
        forge(1, machine__cpu="A faster one", noted=False),
        f"{LOG}:8: *test-evaluations.jsonl does not say",
    ),
    # the digests and the note made anew: the log contradicts itself
    "the test accuracy": (forge(RESULT, test_acc=0.5), f"{LOG}:8: test_acc = 0.5, but predictions"),
    "the test loss": (forge(RESULT, test_loss=1.0), f"{LOG}:8: test_loss = 1.0, but predictions"),
    "the accuracy with flip averaging": (
        forge(RESULT, test_acc_tta=0.5),
        f"{LOG}:8: test_acc_tta = 0.5, but predictions",
    ),
    "the best validation accuracy": (
        forge(RESULT, best_val_acc=0.5),
        f"{LOG}:8: best_val_acc = 0.5, but epoch",
    ),
    "another best epoch": (
        lambda s: forged(s.log(), best_of_the_worst),
        f"{LOG}:8: best_epoch = 0, but epoch",
    ),
    "a best epoch that is not there": (
        forge(RESULT, best_epoch=7),
        f"{LOG}:8: best_epoch = 7: there is no such epoch",
    ),
    "a best epoch counted from behind": (
        forge(RESULT, best_epoch=-1),
        f"{LOG}:8: best_epoch = -1: there is no such epoch",
    ),
    "seconds in all": (forge(RESULT, total_s=1.0), f"{LOG}:8: total_s = 1.0, but the epochs took"),
    "seconds of an epoch": (forge(6, train_s=1.0), f"{LOG}:8: total_s = *, but the epochs took"),
    "seconds below zero": (
        forge(6, train_cpu_s=-1.0),
        f"{LOG}:6: train_cpu_s = -1.0 is below zero",
    ),
    "a result taken back": (
        lambda s: forged(s.log(), untested),
        f"{LOG}:8: finished without predictions",
    ),
    "a failure that was none": (
        forge(RESULT, status="diverged"),
        f"{LOG}:8: diverged, but the losses",
    ),
    "a trained run said to be cut off": (
        forge(RESULT, status="cut off"),
        f"{LOG}:8: cut off, which is said of imported logs alone",
    ),
    "an epoch left out": (
        lambda s: forged(s.log(), without_epoch),
        f"{LOG}:6: epoch 2 where epoch 1 is expected",
    ),
    "the last epoch left out, all sums right": (
        lambda s: forged(s.log(), shorter),
        f"{LOG}:7: finished after 2 of 3 epochs",
    ),
    "an epoch twice": (
        lambda s: forged(s.log(), second_epoch_again),
        f"{LOG}:7: epoch 1 where epoch 2 is expected",
    ),
    "a second header": (
        lambda s: forged(s.log(), lambda x: x.insert(1, dict(x[0]))),
        f"{LOG}:2: the header line",
    ),
    "first steps in another order": (
        lambda s: forged(s.log(), second_step_first),
        f"{LOG}:3: step 1 of epoch 0 where step 0",
    ),
    "an accuracy that no number of images gives": (
        forge(6, val_acc=0.50001),
        f"{LOG}:6: val_acc = 0.50001 is no share of 5000 images",
    ),
    "a training accuracy above one": (
        forge(6, train_acc=1.5),
        f"{LOG}:6: train_acc = 1.5 is no share of 45000 images",
    ),
    "NaN as JSON has it not": (
        lambda s: forged(s.log(), lambda x: x[5].update(val_loss=float("nan"))),
        f"{LOG}:6: *val_loss",
    ),
    "a loss said to be NaN": (
        forge(6, train_loss=None, nonfinite={"train_loss": "nan"}),
        f"{LOG}:6: a value is not finite, but the run went on",
    ),
    "a number that is said to be NaN, too": (
        forge(6, nonfinite={"val_acc": "nan"}),
        f"{LOG}:6: nonfinite.val_acc, but val_acc is a",
    ),
    "an infinite test loss": (
        forge(RESULT, test_loss=None, nonfinite={"test_loss": "inf"}),
        f"{LOG}:8: test_loss is not finite",
    ),
    "an accuracy as text": (forge(6, val_acc="0.5"), f"{LOG}:6: val_acc = 0.5: Input should be"),
    "a day that is none": (
        forge(1, started="2026-13-45T00:00:00Z"),
        f"{LOG}:1: started = '2026-13-45T00:00:00Z'",
    ),
    # … the recipe and the repository
    "the learning rate": (
        forge(6, learning_rate=0.05),
        f"{LOG}:6: learning_rate = 0.05, but the recipe gives",
    ),
    "the resolution": (
        forge(5, resolution=24),
        f"{LOG}:5: resolution = 24, but the recipe gives 32",
    ),
    "the weights that were tested": (
        forge(6, weights="ema"),
        f"{LOG}:6: weights = 'ema', but the recipe gives 'raw'",
    ),
    "a value of the spec": (
        forge(1, spec__epochs=4),
        f"{LOG}:1: spec and fingerprint.config differ in epochs",
    ),
    "a value of the spec and of the fingerprint": (
        in_plan(initialisation_std=0.5),
        f"{RUN} is stale: initialisation_std: 0.5 -> 0.01",
    ),
    "no fingerprint at all": (
        lambda s: forged(s.log(), nothing_recorded),
        f"{LOG}:1: fingerprint = null",
    ),
    "the torch that was used": (
        forge(1, packages__torch="2.9.0"),
        f"{LOG}:1: packages.torch = '2.9.0', but the lock had",
    ),
    "the threads that were used": (
        forge(1, machine__threads=64),
        f"{LOG}:1: threads or isa_cap of spec are not those",
    ),
    # … what it says of data and network
    "the name of the data": (
        forge(1, data__name="CIFAR-10"),
        f"{LOG}:1: data.name = 'CIFAR-10', but 'jpeg75' data is",
    ),
    "the digest of the data": (forge(1, data__digest="1" * 64), ":1: data: *on different data"),
    "the digest of the data in every log": (
        chained(
            *(
                forge(1, run=f"{m}-s{n}", data__digest="1" * 64)
                for m in PLAN.networks
                for n in PLAN.seeds
            )
        ),
        "stale: digest of the data trained on: 111111111111… -> 08fb299e0e53…",
    ),
    "multiplications of the network": (
        forge(1, network__macs=1),
        f"{LOG}:1: network.macs = 1, but its layers have 201912320",
    ),
    "parameters of the network": (
        forge(1, network__parameters=1),
        f"{LOG}:1: network.parameters = 1, but its layers have",
    ),
    "a layer of one seed, sums right": (
        lambda s: forged(s.log(), another_network),
        "alexnet-s1/run.jsonl:1: network: not that of",
    ),
    # which run is which
    "another seed's log": (
        lambda s: shutil.copyfile(s.log("alexnet-s1"), s.log()) and None,
        f"{LOG}:1: the log of alexnet-s1 of study 'invented' (trained) lies in the folder of {RUN}",
    ),
    "another network's log": (
        lambda s: shutil.copyfile(s.log("resnet18-s0"), s.log()) and None,
        f"{LOG}:1: the log of resnet18-s0",
    ),
    "a run's whole folder copied": (copied("alexnet-s1", RUN), f"{LOG}:1: the log of alexnet-s1"),
    "a run copied, and its seed in the header": (
        chained(copied("alexnet-s1", RUN), forge(1, seed=0)),
        f"{LOG}:1: seed = 0, but spec.seed = 1",
    ),
    "a run copied, and its seed everywhere": (
        copied_and_renamed,
        "alexnet-s1/run.jsonl:8: predictions_sha256: alexnet-s1 has the",
    ),
    "a folder renamed to a seed that failed": (
        chained(lambda s: shutil.rmtree(s.folder / RUN), renamed("alexnet-s1", RUN)),
        f"{LOG}:1: the log of alexnet-s1",
    ),
    "two folders swapped": (swapped_folders, f"{LOG}:1: the log of alexnet-s1"),
    "a folder renamed to one that the study does not name": (
        renamed(RUN, "alexnet-s7"),
        "alexnet-s7/run.jsonl: study 'invented' does not name this run",
    ),
    "a run that the study does not name": (
        extra_run,
        "alexnet-s2/run.jsonl: study 'invented' does not name this run",
    ),
    "a seed left out of the study when it was run": (
        without_seed,
        "alexnet-s1/run.jsonl: study 'invented' does not name this run",
    ),
    "another study's name in the header": (
        forge(1, study="other", spec__study="other"),
        f"{LOG}:1: the log of {RUN} of study 'other'",
    ),
    "an imported log in its place": (
        forge(1, origin="imported"),
        f"{LOG}:1: the log of {RUN} of study 'invented' (imported)",
    ),
    # the predictions
    "one logit": (arrays(one_logit), f"{RUN}/predictions.npz: not the predictions that"),
    "one label": (arrays(one_label), f"{RUN}/predictions.npz: not the predictions that"),
    "predictions of two runs swapped": (
        swapped_predictions,
        "/predictions.npz: not the predictions",
    ),
    "another run's predictions": (
        lambda s: shutil.copyfile(s.npz("alexnet-s1"), s.npz()) and None,
        f"{RUN}/predictions.npz: not the predictions that",
    ),
    "predictions removed": (lambda s: s.npz().unlink(), f"{RUN}/predictions.npz: cannot be read"),
    "one label, everything made anew": (
        arrays(one_label, bound=True),
        "/predictions.npz: labels: * were tested on different images",
    ),
    "fewer test images, everything made anew": (
        arrays(fewer_images, bound=True),
        f"{RUN}/predictions.npz: 40 test images, but spec.data",
    ),
    # the other files of the study
    "the note of a test removed": (
        evaluations_without(RUN),
        f"{LOG}:8: *test-evaluations.jsonl does not say that {RUN} was",
    ),
    "all notes removed": (
        lambda s: s.evaluations.unlink(),
        f"{LOG}:8: *test-evaluations.jsonl does not say",
    ),
    "a digest in the notes": (
        lambda s: note(s.evaluations, RUN, "1" * 64),
        f"{LOG}:8: *test-evaluations.jsonl does not",
    ),
    "a note that is none": (
        lambda s: s.evaluations.write_text(s.evaluations.read_text() + "{}\n") and None,
        "test-evaluations.jsonl:5: run: Field required",
    ),
    "a certificate of one's own": (
        certificate('{"schema": 1}'),
        f"{RUN}/certificate.json: not a certificate",
    ),
    "a certificate where nothing has changed": (
        lambda s: (s.folder / RUN / "certificate.json").write_text("{}") and None,
        f"{RUN}/certificate.json: schema = None",
    ),
    "a certificate of another schema": (
        certificate('{"schema": 9}'),
        f"{RUN}/certificate.json: schema = 9",
    ),
    # what the runs depend on
    "the digest of the data in the study file": (
        lambda s: replaced(s.study_file, 'digest = "08fb', 'digest = "18fb'),
        "stale: digest of the data",
    ),
    "the epochs in the study file": (
        lambda s: replaced(s.study_file, "epochs = 3", "epochs = 30"),
        "stale: epochs: 3 -> 30",
    ),
    "a value of the recipe": (
        lambda s: replaced(s.root / "experiments/recipe.toml", "momentum = 0.9", "momentum = 0.8"),
        "stale: recipe.momentum: 0.9 -> 0.8",
    ),
    "torch in the lock": (
        lambda s: replaced(
            s.root / "uv.lock",
            'name = "torch"\nversion = "2.14.1"',
            'name = "torch"\nversion = "2.14.2"',
        ),
        "stale: torch: 2.14.1 -> 2.14.2",
    ),
    "the code of the training": (
        lambda s: replaced(s.root / "cnnpaper/learn/evaluate.py", "BATCH = 500", "BATCH = 250"),
        "stale: cnnpaper/learn/evaluate.py: BATCH changed",
    ),
    # the templates
    "a number through a template": (
        lambda s: append(s.root / "report" / "discussion.tex.j2", r"\VAR{0.5}"),
        r"report/discussion.tex.j2:*: 0.5 is a bare float",
    ),
    "a value that there is not": (
        lambda s: append(s.root / "report" / "discussion.tex.j2", r"\VAR{best.luck}"),
        r"report/discussion.tex.j2:",
    ),
}


def append(path: Path, text: str) -> None:
    path.write_text(f"{path.read_text('utf-8')}\n{text}\n", "utf-8")


HARMLESS: dict[str, Tampering] = {
    "train.log, which is for people": lambda s: append(s.folder / RUN / "train.log", "Acc: 1.0"),
    "train.log removed": lambda s: (s.folder / RUN / "train.log").unlink(missing_ok=True),
    "time stamps": lambda s: [os.utime(path) for path in s.root.rglob("*")] and None,
    "an older log kept beside": lambda s: (
        shutil.copyfile(s.log("resnet18-s0"), s.log().with_name("run.jsonl.1")) and None
    ),
    "a folder without a log": lambda s: (s.folder / "alexnet-s9").mkdir(),
    "another study's runs": lambda s: (
        shutil.copytree(s.folder, s.folder.with_name("other")) and None
    ),
    "a comment in the recipe": lambda s: append(s.root / "experiments" / "recipe.toml", "# 0.5"),
}

UNSEEN: dict[str, Tampering] = {
    "the commit, everything made anew": forge(1, commit="1" * 40),
    "the processor, everything made anew": forge(1, machine__cpu="A faster one"),
    "a training loss, everything made anew": forge(6, train_loss=1.25),
    "a logit, everything made anew": arrays(one_logit, bound=True),
    "every answer right, everything made anew": arrays(all_right, bound=True),
    "an evaluation more": lambda s: append_line(s.evaluations),
}


def append_line(path: Path) -> None:
    path.write_text(path.read_text() + path.read_text().splitlines()[0] + "\n")


# ------------------------------------------------------------------------------- the tests


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A repository with a study, and a copy of what the tests change."""
    root = fabricate.study(tmp_path_factory.mktemp("original") / "repository", PLAN, code=True)
    fabricate.study(root, WHOLE)
    for run in PLAN.networks:
        (root / "results" / "log" / PLAN.name / f"{run}-s0" / "train.log").write_text("invented\n")
    shutil.copytree(root, root.with_name("kept"))
    return root, root.with_name("kept")


@pytest.fixture(scope="module")
def right(originals: tuple[Path, Path]) -> str:
    """The paper of the study as it is."""
    return paper_of(Study(originals[0]))


@pytest.fixture
def study(originals: tuple[Path, Path]) -> Iterator[Study]:
    """The study; whatever a test does to it is undone, in the same place, so that it is quick."""
    root, kept = originals
    yield Study(root)
    for path in ("results", "experiments", "report", "cnnpaper", "uv.lock"):
        if (root / path).is_dir():
            shutil.rmtree(root / path)
            shutil.copytree(kept / path, root / path)
        else:
            shutil.copyfile(kept / path, root / path)


def refusal(study: Study, *, allow_stale: bool = False) -> str | None:
    """What the paper says instead of being made; None where its text is made."""
    try:
        paper_of(study, allow_stale=allow_stale)
    except UserError as error:
        return str(error)
    return None


def paper_of(study: Study, *, allow_stale: bool = False) -> str:
    """All that TeX reads, but for the figures, and the ledger.

    Without the digests of files in the ledger: a comment in a file changes that and nothing else.
    """
    paper = StudyPaper(study.root, study.name, allow_stale=allow_stale)
    return re.sub(r"'digest': '[0-9a-f]{64}'", "", repr((paper.text.files, paper.ledger.dump())))


def matches(expected: str, message: str) -> bool:
    """Is ``expected`` in the message? ``*`` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.split("*"))
    return re.search(pattern, message, re.DOTALL) is not None


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, study: Study) -> None:
    tamper, expected = REFUSED[name]
    tamper(study)
    message = refusal(study)
    assert message is not None, "the paper was made"
    assert matches(expected, message), message
    assert len(message.splitlines()) <= 5


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless(name: str, study: Study, right: str) -> None:
    HARMLESS[name](study)
    assert paper_of(study) == right


@pytest.mark.parametrize("name", UNSEEN)
def test_what_the_files_cannot_tell(name: str, study: Study) -> None:
    UNSEEN[name](study)
    assert refusal(study) is None


def test_the_labels_of_the_whole_test_set(study: Study) -> None:
    """Of one run alone, no other run contradicts it: the official labels do."""
    whole = Study(study.root, WHOLE.name)
    assert refusal(whole) is None
    rewrite_arrays(whole, RUN, one_label, bound=True)
    message = refusal(whole)
    assert message is not None
    assert "predictions.npz: labels are not those of CIFAR-10's test images" in message


@pytest.mark.parametrize("name", ["the test accuracy", "one logit", "an epoch removed"])
def test_stale_or_not(name: str, study: Study) -> None:
    """Leave to show stale runs is no leave to show tampered ones."""
    tamper, expected = REFUSED[name]
    replaced(study.root / "experiments/recipe.toml", "momentum = 0.9", "momentum = 0.8")
    assert refusal(study, allow_stale=True) is None
    tamper(study)
    message = refusal(study, allow_stale=True)
    assert message is not None
    assert matches(expected, message)


def test_a_coarse_clock_is_no_tampering(study: Study) -> None:
    """CPU seconds of others are a difference of two clocks, a little below zero where none ran."""
    forge(6, other_cpu_s=-0.004)(study)
    assert refusal(study) is None


def test_the_command_line_refuses(
    study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digit(RESULT, "test_acc")(study)
    monkeypatch.chdir(study.root)
    assert cli.run(["report", "--study", study.name]) == 2
    said = capsys.readouterr().err
    assert f"cnnpaper: results/log/invented/{LOG}:8: {CHANGED}" in said
    assert "Traceback" not in said


def test_the_table_is_large() -> None:
    assert len(REFUSED) + len(HARMLESS) + len(UNSEEN) >= 100
