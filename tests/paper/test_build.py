"""make report: what is built, what is not built again, what is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pikepdf
import pytest

from cnnpaper.errors import UserError
from cnnpaper.files import lock, sha256_file
from cnnpaper.paper.build import build_figures, build_report, build_tables, steps_text
from cnnpaper.paper.state import State

pytestmark = pytest.mark.tex
STUDY = "invented"


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "copy")
    return tmp_path / "copy"


def build(root: Path, **options: bool) -> list[str]:
    said: list[str] = []
    build_report(root, STUDY, say=said.append, **options)
    return said


def output(root: Path) -> Path:
    return root / "report" / f"CNN_report-{STUDY}.pdf"


def text_of(pdf: Path, *options: str) -> str:
    command = ["pdftotext", *options, str(pdf), "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8")


def build_apart(root: Path, **environment: str) -> str:
    """As a user does, with the code of ``root`` itself."""
    program = (
        "from pathlib import Path; from cnnpaper.paper.build import build_report;"
        f"build_report(Path(), {STUDY!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ------------------------------------------------------------------------------- the paper


def test_the_paper_is_in_order(built: Path) -> None:
    pdf = output(built)
    assert State.load(built, STUDY).steps["pdf"]["warnings"] == []
    fonts = subprocess.run(["pdffonts", str(pdf)], capture_output=True, text=True, check=True)
    rows = fonts.stdout.splitlines()[2:]
    assert rows
    assert all(row.split()[-5] == "yes" for row in rows), fonts.stdout  # embedded
    text = text_of(pdf)
    assert "대표적인 합성곱 신경망 모델의 비교" in text
    assert "A comparison of representative convolutional neural networks" in text
    assert "Where the numbers come from" in text
    with pikepdf.open(pdf) as document:
        assert document.docinfo["/Author"] == "cnnpaper contributors"
        assert str(document.Root.Lang) == "en"
        assert document.Root.Outlines.First is not None
        attached = set(document.attachments)
    assert {"ledger.json", "results.csv", "runs.csv", "classes.csv"} <= attached


def test_every_printed_link_leads_somewhere(built: Path) -> None:
    with pikepdf.open(output(built)) as document:
        named = {
            str(name) for tree in [pikepdf.NameTree(document.Root.Names.Dests)] for name in tree
        }
        links = [
            str(annotation.A.D)
            for page in document.pages
            for annotation in page.get("/Annots", [])
            if "/A" in annotation and annotation.A.get("/S") == "/GoTo"
        ]
    assert len(links) > 100
    assert set(links) <= named


def test_the_last_line_says_what_was_built_and_how_to_cite(root: Path) -> None:
    output(root).unlink()
    last = build(root)[-1]
    assert last.startswith(
        f"{output(root)}: the paper of study 'invented' from 2 runs of 2 networks"
    )
    assert "cite: cnnpaper contributors" in last


# ------------------------------------------------------------------------------- what is not done


def test_nothing_is_done_twice(root: Path) -> None:
    for path in root.rglob("*"):
        os.utime(path)
    said = build(root)
    assert len(said) == 1
    assert said[0].startswith("nothing to do")


def test_deciding_that_loads_nothing_heavy(root: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from cnnpaper.paper.build import build_report;"
        f"build_report(Path(), {STUDY!r});"
        "print(sorted({'pandas', 'scipy', 'matplotlib', 'pydantic', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]", done.stdout


def test_a_colour_rebuilds_its_figure_and_the_pdf(root: Path) -> None:
    """The bars of the accuracies: one function of one figure."""
    path = root / "cnnpaper" / "paper" / "figures.py"
    source = path.read_text("utf-8")
    before = source.count("color=RULE, linewidth=LINE")
    assert before == 1  # the diagonal of the reliability diagrams
    path.write_text(source.replace("color=RULE, linewidth=LINE", 'color="#ff0000", linewidth=LINE'))
    said = build_apart(root)
    assert said.splitlines()[0] == "steps: figures: reliability; pdf"


def test_a_comment_in_the_code_rebuilds_nothing(root: Path) -> None:
    path = root / "cnnpaper" / "paper" / "figures.py"
    path.write_text(path.read_text("utf-8") + "\n# a remark\n")
    assert build(root)[0] == "steps: none, the changes do not show in the paper"


def test_a_word_of_a_template_rebuilds_its_text_and_the_pdf(root: Path) -> None:
    path = root / "report" / "introduction.tex.j2"
    path.write_text(path.read_text("utf-8").replace("plain question", "simple question"))
    assert build(root)[0] == "steps: text: introduction; pdf"
    assert "simple question" in text_of(output(root))


def test_a_network_s_idea_rebuilds_no_figure(root: Path) -> None:
    path = root / "experiments" / "alexnet.toml"
    path.write_text(path.read_text("utf-8").replace("ImageNet by a wide margin", "ImageNet by far"))
    said = build(root)[0]
    assert "figures" not in said
    assert "text: networks" in said
    assert said.endswith("pdf")


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_lost_or_changed_paper_is_built_again_with_the_same_bytes(
    root: Path, damage: str
) -> None:
    pdf = output(root)
    digest = sha256_file(pdf)
    pdf.unlink() if damage == "gone" else pdf.write_bytes(b"%PDF-1.5 other")
    assert build(root)[0] == "steps: pdf"
    assert sha256_file(pdf) == digest


def test_what_was_built_is_never_believed(root: Path) -> None:
    """A digit changed in everything under build/, and in the paper: the same bytes again."""
    digest, folder = sha256_file(output(root)), root / "build" / "report" / STUDY
    between = [*folder.glob("figures/*"), *folder.glob("t*/*.*"), folder / "ledger.json"]
    for path in (*between, output(root)):
        path.write_bytes(path.read_bytes().replace(b"1", b"7"))
    said = build(root)[0]
    assert "figures" in said
    assert "tables" in said
    assert "text" in said
    assert sha256_file(output(root)) == digest


def test_a_state_that_cannot_be_read_is_no_state(root: Path) -> None:
    State.load(root, STUDY).path.write_text("{")
    digest = sha256_file(output(root))
    assert "pdf" in build(root)[0]
    assert sha256_file(output(root)) == digest


def test_trials_that_come_and_go_are_seen(root: Path) -> None:
    """The text names the trials where there are some."""
    (root / "results" / "log" / "ablation").mkdir()
    assert build(root)[0] == "steps: text: experiment; pdf"
    assert "The short runs are study ablation" in text_of(output(root)).replace("\n", " ")


# ------------------------------------------------------------------------------- what is refused


def test_a_log_without_its_last_line(root: Path) -> None:
    path = root / "results" / "log" / STUDY / "resnet18-s0" / "run.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError) as caught:
        build(root)
    assert str(caught.value) == (
        "resnet18-s0 is incomplete (2 of 2 epochs): make resnet18 STUDY=invented"
    )


def test_a_stale_run_is_refused_and_shown_as_stale_when_asked_for(root: Path) -> None:
    path = root / "experiments" / "resnet18.toml"
    path.write_text(
        path.read_text("utf-8")
        + '\n[override.weight_decay]\nvalue = 0.001\nwhy = "an edit that makes it stale"\n'
    )
    with pytest.raises(UserError) as caught:
        build(root)
    message = str(caught.value)
    assert "resnet18-s0 is stale: recipe.weight_decay: 0.0005 -> 0.001" in message
    assert "make resnet18 STUDY=invented FORCE=1" in message
    assert "ALLOW_STALE=1" in message
    assert len(message.splitlines()) <= 5
    build(root, allow_stale=True)
    first = text_of(output(root), "-l", "1")
    assert "Stale runs." in first
    assert "recipe.weight_decay: 0.0005 -> 0.001" in first.replace("\n", " ")
    assert first.count("stale") >= 2  # beside the accuracy too


KILLS = """
import os, sys
from pathlib import Path

