"""Claims: sentences by hand from small studies, and rules that every sentence keeps."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnpaper.config import DataSpec, Experiment, Study
from cnnpaper.paper import stats
from cnnpaper.paper.analysis import Analysis, Network, Times, analyse
from cnnpaper.paper.claims import Claim, Claims
from cnnpaper.paper.frames import Frames
from cnnpaper.paper.grammar import particle, plural
from cnnpaper.paper.ledger import Ledger, Source, Value
from cnnpaper.paper.sources import Sources
from cnnpaper.paper.values import Values, p_text, rounding_shows, seconds_text
from cnnpaper.paper.wording import TEMPLATES
from cnnpaper.predictions import Predictions
from cnnpaper.records import Data, Header, Machine, Run
from cnnpaper.records import Network as Measured

READINGS = {
    "AlexNet": "알렉스넷",
    "VGG-16": "브이지지 십육",
    "GoogLeNet": "구글넷",
    "ResNet-18": "레즈넷 십팔",
    "MobileNetV2": "모바일넷 브이투",
}
SOURCE = Source(file="results/log/hand/x/run.jsonl", line=1, digest="0" * 64)


def right(count: int, images: int = 100) -> np.ndarray:
    return np.arange(images) < count


def net(name: str, correct: np.ndarray | None = None, **fields: object) -> Network:
    """A network whose runs all finished with these answers, (S, n)."""
    key = re.sub(r"[^a-z0-9]", "", name.lower())
    runs = tuple(f"{key}-s{seed}" for seed in range(1 if correct is None else len(correct)))
    network = Network(
        key=key,
        name=name,
        reading=READINGS.get(name, name),
        planned=runs,
        results=(SOURCE,),
        header=(SOURCE,),
    )
    if correct is not None:
        network = replace(
            network,
            finished=runs,
            tested=runs,
            correct=correct,
            accuracy=stats.accuracy(correct),
        )
    return replace(network, **fields)


def claims(*networks: Network, language: str = "en", epochs: int = 3) -> Claims:
    assert language in ("en", "ko")
    return Claims(Analysis(networks=networks, epochs=epochs), Ledger(), language)


def texts(found: list[Claim]) -> list[str]:
    """As text, with ordinary spaces."""
    return [str(claim).replace("\N{NO-BREAK SPACE}", " ") for claim in found]


def one_seed(both: int, first: int, second: int, none: int) -> tuple[np.ndarray, np.ndarray]:
    a = np.repeat([True, True, False, False], [both, first, second, none])
    b = np.repeat([True, False, True, False], [both, first, second, none])
    return a[None], b[None]


# ------------------------------------------------------------------------------- five rows


class HandSources(Sources):
    """No file is read: every line is the same one."""

    def __init__(self) -> None:
        super().__init__(Path())

    def log(self, run: Run, what: str = "result") -> Source:
        return SOURCE


def experiment(name: str) -> Experiment:
    return Experiment(
        name=name,
        korean=READINGS[name],
        year=2015,
        venue="CVPR",
        citation="someone2015",
        builder="any",
        initialisation="pytorch",
        idea="An idea that is told in a sentence of more than forty characters.",
        stem="The stem is as it was.",
    )


def log_of(model: str, seed: int, parameters: int, macs: int) -> Run:
    header = Header(
        schema=1,
        origin="trained",
        study="hand",
        model=model,
        seed=seed,
        spec=None,
        fingerprint=None,
        data=Data(name="CIFAR-10", digest=None),
        machine=Machine(cpu="A CPU", isa="AVX2", threads=2),
        packages={},
        commit=None,
        started=None,
        network=Measured(parameters=parameters, macs=macs),
    )
    return Run(path=Path(f"results/log/hand/{model}-s{seed}/run.jsonl"), header=header)


def predictions(count: int) -> Predictions:
    """The first ``count`` of 100 images right, the rest taken for the next class."""
    labels = (np.arange(100) % 10).astype(np.uint8)
    said = np.where(right(count), labels, (labels + 1) % 10)
    logits = 5 * np.eye(10, dtype=np.float32)[said]
    return Predictions(labels=labels, logits=logits, logits_tta=logits)


@pytest.fixture
def five_rows() -> Frames:
    """Two seeds of AlexNet and of ResNet-18, a diverged run of VGG-16 and one that is missing."""
    rows = [
        ("alexnet", 0, "finished", 0.52, 10.0, 60_000_000, 300_000_000),
        ("alexnet", 1, "finished", 0.56, 10.4, 60_000_000, 300_000_000),
        ("vgg16", 0, "diverged", 0.10, 20.0, 14_728_266, 313_600_000),
        ("resnet18", 0, "finished", 0.91, 30.0, 11_173_962, 555_400_000),
        ("resnet18", 1, "finished", 0.91, 31.2, 11_173_962, 555_400_000),
    ]
    columns = ["model", "seed", "status", "best_val_acc", "epoch_s", "parameters", "macs"]
    runs = pd.DataFrame(rows, columns=columns)
    runs["run"] = runs["model"] + "-s" + runs["seed"].astype(str)
    runs["variant"] = None
    runs["train_s"] = runs["epoch_s"]
    runs["shared"] = False
    curves = runs[["run"]].assign(resolution=32, shared=False)
    names = {"alexnet": "AlexNet", "vgg16": "VGG-16", "resnet18": "ResNet-18"}
    return Frames(
        study=Study(
            name="hand", networks=tuple(names), seeds=(0, 1), epochs=1, data=DataSpec(set="any")
        ),
        experiments={model: experiment(name) for model, name in names.items()},
        runs=runs,
        curves=curves,
        predictions={
            "alexnet-s0": predictions(50),
            "alexnet-s1": predictions(50),
            "resnet18-s0": predictions(90),
            "resnet18-s1": predictions(90),
        },
        layers={},
        logs={f"{row[0]}-s{row[1]}": log_of(row[0], row[1], row[5], row[6]) for row in rows},
        missing=("vgg16-s1",),
    )


FIVE_ROWS = {
    # Wilson's limits of 50 and 90 of 100: the seeds agree on every image
    "abstract": [
        "Mean test accuracy over two seeds is 50.00 % for AlexNet and 90.00 % for ResNet-18.",
        "Of the two runs of VGG-16, one diverged and one is missing. It has no test accuracy, so "
        "it is not compared with the others.",
        "As trained here, ResNet-18 is the more accurate of the two networks whose runs all "
        "finished.",
        "In these runs AlexNet took the fewest seconds per epoch at full resolution (10 s) and "
        "ResNet-18 the most (31 s).",
    ],
    # 40 images of 100 differ: s² = (40 - 16) / 99, half width 1.984217 · √(s² / 100) = 0.0977
    "pairs": [
        "As trained here, ResNet-18 is more accurate than AlexNet (by 40.0 points, simultaneous "
        "95 % interval 30.2 to 49.8, Holm-adjusted p < 0.001).",
    ],
    "sizes": [
        "ResNet-18 has the fewest parameters (11.2 million).",
        "AlexNet needs the fewest multiply–accumulate operations per image (300 million).",
    ],
    # gaps 0.02 and 0.06: 12.7062 · 0.02 = 0.2541; with Wilson's 0.0138 and 0.0962 it is 0.2721
    "alexnet": [
        "AlexNet reaches a mean test accuracy of 50.00 % over two seeds (95 % interval 40.38 to "
        "59.62 over seeds and images; standard deviation over seeds 0.00 points).",
        "On the validation images it reaches 54.00 %; validation less test accuracy is 4.0 points "
        "(95 % interval −23.2 to 31.2).",
        "With flip averaging the test accuracy is 50.00 %.",
        "As trained here, it is less accurate than ResNet-18 (by 40.0 points, simultaneous 95 % "
        "interval 30.2 to 49.8, Holm-adjusted p < 0.001).",
        "It has 60.0 million parameters and needs 300 million multiply–accumulate operations per "
        "image.",
        "An epoch at full resolution took 10 s.",
    ],
    "vgg16": [
        "Of the two runs of VGG-16, one diverged and one is missing. It has no test accuracy, so "
        "it is not compared with the others.",
        "It has 14.7 million parameters and needs 314 million multiply–accumulate operations per "
        "image.",
    ],
}
FIVE_ROWS_KOREAN = {
    "abstract": [
        "시드 2개의 평균 시험 정확도는 AlexNet 50.00 % 및 ResNet-18 90.00 %이다.",
        "VGG-16의 실행 2개 가운데 1개가 발산하였고 1개가 빠져 있다. 시험 정확도가 없으므로 다른 "
        "신경망과 비교하지 않는다.",
        "여기서 학습한 상태로는 실행이 모두 끝난 신경망 2개 가운데 더 정확한 것은 ResNet-18이다.",
        "이 실행들에서 온전한 해상도의 에폭당 시간은 AlexNet이 가장 짧았고(10초) ResNet-18이 가장 "
        "길었다(31초).",
    ],
    "pairs": [
        "여기서 학습한 상태로는 ResNet-18이 AlexNet보다 정확하다(차이 40.0 %p, 95 % 동시 신뢰구간 "
        "30.2에서 49.8, Holm 보정 p < 0.001).",
    ],
    "sizes": [
        "매개변수는 ResNet-18이 가장 적다(11.2백만 개).",
        "이미지당 곱셈·누산은 AlexNet이 가장 적다(300백만 회).",
    ],
    "alexnet": [
        "AlexNet의 평균 시험 정확도는 시드 2개에서 50.00 %이다(시드와 이미지에 대한 95 % 신뢰구간 "
        "40.38에서 59.62, 시드에 대한 표준편차 0.00 %p).",
        "검증 이미지에서는 54.00 %이며, 검증과 시험 정확도의 차이는 4.0 %p이다(95 % 신뢰구간 −23.2"
        "에서 31.2).",
        "좌우 반전 평균을 쓰면 시험 정확도는 50.00 %이다.",
        "여기서 학습한 상태로는 ResNet-18보다 부정확하다(차이 40.0 %p, 95 % 동시 신뢰구간 30.2에서 "
        "49.8, Holm 보정 p < 0.001).",
        "매개변수는 60.0백만 개이고, 이미지당 곱셈·누산은 300백만 회이다.",
        "온전한 해상도의 에폭은 10초 걸렸다.",
    ],
}


@pytest.mark.parametrize(
    "language, expected", [("en", FIVE_ROWS), ("ko", FIVE_ROWS_KOREAN)], ids=["en", "ko"]
)
def test_sentences_of_five_rows(
    five_rows: Frames, language: str, expected: dict[str, list[str]]
) -> None:
    found = Claims(analyse(five_rows, HandSources()), Ledger(), language)
    for part in ("abstract", "pairs", "sizes"):
        assert texts(getattr(found, part)()) == expected[part]
    for key in {"alexnet", "vgg16"} & set(expected):
        assert texts(found.network(key)) == expected[key]


def test_statistics_of_five_rows(five_rows: Frames) -> None:
    found = analyse(five_rows, HandSources())
    alexnet, vgg16, resnet18 = found.networks
    assert [network.key for network in found.compared] == ["alexnet", "resnet18"]
    assert (vgg16.diverged, vgg16.missing, vgg16.complete) == (("vgg16-s0",), ("vgg16-s1",), False)
    assert vgg16.accuracy is None
    assert resnet18.validation == pytest.approx(0.91)
    assert [network.key for network in found.best_on_validation] == ["resnet18"]
    # the first fifty images hold five of each class
    assert [accuracy.mean for accuracy in alexnet.by_class if accuracy] == [0.5] * 10
    # two seeds with fifty right each, and fifty taken for the next class
    assert alexnet.confusion is not None
    assert np.diag(alexnet.confusion).sum() == 100
    assert alexnet.confusion[3, 4] == 10
    assert alexnet.times is not None
    assert (alexnet.times.epoch_s, alexnet.times.shared) == (pytest.approx(10.2), False)
    assert found.bootstrap_p == {}


def test_a_run_whose_epochs_were_all_slowed_keeps_seconds_from_being_ranked(
    five_rows: Frames,
) -> None:
    five_rows.curves.loc[five_rows.curves["run"] == "alexnet-s1", "shared"] = True
    found = analyse(five_rows, HandSources())
    assert [n.times.shared for n in found.networks if n.times] == [True, False]
    assert texts(Claims(found, Ledger()).seconds()) == [
        "Seconds are not ranked, since other processes used the machine during the runs of AlexNet."
    ]


# ------------------------------------------------------------------------------- accuracy claims


def test_one_seed_speaks_of_trained_networks_and_takes_disagreement_for_no_answer() -> None:
    # 0.122, 0.011 to 0.226 (Altman et al. 2000), and p = 2 · (1/2)^5 = 0.0625
    first, second = one_seed(14, 5, 0, 22)
    found = claims(net("VGG-16", second), net("AlexNet", first))
    assert texts(found.pairs()) == [
        "The data do not separate AlexNet from VGG-16 (difference 12.2 points, simultaneous 95 % "
        "interval 1.1 to 22.6, Holm-adjusted p = 0.062)."
    ]
    assert texts(found.most_accurate()) == [
        "The data do not single out a most accurate network: AlexNet is not separated from VGG-16."
    ]


def test_three_seeds_speak_of_networks() -> None:
    better, worse = np.tile(right(90), (3, 1)), np.tile(right(50), (3, 1))
    found = claims(net("AlexNet", worse), net("ResNet-18", better))
    assert texts(found.pairs())[0].startswith("ResNet-18 is more accurate than AlexNet (by 40.0 ")
    assert texts(found.most_accurate()) == ["ResNet-18 is the more accurate of the two networks."]


def test_most_accurate_of_three_and_of_those_that_finished() -> None:
    arrays = [np.tile(right(count), (3, 1)) for count in (20, 95, 60)]
    three = [net(name, a) for name, a in zip(READINGS, arrays, strict=False)]
    (claim,) = claims(*three).most_accurate()
    assert texts([claim]) == [
        "VGG-16 is the most accurate of the three networks: it is separated from every other."
    ]
    assert set(claim.asserts) == {("vgg16", "alexnet"), ("vgg16", "googlenet")}
    runs = ("resnet18-s0", "resnet18-s1", "resnet18-s2")
    lost = net("ResNet-18", planned=runs, diverged=runs)
    assert texts(claims(*three, lost).most_accurate()) == [
        "VGG-16 is the most accurate of the three networks whose runs all finished: it is "
        "separated from every other."
    ]
    assert texts(claims(*three, language="ko").most_accurate()) == [
        "신경망 3개 가운데 가장 정확한 것은 VGG-16으로, 다른 모든 신경망과 구별된다."
    ]


def test_best_by_mean_is_not_named_while_one_other_is_near() -> None:
    arrays = [np.tile(right(count), (3, 1)) for count in (20, 95, 93)]
    found = claims(*(net(name, a) for name, a in zip(READINGS, arrays, strict=False)))
    (claim,) = found.most_accurate()
    assert str(claim) == (
        "The data do not single out a most accurate network: VGG-16 is not separated from "
        "GoogLeNet."
    )
    assert claim.asserts == ()
    assert (
        str(found.separated())
        == "Of the three pairs of networks, two are separated by the adjusted test."
    )


def test_the_largest_p_stands_for_a_group() -> None:
    # 20 images for AlexNet alone and 2 for VGG-16; 24 for AlexNet alone and 8 for GoogLeNet
    alexnet = right(150, 200)
    vgg16 = alexnet & ~right(20, 200)
    vgg16[-2:] = True
    googlenet = alexnet & ~right(24, 200)
    googlenet[-8:] = True
    found = claims(net("AlexNet", alexnet[None]), net("VGG-16", vgg16[None]))
    found = claims(*found.analysis.networks, net("GoogLeNet", googlenet[None]))
    # 2 · P(at most 2 of 22) times three, 2 · P(at most 8 of 32) times two
    smaller, larger = (
        scipy.stats.binomtest(few, few + many).pvalue for few, many in ((2, 20), (8, 24))
    )
    assert 3 * smaller < 2 * larger < stats.ALPHA
    assert texts(found.network("alexnet"))[1] == (
        "As trained here, it is more accurate than GoogLeNet and VGG-16 (by 8.0 to 9.0 points, "
        f"largest Holm-adjusted p = {2 * larger:.3f})."
    )


@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_accuracies(seeds: int) -> None:
    # different images, equally many
    first, second = one_seed(60, 10, 10, 20)
    found = claims(
        net("AlexNet", np.tile(first, (seeds, 1))), net("VGG-16", np.tile(second, (seeds, 1)))
    )
    (claim,) = found.pairs()
    beginning = {
        1: "AlexNet and VGG-16 are right on equally many test images; the data do not separate "
        "them (difference 0.0 points, ",
        3: "AlexNet and VGG-16 have the same mean accuracy; the data do not separate them "
        "(difference 0.0 points, ",
    }
    assert texts([claim])[0].startswith(beginning[seeds])
    assert texts([claim])[0].endswith("Holm-adjusted p = 1.000).")
    assert claim.asserts == ()
    assert found.separated() == claim


def test_accuracy_0_and_1() -> None:
    nothing, everything = np.zeros((3, 200), bool), np.ones((3, 200), bool)
    found = claims(net("AlexNet", nothing), net("VGG-16", everything))
    assert texts(found.network("vgg16"))[0].startswith(
        "VGG-16 reaches a mean test accuracy of 100.00 % over three seeds (95 % interval 98.12 to "
        "100.00 over"
    )
    assert texts(found.network("alexnet"))[0].startswith(
        "AlexNet reaches a mean test accuracy of 0.00 % over three seeds (95 % interval 0.00 to "
        "1.88 over"
    )
    assert texts(found.pairs())[0].startswith(
        "VGG-16 is more accurate than AlexNet (by 100.0 points"
    )


def test_one_network_alone() -> None:
    found = claims(net("ResNet-18", right(80)[None]))
    assert texts(found.abstract()) == ["Test accuracy is 80.00 % for ResNet-18 (one seed)."]
    assert texts(found.pairs()) == [
        "The study has a single network, so no accuracies are compared."
    ]
    assert found.most_accurate() == found.sizes() == found.seconds() == []
    # Wilson's limits of 80 of 100
    assert texts(found.network("resnet18")) == [
        "ResNet-18 reaches a test accuracy of 80.00 % (95 % interval 71.12 to 86.66 over images, "
        "one seed)."
    ]


def test_eight_networks_are_grouped() -> None:
    rng = np.random.default_rng(0)
    names = [*READINGS, "Net A", "Net B", "Net C"]
    shares = [20, 40, 40.5, 60, 60.5, 80, 80.5, 95]
    nets = [
        net(name, np.array([rng.permutation(right(round(10 * share), 1000)) for _ in range(3)]))
        for name, share in zip(names, shares, strict=True)
    ]
    found = claims(*nets)
    assert len(found.analysis.comparisons) == 28
    written = texts(found.pairs())
    assert written[0] == "Of the 28 pairs of networks, 25 are separated by the adjusted test."
    assert written[1].startswith(
        "Net C is more accurate than Net B, Net A, MobileNetV2, ResNet-18, GoogLeNet, VGG-16 and "
        "AlexNet (by 14.5 to 75.0 points, largest Holm-adjusted p < 0.001)."
    )
    assert written[-3:] == [
        "The data do not separate Net B from Net A.",
        "The data do not separate MobileNetV2 from ResNet-18.",
        "The data do not separate GoogLeNet from VGG-16.",
    ]
    assert len(written) == 1 + 7 + 3
    assert texts(found.abstract())[0] == (
        "Mean test accuracy over three seeds lies between 20.00 % and 95.00 %."
    )


def test_from_ten_seeds_on_the_multi_bootstrap_is_a_check() -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.random((10, 300)) < share for share in (0.5, 0.5, 0.9)]
    found = claims(*(net(name, a) for name, a in zip(READINGS, arrays, strict=False)))
    assert texts(found.check()) == [
        "As a check, the p of the multi-bootstrap over 1,000 resamples of seeds and images "
        "[sellam2022multiberts] and that of the test, before adjustment, lie on the same side of "
        "0.05 for all three pairs."
    ]
    assert claims(*(net(name, a[:9]) for name, a in zip("AB", arrays, strict=False))).check() == []


# ------------------------------------------------------------------------------- runs


@pytest.mark.parametrize(
    "planned, diverged, missing, sentence",
    [
        (1, 1, 0, "The run of VGG-16 diverged. It has no test accuracy, so it"),
        (3, 3, 0, "All three runs of VGG-16 diverged. It has no test accuracy, so it"),
        (3, 1, 0, "Of the three runs of VGG-16, one diverged. Its figures are over the runs that"),
        (3, 0, 2, "Of the three runs of VGG-16, two are missing. Its figures are over the runs"),
        (3, 0, 3, "VGG-16 has no run in this study. It has no test accuracy, so it"),
        (5, 2, 1, "Of the five runs of VGG-16, two diverged and one is missing. Its figures are"),
    ],
)
def test_runs_that_diverged_or_are_missing(
    planned: int, diverged: int, missing: int, sentence: str
) -> None:
    names = tuple(f"vgg16-s{seed}" for seed in range(planned))
    done = names[diverged + missing :]
    lost = net(
        "VGG-16",
        planned=names,
        diverged=names[:diverged],
        missing=names[diverged : diverged + missing],
        finished=done,
        tested=done,
    )
    whole = net("AlexNet", np.tile(right(50), (planned, 1)))
    (claim,) = claims(whole, lost).runs()
    assert str(claim).startswith(sentence)
    assert texts(claims(whole, lost).pairs()) == [
        "Not enough networks have all their runs, so no accuracies are compared."
    ]
    (korean,) = claims(whole, lost, language="ko").runs()
    assert not re.search("[a-z]{3}", str(korean))


def test_whose_runs_did_not_all_finish_is_not_compared_however_good_it_is() -> None:
    best = net(
        "VGG-16",
        np.tile(right(99), (2, 1)),
        planned=("vgg16-s0", "vgg16-s1", "vgg16-s2"),
        diverged=("vgg16-s2",),
    )
    others = [net(name, np.tile(right(c), (3, 1))) for name, c in (("AlexNet", 20), ("Net", 60))]
    found = claims(best, *others)
    written = [*found.pairs(), *found.most_accurate(), *found.network("vgg16")]
    assert {key for claim in written for pair in claim.asserts for key in pair} == {
        "alexnet",
        "net",
    }
    assert texts(found.abstract())[0].startswith("Mean test accuracy over the runs that finished")


def test_imported_logs_have_no_test_accuracy() -> None:
    found = claims(
        net("ResNet-18 (pretrained)", key="resnet18-pretrained"),
        net("ResNet-18"),
    )
    assert texts(found.abstract()) == ["Test accuracy is not known."]
    assert texts(found.pairs()) == ["Test accuracy is not known, so no accuracies are compared."]
    assert found.network("resnet18") == []


# ------------------------------------------------------------------------------- sizes, seconds


def sized(name: str, parameters: int, macs: int) -> Network:
    return net(name, right(50)[None], parameters=parameters, macs=macs)


def test_sizes_with_ties() -> None:
    found = claims(
        sized("AlexNet", 5_000_000, 700_000_000),
        sized("VGG-16", 5_000_000, 700_000_000),
        sized("GoogLeNet", 6_000_000, 700_000_000),
    )
    assert texts(found.sizes()) == [
        "AlexNet and VGG-16 have the fewest parameters (5.0 million each).",
        "AlexNet, VGG-16 and GoogLeNet need equally many multiply–accumulate operations per image "
        "(700 million each).",
    ]
    found = claims(*found.analysis.networks, language="ko")
    assert texts(found.sizes()) == [
        "매개변수는 AlexNet과 VGG-16이 가장 적다(각각 5.0백만 개).",
        "AlexNet, VGG-16, GoogLeNet은 이미지당 곱셈·누산의 수가 같다(각각 700백만 회).",
    ]


def test_sizes_that_differ_below_the_printed_digits_are_no_tie() -> None:
    found = claims(sized("AlexNet", 5_000_001, 2), sized("VGG-16", 5_000_000, 1))
    assert texts(found.sizes())[0] == "VGG-16 has the fewest parameters (5.0 million)."


def test_a_network_without_a_run_is_not_ranked_by_size() -> None:
    found = claims(sized("AlexNet", 5, 2), sized("VGG-16", 4, 1), net("GoogLeNet", header=()))
    assert texts(found.sizes())[0].startswith(
        "Of the networks that were trained, VGG-16 has the fewest parameters"
    )


def timed(name: str, seconds: float | None, hardware: str = "CPU", shared: bool = False) -> Network:
    times = Times(
        epoch_s=seconds,
        train_s=seconds,
        hardware=frozenset([hardware]),
        shared=shared,
        any_shared=shared,
    )
    return net(name, right(50)[None], times=times)


@pytest.mark.parametrize(
    "networks, sentence",
    [
        (
            [timed("AlexNet", 40.2), timed("VGG-16", 39.9), timed("GoogLeNet", 104.0)],
            "In these runs AlexNet and VGG-16 took the fewest seconds per epoch at full resolution "
            "(40 s) and GoogLeNet the most (104 s); with one run each, this describes the runs and "
            "tests nothing.",
        ),
        (
            [timed("AlexNet", 9.94), timed("VGG-16", 9.86)],
            "In these runs AlexNet and VGG-16 took equally many seconds per epoch at full "
            "resolution (9.9 s); with one run each, this describes the runs and tests nothing.",
        ),
        (
            [timed("AlexNet", 40.0), timed("VGG-16", 39.0, "GPU")],
            "Seconds are not ranked, since the runs were made on different hardware.",
        ),
        (
            [timed("AlexNet", 40.0, "unknown"), timed("VGG-16", 39.0, "unknown")],
            "Seconds are not ranked, since the hardware is not known.",
        ),
        (
            [timed("AlexNet", 40.0, shared=True), timed("VGG-16", 39.0)],
            "Seconds are not ranked, since other processes used the machine during the runs of "
            "AlexNet.",
        ),
        ([timed("AlexNet", 40.0), timed("VGG-16", None)], None),
    ],
)
def test_seconds(networks: list[Network], sentence: str | None) -> None:
    found = claims(*networks).seconds()
    assert texts(found) == ([sentence] if sentence else [])
    assert all(claim.asserts == () for claim in found)


# ------------------------------------------------------------------------------- every sentence

COMPARING = re.compile(
    r"\b(is|it is|is the) (more|less|most) accurate\b|are separated|is separated"
)


@st.composite
def studies(draw: st.DrawFn) -> Analysis:
    """Up to seven networks of which some runs are lost, on forty to two hundred images."""
    names = draw(st.permutations([*READINGS, "Net_1 & 100 %", "한글 망"]))
    count = draw(st.integers(1, len(names)))
    seeds, images = draw(st.sampled_from([1, 2, 3, 10])), draw(st.sampled_from([40, 200]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    hard = rng.random(images)
    nets = []
    for name in names[:count]:
        share = draw(st.sampled_from([0.0, 0.3, 0.6, 0.65, 0.9, 1.0]))
        correct = np.array([hard + rng.normal(0, 0.1, images) < share for _ in range(seeds)])
        lost = draw(st.sampled_from([0, 0, 0, 1]))
        network = net(name, correct, parameters=draw(st.integers(1, 3)), macs=7)
        if lost:
            kept = correct[lost:] if seeds > lost else None
            fresh = net(name, kept)
            network = replace(
                fresh,
                key=network.key,
                planned=network.planned,
                tested=network.planned[lost:],
                finished=network.planned[lost:],
                diverged=network.planned[:lost],
            )
        nets.append(network)
    keys = {network.key for network in nets}
    return Analysis(networks=tuple(n for n in nets if n.key and len(keys) == len(nets)))


def all_claims(found: Claims) -> list[Claim]:
    written = [*found.abstract(), *found.pairs(), *found.most_accurate(), *found.sizes()]
    written += [*found.seconds(), *found.rounding(), *found.check(), *found.runs()]
    if found.analysis.comparisons:
        written.append(found.separated())
    for network in found.analysis.networks:
        written += found.network(network.key)
    return written


@settings(deadline=None, max_examples=60)
@given(studies())
def test_a_sentence_compares_only_where_the_test_does(analysis: Analysis) -> None:
    separated = {(p.better, p.worse) for p in analysis.comparisons if p.separated}
    means = {n.key: n.accuracy.mean for n in analysis.networks if n.accuracy}
    for claim in all_claims(Claims(analysis, Ledger())):
        assert set(claim.asserts) <= separated
        assert all(means[better] > means[worse] for better, worse in claim.asserts)
        text = str(claim)
        negated = text.startswith("None of the") or "is not separated" in text
        assert bool(claim.asserts) == bool(COMPARING.search(text) and not negated), text


@settings(deadline=None, max_examples=60)
@given(studies())
def test_both_languages_print_the_same_numbers(analysis: Analysis) -> None:
    ledger = Ledger()
    english, korean = (all_claims(Claims(analysis, ledger, lang)) for lang in ("en", "ko"))
    assert len(english) == len(korean)
    for one, other in zip(english, korean, strict=True):
        assert one.asserts == other.asserts
        exact = [sorted(str(value.exact) for value in claim.values) for claim in (one, other)]
        assert exact[0] == exact[1], (str(one), str(other))


@settings(deadline=None, max_examples=60)
@given(studies(), st.sampled_from(["en", "ko"]))
def test_every_sentence_is_whole_and_its_numerals_are_values(
    analysis: Analysis, language: str
) -> None:
    names = sorted((network.name for network in analysis.networks), key=len, reverse=True)
    for claim in all_claims(Claims(analysis, Ledger(), language)):
        text = str(claim)
        assert re.fullmatch(r"[^\s{}][^{}]*\.", text), text
        assert "  " not in text
        assert "0.000" not in text
        words = "".join(part for part in claim.parts if isinstance(part, str))
        for name in names:
            words = words.replace(name, "")
        assert not re.search(r"\d", words), text
        for one, other in pairwise(claim.parts):
            # a value never touches another: digits would run together
            assert not (isinstance(one, Value) and isinstance(other, Value))


def test_wording_holds_no_number_and_no_article_before_something_that_varies() -> None:
    words = "one|two|three|four|five|six|seven|eight|nine|ten|both|once|twice"
    for kind, by_language in TEMPLATES.items():
        assert set(by_language) == {"en", "ko"}, kind
        for text in by_language.values():
            assert not re.search(r"\d", text), kind
        assert not re.search(rf"\b({words})\b", by_language["en"]), kind
        assert not re.search(r"\b[Aa]n? \{", by_language["en"]), kind


# ------------------------------------------------------------------------------- figures


@given(st.floats(0, 1), st.booleans())
def test_p_never_reads_zero_nor_the_level_it_is_below(p: float, separated: bool) -> None:
    separated = separated and p < stats.ALPHA
    text = p_text(p, separated=separated)
    relation, number = text.split()
    assert relation in ("=", "<")
    assert float(number) > 0
    assert relation == "<" or float(number) == pytest.approx(p, abs=5.1e-4)
    assert not separated or float(number) < stats.ALPHA or relation == "<"


@pytest.mark.parametrize(
    "p, separated, text",
    [
        (0.0004, True, "< 0.001"),
        (0.0213, True, "= 0.021"),
        (0.0497, True, "= 0.0497"),
        (0.04999, True, "< 0.05"),
        (0.0503, False, "= 0.050"),
        (1.0, False, "= 1.000"),
    ],
)
def test_p_by_hand(p: float, separated: bool, text: str) -> None:
    assert p_text(p, separated=separated) == text


def comparison(difference: float, low: float, high: float, p: float) -> stats.Comparison:
    return stats.Comparison(
        first="a",
        second="b",
        difference=difference,
        low=low,
        high=high,
        p=p,
        p_holm=p,
        method="seeds",
        first_only=None,
        second_only=None,
        seeds_variance=1e-6,
        images_variance=1e-6,
        df=4.0,
    )


@pytest.mark.parametrize(
    "limits, printed",
    [
        ((0.021, 0.012, 0.030), ("2.1", "1.2", "3.0")),
        # a limit that is not zero must not read as zero, and all three have the same digits
        ((0.0062, 0.0004, 0.0120), ("0.62", "0.04", "1.20")),
        ((0.0060, 0.000031, 0.0120), ("0.600", "0.003", "1.200")),
        # the other way round: the better one comes first, and the limits change places
        ((-0.021, -0.030, -0.012), ("2.1", "1.2", "3.0")),
    ],
)
def test_an_interval_has_the_digits_of_its_estimate(
    limits: tuple[float, float, float], printed: tuple[str, str, str]
) -> None:
    a, b = net("a", right(50)[None]), net("b", right(50)[None])
    found = Values(Ledger()).pair(comparison(*limits, p=0.01), a, b)
    assert (found.difference.text, found.low.text, found.high.text) == printed
    assert (found.first, found.second) == (("a", "b") if limits[0] > 0 else ("b", "a"))


def test_a_test_that_rejects_beside_an_interval_that_holds_0_separates_nothing() -> None:
    # Holm's adjustment is milder than the interval's Bonferroni
    assert not comparison(0.0102, -0.0002, 0.0206, p=0.04).separated
    assert comparison(0.0102, 0.0002, 0.0206, p=0.04).separated
    assert not comparison(0.0102, 0.0002, 0.0206, p=0.06).separated


def test_not_separated_keeps_one_digit() -> None:
    a, b = net("a", right(50)[None]), net("b", right(50)[None])
    found = Values(Ledger()).pair(comparison(0.0102, -0.0002, 0.0206, p=0.3), a, b)
    assert (found.difference.text, found.low.text, found.high.text) == ("1.0", "0.0", "2.1")


@pytest.mark.parametrize(
    "first, second, difference, shows",
    [
        ("77.61", "75.51", "2.1", False),
        # 77.614 - 75.506 = 2.108, printed 2.11; a reader finds 2.10
        ("77.61", "75.51", "2.11", True),
        ("77.61", "75.56", "2.0", True),
        ("1,004.0", "1,000.0", "4.0", False),
        ("10.0", "12.5", "−2.5", False),
    ],
)
def test_where_rounding_shows(first: str, second: str, difference: str, shows: bool) -> None:
    assert rounding_shows(first, second, difference) == shows


def test_the_text_says_where_rounding_shows() -> None:
    # 8,015 of 10,000 against 7,810: 2.05 points, printed with one digit
    def answers(count: int) -> np.ndarray:
        return right(count, 10_000)[None]

    assert texts(claims(net("A", answers(8015)), net("B", answers(7810))).rounding()) == [
        "Differences are taken before rounding, so their last digit may not be that of the "
        "difference of the printed accuracies."
    ]
    assert claims(net("A", answers(8015)), net("B", answers(7805))).rounding() == []


@pytest.mark.parametrize(
    "seconds, text", [(0.04, "0.0"), (3.25, "3.2"), (9.96, "10"), (104.4, "104"), (1234.6, "1,235")]
)
def test_seconds_by_hand(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


# ------------------------------------------------------------------------------- grammar


@pytest.mark.parametrize(
    "reading, topic, subject, objective, conjunction, by",
    [
        ("알렉스넷", "은", "이", "을", "과", "으로"),
        ("브이지지 십육", "은", "이", "을", "과", "으로"),
        ("모바일넷 브이투", "는", "가", "를", "와", "로"),
        ("레즈넷 십팔", "은", "이", "을", "과", "로"),  # after ㄹ as after a vowel
        ("ResNet", "은(는)", "이(가)", "을(를)", "와(과)", "(으)로"),
        ("레즈넷 (pretrained)", "은(는)", "이(가)", "을(를)", "와(과)", "(으)로"),
        ("", "은(는)", "이(가)", "을(를)", "와(과)", "(으)로"),
    ],
)
def test_particles(
    reading: str, topic: str, subject: str, objective: str, conjunction: str, by: str
) -> None:
    kinds = ("topic", "subject", "object", "and", "by")
    found = tuple(particle(reading, kind) for kind in kinds)
    assert found == (topic, subject, objective, conjunction, by)


@given(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3))
def test_particles_follow_the_final_consonant(syllable: str) -> None:
    # decomposed, a syllable has a third letter where it has a final consonant
    letters = unicodedata.normalize("NFD", syllable)
    final = letters[2:] if len(letters) == 3 else ""
    assert particle(syllable, "topic") == ("은" if final else "는")
    assert particle(syllable, "by") == (
        "로" if final in ("", "\N{HANGUL JONGSEONG RIEUL}") else "으로"
    )


@pytest.mark.parametrize("count, word", [(0, "seeds"), (1, "seed"), (2, "seeds"), (21, "seeds")])
def test_plural(count: int, word: str) -> None:
    assert plural(count, "seed") == word


def test_lists_of_one_two_and_three() -> None:
    def names(count: int, language: str) -> str:
        nets = [sized(name, 5, 5) for name in list(READINGS)[:count]]
        return texts(claims(*nets, sized("Big", 9, 9), language=language).sizes())[0]

    assert [names(n, "en").partition(" ha")[0] for n in (1, 2, 3)] == [
        "AlexNet",
        "AlexNet and VGG-16",
        "AlexNet, VGG-16 and GoogLeNet",
    ]
    assert [names(n, "ko").partition(" 가장")[0] for n in (1, 2, 3)] == [
        "매개변수는 AlexNet이",
        "매개변수는 AlexNet과 VGG-16이",
        "매개변수는 AlexNet, VGG-16, GoogLeNet이",
    ]
