"""What is read from a layer table, and how it is drawn."""

from __future__ import annotations

import json
import math
import re
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text

from cnnpaper.paper import architecture, style
from cnnpaper.paper.structure import Stage, Unit, stages
from cnnpaper.records import Layer, Network

FIXTURE = Path(__file__).parents[1] / "fixtures" / "networks.json"
NETWORKS = {
    name: Network.model_validate_json(json.dumps(network))
    for name, network in json.loads(FIXTURE.read_text("utf-8")).items()
}

# ------------------------------------------------------------------------------- structure


def shown(unit: Unit) -> str:
    """A unit in one line: ``2 x add(3×3↓ 128 > 3×3 128 | 1×1↓ 128?)``."""
    branches = [
        " > ".join(
            " & ".join(
                " ".join(part for part in architecture.cell_texts(cell) if part)
                + ("?" if cell.optional else "")
                for cell in step
            )
            for step in branch
        )
        for branch in unit.branches
    ]
    if not unit.framed:
        return branches[0]
    inside = " | ".join([*branches, *(["input"] if unit.bypass else [])])
    return f"{unit.repeats} x {unit.join}({inside})"


def outline(name: str) -> dict[int, list[str]]:
    return {
        stage.side[0]: [shown(unit) for unit in stage.units]
        for stage in stages(NETWORKS[name].layers)
    }


def test_alexnet() -> None:
    """Krizhevsky et al. 2012 with the stem for 32 pixels."""
    assert outline("alexnet") == {
        32: ["3×3 64"],
        15: ["max 3×3↓", "5×5 192"],
        7: ["max 3×3↓", "3×3 384", "3×3 256", "3×3 256"],
        3: ["max 3×3↓"],
        1: ["linear 4096", "linear 4096", "linear 10"],
    }


def test_vgg16() -> None:
    """Configuration D of Simonyan and Zisserman 2015, table 1."""
    widths = {32: (64, 2), 16: (128, 2), 8: (256, 3), 4: (512, 3), 2: (512, 3)}
    expected = {
        side: (["max 2×2"] if side < 32 else []) + [f"3×3 {width}"] * count
        for side, (width, count) in widths.items()
    }
    assert outline("vgg16") == expected | {1: ["max 2×2", "linear 10"]}


def test_googlenet() -> None:
    """Szegedy et al. 2015, table 1, columns #1×1 to pool proj of 3a to 5b; least and most."""
    branches = "1×1 {} | 1×1 {} > 3×3 {} | 1×1 {} > 3×3 {} | max 3×3 > 1×1 {}"
    two = branches.format("64–128", "96–128", "128–192", "16–32", "32–96", "32–64")
    five = branches.format("112–256", "96–160", "208–320", "16–32", "48–128", "64–128")
    last = branches.format("256–384", "160–192", "320–384", "32–48", "128", "128")
    assert outline("googlenet") == {
        32: ["3×3 64", "1×1 64", "3×3 192"],
        16: ["max 3×3↓", f"2 x concat({two})"],
        8: ["max 3×3↓", f"5 x concat({five})"],
        4: ["max 2×2", f"2 x concat({last})"],
        1: ["mean", "linear 10"],
    }


def test_resnet18() -> None:
    """He et al. 2016, table 1; the shortcut is a projection where the size changes."""
    expected = {
        side: [f"2 x add(3×3↓ {width} > 3×3 {width} | 1×1↓ {width}? | input)"]
        for side, width in ((16, 128), (8, 256), (4, 512))
    }
    assert outline("resnet18") == expected | {
        32: ["3×3 64", "2 x add(3×3 64 > 3×3 64 | input)"],
        1: ["mean", "linear 10"],
    }


def test_resnet50() -> None:
    blocks = {32: (3, 64, ""), 16: (4, 128, "↓"), 8: (6, 256, "↓"), 4: (3, 512, "↓")}
    found = outline("resnet50")
    for side, (count, width, arrow) in blocks.items():
        assert found[side][-1] == (
            f"{count} x add(1×1 {width} > 3×3{arrow} {width} > 1×1 {4 * width} | "
            f"1×1{arrow} {4 * width}? | input)"
        )


def test_densenet121() -> None:
    """Huang et al. 2017, table 1: growth 32, bottleneck 128, transitions halve the channels."""
    layer = "concat(1×1 128 > 3×3 32 | input)"
    assert outline("densenet121") == {
        32: ["3×3 64", f"6 x {layer}", "1×1 128"],
        16: ["mean 2×2", f"12 x {layer}", "1×1 256"],
        8: ["mean 2×2", f"24 x {layer}", "1×1 512"],
        4: ["mean 2×2", f"16 x {layer}"],
        1: ["linear 10"],
    }