from cnnpaper.paper import attach, build, latex, study
from tests.faults import Operations, Point

for number in sys.argv[2:]:
    child = os.fork()
    if child == 0:
        Operations(Path.cwd(), "kill", Point(int(number), 0.5)).install()
        build.build_report(Path(), sys.argv[1])
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_killed_three_times_it_gives_the_same_bytes(built: Path, root: Path) -> None:
    """Among tables, among texts, before TeX; a kill at every stage is a matter of `make soak`."""
    for place in ("tables", "text", "tex"):
        shutil.rmtree(root / "build" / "report" / STUDY / place)
    output(root).unlink()
    done = subprocess.run(
        [sys.executable, "-c", KILLS, STUDY, "40", "100", "70"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["-9"] * 3, done.stderr
    build(root)
    assert output(root).read_bytes() == output(built).read_bytes()
    assert [path for path in root.rglob("*") if path.suffix == ".tmp"] == []


def test_two_builds_at_once(root: Path) -> None:
    with (
        lock(root / "build" / "report" / STUDY / "lock", what="the report"),
        pytest.raises(UserError, match=rf"in use by process {os.getpid()}"),
    ):
        build(root)


@pytest.mark.parametrize("name", ["../x", "", "a/b", ".hidden", "x" * 81, "a\nb"])
def test_names_that_are_no_studies(root: Path, name: str) -> None:
    with pytest.raises(UserError, match="not the name of a study"):
        build_report(root, name)
    assert not (root / "build" / "report" / name / "lock").exists() or not name


def test_a_study_that_is_not_there(root: Path) -> None:
    with pytest.raises(UserError, match="there is no study 'inventd'; did you mean 'invented'"):
        build_report(root, "inventd")


def test_outside_of_the_repository(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="start cnnpaper in the repository's root"):
        build_report(tmp_path, STUDY)
    assert list(tmp_path.iterdir()) == []


def test_without_tex(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    output(root).unlink()
    (tmp_path / "empty").mkdir()
    before = sha256_file(State.load(root, STUDY).path)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(UserError, match="TeX is not complete here"):
        build(root)
    assert not output(root).exists()
    assert before  # the state stays readable


def test_a_mistake_in_a_template_keeps_the_old_paper(root: Path) -> None:
    digest = sha256_file(output(root))
    path = root / "report" / "discussion.tex.j2"
    path.write_text(path.read_text("utf-8") + "\n" + r"\VAR{0.5}")
    lines = len(path.read_text("utf-8").splitlines())
    with pytest.raises(UserError, match=rf"report/discussion\.tex\.j2:{lines}: 0\.5 is a bare"):
        build(root)
    assert sha256_file(output(root)) == digest


def test_a_number_typed_into_a_template(root: Path) -> None:
    path = root / "report" / "discussion.tex.j2"
    path.write_text(
        path.read_text("utf-8").replace("Nothing else", "") + "\nIt gains 3.7 points.\n"
    )
    with pytest.raises(UserError, match=r"page \d+, line \d+: '3.7' in “.*It gains 3.7 points"):
        build(root)


# ------------------------------------------------------------------------------- figures, tables


def test_figures_and_tables_for_slides(root: Path) -> None:
    said: list[str] = []
    folder = build_figures(root, STUDY, say=said.append)
    names = {path.name for path in folder.iterdir()}
    for name in ("learning_curves", "class_accuracy", "architecture_resnet18"):
        assert {f"{name}.pdf", f"{name}.png", f"{name}.svg"} <= names
    folder = build_tables(root, STUDY, say=said.append)
    assert (folder / "results.csv").read_text().startswith("Network,Test %,")
    assert (folder / "results.md").read_text().startswith("| Network")
    assert "figures, each as PDF, PNG and SVG" in said[0]
    assert build(root)[0].startswith("nothing to do")  # the paper has not changed by that


def test_steps_in_words() -> None:
    ran = ["figures a", "figures b", *(f"tables {n}" for n in range(7)), "pdf"]
    assert steps_text(ran) == "figures: a, b; tables: 7; pdf"
