"""Networks are drawn as they are: structure from edges, legible at any size."""

from __future__ import annotations

import re

import pytest

from cnnpaper.figures import architecture, style
from cnnpaper.figures.architecture import Block, Cell, architecture_alt, architectures, stages
from cnnpaper.figures.words import ENGLISH
from cnnpaper.log import Layer, Network

from .samples import check_layout, network, texts
from .test_results import KOREAN

NAMES = {"alexnet": "AlexNet", "vgg16": "VGG-16", "googlenet": "GoogLeNet", "resnet18": "ResNet-18"}
OTHERS = ("densenet121", "inception_v3", "mobilenet_v2")


def summary(name: str) -> list[tuple[str, list[str]]]:
    """Each stage's pixels, and its parts: ``3×3 64``, ``2×add``."""
    return [
        (
            architecture.stage_texts(stage)[0],
            [
                " ".join(filter(None, architecture.cell_texts(part)))
                if isinstance(part, Cell)
                else f"{part.repeats}×{part.join}"
                for part in stage.parts
            ],
        )
        for stage in stages(network(name))
    ]


def test_alexnet_is_a_row_of_layers() -> None:
    assert summary("alexnet") == [
        ("32×32", ["3×3 64"]),
        ("15×15", ["max 3×3↓", "5×5 192"]),
        ("7×7", ["max 3×3↓", "3×3 384", "3×3 256", "3×3 256"]),
        ("3×3", ["max 3×3↓"]),
        ("1×1", ["linear 4096", "linear 4096", "linear 10"]),
    ]


def test_resnet_adds_with_a_projection_in_first_blocks() -> None:
    assert [parts for _, parts in summary("resnet18")] == [
        ["3×3 64", "2×add"], ["2×add"], ["2×add"], ["2×add"], ["avg", "linear 10"],
    ]  # fmt: skip
    first, second, *_ = stages(network("resnet18"))
    assert isinstance(block := first.parts[1], Block)
    assert [len(branch) for branch in block.branches] == [0, 2]
    assert isinstance(block := second.parts[0], Block)
    assert isinstance(projection := block.branches[0][0], Cell)
    assert (projection.kind, projection.stride, projection.optional) == ("pointwise", 2, True)


def test_googlenet_concatenates_four_branches() -> None:
    assert [parts for _, parts in summary("googlenet")] == [
        ["3×3 64", "1×1 64", "3×3 192"], ["max 3×3↓", "2×cat"], ["max 3×3↓", "5×cat"],
        ["max 2×2", "2×cat"], ["avg", "linear 10"],
    ]  # fmt: skip
    block = stages(network("googlenet"))[1].parts[1]
    assert isinstance(block, Block)
    assert [len(branch) for branch in block.branches] == [1, 2, 2, 2]
    assert isinstance(cell := block.branches[1][1], Cell)
    assert cell.channels == (128, 192)


def test_densenet_concatenates_its_input_again_and_again() -> None:
    assert [parts for _, parts in summary("densenet121")] == [
        ["3×3 64", "6×cat", "1×1 128"], ["avg 2×2", "12×cat", "1×1 256"],
        ["avg 2×2", "24×cat", "1×1 512"], ["avg 2×2", "16×cat"], ["pool", "linear 10"],
    ]  # fmt: skip


def test_inception_has_blocks_in_blocks_and_lines_as_kernels() -> None:
    found = stages(network("inception_v3"))
    nested = [
        inner
        for stage in found
        for part in stage.parts
        if isinstance(part, Block)
        for branch in part.branches
        for inner in branch
        if isinstance(inner, Block)
    ]
    assert [block.join for block in nested] == ["cat", "cat"]
    alt = architecture_alt("Inception-v3", network("inception_v3"))
    assert "1×7 192" in alt
    assert "(pool ↓)" in alt  # the pool that the network calls as a function


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_every_parameter_is_in_a_panel(name: str) -> None:
    assert sum(stage.parameters for stage in stages(network(name))) == network(name).parameters


def test_four_networks_are_one_figure_of_four_rows() -> None:
    (figure,) = architectures({text: network(name) for name, text in NAMES.items()})
    check_layout(figure)
    assert style.size(figure)[0] == pytest.approx(style.TEXT_WIDTH)
    shown = texts(figure)
    assert [text for text in shown if text in NAMES.values()] == list(NAMES.values())
    assert shown.count("1×1") >= 4
    drawn = " ".join(shown)
    for word in ("conv", "pointwise", "pool", "linear", "add", "cat", "optional", "repeated"):
        assert ENGLISH[word] in drawn
    assert ENGLISH["depthwise"] not in drawn  # the legend has what is drawn only


def test_the_legend_of_one_plain_network_is_short() -> None:
    (figure,) = architectures({"": network("alexnet")})
    check_layout(figure)
    absent = {"add", "cat", "optional", "repeated", "range", "pointwise", "depthwise"}
    assert not {ENGLISH[key] for key in absent} & set(texts(figure))


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
@pytest.mark.parametrize("width", [style.TEXT_WIDTH, style.COLUMN_WIDTH])
def test_any_network_fits(name: str, width: float) -> None:
    for figure in architectures({"x" * 60: network(name)}, width=width, words=KOREAN):
        check_layout(figure)
        if name != "inception_v3":  # whose widest block needs more than a column
            assert style.size(figure)[0] == pytest.approx(width)


def test_twelve_networks_take_pages() -> None:
    many = {
        f"{i} {name}": network(name) for i, name in enumerate([*NAMES, *OTHERS, *NAMES, "vgg16"])
    }
    pages = architectures(many)
    assert 2 <= len(pages) <= 4
    shown = [text for page in pages for text in texts(page)]
    assert set(many) <= set(shown)
    for page in pages:
        check_layout(page)


def test_same_bytes_twice() -> None:
    one, two = (
        style.render(architectures({"ResNet-18": network("resnet18")})[0], "pdf") for _ in "12"
    )
    assert one == two


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
    check_layout(architectures({"N": odd("abc", "")})[0])


def test_a_network_without_layers_has_no_figure() -> None:
    assert architectures({"N": odd("", "")}) == []
    assert architecture_alt("N", odd("", "")) == "N, from input to output: –."


def test_a_mesh_is_drawn_as_a_row() -> None:
    """a feeds b and c; both feed d and e, which are concatenated: no nest of branches."""
    found = stages(odd("abcde", "ia ab ac bd cd be ce d& e& &o"))
    parts = [part for stage in found for part in stage.parts]
    assert len(parts) == 5
    assert all(isinstance(part, Cell) for part in parts)


def test_branches_right_at_the_input() -> None:
    (stage,) = stages(odd("ab", "ia ib a+ b+ i+ +o"))
    (block,) = stage.parts
    assert isinstance(block, Block)
    assert sorted(map(len, block.branches)) == [0, 1, 1]
    check_layout(architectures({"N": odd("ab", "ia ib a+ b+ i+ +o")})[0])


def test_what_does_not_reach_the_output_is_left_out() -> None:
    (stage,) = stages(odd("abx", "ia ab ax bo"))
    assert len(stage.parts) == 2


def test_alternative_text_names_every_part() -> None:
    assert architecture_alt("N", odd("ab", "ia ab b+ a+ +o")) == (
        "N, from input to output: output 8×8 pixels, 72 parameters "
        "(3×3 4 then block of the input itself added to (3×3 4))."
    )
    for name in NAMES:
        alt = architecture_alt(NAMES[name], network(name), KOREAN)
        assert re.search("[가-힣]", alt)