def test_inception_v3() -> None:
    """Szegedy et al. 2016, figures 5 to 7; a pool that is no module leaves its input."""
    found = outline("inception_v3")
    assert found[12][1] == (
        "3 x concat(1×1 64 | 1×1 48 > 5×5 64 | 1×1 64 > 3×3 96 > 3×3 96 | 1×1 32–64)"
    )
    assert found[5][0] == "1 x concat(3×3↓ 384 | 1×1 64 > 3×3 96 > 3×3↓ 96 | input)"
    assert found[2][1] == (
        "2 x concat(1×1 320 | 1×1 384 > 1×3 384 & 1×3 384 | "
        "1×1 448 > 3×3 384 > 1×3 384 & 1×3 384 | 1×1 192)"
    )


def test_mobilenet_v2() -> None:
    """Sandler et al. 2018, table 2. Its shortcuts have no weights and no sibling proves them."""
    assert outline("mobilenet_v2")[8] == [
        "4 x none(1×1 192–384 > dw 3×3↓ 192–384 > 1×1 64)",
        "3 x none(1×1 384–576 > dw 3×3 384–576 > 1×1 96)",
    ]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_is_in_one_stage(name: str) -> None:
    found = stages(NETWORKS[name].layers)
    assert sum(stage.parameters for stage in found) == NETWORKS[name].parameters


def joins(found: tuple[Stage, ...], join: str) -> int:
    """How often branches meet; steps of several cells are branches that are concatenated too."""
    units = [unit for stage in found for unit in stage.units]
    nested = sum(
        unit.repeats * sum(len(step) > 1 for branch in unit.branches for step in branch)
        for unit in units
    )
    return sum(unit.repeats for unit in units if unit.join == join) + (
        nested if join == "concat" else 0
    )


@pytest.mark.train
@pytest.mark.parametrize(
    "name", ["alexnet", "vgg16", "googlenet", "resnet18", "resnet50", "inception_v3"]
)
def test_joins_are_those_of_the_graph(name: str) -> None:
    """torch.fx follows the tensors themselves."""
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("cnnpaper.learn.models")
    with torch.device("meta"):
        graph = torch.fx.symbolic_trace(models.BUILDERS[name]()).graph
    called = [str(node.target) for node in graph.nodes if node.op == "call_function"]
    found = stages(NETWORKS[name].layers)
    assert joins(found, "add") == sum("add" in target for target in called)
    assert joins(found, "concat") == sum("cat" in target for target in called)


def layer(name: str, type: str, out: tuple[int, ...], entry: int, kernel: int = 3) -> Layer:
    return Layer(
        name=name,
        type=type,
        out=out,
        parameters=7,
        macs=math.prod(out) * entry * kernel**2 if type == "Conv2d" else 0,
        kernel=kernel if type == "Conv2d" else None,
        stride=1,
        groups=1,
        channels_in=entry,
    )


def test_a_network_that_nobody_has_seen() -> None:
    """Two branches with a shared name, added; then one block without a projection."""
    table = [
        layer("stem", "Conv2d", (8, 4, 4), 3),
        layer("body.0.left", "Conv2d", (16, 4, 4), 8),
        layer("body.0.right", "Conv2d", (16, 4, 4), 8, kernel=1),
        layer("body.1.left", "Conv2d", (16, 4, 4), 16),
        layer("body.1.norm", "BatchNorm2d", (16, 4, 4), 16),
        layer("head", "Linear", (10,), 256),
    ]
    first, last = stages(table)
    assert [shown(unit) for unit in first.units] == ["3×3 8", "1 x add(3×3 16 | 1×1 16)", "3×3 16"]
    assert [unit.parameters for unit in first.units] == [7, 14, 14]
    assert [shown(unit) for unit in last.units] == ["linear 10"]


def test_a_module_that_is_called_again_stands_where_it_is_called() -> None:
    table = [
        layer("conv1", "Conv2d", (4, 4, 4), 3),
        layer("pool", "MaxPool2d", (4, 2, 2), 4),
        layer("conv2", "Conv2d", (8, 2, 2), 4),
        layer("pool", "MaxPool2d", (8, 1, 1), 8),
    ]
    assert [[shown(unit) for unit in stage.units] for stage in stages(table)] == [
        ["3×3 4"],
        ["max", "3×3 8"],
        ["max"],
    ]


