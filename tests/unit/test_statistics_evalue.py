"""The e-value: against other libraries, and against what makes it one."""

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from segue.domain.errors import InvalidRequest
from segue.experiments.experiment import LEAST_SHARE
from segue.statistics.beta_tail import log_density, log_tail_ratio
from segue.statistics.counts import Counts
from segue.statistics.evalue import (
    CONCENTRATIONS,
    EValue,
    evidence,
    evidence_at,
    in_words,
    log_bet_above,
    log_evidence,
)
from tests.unit.arms import MILLIONS, ORACLES, arms

shares = st.sampled_from([0.01, 0.1, 1 / 3, 0.5, 0.8, 0.95])
rates = st.floats(0, 1)


def log_lower_tail_ratio(x: float, a: float, b: float) -> Any:
    """log(P(X <= x) / density(x)) by the hypergeometric series, to 30 digits."""
    with mpmath.workdps(40):
        x, a, b = mpmath.mpf(x), mpmath.mpf(a), mpmath.mpf(b)
        if x > a / (a + b):
            log_density = (a - 1) * mpmath.log(x) + (b - 1) * mpmath.log(1 - x)
            log_density -= mpmath.loggamma(a) + mpmath.loggamma(b) - mpmath.loggamma(a + b)
            return mpmath.log(mpmath.exp(-log_density) - mpmath.exp(_series(1 - x, b, a)))
        return _series(x, a, b)


def _series(x: Any, a: Any, b: Any) -> Any:
    term = total = mpmath.mpf(1)
    for step in range(1_000_000):
        term *= (a + b + step) / (a + 1 + step) * x
        total += term
        if term < total * mpmath.mpf(10) ** -30:
            break
    return mpmath.log(x) + mpmath.log(1 - x) - mpmath.log(a) + mpmath.log(total)


def log_bet_by_its_definition(x: int, y: int, share: float, k: int) -> Any:
    """log T> from beta functions and beta tails of 40 digits."""
    with mpmath.workdps(40):
        rho = mpmath.mpf(share)
        a, b = k * rho, k * (1 - rho)

        def log_beta_above(a: Any, b: Any) -> Any:
            return mpmath.log(mpmath.betainc(a, b, rho, 1))

        after, before = log_beta_above(a + x, b + y), log_beta_above(a, b)
        return after - before - x * mpmath.log(rho) - y * mpmath.log(1 - rho)


def all_counts(users: int) -> Iterator[tuple[int, int, int, int]]:
    """Every way for ``users`` to be successes and failures of A, then of B."""
    for counts in product(range(users + 1), repeat=3):
        if sum(counts) <= users:
            yield (*counts, users - sum(counts))


def probability(counts: tuple[int, int, int, int], cells: tuple[float, ...]) -> float:
    ways = math.factorial(sum(counts)) / math.prod(map(math.factorial, counts))
    return ways * math.prod(p**n for p, n in zip(cells, counts, strict=True))


def cells_without_difference(rate: float, share: float) -> tuple[float, ...]:
    return ((1 - share) * rate, (1 - share) * (1 - rate), share * rate, share * (1 - rate))


def e_value(counts: tuple[int, int, int, int], share: float) -> float:
    return math.exp(log_e_value(counts, share))


def log_e_value(counts: tuple[int, ...], share: float) -> float:
    successes_a, failures_a, successes_b, failures_b = map(int, counts)
    a = Counts(successes_a, successes_a + failures_a)
    return evidence_at(a, Counts(successes_b, successes_b + failures_b), share).log_value


