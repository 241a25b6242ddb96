"""Palette, faces, and the bytes of a figure."""

from __future__ import annotations

import io
import subprocess
from itertools import combinations, pairwise
from pathlib import Path

import matplotlib.colors
import matplotlib.image
import numpy as np
import numpy.typing as npt
import pikepdf
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from cnnpaper.errors import UserError
from cnnpaper.paper import style

Array = npt.NDArray[np.float64]

# ------------------------------------------------------------------------------- colour differences

SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
"""What dichromats see, on linear RGB: Machado, Oliveira and Fernandes (2009), "A physiologically
based model for simulation of color vision deficiency", IEEE TVCG 15(6), severity 1.0."""

TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
"""From linear sRGB (IEC 61966-2-1), white D65."""


def lab(colour: str, sight: str = "normal") -> Array:
    """CIE L*a*b* of a colour as somebody sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(SIGHT[sight] @ linear, 0, 1)
    t = (TO_XYZ @ seen) / TO_XYZ.sum(axis=1)
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def mean_hue(h1: float, h2: float) -> float:
    if abs(h1 - h2) <= 180:
        return (h1 + h2) / 2
    return (h1 + h2 + 360) / 2 if h1 + h2 < 360 else (h1 + h2 - 360) / 2


def ciede2000(one: Array, two: Array) -> float:
    """Colour difference; Sharma, Wu and Dalal (2005), Color Res. Appl. 30:21, equations 2 to 22."""
    mean_c = (np.hypot(*one[1:]) + np.hypot(*two[1:])) / 2
    g = 0.5 * (1 - np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7)))
    (l1, a1, b1), (l2, a2, b2) = one, two
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    dh = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    big_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh / 2))
    ml, mc = (l1 + l2) / 2, (c1 + c2) / 2
    mh = mean_hue(h1, h2) if c1 * c2 else h1 + h2
    t = (
        1
        - 0.17 * np.cos(np.radians(mh - 30))
        + 0.24 * np.cos(np.radians(2 * mh))
        + 0.32 * np.cos(np.radians(3 * mh + 6))
        - 0.20 * np.cos(np.radians(4 * mh - 63))
    )
    rotation = -np.sin(np.radians(60 * np.exp(-(((mh - 275) / 25) ** 2)))) * 2
    rotation *= np.sqrt(mc**7 / (mc**7 + 25.0**7))
    dl = (l2 - l1) / (1 + 0.015 * (ml - 50) ** 2 / np.sqrt(20 + (ml - 50) ** 2))
    dc, dhh = (c2 - c1) / (1 + 0.045 * mc), big_h / (1 + 0.015 * mc * t)
    return float(np.sqrt(dl**2 + dc**2 + dhh**2 + rotation * dc * dhh))


@pytest.mark.parametrize(
    "one,two,expected",
    [  # from table 1 of Sharma, Wu and Dalal (2005)
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 3.1571, -77.2803), (50, 0, -82.7485), 2.8615),
        ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (56, -27, -3), 31.9030),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_ruler_gives_the_published_differences(
    one: tuple[float, ...], two: tuple[float, ...], expected: float
) -> None:
    assert ciede2000(np.array(one), np.array(two)) == pytest.approx(expected, abs=5e-5)


def test_lab_of_known_colours() -> None:
    """Values of sRGB red and white under D65, as tables give them."""
    assert lab("#ffffff") == pytest.approx([100, 0, 0], abs=0.01)
    assert lab("#ff0000") == pytest.approx([53.24, 80.09, 67.20], abs=0.01)


def smallest(colours: tuple[str, ...], sight: str) -> float:
    return min(ciede2000(lab(a, sight), lab(b, sight)) for a, b in combinations(colours, 2))


@pytest.mark.parametrize(
    "sight,stated", [("normal", 21.1), ("protanopia", 19.6), ("deuteranopia", 19.3)]
)
def test_eight_networks_can_be_told_apart_by_colour(sight: str, stated: float) -> None:
    """The smallest difference of two colours, as the palette's documentation states it."""
    assert smallest(style.PALETTE, sight) == pytest.approx(stated, abs=0.05)


def test_a_common_palette_is_less_far_apart() -> None:
    """Okabe and Ito's: the measure is one that a palette can fail."""
    okabe_ito = (
        *("#0072b2", "#d55e00", "#009e73", "#cc79a7"),
        *("#56b4e9", "#e69f00", "#000000", "#f0e442"),
    )
    assert smallest(okabe_ito, "deuteranopia") == pytest.approx(11.6, abs=0.05)


def contrast(one: str, two: str) -> float:
    """Of WCAG 2, from L* of both: relative luminance is the Y that L* encodes."""
    y = [((lab(colour)[0] + 16) / 116) ** 3 for colour in (one, two)]
    return (max(y) + 0.05) / (min(y) + 0.05)


def test_colours_and_grey_text_stand_out_from_the_page() -> None:
    assert contrast(style.GREY, "#ffffff") > 4.5
    assert all(contrast(colour, "#ffffff") > 2.5 for colour in style.PALETTE)


@pytest.mark.parametrize("sight", SIGHT)
def test_heat_maps_darken_steadily_for_any_sight(sight: str) -> None:
    steps = [matplotlib.colors.to_hex(style.SEQUENTIAL(x)) for x in np.linspace(0, 1, 21)]
    lightness = [lab(colour, sight)[0] for colour in steps]
    assert (np.diff(lightness) < -1).all()


