"""How far apart losses are where bits are others: measured, and written to ``spread.toml``.

    .venv-train/bin/python -m cnnpaper.learn.spread [STUDY [DATA_DIR]]

Each network of the study is executed as for ``make verify``, three times: with two threads and all
instructions of the processor, which counts as the recorded run; with one thread; and with two
threads, held to AVX2. On a processor without AVX-512 the third says little: measure on one that has
it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from cnnpaper import config, files
from cnnpaper.certificate import Replay, Request
from cnnpaper.config import RunSpec
from cnnpaper.learn import provenance, tolerance, verify

SETTINGS = {"one thread": (1, None), "AVX2": (2, "avx2")}
"""Compared with two threads and all instructions: threads, cap."""


def measure(root: Path, study: str, data_dir: Path) -> None:
    """Measure the networks of ``study`` and write the file anew."""
    plan = config.load_study(root, study)
    lines = [
        "# Written by python -m cnnpaper.learn.spread: largest relative differences of losses from",
        "# those with two threads and all instructions; each first full-size step, and miniature.",
    ]
    head: list[str] = []
    for model in plan.networks:
        spec = config.run_spec(root, plan, model, plan.seeds[0])
        base = _execute(root, spec, 2, None, data_dir)
        found = {
            name: _apart(base, _execute(root, spec, threads, cap, data_dir))
            for name, (threads, cap) in SETTINGS.items()
        }
        head = head or _conditions(base, study, plan.epochs)
        pairs = zip(*(steps for steps, _ in found.values()), strict=True)
        steps = ", ".join(f"{max(pair):.1e}" for pair in pairs)
        largest = max(small for _, small in found.values())
        lines += ["", f"[network.{model}]", f"first_steps = [{steps}]"]
        lines += [f"miniature = {largest:.1e}"]
        print(model, found, flush=True)
    text = "\n".join([*lines[:2], *head, *lines[2:], ""])
    files.write_atomic(tolerance.FILE, text.encode())


def _conditions(base: Replay, study: str, epochs: int) -> list[str]:
    machine = base.machine
    return [
        f'study = "{study}, {epochs} epochs"',
        f'processor = "{machine.cpu}, family {machine.cpu_family}, {machine.isa}"',
        f'torch = "{base.packages["torch"]}"',
        f'measured = "{provenance.now_utc()[:10]}"',
    ]


def _execute(root: Path, spec: RunSpec, threads: int, cap: str | None, data_dir: Path) -> Replay:
    held = spec.model_copy(update={"threads": threads, "isa_cap": cap})
    request = Request(spec=held, gpu=False, data_dir=str(data_dir.resolve()))
    return verify.execute(root, request, root / "build" / "spread" / spec.run)


def _apart(base: Replay, other: Replay) -> tuple[list[float], float]:
    """Relative differences: loss of each first step, and the largest of the miniature's losses."""
    steps = [
        verify.relative(a.exact("loss"), b.exact("loss"))
        for a, b in zip(base.steps, other.steps, strict=True)
    ]
    return steps, max(_miniatures(base, other))


def _miniatures(base: Replay, other: Replay) -> Iterator[float]:
    pairs = zip(base.miniature.metrics["epochs"], other.miniature.metrics["epochs"], strict=True)
    for a, b in pairs:
        for name in ("train_loss", "val_loss"):
            yield verify.relative(a[name], b[name])


if __name__ == "__main__":
    asked = dict(enumerate(sys.argv))
    measure(Path(), asked.get(1, "reference"), Path(asked.get(2, "data")))
