"""What bad input gets from the real command line: exit code 2, and a few lines that teach.

In every case nothing but that message comes out: no traceback, no file written, changed or lost.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cnnpaper = Callable[..., Any]
ALEXNET = ("train", "--model", "alexnet")


def tree(root: Path) -> dict[str, object]:
    """Everything below ``root`` but the interpreter's caches and the files of locks."""
    return {
        str(path): path.readlink() if path.is_symlink() else path.read_bytes()
        for path in root.rglob("*")
        if (path.is_symlink() or path.is_file())
        and "__pycache__" not in path.parts
        and path.suffix != ".lock"
    }


def refused(
    cnnpaper: Cnnpaper, root: Path, arguments: tuple[str, ...], says: tuple[str, ...]
) -> None:
    """Call the command; it must refuse, and leave everything as it is."""
    before = tree(root)
    answer = cnnpaper(*arguments)
    assert answer.code == 2, answer
    assert answer.out == ""
    assert answer.err.startswith("cnnpaper: ")
    assert "Traceback" not in answer.err
    assert "pydantic" not in answer.err
    assert 1 <= len(answer.err.splitlines()) <= 6, answer.err
    for part in says:
        assert part in answer.err, answer.err
    assert tree(root) == before


ARGUMENTS = [
    (("trian",), ("No such command 'trian'", "'train'")),
    (("train",), ("--model", "cnnpaper train --help")),
    ((*ALEXNET, "--epohcs", "3"), ("--epohcs", "--epochs")),
    (("train", "--model", "alexnt"), ("unknown network 'alexnt'", "'alexnet'", "resnet18")),
    (("train", "--model", "../recipe"), ("unknown network '../recipe'",)),
    (("train", "--model", "cluster"), ("unknown network 'cluster'",)),
    ((*ALEXNET, "--epochs", "0"), ("0 is not in the range 1<=x<=100000", "train --help")),
    ((*ALEXNET, "--epochs", "ten"), ("'ten'", "--epochs")),
    ((*ALEXNET, "--batch-size", "1"), ("--batch-size", "range 2<=x")),
    ((*ALEXNET, "--precision", "float16"), ("'float16'", "float32", "bfloat16")),
    ((*ALEXNET, "--study", "smoke", "--precision", "float32"), ("leave out --study",)),
    ((*ALEXNET, "--seed", "4294967296"), ("'4294967296'", "below 2**32")),
    ((*ALEXNET, "--seeds", "1,,2"), ("'1,,2'", "0,1,2")),
    ((*ALEXNET, "--study", "smoke", "--gpus", "first"), ("'first'", "auto, cpu")),
    ((*ALEXNET, "--study", "smoke", "--gpus", "0,0"), ("0,0", "once")),
    ((*ALEXNET, "--study", "smoke", "--gpus", "0,1"), ("one run uses one device",)),
    ((*ALEXNET, "--study", "smoke", "--gpus", "0:1"), ("'0:1'", "auto, cpu")),
    (("timing", "--study", "smoke", "--gpus", "first"), ("'first'", "auto, cpu")),
    (("timing", "--study", "smoke", "--gpus", "0,1"), ("one device",)),
    ((*ALEXNET, "--study", "refrence"), ("'refrence'", "'reference'")),
    ((*ALEXNET, "--study", "../study/smoke"), ("no study",)),
    ((*ALEXNET, "--study", "single-0ep"), ("no study 'single-0ep'",)),
    (
        (*ALEXNET, "--study", "smoke", "--epochs", "7"),
        ("leave out --study", "make alexnet EPOCHS=7"),
    ),
    ((*ALEXNET, "--study", "smoke", "--seed", "7"), ("no seed 7", "experiments/study/smoke.toml")),
    ((*ALEXNET, "--study", "smoke", "--arm", "short"), ("no arm 'short'",)),
    ((*ALEXNET, "--study", "smoke", "--variant", "x"), ("--variant x; it has none",)),
    (("train", "--model", "resnet50", "--study", "smoke"), ("'resnet50'", "EPOCHS=10")),
    ((*ALEXNET, "--data-dir", "nowhere"), ("nowhere", "make data")),
    ((*ALEXNET, "--data-dir", "Makefile"), ("Makefile", "a file", "make data")),
    ((*ALEXNET, "--data-dir", "my '$HOME' % 데이터"), ("my '$HOME' % 데이터: there is no such",)),
    ((*ALEXNET, "--data-dir", "x" * 300), ("File name too long",)),
    ((*ALEXNET, "--data-dir", "~nobody-of-that-name/x"), ("~nobody-of-that-name/x: there is no",)),
    ((*ALEXNET, "--data-dir", "report"), ("report", "no images", "make data")),
    (("experiments", "--study", "x"), ("no study 'x'", "reference")),
    (("experiments", "--study", "single-3ep"), ("none yet", "make alexnet EPOCHS=3")),
    (("experiments", "--study", "smoke", "--until", "25:00"), ("'25:00'", "02:40")),
    (("data", "--set", "jpeg"), ("'jpeg'", "jpeg75")),
    (("data", "--data-dir", "Makefile"), ("Makefile", "a file")),
    (("report", "--study", "x"), ("no study 'x'", "reference")),
    (("report", "--study", "../x"), ("'../x'", "experiments/study")),
    (("report", "--edition", "fr"), ("'fr'", "ko")),
    (("explain",), ("KEY", "cnnpaper explain --help")),
    (("status", "stray"), ("stray", "cnnpaper status --help")),
    ((*ALEXNET, "--study", "tuning", "--arm", "stage2"), ("make experiments STUDY=tuning",)),
    ((*ALEXNET, "--study", "tuning", "--variant", "x"), ("it has rate0.00625, ",)),
    (("reproduce", "--model", "alexnt", "--study", "smoke"), ("'alexnt'",)),
    (
        ("reproduce", *ALEXNET[1:], "--study", "reference"),
        ("must name one run", "short/alexnet-s0"),
    ),
]


@pytest.mark.parametrize("arguments,says", ARGUMENTS, ids=[" ".join(a)[:60] for a, _ in ARGUMENTS])
def test_arguments(
    root: Path, cnnpaper: Cnnpaper, arguments: tuple[str, ...], says: tuple[str, ...]
) -> None:
    refused(cnnpaper, root, arguments, says)


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda old: old.decode().encode("utf-16"), "experiments/recipe.toml: not UTF-8"),
        (lambda _: b"", "is missing"),
    ],
    ids=["UTF-16", "empty"],
)
def test_a_file_of_other_bytes(
    root: Path, cnnpaper: Cnnpaper, change: Callable[[bytes], bytes], says: str
) -> None:
    path = root / "experiments" / "recipe.toml"
    path.write_bytes(change(path.read_bytes()))
    refused(cnnpaper, root, ("experiments", "--study", "smoke"), (says,))


def test_outside_of_the_repository_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cnnpaper: Cnnpaper
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(cnnpaper, tmp_path, ALEXNET, ("start cnnpaper in the root of the repository",))