def test_text_on_a_heat_map_is_legible_on_every_shade() -> None:
    shades = [style.SEQUENTIAL(x) for x in np.linspace(0, 1, 101)]
    found = [contrast(style.ink_on(shade), matplotlib.colors.to_hex(shade)) for shade in shades]
    assert min(found) > 3.9


def test_looks_differ_in_more_than_colour() -> None:
    looks = [style.look(position) for position in range(16)]
    assert len({look.marker for look in looks[:8]}) == 8
    assert len({(look.colour, look.marker, str(look.dash)) for look in looks}) == 16
    assert all(a.dash != b.dash for a, b in pairwise(looks))


# ------------------------------------------------------------------------------- faces


def test_a_missing_face_is_named_with_the_remedy() -> None:
    with pytest.raises(UserError, match=r"nowhere\.otf.*\n.*apt-get install lmodern"):
        style.find_face("nowhere.otf")


def test_a_face_is_missing_where_neither_tool_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="lmsans8"):
        style.find_face("lmsans8-regular.otf")


def test_long_names_are_wrapped_to_their_room() -> None:
    text = "an exceedingly long name_of_a_network_without_any_space 한글이름 (pretrained)"
    lines = style.wrapped(text, 60, 7).split("\n")
    assert all(style.text_width(line, 7) <= 60 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert style.wrapped("ResNet-18", 60, 7) == "ResNet-18"


# ------------------------------------------------------------------------------- bytes

NAME = "a_b & 50 % # $x$ 한글 3×3 − → 、≤"


@style.styled
def figure_with(text: str) -> Figure:
    figure = style.new_figure(60, 24)
    axes = style.add_axes(figure, 5, 7, 50, 12)
    axes.plot([1, 2, 3], [2, 1, 3])
    axes.set_title(text)
    return figure


def test_a_figure_has_its_printed_size() -> None:
    assert style.size(figure_with("x")) == pytest.approx((60, 24))
    with pikepdf.open(io.BytesIO(style.render(figure_with("x"), "pdf"))) as pdf:
        box = [float(side) for side in pdf.pages[0].MediaBox]
    assert box == pytest.approx([0, 0, 60 * 72 / 25.4, 24 * 72 / 25.4], abs=0.01)


@pytest.mark.parametrize("format", ["pdf", "svg", "png"])
def test_the_same_figure_gives_the_same_bytes(format: style.Format) -> None:
    first, second = (style.render(figure_with(NAME), format) for _ in range(2))
    assert first == second
    assert b"Matplotlib" not in first
    assert b"/CreationDate" not in first


def test_the_users_settings_change_nothing() -> None:
    before = style.render(figure_with(NAME), "pdf")
    with matplotlib.rc_context({"font.size": 20, "lines.color": "red", "axes.facecolor": "black"}):
        assert style.render(figure_with(NAME), "pdf") == before


def test_faces_are_embedded_as_what_they_are(tmp_path: Path) -> None:
    """poppler reads every sign back, and finds fault with no font."""
    path = tmp_path / "figure.pdf"
    path.write_bytes(style.render(figure_with(NAME), "pdf"))
    fonts = subprocess.run(["pdffonts", path], capture_output=True, text=True, check=True)
    rows = fonts.stdout.splitlines()[2:]
    assert {row.split()[0].split("+")[1] for row in rows} >= {"LMSans8-Regular", "NanumGothic"}
    # columns from the right: object id in two, then uni, sub, emb
    assert all(row.split()[-5:-2] == ["yes", "yes", "yes"] for row in rows)
    assert all("CID TrueType" in row for row in rows)
    text = subprocess.run(["pdftotext", path, "-"], capture_output=True, text=True, check=True)
    assert "".join(NAME.split()) in "".join(text.stdout.split())
    assert fonts.stderr == text.stderr == ""


def ink(pgm: bytes) -> float:
    """Mean darkness of a grey image in the form of netpbm, from 0 to 1."""
    _, size, depth, pixels = pgm.split(b"\n", 3)
    width, height = map(int, size.split())
    grey = np.frombuffer(pixels, np.uint8).reshape(height, width) / int(depth)
    return float(1 - grey.mean())


def test_every_letter_is_really_drawn(tmp_path: Path) -> None:
    """A PDF of text alone, painted by poppler, has the ink that matplotlib itself puts down."""
    with style.settings():
        figure = style.new_figure(60, 24)
        figure.text(0.1, 0.5, NAME)
    (tmp_path / "figure.pdf").write_bytes(style.render(figure, "pdf"))
    command = ["pdftoppm", "-r", "300", "-gray", tmp_path / "figure.pdf"]
    drawn = subprocess.run(command, capture_output=True, check=True).stdout
    expected = matplotlib.image.imread(io.BytesIO(style.render(figure, "png")))[..., :3]
    assert ink(drawn) == pytest.approx(1 - expected.mean(), rel=0.05)


def test_texts_are_those_that_are_seen() -> None:
    figure = figure_with("title")
    figure.axes[0].set_xticks([0, 1, 2, 3])
    figure.axes[0].set_xlim(0.9, 2.1)
    figure.axes[0].set_yticks([])
    figure.axes[0].text(1, 1, "hidden").set_visible(False)
    figure.axes[0].annotate("note", (1, 1))
    assert sorted(style.texts(figure)) == ["1", "2", "note", "title"]
