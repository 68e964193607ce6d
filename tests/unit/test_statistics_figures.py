"""The interval, the one-look figures and the checks: against other libraries and each other."""

import math
from typing import Any
from unittest.mock import patch

import mpmath
import numpy as np
import pyarrow
import pytest
import tea_tasting
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy import special
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
    proportion_effectsize,
    proportions_ztest,
)

from segue.domain.errors import InvalidRequest
from segue.statistics.comparison import compare
from segue.statistics.confidence import (
    ABOVE_ZERO,
    confidence_limits,
    confidence_sequence,
)
from segue.statistics.counts import Counts
from segue.statistics.evalue import evidence, log_bet_above, log_evidence, log_mean
from segue.statistics.fixed_horizon import (
    boschloo,
    fisher,
    newcombe,
    pooled_z,
    wilson,
)
from segue.statistics.multiplicity import decisive_together, holm
from segue.statistics.posterior import posterior
from segue.statistics.power import (
    detectable_difference,
    progress,
    users_at_one_look,
    users_needed,
)
from segue.statistics.sample_ratio import check_sample_ratio
from segue.statistics.verdict import Decision, decide
from tests.unit.arms import MILLIONS, ORACLES, arms, at_a_known_share

PAIRS = [
    (Counts(6, 20), Counts(14, 20)),
    (Counts(0, 9), Counts(3, 14)),
    (Counts(690, 1000), Counts(700, 1010)),
    (Counts(7_000_000, MILLIONS), Counts(7_005_000, MILLIONS)),
]


def outcomes(a: Counts, b: Counts) -> pyarrow.Table:
    """One row per user, as tea-tasting reads them."""
    rows = [
        (name, int(i < arm.successes)) for name, arm in enumerate((a, b)) for i in range(arm.users)
    ]
    return pyarrow.table({"variant": [row[0] for row in rows], "success": [row[1] for row in rows]})


@pytest.mark.parametrize("oracle", ORACLES["two_arm"], ids=lambda o: str(o["data"]))
def test_every_figure_of_two_arms_is_the_oracles(oracle: dict[str, Any]) -> None:
    successes_a, users_a, successes_b, users_b = oracle["data"]
    found = compare(Counts(successes_a, users_a), Counts(successes_b, users_b)).as_json()
    for name, expected in at_a_known_share(oracle).items():
        # Intervals have eight decimals there.
        digits = {"abs": 6e-9} if isinstance(expected, list) else {"rel": 1e-8}
        assert found[name] == pytest.approx(expected, **digits), name


def interval(a: Counts, b: Counts, *, relative: bool = False) -> tuple[float, float]:
    return confidence_sequence(a, b, evidence(a, b), relative=relative)


def ends(*pairs: tuple[Counts, Counts], relative: ArrayLike = False) -> list[tuple[float, float]]:
    """Of several intervals at once, which takes hardly longer than one."""
    counts = np.array([(a.successes, a.failures, b.successes, b.failures) for a, b in pairs]).T
    limits = confidence_limits(*counts, *log_evidence(*counts), relative=relative)
    return list(zip(*limits, strict=True))


def observed(a: Counts, b: Counts, *, relative: bool) -> float:
    """The difference, or the relative lift, of arms that both have users."""
    rate_a, rate_b = a.successes / a.users, b.successes / b.users
    if not relative:
        return rate_b - rate_a
    return rate_b / rate_a - 1 if rate_a else math.inf


