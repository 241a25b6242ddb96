"""Whole papers through TeX: shapes, hostile strings, the same bytes, errors with their place."""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pikepdf
import pytest

from cnnpaper.files import UserError
from cnnpaper.paper import build, tex
from cnnpaper.paper.compose import Document
from tests import fabricate, textlogs
from tests.paper import invent
from tests.paper.conftest import ARMS
from tests.paper.invent import paper
from tests.test_privacy import laid_open

pytestmark = [
    pytest.mark.tex,
    pytest.mark.skipif(shutil.which("xelatex") is None, reason="no XeLaTeX here"),
]
SHAPES = {
    "nothing yet": {"arms": ARMS, "finished": 0},
    "Korean": {"arms": ARMS, "edition": "ko"},
    "twelve": {
        "arms": ARMS, "models": {f"net{i}": f"Mobile-NetV{i} of a long name (x)"[: 8 + 2 * i]
                                 for i in range(12)}, "diverged": frozenset({1, 5}),
    },
    "full": {
        "models": {f"net{i}": f"Network {chr(65 + i)}" for i in range(8)}, "arms": {"": (25, 5)},
        "contrast": False, "extras": False, "data": "original", "name": "full",
    },
}  # fmt: skip


def pdf_of(root: Path, made: Document) -> bytes:
    return build.typeset(made, root / "tex", build.tex_files(made))


def text_of(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "x.pdf"
    path.write_bytes(data)
    command = ["pdftotext", "-layout", str(path), "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_build_within_their_pages(tmp_path: Path, shape: str) -> None:
    made = paper(tmp_path, **SHAPES[shape])
    data = pdf_of(tmp_path, made)
    with pikepdf.open(io.BytesIO(data)) as pdf:
        assert len(pdf.pages) <= (14 if shape == "twelve" else 12)
        assert {"ledger.json", "runs.csv", "networks.csv"} <= set(pdf.attachments)
        assert links(pdf) == set(made.printed)
    text = text_of(tmp_path, data)
    assert "??" not in text
    assert ("0 of 44 declared runs have results" in text) == (shape == "nothing yet")


def links(pdf: pikepdf.Pdf) -> set[str]:
    """Keys of the ledger that links of the PDF describe."""
    return {
        str(note["/Contents"]).partition(":")[0]
        for page in pdf.pages
        for note in page.get("/Annots", [])
        if "/Contents" in note
    }


def test_the_same_study_gives_the_same_bytes_which_name_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for name in ("some-user", "another place"):
        for variable in ("USER", "LOGNAME", "USERNAME", "EMAIL", "HOSTNAME"):
            monkeypatch.setenv(variable, name)
        monkeypatch.setattr(socket, "gethostname", lambda name=name: name)
        root = tmp_path / name
        root.mkdir()
        made.append(pdf_of(root, paper(root, arms=ARMS, finished=8)))
    assert made[0] == made[1]
    page = paper(root, "html", arms=ARMS, finished=8).files["paper.html"]
    everything = laid_open(made[0]) + page.encode()
    assert b"cnnpaper" in everything
    names = ("some-user", "another place", os.fspath(tmp_path), f"{Path.home()}/")
    assert [name for name in names if name.encode() in everything] == []
    assert dead_links(made[0]) == set()


def dead_links(pdf: bytes) -> set[str]:
    """Destinations of links that the document does not have."""
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        known = set(pikepdf.NameTree(opened.Root.Names.Dests))
        links = [link for page in opened.pages for link in page.get("/Annots", [])]
        wanted = {str(link.A.D) for link in links if "/A" in link and "/D" in link.A}
        wanted |= {str(link.Dest) for link in links if "/Dest" in link}
    assert "provenance" in wanted
    return wanted - known


def test_tex_has_no_shell_and_stays_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    r"""Neither \write18 nor a pipe starts anything, whatever the user's settings allow."""
    monkeypatch.setenv("shell_escape", "t")
    monkeypatch.setenv("openout_any", "a")
    folder = tmp_path / "tex"
    folder.mkdir()

    def typeset(line: str) -> None:
        text = rf"\documentclass{{article}}\begin{{document}}x {line}\end{{document}}"
        (folder / "paper.tex").write_text(text, "utf-8")
        tex.typeset(folder, 0)

    typeset(r"\immediate\write18{touch sprung}")
    with pytest.raises(UserError, match="TeX"):
        typeset(r'\input{|"touch sprung"}')
    with pytest.raises(UserError, match="TeX"):
        typeset(r"\newwrite\w\immediate\openout\w=../sprung \immediate\write\w{x}")
    assert not list(tmp_path.rglob("sprung*"))


HOSTILE = [
    r"\input{/etc/passwd}$_^^5c%#&~", "[1pt] {} \\", "*[한글] “é” <b>&amp;", r"\end{document}x",
    "a" * 60, r"--- 'x' `y` ``z''", "{{x}} [[ y ]] [% z %]", "%% if x",
]  # fmt: skip


def test_hostile_names_are_printed_as_they_are(tmp_path: Path) -> None:
    models = {f"net{i}": name for i, name in enumerate(HOSTILE)}
    made = paper(tmp_path, models=models, arms={"": (3, 2)}, contrast=False, extras=False)
    text = re.sub(r"\s", "", text_of(tmp_path, pdf_of(tmp_path, made)))
    for name in HOSTILE:
        assert re.sub(r"\s", "", name) in text, name
    assert "root:x:0" not in text


@pytest.mark.parametrize("logs", [1, pytest.param(60, marks=pytest.mark.soak)])
def test_imported_logs_of_any_number(tmp_path: Path, logs: int) -> None:
    fabricate.repository(tmp_path)
    data, found = textlogs.study(tmp_path, logs, "cards")
    text = text_of(tmp_path, pdf_of(tmp_path, Document(data, found, "en")))
    rows = re.findall(r"^\s*(?:ResNet-18|VGG-16)[ \w]*\s[13]\s+3\s", text, re.MULTILINE)
    assert len(rows) == 2 * logs
    assert "CIFAR" not in text
    assert "accurate than" not in text


def test_stale_runs_are_named(tmp_path: Path) -> None:
    data, found = invent.study(tmp_path, invent.Shape(arms=ARMS))
    data.stale["reference/short/vgg16-s0"] = ["engine/augment.py: crop changed"]
    text = Document(data, found, "en").files["paper.tex"]
    assert "Stale runs" in text
    assert "engine/augment.py: crop changed" in text


def test_a_missing_glyph_is_an_error_with_its_name(tmp_path: Path) -> None:
    made = paper(tmp_path, models={"net0": "Net ❦"}, arms={"": (3, 1)}, contrast=False,
                    extras=False)  # fmt: skip
    with pytest.raises(UserError, match=r"(?s)U\+2766.*no face of the paper has this character"):
        pdf_of(tmp_path, made)


def test_an_overfull_table_is_an_error_with_its_name() -> None:
    log = "cnnpaper: table results\nOverfull \\hbox (12.5pt too wide) in paragraph at lines 3--4\n"
    assert tex.refused(log) == ["table results: is 12.5 pt wider than its column"]
    log = "cnnpaper: table a\ncnnpaper: figure b\nLaTeX Warning: Float too large for page by 7.1pt"
    assert tex.refused(log) == ["figure b: is 7.1 pt too high for a page"]
