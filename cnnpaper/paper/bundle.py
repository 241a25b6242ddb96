"""``make bundle``: what a publisher asks for, in one archive that was tried.

TeX sources without comments, figures, style and class lie flat; tables and ledger in ``anc/``, as
arXiv has it.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from cnnpaper.files import UserError, tar_gz, write_atomic
from cnnpaper.paper import build, compose

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
    with build.locked(root, study) as folder:
        document = compose.compose(root, study, "en", allow_stale=allow_stale)
        own = {*document.files, "cnnpaper.sty"}  # a class of somebody else keeps its licence
        files = {
            name: COMMENT.sub(rb"\1", data) if name in own else data
            for name, data in build.tex_files(document).items()
        }
        with tempfile.TemporaryDirectory(dir=folder, prefix="bundle-") as empty:
            alone = build.typeset(document, Path(empty), files)
        if alone != paper.read_bytes():
            raise UserError(
                f"the bundle, set in an empty folder, gives another paper than {paper.name}\n"
                "is something read that belongs to no file of report/, such as a class of this "
                "machine?"
            )
        files |= {f"anc/{name}": data for name, data in document.attachments.items()}
        title = document.publication.title.get(document.language, "")
        files["README"] = README.format(title=title, study=study).encode()
        target, when = folder / "CNN_report.tar.gz", document.epoch or 0
        write_atomic(target, tar_gz({name: (data, 0o644) for name, data in files.items()}, when))
    say(f"{target.relative_to(root)}: {len(files)} files; set alone, they give {paper.name}")
    return target
