"""Level and power of the primary test on invented studies.

Full tables: ``python -m tests.study.simulation``. Bounds are expected shares with four standard
errors of the number of studies on top.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.study import simulation

KINDS = {"accuracy": 0.8, "disagreement": 0.12, "difference": 0.0}


def error(share: float, studies: int) -> float:
    return 4 * math.sqrt(share * (1 - share) / studies)


def test_the_model_has_the_properties_asked_for() -> None:
    rng = np.random.default_rng(0)
    made = simulation.model(0.8, 0.006, 0.12, 0.2, 10_000)
    image = np.float32(made.shared) * rng.standard_normal(200_000, dtype=np.float32)
    a, b = (simulation.answers(made, image, 2, None, rng) for _ in range(2))
    assert a.mean() == pytest.approx(0.8, abs=0.015)
    assert (a[0] != a[1]).mean() == pytest.approx(0.12, abs=0.01)
    assert (a[0] != b[0]).mean() == pytest.approx(0.2, abs=0.01)
    # on these very images, whatever they are
    fixed = simulation.answers(
        simulation.model(0.8, 0.0, 0.12, 0.2, 10_000), image[:5000], 200, 0.77, rng
    )
    assert fixed.mean() == pytest.approx(0.77, abs=0.0015)


def test_level_and_spread_of_a_few_studies() -> None:
    found = simulation.simulate(
        **KINDS, seeds=5, seed_sd=0.0045 * 2, images=2500, studies=200, rng=np.random.default_rng(1)
    )
    assert found["contrast"] <= 0.055 + error(0.055, 200)
    assert found["seed_sd"] == pytest.approx(0.009, rel=0.1)
    assert found["disagreement"] == pytest.approx(0.12, rel=0.02)


@pytest.mark.soak
@pytest.mark.parametrize("new_images", [False, True])
@pytest.mark.parametrize("seed_sd", [0.003, 0.0045, 0.006])
@pytest.mark.parametrize("seeds, level", [(5, 0.05), (3, 0.06)])
def test_level(seeds: int, level: float, seed_sd: float, new_images: bool) -> None:
    found = simulation.simulate(
        **KINDS,
        seeds=seeds,
        seed_sd=seed_sd,
        new_images=new_images,
        studies=1000,
        rng=np.random.default_rng(2),
    )
    assert found["contrast"] <= level + error(level, 1000)


@pytest.mark.soak
@pytest.mark.parametrize("seeds, shortfall", [(5, 0.02), (3, 0.08)])
@pytest.mark.parametrize("seed_sd", [0.003, 0.0045, 0.006])
def test_power_is_that_of_the_noncentral_t_distribution(
    seeds: int, shortfall: float, seed_sd: float
) -> None:
    # the seeds' part of the variance, and what disagreements leave for the images
    plan = simulation.planned(seeds, seed_sd, (0.18 - 0.12) / 10_000)
    found = simulation.simulate(
        **KINDS | {"difference": plan.detectable(power=0.8)},
        seeds=seeds,
        seed_sd=seed_sd,
        network_disagreement=0.18,
        studies=1000,
        rng=np.random.default_rng(3),
    )
    # a study estimates its degrees of freedom, which costs three seeds up to 7 points (4,000
    # studies a cell: 0.79 to 0.80 with five seeds, 0.73 to 0.76 with three)
    assert 0.8 - shortfall - error(0.8, 1000) <= found["contrast"] <= 0.8 + error(0.8, 1000)
