"""Text logs of the 2023 program: what is read, what their names say, what is refused, the paper."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnpaper.config import Imported, ImportedLog, load_study
from cnnpaper.files import UserError
from cnnpaper.paper.compose import compose
from cnnpaper.study.adopt import import_logs, name_of
from cnnpaper.study.imported import TextRun, read_log
from cnnpaper.study.load import load
from cnnpaper.study.status import status
from tests import textlogs
from tests.conftest import Answer

NAME = "tutorial_resnet18_3epoch_train.log"
SCORES = (0.4, 0.5, 0.45)


def read(tmp_path: Path, content: str | bytes) -> list[TextRun]:
    path = textlogs.folder(tmp_path / "text", {NAME: content}) / NAME
    return read_log(path, "cards", ImportedLog(network="resnet18", label="ResNet-18"))


def bring(root: Path, files: dict[str, Any], *labels: str, **said: Any) -> dict[str, TextRun]:
    """Import these files, and read the study as the paper does: label → run."""
    folder = textlogs.folder(root / "given", files)
    import_logs(root, [folder], "cards", labels, Imported(**said))
    return {str(run.header.variant): run for run in load(root, "cards").logs.values()}  # type: ignore[misc]


# ------------------------------------------------------------------------------------- the text

WHOLE = textlogs.text(SCORES)
FORMS = {
    "dashes after": WHOLE,
    "dashes before": textlogs.text(SCORES, form="dashes before"),
    "blank lines": textlogs.text(SCORES, form="blank lines"),
    "dashes on the line": WHOLE.replace("Epoch", "----------Epoch"),
    "CRLF": WHOLE.replace("\n", "\r\n"),
    "CR": WHOLE.replace("\n", "\r"),
    "UTF-8 with its mark": b"\xef\xbb\xbf" + WHOLE.encode(),
    "CP949": WHOLE.encode("cp949"),
    "UTF-16": WHOLE.encode("utf-16"),
    "no Korean line": "\n".join(line for line in WHOLE.split("\n") if "학습" not in line),
    "remarks": "GPU 0\n" + WHOLE.replace("Epoch 1", "train set of cards\nEpoch 1") + "the end",
    "no last newline": WHOLE.rstrip("\n"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_log_in_every_form(tmp_path: Path, form: str) -> None:
    (run,) = read(tmp_path, FORMS[form])
    assert [epoch.val_acc for epoch in run.epochs] == [0.4, 0.5, 0.45]
    assert [epoch.train_acc for epoch in run.epochs] == [0.2, 0.25, 0.225]
    assert [epoch.val_loss for epoch in run.epochs] == [1.0, 0.99, 0.98]
    assert run.result is not None
    assert (run.planned, run.best_val_acc, run.result.total_s) == (3, 0.5, 208)
    assert (run.result.status, run.is_incomplete) == ("finished", False)


def test_values_that_are_not_finite_stay_so(tmp_path: Path) -> None:
    (run,) = read(tmp_path, textlogs.text([0.4, "nan", "inf"]))
    losses = [(epoch.exact("train_loss"), epoch.exact("val_loss")) for epoch in run.epochs]
    assert str(losses) == "[(1.0, 1.0), (nan, nan), (inf, inf)]"
    assert run.result is not None
    assert (run.result.exact("val_loss"), run.result.status) == (math.inf, "finished")


def test_a_log_cut_off_anywhere_is_called_incomplete(tmp_path: Path) -> None:
    """Each beginning of a log is an incomplete one with true values, or no log at all."""
    path = tmp_path / NAME
    for size in range(len(WHOLE)):
        path.write_text(WHOLE[:size], "utf-8")
        try:
            (run,) = read_log(path, "cards", ImportedLog(network="resnet18", label="x"))
        except UserError:
            assert size <= WHOLE.index("\n", WHOLE.index("Epoch 0"))
            continue
        assert [e.val_acc for e in run.epochs] == list(SCORES[: len(run.epochs)])
        assert len(run.epochs) >= WHOLE[:size].count("\nval Loss") - 1
        assert run.is_incomplete == (size < WHOLE.index("28s") + 3)
        assert run.best_val_acc in (None, 0.5)


def test_runs_in_one_file(tmp_path: Path) -> None:
    cut = textlogs.text([0.3, 0.31], 5, end=False) + "Epoch 2/4\n----------\ntrain Lo"
    no_start = textlogs.text([0.7]).replace(textlogs.START + "\n", "")
    nothing = textlogs.START + "\n"
    found = read(tmp_path, cut + WHOLE + no_start + nothing + textlogs.text([0.8]))
    assert [(len(run.epochs), run.planned) for run in found] == [(2, 5), (3, 3), (1, 1), (1, 1)]
    assert [run.is_incomplete for run in found] == [True, False, False, False]
    assert [run.best_val_acc for run in found] == [None, 0.5, 0.7, 0.8]


BAD = {
    "nothing": ("", "no line like 'Epoch 0/24'"),
    "another text": ("hello\nworld\n", "no line like 'Epoch 0/24'"),
    "a lost line": (WHOLE.replace("train Loss: 0.9900 Acc: 0.2500\n", ""), ":8: a 'val' line"),
    "a lost epoch": (re.sub(r"Epoch 1/2\n(.*\n){3}", "", WHOLE), ":6: 'Epoch 2/2' where"),
    "another length": (WHOLE.replace("Epoch 2/2", "Epoch 2/9"), ":10: 'Epoch 2/9' where"),
    "a lost beginning": (WHOLE[WHOLE.index("Epoch 1") :], ":1: 'Epoch 1/2' where 'Epoch 0/2'"),
    "only its end": (WHOLE[WHOLE.index("Training") :], "no line like 'Epoch 0/24'"),
    "a damaged line": (WHOLE.replace("val Loss: 0.99", "val Loss: O.99"), ":9: a damaged line"),
    "percent": (WHOLE.replace("Acc: 0.5000", "Acc: 50.00"), ":9: Acc = 50.0: an accuracy is a fr"),
    "another best": (WHOLE.replace("0.500000", "0.600000"), ":16: Best val Acc: 0.6, but the la"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_logs_are_refused_by_line(tmp_path: Path, case: str) -> None:
    content, message = BAD[case]
    with pytest.raises(UserError, match=re.escape(message)) as refused:
        read(tmp_path, content)
    assert NAME in str(refused.value)
    assert "leave it out" in str(refused.value)


# ------------------------------------------------------------------------------------ the names


@pytest.mark.parametrize(
    "stem, model, label, prefix",
    [
        ("tutorial_resnet18(imagenet_V1)_25epoch_pre_train", "resnet18",
         "ResNet-18 (imagenet_V1) pre", "tutorial"),
        ("20231103-101500_vgg16_10epoch_train", "vgg16", "VGG-16", "20231103-101500"),
        ("2023-11-02 14_05_33_googlenet_1epoch_pre_train", "googlenet", "GoogLeNet pre",
         "2023-11-02 14_05_33"),
        ("my_first_try_AlexNet_lr0.001_adam_25epoch_train (1)", "alexnet",
         "AlexNet lr0.001_adam (1)", "my_first_try"),
        ("카드_ResNet-18[증강 없음]_25epoch_train", "resnet18", "ResNet-18 [증강 없음]", "카드"),
        ("resnet18v2_train", "resnet18", "ResNet-18 v2", ""),
        ("tutorial_resnet34(vgg16 weights)_5epoch_train", "resnet34",
         "resnet34 (vgg16 weights)", "tutorial"),
        ("x_mobilenet_v2_5epoch_train", "mobilenet_v2", "MobileNetV2", "x"),
        ("x_vgg16_or_resnet18_5epoch_train", "", "", None),
        ("run3", "", "", None),
    ],
)  # fmt: skip
def test_what_a_name_says(
    root: Path, stem: str, model: str, label: str, prefix: str | None
) -> None:
    found = name_of(root, stem)
    assert (found.model, found.label) == (model, label)
    assert prefix is None or found.prefix == prefix


def test_labels_tell_runs_apart(root: Path) -> None:
    runs = bring(root, {
        "tutorial_vgg16_2epoch_train.log": textlogs.text([0.1, 0.2]) + textlogs.text([0.3], 2),
        "1102_vgg16_1epoch_train.log": textlogs.text([0.4]),
        "tutorial_vgg16_1epoch_pre_train.log": textlogs.text([0.5]),
        "run3.log": textlogs.text([0.6]),
        "run=4.txt": textlogs.text([0.7]),
    }, "run3.log=vgg16 the third = last", "run=*=My Net")  # fmt: skip
    assert {label: run.best_val_acc for label, run in runs.items()} == {
        "VGG-16 tutorial #1": 0.2, "VGG-16 tutorial #2": 0.3, "VGG-16 1102": 0.4,
        "VGG-16 pre": 0.5, "VGG-16 the third = last": 0.6, "My Net": 0.7,
    }  # fmt: skip
    assert runs["My Net"].header.model == "my_net"


def test_korean_names_are_one_however_they_are_composed(
    root: Path, cnnpaper: Callable[..., Answer]
) -> None:
    name = "카드_resnet18(증강)_1epoch_train.log"
    files = {unicodedata.normalize("NFD", name): textlogs.text([0.4])}
    folder = textlogs.folder(root / "given", files)
    labels = (unicodedata.normalize("NFC", f"{name}=resnet18 증강"),)
    import_logs(root, [folder], unicodedata.normalize("NFD", "카드"), labels, Imported())
    assert list(load_study(root, "카드").imported.log) == [name]  # type: ignore[union-attr]
    answer = cnnpaper("status", "--study", unicodedata.normalize("NFD", "카드"))
    assert "ResNet-18 증강" in answer.out
    with pytest.raises(UserError, match=r"exists\n.* to import it again, remove"):
        import_logs(root, [folder], "카드", [], Imported())


def test_what_is_no_input(root: Path, cnnpaper: Callable[..., Answer]) -> None:
    junk = {f"._{NAME}": b"\0\5\x16\7", f".#{NAME}": b"", "notes.md": "x", "data.csv": "1"}
    runs = bring(root, {NAME: WHOLE, **junk})
    assert [run.path.name for run in runs.values()] == [NAME]
    (root / "results/log/cards" / f"._{NAME}").write_bytes(b"\0")
    assert "ResNet-18" in status(root, "cards")
    answer = cnnpaper("import-logs", str(root / "given" / f"._{NAME}"), "--study", "other")
    assert (answer.code, "begin with a dot" in answer.err) == (2, True)


# ------------------------------------------------------------------------------------ refusals


REFUSED: list[tuple[str, dict[str, Any], tuple[str, ...], str]] = [
    ("no file in it ends in .log or .txt", {}, (), "x"),
    ("(?s)run3.log: no network.*--label 'run3.log=resnet18'", {"run3.log": WHOLE}, (), "x"),
    ("--label 'a=b': none of the logs", {NAME: WHOLE}, ("a=b",), "x"),
    ("b_resnet18.log:9: a damaged", {NAME: WHOLE, "b_resnet18.log": BAD["a damaged line"][0]}, (),
     "x"),
    # the runs of a trained study are not to be removed
    (r"study 'reference' exists\nchoose another name: STUDY=…$", {NAME: WHOLE}, (), "reference"),
    ("single-3ep", {NAME: WHOLE}, (), "single-3ep"),
    ("--study a/b: name = 'a/b'", {NAME: WHOLE}, (), "a/b"),
]  # fmt: skip


def test_refused_imports_write_nothing(root: Path) -> None:
    for place, (message, files, labels, study) in enumerate(REFUSED):
        folder = textlogs.folder(root / f"given{place}", files)
        with pytest.raises(UserError, match=message):
            import_logs(root, [folder], study, labels, Imported())
        assert not (root / "results/log").exists()
        assert not (root / "experiments/study/x.toml").exists()


def test_two_logs_of_one_name_and_a_log_twice(root: Path) -> None:
    one = textlogs.folder(root / "one", {NAME: WHOLE})
    two = textlogs.folder(root / "two", {NAME: textlogs.text([0.9])})
    with pytest.raises(UserError, match=r"two/.*called like one/.*rename"):
        import_logs(Path(), [Path("one"), Path("two")], "cards", [], Imported())
    assert len(import_logs(root, [one, one / NAME], "cards", [], Imported())) == 1
    assert two.exists()


def test_declared_logs_are_those_of_the_folder(root: Path) -> None:
    bring(root, {NAME: WHOLE})
    folder = root / "results/log/cards"
    (folder / "b_vgg16_train.log").write_text(WHOLE, "utf-8")
    with pytest.raises(UserError, match=r"b_vgg16_train.log: declare it in \[imported.log\]"):
        load(root, "cards")
    (folder / NAME).rename(folder / "b_vgg16_train.log")
    with pytest.raises(UserError, match=f"{NAME}: missing"):
        load(root, "cards")


# ------------------------------------------------------------------------------------ the paper


def printed(root: Path) -> str:
    """The HTML paper without its style and figures, on one line."""
    text = compose(root, "cards", "html", draw=False).files["paper.html"]
    text = text.replace("</td>", " ").replace("</th>", " ")
    text = re.sub(r"<[^>]*>", "", re.sub(r"(?s)<style>.*?</style>", "", text))
    return re.sub(r"\s+", " ", text)


def test_fourteen_files_of_two_networks_in_three_variants(root: Path) -> None:
    variants = ("", "(imagenet_V1)", "_adam")
    files = {
        f"{prefix}_{model}{variant}_3epoch_train.log": textlogs.text([0.3, 0.4, 0.4 + place / 100])
        for model in ("resnet18", "vgg16")
        for variant in variants
        for place, prefix in enumerate(("tutorial", "2023-11-02 10_00"))
    }
    files["word_vgg16_3epoch_pre_train.log"] = textlogs.text([0.3, "nan", "nan"])
    files["word_resnet18_3epoch_pre_train.log"] = textlogs.text([0.3], 3, end=False)
    assert len(files) == 14
    runs = bring(root, files, authors=("A. Student", "B. Student"), title="Cards", data="53 cards")
    assert len(runs) == 14
    text = printed(root)
    for expected in (
        "Cards", "A. Student; B. Student", "runs: 14, networks: ResNet-18 and VGG-16",
        "ResNet-18 pre (cut off after 1 of 3 epochs)", "“53 cards”",
        "In 2 epochs of VGG-16 pre, the first of them epoch 1 as its log counts, from zero, "
        "NaN stands for training loss and validation loss.",
        "ResNet-18 (imagenet_V1) 2023-11-02 10_00 3 3 41.00 41.00 0.9800 208 69.3 finished",
        "VGG-16 pre 3 3 30.00 10.00 NaN 208 69.3 finished",
        "ResNet-18 pre 1 3 30.00 30.00 1.0000 – – cut off",
    ):  # fmt: skip
        assert expected in text, expected
    said = text[: text.index("How to cite")].replace("(imagenet_V1)", "")
    claimed = "CIFAR|ImageNet|Adam |GPU|RTX|from scratch|CC BY|more accurate"
    assert not re.search(claimed, said)


def test_every_value_comes_from_a_line_of_a_text_file(root: Path) -> None:
    bring(root, {NAME: WHOLE, "a_vgg16_9epoch_train.log": textlogs.text([0.2], 9, end=False)})
    document = compose(root, "cards", "en")
    assert list(document.drawings) == ["learning_curves"]
    for value in document.printed.values():
        for source in value.sources:
            if value.key.startswith("log."):
                assert source.file.startswith("results/log/cards/")
                assert source.line is not None
    assert document.ledger["log.1.best_val_acc"].sources[0].line == 5  # of its only epoch


@pytest.mark.parametrize("form", ["dashes after", "CRLF", "CR", "UTF-16"])
def test_explain_prints_the_line_in_any_encoding(
    root: Path, cnnpaper: Callable[..., Answer], form: str
) -> None:
    bring(root, {NAME: FORMS[form]})
    answer = cnnpaper("explain", "log.1.best_val_acc", "--study", "cards")
    assert f"results/log/cards/{NAME}:16" in answer.out
    assert "Best val Acc: 0.500000" in answer.out


def test_the_command_says_what_it_made_and_what_comes_next(
    root: Path, cnnpaper: Callable[..., Answer]
) -> None:
    folder = textlogs.folder(root / "given", {NAME: textlogs.text([0.2], 9, end=False)})
    answer = cnnpaper("import-logs", str(folder), "--study", "cards", "--authors", "A, B")
    assert answer.code == 0, answer.err
    assert f"{NAME}:1: ResNet-18, incomplete (1 of 9 epochs)" in answer.out
    assert answer.out.endswith("1 run in study cards; the paper: make report STUDY=cards\n")
    answer = cnnpaper("report", "--study", "cards", "--edition", "html")
    assert answer.code == 0, answer.err
    for command in (("train", "--model", "resnet18"), ("export", "--tensorboard")):
        answer = cnnpaper(*command, "--study", "cards")
        assert (answer.code, "was imported" in answer.err) == (2, True)