class TestTailRatio:
    @pytest.mark.parametrize(
        ("x", "a", "b"),
        [
            (0.5, 10, 10),
            (0.5, 1000, 10),
            (0.5, 10, 1000),
            (0.3, 7003, 3006),
            (1e-6, 4e-5, 20),
            (0.001, 1e7, 10),
            (0.5, 5_001_000, 4_998_000),
            (0.5, 5_010_000, 4_990_000),
            (0.5, 5_014_500, 4_985_500),
            (0.49, 5.1e6, 4.9e6),
            (0.5, 4_990_000, 5_010_000),
            (0.01, 2e3, 8e6),
        ],
    )
    def test_is_right_near_the_middle_and_far_from_it(self, x: float, a: float, b: float) -> None:
        expected = float(log_lower_tail_ratio(x, a, b))
        assert float(log_tail_ratio(x, a, b)) == pytest.approx(expected, rel=1e-12, abs=1e-11)

    def test_has_no_seam_where_the_method_changes(self) -> None:
        # The tail's probability passes through 1e-20 here.
        a = np.arange(545.0, 760.0, 0.25)
        steps = np.diff(log_tail_ratio(0.5, a, 500.0))
        assert np.all(steps < 0)
        assert np.all(np.abs(np.diff(steps)) < 1e-5)

    def test_density_is_scipys_where_scipy_has_it(self) -> None:
        from scipy import stats

        for x, a, b in [(0.3, 2.5, 7), (0.5, 0.4, 0.2), (0.7, 71, 30), (0.1, 20, 200)]:
            expected = stats.beta.logpdf(x, a, b)
            assert float(log_density(x, a, b)) == pytest.approx(expected, rel=1e-12)


class TestBet:
    @pytest.mark.parametrize("k", CONCENTRATIONS)
    @pytest.mark.parametrize(("x", "y"), [(0, 0), (1, 0), (0, 5), (14, 6), (400, 300), (30, 70)])
    @pytest.mark.parametrize("share", [0.5, 0.2])
    def test_is_what_its_definition_says(self, x: int, y: int, share: float, k: int) -> None:
        bet = log_bet_above(x, y, share)[CONCENTRATIONS.index(k)]
        expected = float(log_bet_by_its_definition(x, y, share, k))
        assert bet == pytest.approx(expected, rel=1e-9, abs=1e-11)