def left_of(d: float, a: Counts, b: Counts, *, relative: bool) -> bool:
    """Whether the difference is left, by the definition: the least bets over a grid of rates."""
    found = evidence(a, b)
    if d == 0:
        return max(found.log_plus, found.log_minus) < math.log(40)
    places = special.expit(np.linspace(-16, 16, 4_001))
    rate_a, rate_b = max(-d, 0) + (1 - abs(d)) * places, max(d, 0) + (1 - abs(d)) * places
    if relative:
        rate_a, rate_b = min(1, 1 / (1 + d)) * places, min(1, 1 + d) * places

    def bet(one: Counts, rate: Any, other: Counts, other_rate: Any) -> float:
        """On the one arm's rate being above, the other's below."""
        above = log_bet_above(one.successes, one.failures, rate, 0.5)
        below = log_bet_above(other.failures, other.successes, 1 - other_rate, 0.5)
        return float(log_mean(above + below).min())

    side = found.log_minus if d > 0 else found.log_plus
    below_observed = d < observed(a, b, relative=relative)
    beyond = bet(b, rate_b, a, rate_a) if below_observed else bet(a, rate_a, b, rate_b)
    return float(np.logaddexp(side - math.log(2), beyond - math.log(4))) < math.log(20)


class TestConfidenceSequence:
    @pytest.mark.parametrize(
        ("a", "b"),
        [
            *PAIRS[:3],
            (Counts(300, 1000), Counts(400, 1000)),
            (Counts(0, 40), Counts(40, 40)),
            (Counts(3, 700), Counts(30, 900)),
        ],
    )
    @pytest.mark.parametrize("relative", [False, True])
    def test_holds_the_differences_that_the_bets_leave(
        self, a: Counts, b: Counts, relative: bool
    ) -> None:
        for one, other in ((a, b), (b, a)):
            ends = interval(one, other, relative=relative)
            for end, inwards in zip(ends, (1e-4, -1e-4), strict=True):
                if abs(end) not in (0, 1, ABOVE_ZERO, math.inf):
                    step = inwards * (1 + abs(end))
                    assert left_of(end + step, one, other, relative=relative)
                    assert not left_of(end - step, one, other, relative=relative)

    @given(arms(), arms())
    @settings(deadline=None, max_examples=40)
    def test_excludes_zero_exactly_when_there_is_a_verdict(self, a: Counts, b: Counts) -> None:
        low, high = interval(a, b)
        found = decide(evidence(a, b)).decision
        assert (low > 0) == (found is Decision.B)
        assert (high < 0) == (found is Decision.A)
        assert -1 <= low <= high <= 1
        if a.users and b.users:
            assert low <= b.successes / b.users - a.successes / a.users <= high

    def test_says_no_more_than_above_zero_where_it_knows_no_more(self) -> None:
        a, b = Counts(300, 1000), Counts(374, 1000)
        assert decide(evidence(a, b)).decision is Decision.B
        low, high = interval(a, b)
        assert low == ABOVE_ZERO > 0
        assert interval(b, a) == pytest.approx((-high, -ABOVE_ZERO), abs=1e-6)

    def test_asks_more_where_a_verdict_does(self) -> None:
        a, b = Counts(300, 1000), Counts(374, 1000)
        low, _ = confidence_sequence(a, b, evidence(a, b), decisive=60)
        assert decide(evidence(a, b), 60).decision is Decision.NONE_YET
        assert low <= 0

    @given(arms(), arms())
    @settings(deadline=None, max_examples=40)
    def test_is_the_same_from_the_other_side(self, a: Counts, b: Counts) -> None:
        (low, high), other = ends((a, b), (b, a))
        assert other == pytest.approx((-high, -low), abs=1e-6)

    @given(arms(), arms())
    @settings(deadline=None, max_examples=20)
    def test_lift_and_difference_lie_on_the_same_side_of_zero(self, a: Counts, b: Counts) -> None:
        (low, high), (lift_low, lift_high) = ends((a, b), (a, b), relative=[False, True])
        assert (lift_low > 0) == (low > 0)
        assert (lift_high < 0) == (high < 0)
        if a.users and b.users:
            lift = observed(a, b, relative=True)
            assert -1 <= lift_low <= max(lift, 1e6 - 1) <= math.inf
            assert lift_high >= min(lift, 1e6 - 1) * (1 - 1e-9)

    def test_a_lift_is_turned_over_from_the_other_side(self) -> None:
        a, b = Counts(300, 1000), Counts(400, 1000)
        low, high = interval(a, b, relative=True)
        turned = (1 / (1 + high) - 1, 1 / (1 + low) - 1)
        assert interval(b, a, relative=True) == pytest.approx(turned, abs=1e-6)

    def test_a_lift_over_a_rate_that_may_be_nothing_has_no_upper_end(self) -> None:
        low, high = interval(Counts(0, 1000), Counts(30, 1000), relative=True)
        assert 1 < low < high == math.inf
        assert interval(Counts(0, 20), Counts(0, 20), relative=True) == (-1, math.inf)

    def test_difference_and_lift_together_hold_the_truth_at_every_look(self) -> None:
        random, (rate_a, rate_b) = np.random.default_rng(7), (0.1, 0.15)
        looks = np.array([50, 200, 800, 3_200])
        sizes = np.diff(looks, prepend=0)
        s_a, s_b = (random.binomial(sizes, it, (40, 4)).cumsum(1) for it in (rate_a, rate_b))
        counts = (s_a, looks - s_a, s_b, looks - s_b)
        found = log_evidence(*counts)
        low, high = confidence_limits(*counts, *found)
        lift_low, lift_high = confidence_limits(*counts, *found, relative=True)
        held = (low <= 0.05) & (high >= 0.05) & (lift_low <= 0.5) & (lift_high >= 0.5)
        assert held.all(1).sum() >= 38

    def test_is_everything_before_any_outcome(self) -> None:
        assert interval(Counts(0, 0), Counts(0, 0)) == (-1, 1)
        assert interval(Counts(0, 0), Counts(0, 0), relative=True) == (-1, math.inf)

    def test_ends_at_the_border_where_nothing_speaks_against_it(self) -> None:
        assert interval(Counts(0, 1000), Counts(1000, 1000))[1] == 1
        assert interval(Counts(1000, 1000), Counts(0, 1000))[0] == -1

    def test_is_narrower_with_more_users_and_never_twice_newcombes(self) -> None:
        widths = []
        for users in (250, 1000, 10_000, MILLIONS):
            a, b = Counts(users * 3 // 10, users), Counts(users * 4 // 10, users)
            low, high = interval(a, b)
            at_one_look = newcombe(a, b)
            widths.append(high - low)
            if users <= 10_000:
                assert high - low < 1.95 * (at_one_look[1] - at_one_look[0])
        assert widths == sorted(widths, reverse=True)

    def test_takes_arrays_of_counts(self) -> None:
        a, b = Counts(300, 1000), Counts(400, 1000)
        found = evidence(a, b)
        low, high = confidence_limits(
            [0, 300], [0, 700], [0, 400], [0, 600], [0, found.log_plus], [0, found.log_minus]
        )
        assert (low[0], high[0]) == (-1, 1)
        assert (low[1], high[1]) == pytest.approx(interval(a, b))


class TestFixedHorizon:
    @pytest.mark.parametrize(("a", "b"), PAIRS)
    def test_agrees_with_statsmodels(self, a: Counts, b: Counts) -> None:
        for arm in (a, b):
            expected = proportion_confint(arm.successes, arm.users, method="wilson")
            assert wilson(arm) == pytest.approx(expected, rel=1e-9, abs=1e-12)
        expected = confint_proportions_2indep(
            b.successes, b.users, a.successes, a.users, method="newcomb"
        )
        assert newcombe(a, b) == pytest.approx(expected, rel=1e-9)
        counts, users = [a.successes, b.successes], [a.users, b.users]
        assert pooled_z(a, b) == pytest.approx(proportions_ztest(counts, users)[1], rel=1e-9)

    @pytest.mark.parametrize(("a", "b"), PAIRS[:3])
    def test_agrees_with_tea_tasting(self, a: Counts, b: Counts) -> None:
        def p_value(method: Any) -> float:
            metric = tea_tasting.Proportion("success", method=method, correction=False)
            return float(metric.analyze(outcomes(a, b), 0, 1, "variant").pvalue)

        assert fisher(a, b) == pytest.approx(p_value("fisher"), rel=1e-9)
        assert pooled_z(a, b) == pytest.approx(p_value("norm"), rel=1e-9)
        if a.users < 100:
            assert boschloo(a, b) == pytest.approx(p_value("boschloo"), rel=1e-9)

    def test_leaves_boschloo_out_where_it_would_take_long(self) -> None:
        assert boschloo(Counts(100, 200), Counts(120, 200)) is not None
        assert boschloo(Counts(100, 200), Counts(120, 201)) is None

    @pytest.mark.parametrize(
        ("a", "b"),
        [
            (Counts(0, 0), Counts(0, 0)),
            (Counts(0, 0), Counts(3, 5)),
            (Counts(0, 10), Counts(0, 12)),
            (Counts(10, 10), Counts(12, 12)),
        ],
    )
    def test_finds_nothing_where_nothing_could_differ(self, a: Counts, b: Counts) -> None:
        assert fisher(a, b) == boschloo(a, b) == pooled_z(a, b) == 1

    def test_knows_nothing_of_an_arm_without_users(self) -> None:
        assert wilson(Counts(0, 0)) == (0, 1)
        assert newcombe(Counts(0, 0), Counts(3, 5)) == (-1, 1)

    @given(arms(), arms())
    @settings(deadline=None)
    def test_stays_where_probabilities_and_rates_are(self, a: Counts, b: Counts) -> None:
        for p in (fisher(a, b), pooled_z(a, b)):
            assert 0 <= p <= 1 + 1e-12
        for arm in (a, b):
            low, high = wilson(arm)
            assert 0 <= low <= high <= 1
        low, high = newcombe(a, b)
        assert -1 <= low <= high <= 1


class TestPosterior:
    @pytest.mark.parametrize(
        ("a", "b"), [*PAIRS[:2], (Counts(5, 60), Counts(40, 45)), (Counts(1, 300), Counts(0, 2))]
    )
    def test_is_the_integral(self, a: Counts, b: Counts) -> None:
        def density(arm: Counts, t: Any) -> Any:
            s, f = arm.successes, arm.failures
            return t**s * (1 - t) ** f / mpmath.beta(1 + s, 1 + f)

        def below(arm: Counts, t: Any) -> Any:
            return mpmath.betainc(1 + arm.successes, 1 + arm.failures, 0, t, regularized=True)

        points = [0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 1]
        beats = mpmath.quad(lambda t: density(b, t) * below(a, t), points)
        loss = mpmath.quad(lambda t: below(b, t) * (1 - below(a, t)), points)
        found = posterior(a, b)
        assert found.b_beats_a == pytest.approx(float(beats), rel=1e-9)
        assert found.loss_choosing_b == pytest.approx(float(loss), rel=1e-9)

    @given(arms(), arms())
    @settings(deadline=None)
    def test_losses_differ_by_what_the_mean_rates_do(self, a: Counts, b: Counts) -> None:
        found, other = posterior(a, b), posterior(b, a)
        mean_a, mean_b = ((1 + arm.successes) / (2 + arm.users) for arm in (a, b))
        lead = found.loss_choosing_a - found.loss_choosing_b
        assert lead == pytest.approx(mean_b - mean_a, rel=1e-8, abs=1e-10)
        assert found.b_beats_a + other.b_beats_a == pytest.approx(1, abs=1e-8)
        assert 0 <= found.b_beats_a <= 1 + 1e-8
        assert min(found.loss_choosing_a, found.loss_choosing_b) >= 0


class TestSampleRatio:
    @pytest.mark.parametrize("oracle", ORACLES["srm"], ids=lambda o: str(o["counts"]))
    def test_is_the_oracles(self, oracle: dict[str, Any]) -> None:
        found = check_sample_ratio(oracle["counts"], [0.5, 0.5])
        assert found.chi_square == pytest.approx(oracle["chi2"])
        assert found.p_value == pytest.approx(oracle["p"], rel=1e-8)
        assert found.e_value == pytest.approx(oracle["sequential_E_k100"], rel=1e-8)
        assert found.is_off

    # From gbstats 0.8.0 (check_srm), which does not install beside NumPy 2.
    @pytest.mark.parametrize(
        ("users", "shares", "p_value"),
        [
            ([5200, 4800], [0.5, 0.5], 6.334248366623988e-05),
            ([1000, 2100, 900], [0.25, 0.5, 0.25], 0.0005530843701478337),
        ],
    )
    def test_agrees_with_gbstats(
        self, users: list[int], shares: list[float], p_value: float
    ) -> None:
        assert check_sample_ratio(users, shares).p_value == pytest.approx(p_value, rel=1e-9)

    def test_agrees_with_tea_tasting(self) -> None:
        metric = tea_tasting.SampleRatio(1, method="norm", correction=False)
        expected = metric.analyze(outcomes(Counts(0, 520), Counts(0, 480)), 0, 1, "variant").pvalue
        assert check_sample_ratio([520, 480], [0.5, 0.5]).p_value == pytest.approx(expected)

    @pytest.mark.parametrize("share", [0.5, 0.1])
    def test_evidence_is_one_on_average_where_the_shares_hold(self, share: float) -> None:
        users = 40
        mean = sum(
            math.comb(users, n)
            * share**n
            * (1 - share) ** (users - n)
            * check_sample_ratio([users - n, n], [1 - share, share]).e_value
            for n in range(users + 1)
        )
        assert mean == pytest.approx(1, abs=1e-12)

    def test_gives_no_alarm_without_users_or_with_the_right_ones(self) -> None:
        assert not check_sample_ratio([0, 0], [0.5, 0.5]).is_off
        assert check_sample_ratio([0, 0], [0.5, 0.5]).e_value == 1
        assert not check_sample_ratio([MILLIONS, 3 * MILLIONS], [0.25, 0.75]).is_off

    def test_refuses_shares_of_other_arms(self) -> None:
        with pytest.raises(InvalidRequest, match="shares"):
            check_sample_ratio([10, 10, 10], [0.5, 0.5])


class TestPower:
    @pytest.mark.parametrize("oracle", ORACLES["n_per_arm_alpha05_power80"])
    def test_at_one_look_is_the_oracles(self, oracle: dict[str, Any]) -> None:
        assert users_at_one_look(*oracle["rates"]) / 2 == pytest.approx(oracle["n"], rel=1e-5)

    @pytest.mark.parametrize(("rate_a", "rate_b", "share"), [(0.7, 0.75, 0.5), (0.1, 0.2, 0.2)])
    def test_at_one_look_agrees_with_statsmodels(
        self, rate_a: float, rate_b: float, share: float
    ) -> None:
        effect = proportion_effectsize(rate_b, rate_a)
        ratio = share / (1 - share)
        of_a = NormalIndPower().solve_power(effect, alpha=0.05, power=0.8, ratio=ratio)
        found = users_at_one_look(rate_a, rate_b, share=share)
        assert found == pytest.approx(of_a * (1 + ratio), rel=1e-5)

    @pytest.mark.parametrize("decisive", [20.0, 60.0])
    @pytest.mark.parametrize("share", [0.5, 0.3])
    def test_detects_the_difference_that_so_many_users_were_needed_for(
        self, share: float, decisive: float
    ) -> None:
        users = users_needed(0.7, 0.75, share=share, decisive=decisive)
        found = detectable_difference(0.7, round(users), share=share, decisive=decisive)
        assert found == pytest.approx(0.05, rel=1e-2)

    def test_detects_nothing_with_too_few_users(self) -> None:
        assert detectable_difference(0.7, 0) is None
        assert detectable_difference(0.95, 40) is None

    @given(
        st.floats(0, 1),
        st.floats(0, 1),
        st.sampled_from([1e-6, 0.001, 0.2, 0.5, 0.9, 1 - 1e-6]),
        st.sampled_from([20.0, 140.0]),
    )
    def test_is_finite_and_the_same_from_the_other_arms_side(
        self, rate_a: float, rate_b: float, share: float, decisive: float
    ) -> None:
        assume(abs(rate_b - rate_a) > 1e-4)
        needed = users_needed(rate_a, rate_b, share=share, decisive=decisive)
        mirrored = users_needed(rate_b, rate_a, share=1 - share, decisive=decisive)
        failures = users_needed(1 - rate_b, 1 - rate_a, share=1 - share, decisive=decisive)
        assert 0 < needed < math.inf
        assert mirrored == pytest.approx(needed, rel=1e-5)
        assert failures == pytest.approx(needed, rel=1e-5)

    def test_more_users_are_needed_for_less_and_where_more_evidence_is(self) -> None:
        gains = [0.2, 0.1, 0.05, 0.02, 0.01, 0.001]
        needed = [users_needed(0.3, 0.3 + gain) for gain in gains]
        assert needed == sorted(needed)
        assert users_needed(0.3, 0.4) < users_needed(0.3, 0.4, decisive=60)
        assert users_at_one_look(0.3, 0.4) < users_needed(0.3, 0.4)

    def test_tells_how_far_along_the_test_is(self) -> None:
        found = progress(Counts(700, 1000), Counts(0, 0), 0.05)
        assert found is not None
        assert found.users_needed == users_needed(0.7, 0.7 + 0.05)
        assert found.done == pytest.approx(1000 / found.users_needed)
        assert progress(Counts(0, 0), Counts(3, 5), 0.05) is None

    @pytest.mark.parametrize("difference", [0, 0.4, -0.8])
    def test_refuses_a_difference_that_cannot_be_found(self, difference: float) -> None:
        with pytest.raises(InvalidRequest, match=r"difference of 0|not between 0 and 1"):
            progress(Counts(7, 10), Counts(3, 5), difference)


class TestMultiplicity:
    def test_is_the_oracles(self) -> None:
        oracle = ORACLES["multiplicity"]
        assert holm(oracle["p"]) == pytest.approx(oracle["holm"])

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
    @settings(max_examples=20, deadline=None)
    def test_agrees_with_statsmodels(self, p: list[float]) -> None:
        # At its end it collects garbage, which takes a second of each example.
        with patch("gc.collect"):
            expected = multipletests(p, method="holm")[1]
        assert holm(p) == pytest.approx(expected)

    def test_of_no_question_there_is_no_answer(self) -> None:
        assert holm([]) == []

    @pytest.mark.parametrize(
        ("values", "threshold"),
        [([20], 20), ([19], 20), ([39, 1], 40), ([41, 1], 40), ([25, 21], 20), ([70, 29, 1], 60)],
    )
    def test_asks_less_of_each_the_more_are_found(
        self, values: list[float], threshold: float
    ) -> None:
        assert decisive_together([math.log(value) for value in values]) == threshold

    @settings(deadline=None)
    @given(st.lists(st.floats(0.01, 1000), min_size=1, max_size=8))
    def test_finds_what_bh_finds_in_the_inverses(self, values: list[float]) -> None:
        threshold = decisive_together([math.log(value) for value in values])
        inverses = [min(1 / value, 1) for value in values]
        adjusted = multipletests(inverses, method="fdr_bh")[1]
        for value, p in zip(values, adjusted, strict=True):
            if abs(p - 0.05) > 1e-9:
                assert (value >= threshold) == (p < 0.05)
