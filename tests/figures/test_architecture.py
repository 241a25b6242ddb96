"""Networks are drawn as they are: structure from edges, legible at any size."""

from __future__ import annotations

import pytest

from cnnpaper.figures import architecture
from cnnpaper.figures.architecture import (
    Block,
    Cell,
    Part,
    architecture_alt,
    architectures,
    stages,
)
from cnnpaper.log import Layer, Network
from tests import fabricate
from tests.figures.layout import ENGLISH, check_layout, texts

NETWORKS = fabricate.networks()
NAMES = {"alexnet": "AlexNet", "vgg16": "VGG-16", "googlenet": "GoogLeNet", "resnet18": "ResNet-18"}


def summary(part: Part) -> str:
    """``3×3 64``, ``2×add``."""
    if isinstance(part, Cell):
        return " ".join(filter(None, architecture.cell_texts(part, ENGLISH)))
    return f"{part.repeats}×{part.join}"


PARTS = {
    "alexnet": [["3×3 64"], ["max 3×3↓", "5×5 192"],
                ["max 3×3↓", "3×3 384", "3×3 256", "3×3 256"], ["max 3×3↓"],
                ["linear 4096", "linear 4096", "linear 10"]],
    "resnet18": [["3×3 64", "2×add"], ["2×add"], ["2×add"], ["2×add"], ["avg", "linear 10"]],
    "googlenet": [["3×3 64", "1×1 64", "3×3 192"], ["max 3×3↓", "2×cat"], ["max 3×3↓", "5×cat"],
                  ["max 2×2↓", "2×cat"], ["avg", "linear 10"]],
    "densenet121": [["3×3 64", "6×cat", "1×1 128"], ["avg 2×2↓", "12×cat", "1×1 256"],
                    ["avg 2×2↓", "24×cat", "1×1 512"], ["avg 2×2↓", "16×cat"],
                    ["pool", "linear 10"]],
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_stages_are_rows_of_layers_and_blocks(name: str) -> None:
    found = stages(NETWORKS[name])
    assert [list(map(summary, stage.parts)) for stage in found] == PARTS[name]
    if name == "alexnet":
        assert [stage.texts[0] for stage in found] == ["32×32", "15×15", "7×7", "3×3", "1×1"]


def block(name: str, stage: int, part: int) -> Block:
    found = stages(NETWORKS[name])[stage].parts[part]
    assert isinstance(found, Block)
    return found


def test_resnet_adds_with_a_projection_in_first_blocks() -> None:
    assert [len(branch) for branch in block("resnet18", 0, 1).branches] == [0, 2]
    ((projection,),) = block("resnet18", 1, 0).branches[0]
    assert (projection.kind, projection.stride, projection.optional) == ("pointwise", 2, True)


def test_inception_has_layers_side_by_side_and_lines_as_kernels() -> None:
    branches = block("googlenet", 1, 1).branches
    assert [len(branch) for branch in branches] == [1, 2, 2, 2]
    assert branches[1][1][0].channels == (128, 192)
    branches = block("inception_v3", -2, -1).branches
    columns = [[len(column) for column in branch] for branch in branches]
    assert columns == [[1], [1, 2], [1, 1, 2], [1]]
    alt = architecture_alt("Inception-v3", NETWORKS["inception_v3"], ENGLISH)
    assert "1×7 192" in alt
    assert "(pool ↓)" in alt  # the pool that the network calls as a function
    assert "1×1 384 then 1×3 384 concatenated with 1×3 384" in alt


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_is_in_a_panel(name: str) -> None:
    shown = [int(stage.texts[1].replace(",", "")) for stage in stages(NETWORKS[name])]
    assert sum(shown) == NETWORKS[name].parameters


def test_four_networks_are_one_figure_of_four_rows() -> None:
    figure = architectures({text: NETWORKS[name] for name, text in NAMES.items()}, ENGLISH)
    check_layout(figure)
    shown = texts(figure)
    assert [text for text in shown if text in NAMES.values()] == list(NAMES.values())
    assert shown.count("1×1") >= 4
    drawn = " ".join(" ".join(shown).split())
    for word in ("conv", "pointwise", "pool", "linear", "add", "cat", "optional", "repeated"):
        assert ENGLISH[word] in drawn
    assert ENGLISH["depthwise"] not in drawn  # the legend has what is drawn only


# ------------------------------------------------------------------------------- odd networks


def conv(name: str, side: int = 8, channels: int = 4) -> Layer:
    return Layer(name=name, type="Conv2d", out=(channels, side, side), parameters=36, macs=1,
                 kernel=3, stride=1, groups=1, channels_in=channels)  # fmt: skip


def odd(names: str, edges: str) -> Network:
    """Layers by letter, edges as pairs of letters; ``+`` adds, ``i`` and ``o`` are the ends."""
    node = {"i": "input", "o": "output", "+": "add 1", "&": "cat 1"}
    pairs = tuple((node.get(a, a), node.get(b, b)) for a, b in edges.split())
    return Network(parameters=None, macs=None, layers=tuple(map(conv, names)), edges=pairs)


def test_a_network_without_edges_is_a_row_of_its_layers() -> None:
    (stage,) = stages(odd("abc", ""))
    assert len(stage.parts) == 3
    check_layout(architectures({"N": odd("abc", "")}, ENGLISH))


def test_a_mesh_is_one_branch_of_columns() -> None:
    """a feeds b and c; both feed d and e, which are concatenated."""
    (stage,) = stages(odd("abcde", "ia ab ac bd cd be ce d& e& &o"))
    first, part = stage.parts
    assert isinstance(first, Cell)
    assert isinstance(part, Block)
    assert [[len(column) for column in branch] for branch in part.branches] == [[2, 2]]


def test_alternative_text_names_every_part() -> None:
    assert architecture_alt("N", odd("ab", "ia ab b+ a+ +o"), ENGLISH) == (
        "N, from input to output: output 8×8 pixels, 72 parameters "
        "(3×3 4 then block of the input itself added to (3×3 4))."
    )
