"""The finished PDF: files attached, ids and dates that depend on the content alone."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pikepdf

MIME = {"json": "application/json", "csv": "text/csv"}


def finish(pdf: bytes, attachments: Mapping[str, bytes], *, dated: bool) -> bytes:
    """``pdf`` with files attached; the same input gives the same bytes.

    Args:
        pdf: as TeX's driver wrote it.
        attachments: name → content.
        dated: False where no log says when the runs were made: the PDF then bears no date either.
    """
    with pikepdf.open(io.BytesIO(pdf)) as document:
        for name, data in sorted(attachments.items()):
            document.attachments[name] = pikepdf.AttachedFileSpec(
                document,
                data,
                filename=name,
                mime_type=MIME[name.rpartition(".")[2]],
                creation_date="",
                mod_date="",
            )
        document.docinfo["/Producer"] = "cnnpaper"
        if not dated:
            for key in ("/CreationDate", "/ModDate"):
                if key in document.docinfo:
                    del document.docinfo[key]
        out = io.BytesIO()
        document.save(
            out,
            deterministic_id=True,
            object_stream_mode=pikepdf.ObjectStreamMode.generate,
            compress_streams=True,
        )
    return out.getvalue()