class TestEvidenceAtAShare:
    @pytest.mark.parametrize("oracle", ORACLES["two_arm"], ids=lambda o: str(o["data"]))
    def test_is_the_oracles(self, oracle: dict[str, Any]) -> None:
        successes_a, users_a, successes_b, users_b = oracle["data"]
        found = evidence_at(Counts(successes_a, users_a), Counts(successes_b, users_b), 0.5)
        assert found.value == pytest.approx(oracle["E"], rel=1e-8)
        if "E_plus" in oracle:
            assert found.plus == pytest.approx(oracle["E_plus"], rel=1e-8)

    @pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.95])
    def test_is_exactly_one_before_any_outcome(self, share: float) -> None:
        found = evidence_at(Counts(0, 0), Counts(0, 0), share)
        assert (found.value, found.plus, found.minus, found.p_value) == (1, 1, 1, 1)

    def test_is_right_at_ten_million_users(self) -> None:
        a, b = Counts(6_950_000, MILLIONS), Counts(7_050_000, MILLIONS)

        def log_bet(inside: int, outside: int, k: int) -> Any:
            after = log_lower_tail_ratio(0.5, k / 2 + outside, k / 2 + inside)
            return after - log_lower_tail_ratio(0.5, k / 2, k / 2)

        plus = [
            log_bet(b.successes, a.successes, k) + log_bet(a.failures, b.failures, k)
            for k in CONCENTRATIONS
        ]
        expected = mpmath.log(sum(mpmath.exp(p) for p in plus) / len(plus))
        found = evidence_at(a, b, 0.5)
        assert found.log_plus == pytest.approx(float(expected), abs=1e-9)
        assert found.log_plus > 1000

    @pytest.mark.parametrize("users", [1, 2, 5, 9])
    @pytest.mark.parametrize("share", [0.5, 0.2, 0.9])
    @pytest.mark.parametrize("rate", [0, 0.05, 0.5, 0.7, 1])
    def test_is_one_on_average_over_all_outcomes_of_equal_arms(
        self, users: int, share: float, rate: float
    ) -> None:
        cells = cells_without_difference(rate, share)
        mean = sum(probability(c, cells) * e_value(c, share) for c in all_counts(users))
        assert mean == pytest.approx(1, abs=1e-12)

    @pytest.mark.parametrize("share", [0.5, 0.2])
    def test_is_one_on_average_also_for_who_stops_when_it_looks_good(self, share: float) -> None:
        cells = cells_without_difference(0.6, share)
        going: dict[tuple[int, int, int, int], float] = {(0, 0, 0, 0): 1.0}
        stopped = 0.0
        for _ in range(10):
            reached: dict[tuple[int, int, int, int], float] = {}
            for (sa, fa, sb, fb), mass in going.items():
                ends = (sa + 1, fa, sb, fb), (sa, fa + 1, sb, fb), (sa, fa, sb + 1, fb)
                for end, p in zip((*ends, (sa, fa, sb, fb + 1)), cells, strict=True):
                    reached[end] = reached.get(end, 0) + mass * p
            winning = {c for c in reached if e_value(c, share) >= 1.2}
            stopped += sum(reached[c] * e_value(c, share) for c in winning)
            going = {c: mass for c, mass in reached.items() if c not in winning}
        assert stopped > 0.05
        mean = stopped + sum(mass * e_value(c, share) for c, mass in going.items())
        assert mean == pytest.approx(1, abs=1e-12)

    @settings(deadline=None)
    @given(arms(), arms(), shares, rates)
    def test_expects_nothing_of_the_next_user_of_equal_arms(
        self, a: Counts, b: Counts, share: float, rate: float
    ) -> None:
        counts = np.array([a.successes, a.failures, b.successes, b.failures])
        before = log_e_value(tuple(counts), share)
        after = [log_e_value(tuple(counts + one), share) for one in np.eye(4, dtype=int)]
        mean = np.exp(np.array(after) - before) @ cells_without_difference(rate, share)
        assert mean == pytest.approx(1, rel=1e-8)

    @settings(deadline=None)
    @given(arms(), arms(), shares)
    def test_is_finite_and_the_same_from_the_other_side(
        self, a: Counts, b: Counts, share: float
    ) -> None:
        found, other = evidence_at(a, b, share), evidence_at(b, a, 1 - share)
        assert math.isfinite(found.value)
        assert math.isfinite(found.log_value)
        assert 0 <= found.p_value <= 1
        assert found.log_plus == pytest.approx(other.log_minus, rel=1e-9, abs=1e-9)
        assert found.log_minus == pytest.approx(other.log_plus, rel=1e-9, abs=1e-9)

    @settings(deadline=None)
    @given(arms(), arms(), shares)
    def test_speaks_more_for_b_with_one_more_success_of_b(
        self, a: Counts, b: Counts, share: float
    ) -> None:
        if b.failures:
            more = evidence_at(a, Counts(b.successes + 1, b.users), share)
            less = evidence_at(a, b, share)
            tolerance = 1e-9 * (1 + abs(less.log_plus) + abs(less.log_minus))
            assert more.log_plus >= less.log_plus - tolerance
            assert more.log_minus <= less.log_minus + tolerance

    @pytest.mark.parametrize("share", [0, 1, -0.5, 2, math.nan])
    def test_refuses_a_share_that_leaves_an_arm_empty(self, share: float) -> None:
        with pytest.raises(InvalidRequest, match="share"):
            evidence_at(Counts(1, 2), Counts(1, 2), share)


def least_on_a_fine_grid(a: Counts, b: Counts) -> tuple[float, float]:
    """``log E+`` and ``log E-`` at their least over a grid forty times as fine."""
    end = special.logit(1 - LEAST_SHARE)
    shares = special.expit(np.linspace(-end, end, 1_105))
    found = [evidence_at(a, b, share) for share in map(float, shares)]
    return min(it.log_plus for it in found), min(it.log_minus for it in found)


