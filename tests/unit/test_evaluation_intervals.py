"""Intervals: they hold the truth as often as they say, also where listeners come again."""

import numpy as np
import pytest

from training.evaluation.intervals import bootstrap


def test_means_are_those_of_all_evaluations_that_are_known() -> None:
    values = np.array([[1.0, np.nan], [0.0, 3.0], [0.5, np.nan]])
    found = bootstrap(values, np.array([0, 0, 1]), seed=1)
    assert found.mean.tolist() == [0.5, 3.0]
    assert (found.low <= found.mean).all()
    assert (found.high >= found.mean).all()


def test_a_column_without_values_has_neither_mean_nor_interval() -> None:
    found = bootstrap(np.full((3, 1), np.nan), np.arange(3), seed=1)
    assert np.isnan([found.mean, found.low, found.high]).all()


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).random((50, 2))
    first, second = (bootstrap(values, np.arange(50), seed=3) for _ in range(2))
    assert first.low.tolist() == second.low.tolist()


def test_a_constant_difference_is_certain() -> None:
    """Both columns see the same resamples, so what they share cancels out."""
    noise = np.random.default_rng(0).random(80)
    found = bootstrap(np.stack([noise + 0.1 - noise], 1), np.arange(80), seed=3)
    assert found.low[0] == pytest.approx(0.1)
    assert found.high[0] == pytest.approx(0.1)


def test_judging_the_same_listeners_again_makes_nothing_more_certain() -> None:
    values = np.random.default_rng(0).random((60, 1))
    once = bootstrap(values, np.arange(60), seed=3)
    again = bootstrap(np.tile(values, (5, 1)), np.tile(np.arange(60), 5), seed=3)
    assert again.low == pytest.approx(once.low)
    assert again.high == pytest.approx(once.high)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """200 worlds of 60 listeners, each judged three times with a habit of their own."""
    random = np.random.default_rng(11)
    listeners = np.tile(np.arange(60), 3)
    habits = random.normal(size=(60, 200))
    values = habits[listeners] + 0.3 * random.normal(size=(180, 200))
    found = bootstrap(values, listeners, seed=5)
    held = np.mean((found.low <= 0) & (found.high >= 0))
    # Had the evaluations been resampled one by one, it would be about .77.
    assert 0.89 <= held <= 0.99
