"""``train.log``: the log of a run as text for people, drawn from the lines of ``run.jsonl``."""

from __future__ import annotations

from cnnpaper import records

START = "############학습 시작############"
END = "############학습 끝############"
RULE = "----------"


def render(run: records.Run) -> str:
    """The text form of a run, which may be unfinished.

    Losses and accuracies have four decimals, the best validation accuracy has six; a value that
    was not finite is written as ``nan``, ``inf`` or ``-inf``. A run without a result line, or one
    whose source was cut off, ends after its last epoch. Epochs are counted from 0: ``Epoch 0/24``.
    """
    last = planned_epochs(run) - 1
    lines = [START]
    for epoch in run.epochs:
        lines += [f"Epoch {epoch.epoch}/{last}", RULE]
        for phase in ("train", "val"):
            loss, acc = _decimals(epoch, f"{phase}_loss"), _decimals(epoch, f"{phase}_acc")
            lines.append(f"{phase} Loss: {loss} Acc: {acc}")
    if run.result is not None and run.result.status != "cut off":
        lines += [END, *_summary(run.result)]
    return "\n".join(lines) + "\n"


def planned_epochs(run: records.Run) -> int:
    """How many epochs the run was to have: of its spec, or as its imported log said."""
    values = run.header.spec or run.header.model_extra or {}
    epochs = values.get("epochs")
    return epochs if isinstance(epochs, int) else len(run.epochs)


def _summary(result: records.Result) -> list[str]:
    """The lines after the end of training; only what is known."""
    word = "complete" if result.status == "finished" else "diverged"
    lines = []
    if result.total_s is not None:
        minutes, seconds = divmod(round(result.total_s), 60)
        lines.append(f"Training {word} in {minutes}m {seconds}s")
    if result.best_val_acc is not None:
        lines.append(f"Best val Acc: {result.best_val_acc:.6f}")
    if result.test_acc is not None:
        lines.append(f"test Loss: {_decimals(result, 'test_loss')} Acc: {result.test_acc:.4f}")
    if result.test_acc_tta is not None:
        lines.append(f"test Acc with flip averaging: {result.test_acc_tta:.4f}")
    return lines


def _decimals(line: records.Line, name: str) -> str:
    """Field ``name`` with four decimals; what is not known says so."""
    value = line.exact(name)
    return "unknown" if value is None else f"{value:.4f}"
