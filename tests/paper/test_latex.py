"""XeLaTeX: its errors in words, its warnings collected, its world closed."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from cnnpaper.errors import UserError
from cnnpaper.paper.latex import cause, typeset, versions
from cnnpaper.texsetup import tex_files

REPORT = Path(__file__).parents[2] / "report"
pytestmark = pytest.mark.tex


def document(folder: Path, body: str) -> Path:
    shutil.copy(REPORT / "cnnpaper.sty", folder)
    (folder / "paper.tex").write_text(
        "\\documentclass{article}\n\\usepackage{cnnpaper}\n\\begin{document}\n"
        + body
        + "\n\\end{document}\n",
        "utf-8",
    )
    return folder


def test_a_page_in_two_languages_without_a_warning(tmp_path: Path) -> None:
    body = r"Text, 한글 and \textsf{한글}, \ledger{a.b}{77.61}.\hypertarget{ledger.a.b}{}"
    done = typeset(document(tmp_path, body), 0)
    assert done.warnings == ()
    assert done.uses == (("a.b", 1),)
    assert done.pdf.read_bytes().startswith(b"%PDF")


def test_the_version_of_every_package_of_tex_is_known(tmp_path: Path) -> None:
    found = versions(typeset(document(tmp_path, "text"), 0))
    loaded = {Path(name).stem for name in tex_files(REPORT) if name.endswith(".sty")}
    assert len(loaded) > 15
    assert loaded <= found.keys()
    assert all(re.match(r"\d{4}[-/]\d\d[-/]\d\d", found[name]) for name in loaded)
    assert all(re.match(r"\d", found[name]) for name in ("XeTeX", "LaTeX", "xdvipdfmx"))


def test_tex_runs_again_where_latexmk_stopped_a_pass_too_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = shutil.which("latexmk"), tmp_path / "calls"
    early = tmp_path / "bin" / "latexmk"
    early.parent.mkdir()
    early.write_text(
        f'#!/bin/sh\necho "$*" >> {calls}\n'
        f'test "$(wc -l < {calls})" -gt 1 && exec {real} "$@"\n'
        "xelatex -interaction=nonstopmode paper.tex\n"  # the first time: one pass
    )
    early.chmod(0o755)
    monkeypatch.setenv("PATH", f"{early.parent}:{os.environ['PATH']}")
    folder = tmp_path / "paper"
    folder.mkdir()
    done = typeset(document(folder, "\\section{One}\\label{one} See \\ref{one}."), 0)
    assert ["-g" in line.split() for line in calls.read_text().splitlines()] == [False, True]
    assert done.warnings == ()


@pytest.mark.parametrize(
    "body,line,likely",
    [
        (r"\nosuchthing", 4, r"Undefined control sequence. \nosuchthing"),
        ("a_b", 4, "Missing $ inserted"),
        ("a & b", 4, "not escaped"),
        ("\n\n\\begin{nothing}\\end{nothing}", 6, "an environment that no package defines"),
        (r"\input{gone}", 4, "a TeX package or a file is missing"),
        (r"\textbf{a", None, "a '}' is missing"),  # TeX itself names no line
        ("a}", 4, "a '}' too many"),
    ],
)
def test_an_error_has_file_line_and_cause(
    tmp_path: Path, body: str, line: int | None, likely: str
) -> None:
    with pytest.raises(UserError) as caught:
        typeset(document(tmp_path, body), 0)
    message = str(caught.value)
    assert line is None or f"paper.tex:{line}: TeX says:" in message
    assert likely in message
    assert len(message.splitlines()) <= 5


@pytest.mark.parametrize(
    "body,warning",
    [
        (r"\ref{nowhere}", "Reference `nowhere' on page 1 undefined"),
        (r"\mbox{" + "wide " * 60 + "}", "Overfull"),
        ("\\noindent a\\linebreak b", "Underfull \\hbox (badness 10000)"),
        ("漢", "Missing character"),
        (r"{\fontsize{7.7}{9}\selectfont $x$}", "Font"),
    ],
)
def test_warnings_are_collected(tmp_path: Path, body: str, warning: str) -> None:
    done = typeset(document(tmp_path, body), 0)
    assert any(warning in found for found in done.warnings), done.warnings


@pytest.mark.parametrize(
    "body",
    [
        r"\input{/etc/passwd}",
        r"\input{../outside}",
        r"\newwrite\w\immediate\openout\w=../written.tex \immediate\write\w{x}",
        r"\newwrite\w\immediate\openout\w=/tmp/cnnpaper-written.tex \immediate\write\w{x}",
    ],
)
def test_tex_reads_and_writes_its_folder_alone(tmp_path: Path, body: str) -> None:
    folder = tmp_path / "tex"
    folder.mkdir()
    (tmp_path / "outside.tex").write_text("outside")
    with pytest.raises(UserError):
        typeset(document(folder, body), 0)
    assert not (tmp_path / "written.tex").exists()
    assert not Path("/tmp/cnnpaper-written.tex").exists()


def test_tex_has_no_shell(tmp_path: Path) -> None:
    body = r"\immediate\write18{touch ran}text"
    typeset(document(tmp_path, body), 0)
    assert not (tmp_path / "ran").exists()


def test_the_user_s_own_settings_have_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A latexmkrc in the home folder and TEXINPUTS are not read."""
    home, folder = tmp_path / "home", tmp_path / "tex"
    home.mkdir()
    folder.mkdir()
    (home / ".latexmkrc").write_text("die 'read';")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TEXINPUTS", "/nowhere:")
    assert typeset(document(folder, "text"), 0).warnings == ()


def test_causes_have_a_default() -> None:
    assert "near this line" in cause("something new")
