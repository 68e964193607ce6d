"""Asymptotic intervals and the adjusted difference: against other libraries, and the truth."""

import math
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from infra.simulations import asymptotic
from segue.statistics.adjustment import Adjusted, adjusted_difference
from segue.statistics.asymptotic import Sample, difference_interval, lift_interval, widening
from tests.simulations import repeated
from tests.unit.arms import sample

ALL_20_2 = Sample(5000, sum([20.2] * 5000), sum([20.2**2] * 5000))
SAMPLES = st.builds(sample, st.integers(100, 10**6), st.floats(0.1, 100), st.floats(0.01, 1_000))


class TestDifference:
    # From gbstats 0.8.0 (SequentialTwoSidedTTest), which does not install beside NumPy 2.
    @pytest.mark.parametrize(
        ("a", "b", "interval"),
        [
            (
                sample(1200, 0.31, 0.05),
                sample(1150, 0.33, 0.06),
                (-0.009964868766298495, 0.049964868766298534),
            ),
            (
                sample(20000, 120.0, 900.0),
                sample(19800, 119.0, 850.0),
                (-1.9523028263342193, -0.047697173665780634),
            ),
            (
                sample(150, 5.0, 4.0),
                sample(170, 5.5, 3.0),
                (-0.41775486166265274, 1.4177548616626527),
            ),
        ],
    )
    def test_agrees_with_gbstats(self, a: Sample, b: Sample, interval: tuple[float, float]) -> None:
        assert difference_interval(a, b) == pytest.approx(interval, rel=1e-6)

    @pytest.mark.parametrize(
        "a",
        [sample(99, 100, 1), sample(5000, 100), ALL_20_2],
        ids=["few", "all the same", "all the same but for rounding"],
    )
    def test_few_values_or_all_the_same_say_nothing(self, a: Sample) -> None:
        b = sample(5000, 100, 1)
        assert difference_interval(a, b) == difference_interval(b, a) == (-math.inf, math.inf)

    def test_a_stricter_level_takes_a_wider_interval(self) -> None:
        a, b = sample(5000, 100, 1), sample(5000, 101, 1)
        low, high = difference_interval(a, b, 0.05)
        lower, higher = difference_interval(a, b, 0.025)
        assert lower < low < high < higher


class TestLift:
    @given(SAMPLES, SAMPLES)
    def test_agrees_with_the_difference_on_whether_there_is_any(self, a: Sample, b: Sample) -> None:
        low, high = difference_interval(a, b)
        lift_low, lift_high = lift_interval(a, b)
        if math.isfinite(lift_low):
            assert (low <= 0 <= high) == (lift_low <= 0 <= lift_high)

    @given(SAMPLES, SAMPLES)
    def test_holds_the_observed_lift(self, a: Sample, b: Sample) -> None:
        assert a.mean
        assert b.mean
        low, high = lift_interval(a, b)
        assert low >= -1 or low == -math.inf
        assert low <= b.mean / a.mean - 1 <= high

    def test_is_the_differences_beside_a_mean_that_is_known_well(self) -> None:
        a, b = sample(10**9, 50, 1), sample(1000, 55, 400)
        low, high = (end / 50 for end in difference_interval(a, b))
        assert lift_interval(a, b) == pytest.approx((low, high), rel=1e-3)

    def test_has_no_end_over_a_mean_that_may_be_0(self) -> None:
        a, b = sample(500, 0.1, 10), sample(500, 3, 10)
        assert lift_interval(a, b) == (-math.inf, math.inf)


class TestCoverage:
    """At a level of 5 %, more than 16 misses in 200 experiments are rarer than one in 20."""

    @pytest.mark.parametrize("metric", asymptotic.METRICS)
    def test_the_means_lie_within_at_every_look(self, metric: str) -> None:
        found = asymptotic.run(metric, 1_500, 50, 200, seed=1)
        assert max(found.difference.missed.count, found.missed_lift.count) <= 16

    @pytest.mark.parametrize("foretold", asymptotic.FORETOLD.values())
    def test_so_does_the_adjusted_difference(self, foretold: float) -> None:
        assert asymptotic.run_adjusted(foretold, 1_500, 50, 200, seed=1).missed.count <= 16

    def test_a_look_again_and_again_is_what_it_is_wide_for(self) -> None:
        assert math.sqrt(widening(5_000)) == pytest.approx(1.55 * 1.96, rel=0.02)

    def test_the_command_prints_its_tables_and_repeats_itself(self, tmp_path: Path) -> None:
        for run in repeated(asymptotic.main, tmp_path, "--experiments", "3", "--users", "300"):
            assert "listening time" in run.printed
            assert "earlier plays foretell much" in run.printed