@st.composite
def tables(draw: st.DrawFn) -> list[Layer]:
    """Layer tables that need not be of any network."""
    names = st.lists(st.sampled_from("abc01"), min_size=1, max_size=3).map(".".join)
    types = st.sampled_from(["Conv2d", "Conv2d", "Linear", "BatchNorm2d", "MaxPool2d"])
    channels = st.sampled_from([1, 2, 4])
    chosen = draw(st.lists(names, min_size=1, max_size=12, unique=True))
    leaves = [name for name in chosen if not any(n.startswith(f"{name}.") for n in chosen)]
    return [
        layer(name, draw(types), (draw(channels), draw(channels), draw(channels)), draw(channels))
        for name in leaves
    ]


@given(tables())
def test_any_table_has_a_structure(table: list[Layer]) -> None:
    """Nothing raises, and every layer but batch norm is in it once."""
    found = stages(table)
    cells = sum(
        1 if cell.optional else unit.repeats
        for stage in found
        for unit in stage.units
        for branch in unit.branches
        for step in branch
        for cell in step
    )
    assert cells == sum(one.type != "BatchNorm2d" for one in table)
    if found:
        assert sum(stage.parameters for stage in found) == 7 * len(table)


@settings(max_examples=15, deadline=None)
@given(tables().filter(lambda table: any(one.type != "BatchNorm2d" for one in table)))
def test_any_table_can_be_drawn(table: list[Layer]) -> None:
    assert faults(architecture.architecture(table)) == []


# ------------------------------------------------------------------------------- drawing


@style.styled
def faults(figure: Figure) -> list[str]:
    """Text that is small, that overlaps other text, or that is not within its cell."""
    artists = style.text_artists(figure)
    boxes = [artist.get_window_extent() for artist in artists]
    patches = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    frames = [patch.get_window_extent() for patch in patches]
    found = [f"{one.get_text()!r}: {one.get_fontsize()} pt" for one in artists if small(one)]
    for (one, a), (two, b) in combinations(zip(artists, boxes, strict=True), 2):
        if a.padded(-0.5).overlaps(b.padded(-0.5)):
            found.append(f"{one.get_text()!r} and {two.get_text()!r} overlap")
    for artist, box in zip(artists, boxes, strict=True):
        for frame in frames:  # a text crosses no edge, but for the tails of its letters
            inside = box.padded(-1.2)
            meets, within = frame.overlaps(inside), frame.containsx(inside.x0)
            if meets and not (within and frame.containsx(inside.x1)):
                found.append(f"{artist.get_text()!r} crosses an edge")
        if not figure.bbox.padded(0.5).contains(*box.p0) or box.x1 > figure.bbox.x1 + 0.5:
            found.append(f"{artist.get_text()!r} leaves the figure")
    if style.size(figure)[0] > style.TEXT_WIDTH:
        found.append("wider than the text")
    return found


def small(artist: Text) -> bool:
    return artist.get_fontsize() < 7


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_drawn_without_fault(name: str) -> None:
    figure = architecture.architecture(NETWORKS[name].layers)
    assert faults(figure) == []
    assert style.render(figure, "pdf") == style.render(
        architecture.architecture(NETWORKS[name].layers), "pdf"
    )


def test_the_four_reference_networks_take_one_row_each() -> None:
    for name in ("alexnet", "vgg16", "googlenet", "resnet18"):
        assert len(architecture.panels(NETWORKS[name].layers)) == 1


def test_the_check_for_faults_finds_them() -> None:
    figure = architecture.architecture(NETWORKS["alexnet"].layers)
    axes = figure.axes[0]
    axes.text(*axes.texts[2].get_position(), "much longer than its cell", ha="center", fontsize=6)
    found = " ".join(faults(figure))
    assert "6.0 pt" in found
    assert "overlap" in found
    assert "crosses an edge" in found


@pytest.mark.parametrize("name", NETWORKS)
def test_every_numeral_is_given_to_the_ledger(name: str) -> None:
    layers = NETWORKS[name].layers
    printed = {text for _, text in architecture.numbers(layers).values()}
    drawn = " ".join(style.texts(architecture.architecture(layers)))
    assert set(re.findall(r"\d[\d,]*", drawn)) <= printed


def test_numbers_are_exact_and_as_printed() -> None:
    numbers = architecture.numbers(NETWORKS["resnet18"].layers)
    assert numbers["stage.2.parameters"] == (525568, "525,568")
    assert numbers["stage.2.unit.1.repeats"] == (2, "2")
    assert numbers["stage.2.unit.1.cell.1.channels.most"] == (128, "128")
    assert numbers["stage.2.height"] == (16, "16")


def test_alternative_text_follows_the_drawing() -> None:
    assert architecture.architecture_alt(NETWORKS["resnet18"].layers).startswith(
        "Drawing of the network from left to right. "
        "Output 32 × 32, 149,824 parameters: "
        "3×3 64 and 2 blocks adding (3×3 64 then 3×3 64; the input itself). "
    )
