"""``make bundle``: what a publisher asks for, in one archive that was tried.

TeX sources without comments, figures, style and class lie flat; tables and ledger in ``anc/``, as
arXiv has it. The bibliography stands in ``paper.tex``, so no program but XeLaTeX is needed.
"""

from __future__ import annotations

import io
import re
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cnnpaper.files import UserError, tar_gz, write_atomic
from cnnpaper.paper import build, compose

if TYPE_CHECKING:
    from cnnpaper.paper.compose import Document

COMMENT = re.compile(rb"(?m)^[ \t]*%.*\n|(?<!\\)((?:\\\\)*%).*$")
"""A line that is one, or the end of a line; there the sign stays, which joins it to the next."""
README = """\
{title}: made by cnnpaper from the logs of study {study}.
Compile: latexmk -xelatex paper.tex (XeLaTeX; bibliography included; tables and ledger in anc/).
Fonts: Latin Modern (in TeX Live) and, for Hangul, NanumMyeongjo and NanumGothic (fonts-nanum).
"""


def bundle(root: Path, study: str, *, allow_stale: bool = False, say: build.Say = print) -> Path:
    """Write ``build/report/STUDY/CNN_report.tar.gz``; the same paper gives the same bytes.

    Raises:
        UserError: as :func:`cnnpaper.paper.build.build_report`, or the archive alone gives another
            paper.
    """
    paper = build.build_report(root, study, allow_stale=allow_stale, say=say)
    folder = build.build_folder(root, study)
    with build.locked(root, study):
        document = compose.compose(root, study, "en", allow_stale=allow_stale)
        files = contents(root, study, document)
        data = tar_gz({name: (d, 0o644) for name, d in files.items()}, document.epoch or 0)
        with (
            tempfile.TemporaryDirectory(dir=folder, prefix="bundle-") as empty,
            tarfile.open(fileobj=io.BytesIO(data)) as archive,
        ):
            archive.extractall(empty, filter="data")
            alone = build.typeset(Path(empty), document)
        if alone != paper.read_bytes():
            raise UserError(
                f"the bundle, set in an empty folder, gives another paper than {paper.name}\n"
                "is something read that belongs to no file of report/, such as a class of this "
                "machine?"
            )
        target = folder / "CNN_report.tar.gz"
        write_atomic(target, data)
    say(f"{target.relative_to(root)}: {len(files)} files; set alone, they give {paper.name}")
    return target


def contents(root: Path, study: str, document: Document) -> dict[str, bytes]:
    """The files of the archive by path."""
    own = {*document.files, "cnnpaper.sty"}  # a class of somebody else keeps its licence
    files = {
        name: COMMENT.sub(rb"\1", data) if name in own else data
        for name, data in build.tex_files(root, document).items()
    }
    files |= {f"anc/{name}": data for name, data in document.attachments.items()}
    title = document.publication.title.get(document.words.language, "")
    files["README"] = README.format(title=title, study=study).encode()
    return files
