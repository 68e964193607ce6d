"""Intervals hold the truth as often as they say, also if listeners come again and seeds differ."""

import numpy as np
import pytest

from training.evaluation.results import bootstrap


def test_means_are_those_of_all_evaluations_that_are_known() -> None:
    values = np.array([[1.0, np.nan], [0.0, 3.0], [0.5, np.nan]])
    found = bootstrap(values[None], np.array([0, 0, 1]), seed=1)
    assert found.mean.tolist() == [0.5, 3.0]
    assert (found.low <= found.mean).all()
    assert (found.high >= found.mean).all()


def test_a_column_without_values_has_neither_mean_nor_interval() -> None:
    found = bootstrap(np.full((1, 3, 1), np.nan), np.arange(3), seed=1)
    assert np.isnan([found.mean, found.low, found.high]).all()


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).random((50, 2))
    first, second = (bootstrap(values[None], np.arange(50), seed=3) for _ in range(2))
    assert first.low.tolist() == second.low.tolist()


def test_a_constant_difference_is_certain() -> None:
    """Both columns see the same resamples, so what they share cancels out."""
    noise = np.random.default_rng(0).random(80)
    found = bootstrap((noise + 0.1 - noise)[None, :, None], np.arange(80), seed=3)
    assert found.low[0] == pytest.approx(0.1)
    assert found.high[0] == pytest.approx(0.1)


def test_judging_the_same_listeners_again_makes_nothing_more_certain() -> None:
    values = np.random.default_rng(0).random((60, 1))
    once = bootstrap(values[None], np.arange(60), seed=3)
    again = bootstrap(np.tile(values, (5, 1))[None], np.tile(np.arange(60), 5), seed=3)
    assert again.low == pytest.approx(once.low)
    assert again.high == pytest.approx(once.high)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """200 worlds of 60 listeners, each judged three times with a habit of their own."""
    random = np.random.default_rng(11)
    listeners = np.tile(np.arange(60), 3)
    habits = random.normal(size=(60, 200))
    values = habits[listeners] + 0.3 * random.normal(size=(180, 200))
    found = bootstrap(values[None], listeners, seed=5)
    held = np.mean((found.low <= 0) & (found.high >= 0))
    # Had the evaluations been resampled one by one, it would be about .77.
    assert 0.89 <= held <= 0.99


def test_seeds_are_resampled_with_the_listeners() -> None:
    """200 worlds of 60 listeners, each judged twice, by models of five seeds.

    A seed shifts all of its evaluations together, as a model does that was trained better.
    """
    random = np.random.default_rng(12)
    listeners = np.tile(np.arange(60), 2)
    habits = random.normal(size=(60, 200))
    shifts = 0.3 * random.normal(size=(5, 1, 200))
    values = habits[listeners] + shifts + 0.3 * random.normal(size=(5, 120, 200))
    found = bootstrap(values, listeners, seed=5)
    held = np.mean((found.low <= 0) & (found.high >= 0))
    alone = bootstrap(values.mean(0, keepdims=True), listeners, seed=5)
    blind = np.mean((alone.low <= 0) & (alone.high >= 0))
    assert found.mean == pytest.approx(alone.mean)
    assert 0.89 <= held <= 0.99
    assert blind < held


def test_the_variance_between_seeds_is_that_of_their_mean() -> None:
    """With one listener nothing but the seeds can differ; 300 worlds of three seeds."""
    values = np.random.default_rng(13).normal(size=(3, 1, 300))
    drawn = bootstrap(values, np.array([0]), seed=5)
    # Of two drawn with replacement, each pair has a chance of 2/9, and each alone of 1/9.
    assert (drawn.low == values.min((0, 1))).all()
    assert (drawn.high == values.max((0, 1))).all()


def test_what_was_trained_once_is_as_certain_for_many_seeds() -> None:
    values = np.random.default_rng(0).random((1, 80, 1))
    once = bootstrap(values, np.arange(80), seed=3)
    again = bootstrap(np.tile(values, (3, 1, 1)), np.arange(80), seed=3)
    assert again.mean == pytest.approx(once.mean)
    assert again.high - again.low == pytest.approx(once.high - once.low, rel=0.1)
