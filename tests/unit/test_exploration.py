"""Exploration: the draws are what their propensities say."""

from collections import Counter
from math import prod, sqrt
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.ranking.exploration import explore

DRAWS = 6_000
RANKED = np.array([40, 10, 30, 20])


def test_every_list_is_drawn_as_often_as_its_propensities_say() -> None:
    random = Random(7)
    lists: Counter[tuple[int, ...]] = Counter()
    probabilities = {}
    for _ in range(DRAWS):
        tracks, propensities = explore(RANKED, 2, 0.8, random)
        lists[tuple(tracks.tolist())] += 1
        probabilities[tuple(tracks.tolist())] = prod(propensities.tolist())
    assert sum(probabilities.values()) == pytest.approx(1)
    for drawn, probability in probabilities.items():
        deviation = sqrt(probability * (1 - probability) / DRAWS)
        assert abs(lists[drawn] / DRAWS - probability) < 4 * deviation


def test_at_temperature_one_the_odds_are_one_over_the_rank() -> None:
    odds = {40: 1.0, 10: 1 / 2, 30: 1 / 3, 20: 1 / 4}
    tracks, propensities = explore(RANKED, 4, 1, Random(1))
    left = sum(odds.values())
    for track, propensity in zip(tracks.tolist(), propensities.tolist(), strict=True):
        assert propensity == pytest.approx(odds[track] / left)
        left -= odds[track]


@pytest.mark.parametrize("temperature", [5e-324, 1e-3, 0.01])
def test_a_cold_draw_is_the_best_and_sure_of_it(temperature: float) -> None:
    tracks, propensities = explore(np.arange(500), 100, temperature, Random(3))
    assert tracks[:20].tolist() == list(range(20))
    assert propensities[0] == pytest.approx(1)


@given(
    st.integers(0, 40),
    st.integers(1, 40),
    st.floats(0, 1, exclude_min=True),
    st.randoms(use_true_random=False),
)
def test_a_draw_holds_different_tracks_each_with_its_propensity(
    ranked: int, k: int, temperature: float, random: Random
) -> None:
    tracks, propensities = explore(np.arange(ranked), k, temperature, random)
    assert len(set(tracks)) == len(tracks) == len(propensities) == min(k, ranked)
    assert ((propensities > 0) & (propensities <= 1 + 1e-9)).all()
    if 0 < ranked <= k:
        assert propensities[-1] == pytest.approx(1)
