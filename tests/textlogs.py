"""Text logs in the forms of the 2023 program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cnnpaper.config import Imported
from cnnpaper.study.adopt import import_logs
from cnnpaper.study.analysis import Findings, analyse
from cnnpaper.study.load import StudyData, load

START, END = "############학습 시작############", "############학습 끝############"


def text(
    scores: Sequence[float | str], planned: int | None = None, *, form: str = "dashes after",
    end: bool = True,
) -> str:  # fmt: skip
    """A log whose validation accuracies are ``scores``; a string stands for a loss, too.

    Args:
        planned: epochs that the run was to have; without it as many as it has.
        form: ``dashes after`` the line of the epoch, ``dashes before`` it, or ``blank lines``.
    """
    lines = [START]
    for epoch, score in enumerate(scores):
        head = f"Epoch {epoch}/{(planned or len(scores)) - 1}"
        acc, loss = (score, 1 - epoch / 100) if isinstance(score, float) else (0.1, float(score))
        lines += ["----------", head] if form == "dashes before" else [head, "----------"]
        lines += [
            f"train Loss: {loss:.4f} Acc: {acc / 2:.4f}",
            f"val Loss: {loss:.4f} Acc: {acc:.4f}",
        ]
        lines += [""] if form == "blank lines" else []
    if end:
        best = max((score for score in scores if isinstance(score, float)), default=0.1)
        lines += [END, "Training complete in 3m 28s", f"Best val Acc: {best:.6f}"]
    return "\n".join(lines) + "\n"


def folder(place: Path, files: Mapping[str, str | bytes]) -> Path:
    """A folder of such files."""
    place.mkdir()
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (place / name).write_bytes(data)
    return place


def study(root: Path, logs: int, name: str = "tutorial") -> tuple[StudyData, Findings]:
    """Two networks with so many logs each, imported into a repository that has both; the last is
    cut off, and the one before it has a value that is not finite."""
    files = {
        f"word{i}_{m}_3epoch_train.log": text([0.4, 0.5, 0.6])
        for m in ("resnet18", "vgg16") for i in range(logs)
    }  # fmt: skip
    *_, strange, last = files
    files |= {strange: text([0.4, "nan", 0.6]), last: text([0.4], 3, end=False)}
    import_logs(root, [folder(root / "given", files)], name, [], Imported(data="cards"))
    data = load(root, name)
    return data, analyse(data)
