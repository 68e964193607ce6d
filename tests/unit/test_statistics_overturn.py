"""How many lost users overturn a decision: the same as by trying all of them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.statistics.counts import Counts
from segue.statistics.evalue import DECISIVE, evidence, evidence_at, log_evidence
from segue.statistics.overturn import lists_to_overturn, users_to_overturn

# For either bet: half of the stake is on it.
NEEDED = math.log(2 * DECISIVE)


@st.composite
def decided(draw: st.DrawFn) -> tuple[Counts, Counts]:
    """A winner of few users, and the arm that lost to it."""
    won, lost = (draw(st.integers(20, 40)) for _ in range(2))
    failures, successes = (draw(st.integers(0, 3)) for _ in range(2))
    return Counts(won - failures, won), Counts(successes, lost)


def decides(won: Counts, lost: Counts) -> bool:
    return evidence(lost, won).log_plus >= NEEDED


def least_log_evidence(won: Counts, lost: Counts, users: int) -> float:
    """With so many lost users, of all ways to share them out over both arms."""
    of_winner = np.arange(users + 1)
    log_plus, _ = log_evidence(
        lost.successes + users - of_winner, lost.failures, won.successes, won.failures + of_winner
    )
    return float(log_plus.min())


def assert_fewest(won: Counts, lost: Counts, users: int) -> None:
    """Fewer do not overturn the decision, however they are shared out; so many do, in some way."""
    assert least_log_evidence(won, lost, users - 1) >= NEEDED
    assert least_log_evidence(won, lost, users) < NEEDED


@given(decided())
@settings(max_examples=15)
def test_the_fewest_lost_users_are_those_found_by_trying_all_mixes(
    arms: tuple[Counts, Counts],
) -> None:
    assert decides(*arms)
    (users,) = users_to_overturn([arms[0]], [arms[1]], [DECISIVE])
    assert_fewest(*arms, users)


@given(decided(), st.integers(0, 20))
@settings(max_examples=10)
def test_the_more_users_are_lost_the_less_evidence_is_left(
    arms: tuple[Counts, Counts], users: int
) -> None:
    fewer, more = (least_log_evidence(*arms, n) for n in (users, users + 1))
    # As well as the least over all shares is found.
    assert more <= fewer + 1e-6


def test_the_worst_way_is_to_lose_users_of_both_arms() -> None:
    won, lost = Counts(140, 200), Counts(60, 200)
    (users,) = users_to_overturn([won], [lost], [DECISIVE])
    of_winner_only = Counts(won.successes, won.users + users)
    of_other_only = Counts(lost.successes + users, lost.users + users)
    assert decides(of_winner_only, lost)
    assert decides(won, of_other_only)


def test_a_decision_that_took_more_is_overturned_by_fewer() -> None:
    arms = [Counts(140, 200)] * 2, [Counts(60, 200)] * 2
    easy, hard = users_to_overturn(*arms, [DECISIVE, 50 * DECISIVE])
    assert 0 < hard < easy


def test_of_many_decisions_each_is_as_if_alone() -> None:
    won, lost = [Counts(140, 200), Counts(9_000, 20_000)], [Counts(60, 200), Counts(8_400, 20_000)]
    together = users_to_overturn(won, lost, [DECISIVE] * 2)
    alone = [users_to_overturn([a], [b], [DECISIVE]) for a, b in zip(won, lost, strict=True)]
    assert [[it] for it in together] == alone


@pytest.mark.parametrize(("won", "lost"), [((60, 60), (0, 60)), ((60, 60), (30, 60))])
def test_rates_of_0_and_1_are_overturned_too(won: tuple[int, int], lost: tuple[int, int]) -> None:
    (users,) = users_to_overturn([Counts(*won)], [Counts(*lost)], [DECISIVE])
    assert_fewest(Counts(*won), Counts(*lost), users)


def test_of_interleaved_lists_the_lost_ones_are_the_other_arms() -> None:
    (lists,) = lists_to_overturn([Counts(90, 90)], [Counts(40, 40)], [DECISIVE])

    def log_plus(lost: int) -> float:
        return evidence_at(Counts(40 + lost, 40 + lost), Counts(90, 90), 0.5).log_plus

    assert log_plus(lists) < NEEDED <= log_plus(lists - 1)