STRATA = np.append(np.arange(0, 101, 5) / 100, np.nan)


class Listeners:
    """Of whom three in ten have no past; what the others did before, they do again."""

    def __init__(self, effect: float, users: int = 6_000) -> None:
        random = np.random.default_rng(3)
        self.stratum = np.where(random.random(users) < 0.3, 21, random.integers(0, 21, users))
        self.in_b = random.random(users) < 0.4
        self.known = STRATA[self.stratum]
        rate = np.where(np.isnan(self.known), 0.2, 0.1 + 0.7 * np.nan_to_num(self.known))
        self.successful = random.random(users) < rate + effect * self.in_b

    def adjusted(self, strata: NDArray[np.float64] = STRATA) -> Adjusted:
        arms = (~self.in_b, self.in_b)
        users = [np.bincount(self.stratum[arm], minlength=22) for arm in arms]
        successes = [np.bincount(self.stratum[arm & self.successful], minlength=22) for arm in arms]
        found = adjusted_difference(strata, successes, users)
        assert found
        return found


class TestAdjustedDifference:
    def test_is_that_of_a_regression_with_a_slope_for_each_arm(self) -> None:
        """Lin (2013), by statsmodels, with a robust standard error."""
        listeners = Listeners(0.05)
        new = np.isnan(listeners.known)
        known = np.stack([np.nan_to_num(listeners.known), new], axis=1)
        centred = known - known.mean(axis=0)
        of_b = listeners.in_b[:, None]
        design = np.hstack([np.ones_like(of_b), of_b, centred, of_b * centred])
        expected = sm.OLS(listeners.successful.astype(float), design).fit(cov_type="HC1")
        found = listeners.adjusted()
        assert found.difference == pytest.approx(expected.params[1], rel=1e-9)
        reach = expected.bse[1] * math.sqrt(widening(6_000))
        assert found.interval[1] - found.difference == pytest.approx(reach, rel=0.02)

    def test_takes_the_known_out_of_the_spread_and_keeps_who_has_no_past(self) -> None:
        found = Listeners(0.05).adjusted()
        assert 0.6 < found.variance_left < 0.9
        low, high = found.interval
        assert low < 0.05 < high

    def test_changes_nothing_where_nothing_was_known(self) -> None:
        listeners = Listeners(0.05)
        found = listeners.adjusted(np.full(22, np.nan))
        samples = []
        for arm in (~listeners.in_b, listeners.in_b):
            successes = int(listeners.successful[arm].sum())
            samples.append(Sample(int(arm.sum()), successes, successes))
        assert found.interval == pytest.approx(difference_interval(*samples))
        assert found.variance_left == pytest.approx(1)

    def test_is_the_same_from_the_other_side(self) -> None:
        listeners = Listeners(0.05)
        found = listeners.adjusted()
        listeners.in_b = ~listeners.in_b
        other = listeners.adjusted()
        assert other.difference == pytest.approx(-found.difference)
        assert other.interval == pytest.approx((-found.interval[1], -found.interval[0]))

    @pytest.mark.parametrize(
        ("successes", "users"),
        [
            ([[30, 0], [400, 100]], [[99, 0], [500, 500]]),
            ([[500, 500], [400, 100]], [[500, 500], [500, 500]]),
            ([[0, 0], [0, 0]], [[0, 0], [0, 0]]),
            ([[500, 0], [400, 100]], [[500, 500], [500, 500]]),
        ],
        ids=["few", "all succeeded", "nobody", "all were foretold"],
    )
    def test_few_users_or_outcomes_that_are_all_the_same_say_nothing(
        self, successes: list[list[int]], users: list[list[int]]
    ) -> None:
        assert adjusted_difference([0.5, np.nan], successes, users) is None
