"""The archive for a publisher: flat, without comments, and it alone gives the paper."""

from __future__ import annotations

import re
import shutil
import tarfile
from pathlib import Path

import pytest

from cnnpaper.files import UserError
from cnnpaper.paper import bundle

pytestmark = [
    pytest.mark.tex,
    pytest.mark.skipif(shutil.which("xelatex") is None, reason="no XeLaTeX here"),
]


def test_it_holds_all_that_a_publisher_needs_and_no_comment(tiny_paper: Path) -> None:
    path = bundle.bundle(tiny_paper, "tiny", say=str)
    assert path == tiny_paper / "build" / "report" / "tiny" / "CNN_report.tar.gz"
    with tarfile.open(path) as archive:
        files = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
    assert {"paper.tex", "ledger.tex", "cnnpaper.sty", "README", "anc/runs.csv"} <= set(files)
    assert all("/" not in name for name in files if not name.startswith("anc/"))
    for name in ("paper.tex", "ledger.tex", "cnnpaper.sty"):
        assert re.findall(rb"(?m)(?<!\\)%[^\n]+$", files[name]) == []
    assert files["README"].count(b"\n") == 3
    assert b"NanumMyeongjo" in files["README"]
    assert b"\\bibliography" not in files["paper.tex"]
    first = path.read_bytes()
    bundle.bundle(tiny_paper, "tiny", say=str)
    assert path.read_bytes() == first


def test_a_bundle_that_gives_another_paper_is_refused(
    tiny_paper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "COMMENT", re.compile(rb"(Introduc)tion"))
    with pytest.raises(UserError, match=r"gives another paper than CNN_report-tiny\.pdf"):
        bundle.bundle(tiny_paper, "tiny", say=str)
    assert not (tiny_paper / "build" / "report" / "tiny" / "CNN_report.tar.gz").exists()


def test_a_sign_that_is_no_comment_stays() -> None:
    text = b"a \\% b % c\n  % gone\nd\\\\% e\n%\nf%\n"
    assert bundle.COMMENT.sub(rb"\1", text) == b"a \\% b %\nd\\\\%\nf%\n"
