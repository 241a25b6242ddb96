"""Faces, looks, bytes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pikepdf
import pytest

from cnnpaper.figures import style
from cnnpaper.files import UserError

SIGNS = 'ResNet-18 "<>\\^_`{|}~ $x$ −×–→↓ é 시험 정확도'


def draw(text: str = SIGNS):  # type: ignore[no-untyped-def]
    with style.settings():
        figure = style.new_figure(60, 10)
        figure.text(0.01, 0.5, text)
    return figure


def fonts(text: str) -> set[str]:
    """Names of the faces in a PDF, all of them TrueType."""
    with pikepdf.open(io.BytesIO(style.render(draw(text), "pdf"))) as pdf:
        found = [o for o in pdf.objects if isinstance(o, pikepdf.Dictionary)]
        kinds = {str(o.Subtype) for o in found if o.get("/Type") == "/Font"}
        assert kinds == {"/Type0", "/CIDFontType2"}
        return {str(o.FontName).partition("+")[2] for o in found if "/FontFile2" in o}


def test_faces_hold_every_sign() -> None:
    """Computer Modern has an inverted exclamation mark where ASCII has a less-than sign."""
    assert fonts(SIGNS) == {"Cmss10", "DejaVuSans", "NanumGothic"}
    for sign in style.MISPLACED:
        assert fonts(sign) == {"DejaVuSans"}, sign


def test_a_sign_that_no_face_has_is_said() -> None:
    with pytest.raises(UserError, match="cannot be drawn"):
        style.render(draw("\N{EGYPTIAN HIEROGLYPH A001}"), "png")


@pytest.mark.parametrize("kind", ["pdf", "svg", "png"])
def test_same_bytes_whatever_the_users_settings(kind: style.Format) -> None:
    first = style.render(draw(), kind)
    with mpl.rc_context({"font.size": 30, "pdf.fonttype": 3, "lines.linewidth": 9}):
        assert style.render(draw(), kind) == first
    assert b"matplotlib.org" not in first or kind == "svg"
    assert b"CreationDate" not in first


def test_same_bytes_in_another_process_and_folder(tmp_path: Path) -> None:
    code = (
        "from hashlib import sha256; from tests.figures.test_style import draw, style\n"
        "for k in ('pdf', 'svg'): print(sha256(style.render(draw(), k)).hexdigest())\n"
    )
    root = Path(__file__).parents[2]
    outs = [
        subprocess.check_output(
            [sys.executable, "-c", code], cwd=folder,
            env=os.environ | {"PYTHONPATH": str(root), "PYTHONHASHSEED": seed},
        )
        for folder, seed in ((root, "1"), (tmp_path, "2"))
    ]  # fmt: skip
    assert outs[0] == outs[1] != b""


def test_twelve_networks_are_distinct_without_colour_and_keep_their_looks() -> None:
    one, two, other = style.looks(["alexnet-rate0.05", "alexnet-rate0.1", "vgg16"]).values()
    assert one.colour == two.colour != other.colour  # variants of one network
    assert (one.marker, one.dash) != (two.marker, two.dash)
    names = [f"n{i}" for i in range(12)]
    looks = style.looks(names)
    assert len({look.marker for look in looks.values()}) == 12
    assert len({(look.colour, look.dash) for look in looks.values()}) == 12
    assert [style.looks(names[:4])[n] for n in names[:4]] == [looks[n] for n in names[:4]]


@pytest.mark.parametrize(
    "value, text",
    [(0.00625, "0.00625"), (-2.0, "−2"), (1000.0, "1,000"), (0.30000000000000004, "0.3"), (0, "0")],
)
def test_ticks_are_plain(value: float, text: str) -> None:
    assert style.plain(value) == text
