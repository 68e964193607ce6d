"""Guardrails and breakdowns: against other libraries and truth."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial
from statsmodels.stats.meta_analysis import combine_effects

from infra.simulations.guardrails import Scenario, run
from segue.experiments.experiment import Figure, Guardrail
from segue.statistics.asymptotic import Sample
from segue.statistics.counts import Counts
from segue.statistics.fixed_horizon import newcombe
from segue.statistics.guardrails import (
    State,
    check_guardrail,
    exact_interval,
    log_evidence,
)
from segue.statistics.interaction import interaction
from tests.unit.arms import arms, sample


def rates(failed: int, users: int) -> Sample:
    """Of a figure that is 1 or 0."""
    return Sample(users, failed, failed)


class TestGuardrails:
    @pytest.mark.parametrize(
        ("figure", "mean_b", "state"),
        [
            (Figure.SKIP_RATE, 0.2, State.HELD),
            (Figure.SKIP_RATE, 0.3, State.HELD),
            (Figure.SKIP_RATE, 0.34, State.UNKNOWN),
            (Figure.SKIP_RATE, 0.4, State.BROKEN),
            (Figure.DIVERSITY, 0.2, State.BROKEN),
            (Figure.DIVERSITY, 0.26, State.UNKNOWN),
            (Figure.DIVERSITY, 0.3, State.HELD),
            (Figure.DIVERSITY, 0.4, State.HELD),
            (Figure.LATENCY, 0.2, State.HELD),
            (Figure.LATENCY, 0.34, State.UNKNOWN),
            (Figure.LATENCY, 0.4, State.BROKEN),
            (Figure.LISTENING_TIME, 0.2, State.BROKEN),
            (Figure.LISTENING_TIME, 0.3, State.HELD),
        ],
    )
    def test_knows_its_direction(self, figure: Figure, mean_b: float, state: State) -> None:
        a, b = sample(5000, 0.3, 0.01), sample(5000, mean_b, 0.01)
        assert check_guardrail(Guardrail(figure, 0.04), a, b).state is state

    @pytest.mark.parametrize("figure", Figure)
    def test_knows_nothing_without_users(self, figure: Figure) -> None:
        rail = Guardrail(figure, 0.01)
        assert check_guardrail(rail, Sample(), Sample()).state is State.UNKNOWN
        assert check_guardrail(rail, sample(1000, 0.3, 0.01), Sample()).state is State.UNKNOWN

    def test_an_arm_that_never_fails_is_no_worse_than_any(self) -> None:
        rail = Guardrail(Figure.FAILED_CALLS, 0.01)
        assert check_guardrail(rail, Sample(), rates(0, 1000)).state is State.HELD


class TestExactInterval:
    FAILED_CALLS = Guardrail(Figure.FAILED_CALLS, 0.01)

    def test_no_failure_yet_is_no_proof_that_none_will_come(self) -> None:
        few = check_guardrail(self.FAILED_CALLS, rates(0, 300), rates(0, 300))
        assert few.state is State.UNKNOWN
        many = check_guardrail(self.FAILED_CALLS, rates(0, 600), rates(0, 600))
        assert many.state is State.HELD

    @pytest.mark.parametrize("fails", [0.011, 0.015, 0.02])
    def test_an_arm_that_fails_too_often_is_hardly_ever_declared_held(self, fails: float) -> None:
        scenario = Scenario(0.0, fails, 1_500, look_every=20)
        assert run(scenario, 200, 3, lambda *_: None).held.count <= 10

    @settings(deadline=None, max_examples=30)
    @example([0, 0, 1], [1, 0, 0])
    @given(
        st.lists(st.integers(0, 10_000), min_size=3, max_size=3).filter(any),
        st.lists(st.integers(0, 10_000), min_size=3, max_size=3).filter(any),
    )
    def test_bets_on_the_true_difference_gain_nothing(
        self, weights_a: list[int], weights_b: list[int]
    ) -> None:
        """On average over all samples of two arms, whose values are 0, 1/2 and 1."""
        values = np.array([0, 0.5, 1])
        odds = [np.array(weights) / sum(weights) for weights in (weights_a, weights_b)]
        difference = float(values @ odds[1] - values @ odds[0])
        counts = np.array(
            [(4 - i - j, i, j) for i in range(5) for j in range(5 - i)], dtype=np.float64
        )
        chances = [multinomial.pmf(counts, 4, it) for it in odds]
        shape = (len(counts), len(counts))
        totals, squares = (
            np.stack(np.meshgrid(counts @ it, counts @ it, indexing="ij"), axis=-1)
            for it in (values, values**2)
        )
        found = log_evidence(difference, np.full((*shape, 2), 4.0), totals, squares)
        both = np.outer(*chances)
        # Against what cannot happen the evidence may be infinite.
        possible = both > 0
        assert both[possible] @ np.exp(found[possible]) <= 1 + 1e-9

    @settings(deadline=None, max_examples=20)
    @given(arms(), arms())
    def test_holds_the_observed_difference_and_is_the_same_from_the_other_side(
        self, one: Counts, other: Counts
    ) -> None:
        a, b = rates(one.successes, one.users), rates(other.successes, other.users)
        low, high = exact_interval(a, b, 1)
        assert -1 <= low <= (b.mean or 0) - (a.mean or 0) <= high <= 1
        assert exact_interval(b, a, 1) == pytest.approx((-high, -low), abs=1e-6)

    def test_is_narrower_where_values_vary_less(self) -> None:
        steady, unsteady = (
            exact_interval(*[sample(4000, 0.35, deviation**2)] * 2, 1)[1]
            for deviation in (0.1, 0.35)
        )
        assert steady < 0.02 < unsteady

    def test_scales_with_the_range(self) -> None:
        a, b = sample(1000, 0.3, 0.01), sample(1000, 0.31, 0.01)
        doubled = sample(1000, 0.6, 0.04), sample(1000, 0.62, 0.04)
        expected = [2 * end for end in exact_interval(a, b, 1)]
        assert exact_interval(*doubled, 2) == pytest.approx(expected, abs=1e-5)

    def test_rounding_beyond_the_range_is_forgiven(self) -> None:
        beyond = exact_interval(Sample(50, -1e-12, 0), Sample(50, 50 + 1e-12, 50 + 1e-12), 1)
        assert beyond == pytest.approx(exact_interval(rates(0, 50), rates(50, 50), 1))


class TestInteraction:
    def test_agrees_with_statsmodels(self) -> None:
        segments = {
            "premium": (Counts(300, 1000), Counts(380, 1000)),
            "free": (Counts(250, 900), Counts(240, 950)),
            "new": (Counts(2, 30), Counts(9, 25)),
        }
        rates = [[(x.successes + 1) / (x.users + 2) for x in pair] for pair in segments.values()]
        variances = [
            sum(p * (1 - p) / (x.users + 2) for p, x in zip(r, pair, strict=True))
            for r, pair in zip(rates, segments.values(), strict=True)
        ]
        expected = combine_effects(np.array([b - a for a, b in rates]), np.array(variances))
        found = interaction(segments)
        assert found.q == pytest.approx(expected.q)
        assert found.degrees == 2
        assert found.p_value == pytest.approx(expected.test_homogeneity().pvalue)
        assert found.intervals["free"] == newcombe(*segments["free"])

    def test_equal_differences_are_no_interaction(self) -> None:
        pair = (Counts(300, 1000), Counts(380, 1000))
        found = interaction({"premium": pair, "free": pair})
        assert found.q == pytest.approx(0, abs=1e-12)
        assert found.p_value == pytest.approx(1)

    def test_opposite_differences_are_one(self) -> None:
        better, worse = Counts(500, 1000), Counts(400, 1000)
        found = interaction({"premium": (worse, better), "free": (better, worse)})
        assert found.p_value < 1e-6

    def test_a_segment_that_lacks_an_arm_has_no_say(self) -> None:
        full = (Counts(300, 1000), Counts(380, 1000))
        found = interaction({"premium": full, "free": (Counts(0, 0), Counts(7, 9))})
        assert (found.degrees, found.p_value) == (0, 1)
        assert found.intervals["free"] == (-1, 1)

    def test_finds_as_many_interactions_as_it_says_where_there_are_none(self) -> None:
        random = np.random.default_rng(5)
        hits = 0
        for _ in range(1000):
            s = random.binomial(400, [[0.6, 0.7], [0.2, 0.3]]).tolist()
            pairs = [(Counts(a, 400), Counts(b, 400)) for a, b in s]
            hits += interaction({"premium": pairs[0], "free": pairs[1]}).p_value < 0.05
        assert 30 <= hits <= 70