class TestEvidence:
    @pytest.mark.parametrize(
        ("a", "b"),
        [
            (Counts(300, 1000), Counts(400, 1000)),
            (Counts(6, 20), Counts(14, 20)),
            (Counts(2, 9), Counts(13, 16)),
            (Counts(690, 7_000), Counts(50, 300)),
            (Counts(700_000, 1_000_000), Counts(705_000, 1_000_000)),
            (Counts(0, 3), Counts(1_655_232, 1_714_422)),
            (Counts(1, 3), Counts(948_146, 948_347)),
            (Counts(0, 2), Counts(808_487, 1_729_407)),
            (Counts(56_325_625, 94_044_862), Counts(0, 1)),
        ],
    )
    def test_is_the_least_that_any_share_leaves(self, a: Counts, b: Counts) -> None:
        found, finely = evidence(a, b), least_on_a_fine_grid(a, b)
        for least, on_grid in zip((found.log_plus, found.log_minus), finely, strict=True):
            # Never above what the fine grid has, but for rounding; at a narrow valley, well below.
            assert least <= on_grid + 1e-8
        assert found.log_plus == pytest.approx(finely[0], abs=0.01 + 0.01 * abs(finely[0]))

    def test_is_the_least_where_few_users_stand_beside_very_many(self) -> None:
        found = evidence(Counts(0, 3), Counts(1_655_232, 1_714_422))
        assert found.log_plus == pytest.approx(8.51166834, abs=1e-6)

    @settings(deadline=None, max_examples=50)
    @given(arms(), arms(), shares)
    def test_is_never_more_than_at_a_share(self, a: Counts, b: Counts, share: float) -> None:
        found, known = evidence(a, b), evidence_at(a, b, share)
        for least, there in ((found.log_plus, known.log_plus), (found.log_minus, known.log_minus)):
            assert least <= there + 1e-6

    def test_a_share_other_than_the_allotted_is_no_evidence(self) -> None:
        # 52 % of the users are B's, and of the successes and failures as well.
        a, b = Counts(6_720, 9_600), Counts(7_280, 10_400)
        assert evidence_at(a, b, 0.5).value > 20
        assert evidence(a, b).value < 1

    def test_luck_with_users_is_no_difference(self) -> None:
        assert evidence_at(Counts(4, 4), Counts(142, 142), 0.9).value > 20
        assert evidence(Counts(4, 4), Counts(142, 142)).value < 1

    def test_a_known_share_costs_little_to_forget(self) -> None:
        a, b = Counts(300, 1000), Counts(400, 1000)
        assert evidence(a, b).value > 0.98 * evidence_at(a, b, 0.5).value

    def test_is_exactly_one_before_any_outcome(self) -> None:
        found = evidence(Counts(0, 0), Counts(0, 0))
        assert (found.value, found.plus, found.minus, found.p_value) == (1, 1, 1, 1)

    @settings(deadline=None, max_examples=50)
    @given(arms(), arms())
    def test_is_finite_and_the_same_from_the_other_side(self, a: Counts, b: Counts) -> None:
        found, other = evidence(a, b), evidence(b, a)
        assert math.isfinite(found.value)
        assert 0 <= found.p_value <= 1
        assert (found.log_plus, found.log_minus) == pytest.approx(
            (other.log_minus, other.log_plus), rel=1e-6, abs=1e-6
        )

    def test_takes_arrays_of_counts(self) -> None:
        plus, minus = log_evidence([6, 300], [14, 700], [14, 400], [6, 600])
        one = evidence(Counts(300, 1000), Counts(400, 1000))
        assert (plus[1], minus[1]) == pytest.approx((one.log_plus, one.log_minus))

    def test_stays_a_number_beyond_the_largest_float(self) -> None:
        found = EValue(1e6, 0)
        assert found.value == pytest.approx(1.797e308, rel=1e-3)
        assert found.p_value == 0
        assert in_words(found.log_value) == "10^434,294"
        assert in_words(math.log(2.231323)) == "2.23"

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            (19.95, "19.9"),
            (20, "20"),
            (1, "1"),
            (0.42679, "0.426"),
            (1e-9, "1e-09"),
            (1234.9, "1,234"),
        ],
    )
    def test_in_words_is_never_more_than_it_is(self, value: float, words: str) -> None:
        assert in_words(math.log(value)) == words


class TestCounts:
    @pytest.mark.parametrize(("successes", "users"), [(-1, 5), (6, 5), (0, -1)])
    def test_refuses_what_cannot_be(self, successes: int, users: int) -> None:
        with pytest.raises(InvalidRequest, match=f"{successes}/{users}"):
            Counts(successes, users)

    def test_refuses_more_than_it_counts_exactly(self) -> None:
        with pytest.raises(InvalidRequest, match="1,000,000,001 users"):
            Counts(1, 1_000_000_001)
