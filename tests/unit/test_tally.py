"""The counts that a report rests on."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.experiments.bets import log_bets
from segue.experiments.experiment import Figure
from segue.experiments.records import Exposure, Record
from segue.experiments.tally import MOST_STEPS, Tally

MINUTE = 60_000
SETTLED = 1_662_000_000_000


def record(
    user: int = 0,
    group: str = "A",
    *,
    successful: bool = True,
    settled_at: int = SETTLED,
    premium: str = "no",
    skips: float = 0.5,
) -> Record:
    exposure = Exposure(str(user), group, "m", "b", ("t",), 0, 0, traits={"premium": premium})
    return Record(exposure, successful, settled_at, figures={"skip_rate": skips})


RECORDS = st.lists(
    st.builds(
        record,
        user=st.integers(0, 99),
        group=st.sampled_from("AB"),
        successful=st.booleans(),
        settled_at=st.integers(SETTLED, SETTLED + 3_000 * MINUTE),
        premium=st.sampled_from(["yes", "no"]),
        # Sums of these are exact, whatever the order.
        skips=st.integers(0, 8).map(lambda eighths: eighths / 8),
    ),
    max_size=40,
)


def told(tally: Tally) -> object:
    """What the tally says, without the arms that have nobody left."""
    cells = {
        (start, group): outcomes
        for start, arms in tally.course.items()
        for group, outcomes in arms.items()
    } | {
        (trait, value, group): outcomes
        for trait, values in tally.segments.items()
        for value, arms in values.items()
        for group, outcomes in arms.items()
    }
    figures = {
        (name, group): moments
        for name, arms in tally.figures.items()
        for group, moments in arms.items()
    }
    return {key: it for key, it in cells.items() if it[1]}, {
        key: it for key, it in figures.items() if it[0]
    }


@given(RECORDS, RECORDS)
def test_a_tally_of_two_parts_is_their_sum(one: list[Record], other: list[Record]) -> None:
    assert told(Tally.of(one).plus(Tally.of(other))) == told(Tally.of([*one, *other]))


@given(RECORDS, RECORDS)
def test_what_was_added_can_be_taken_away(one: list[Record], other: list[Record]) -> None:
    both = Tally.of(one).plus(Tally.of(other))
    left = both.minus(Tally.of(other))
    assert left.outcomes().keys() >= Tally.of(one).outcomes().keys()
    assert {g: n for g, n in left.outcomes().items() if n[1]} == Tally.of(one).outcomes()
    assert left.users == len(one)


def test_outcomes_are_counted_by_arm() -> None:
    tally = Tally.of([record(1), record(2, successful=False), record(3, "B")])
    assert tally.outcomes() == {"A": (1, 2), "B": (1, 1)}
    assert tally.users == 3


def test_the_course_is_told_in_few_steps_however_long_it_takes() -> None:
    spread = [record(user, settled_at=SETTLED + user * 7 * MINUTE) for user in range(5_000)]
    tally = Tally.of(spread)
    assert MOST_STEPS / 2 <= len(tally.course) <= MOST_STEPS
    assert tally.step == 256 * MINUTE
    assert tally.users == 5_000
    assert all(start % tally.step == 0 for start in tally.course)


def test_what_is_known_of_a_listener_is_counted_by_its_value() -> None:
    known = replace(record(1), exposure=replace(record(1).exposure, before=0.52))
    tally = Tally.of([known, record(2, premium="yes", successful=False)])
    assert tally.segments == {"premium": {"no": {"A": (1, 1)}, "yes": {"A": (0, 1)}}}
    assert tally.before == {50: {"A": (1, 1)}}


def test_figures_are_summed_with_their_squares() -> None:
    failed = replace(record(2), exposure=replace(record(2).exposure, error="gave up"))
    tally = Tally.of([record(1, skips=0.5), replace(failed, figures={"skip_rate": 0.25})])
    assert tally.figures == {
        "skip_rate": {"A": (2, 0.75, 0.3125)},
        Figure.FAILED_CALLS: {"A": (2, 1.0, 1.0)},
    }


def interleaved(**played: int) -> Record:
    exposure = replace(record().exposure, group="+".join(played), owners=tuple(played))
    return replace(record(), exposure=exposure, credits=played)


@pytest.mark.parametrize(("a", "b", "group"), [(2, 1, "A"), (0, 1, "B")])
def test_an_interleaved_list_counts_for_the_arm_that_won_it(a: int, b: int, group: str) -> None:
    tally = Tally.of([interleaved(A=a, B=b)])
    assert tally.outcomes() == {group: (1, 1)}
    assert (tally.draws, tally.users) == (0, 1)


def test_a_draw_is_no_arms_whatever_the_arms_are_called() -> None:
    tally = Tally.of([interleaved(draw=1, A=1), interleaved(draw=2, A=1)])
    assert tally.outcomes() == {"draw": (1, 1)}
    assert (tally.draws, tally.users) == (1, 2)
    assert tally.minus(Tally.of([interleaved(draw=1, A=1)])).draws == 0


def adaptive(group: str, *, successful: bool, settled_at: int = SETTLED) -> Record:
    known = record(group=group, successful=successful, settled_at=settled_at)
    odds = {"A": 0.2, "B": 0.6, "C": 0.2}
    return replace(known, exposure=replace(known.exposure, propensities=odds))


def test_bets_are_placed_on_each_arm_beside_the_control() -> None:
    # A is the control; of A and B, B has three users of four.
    on_b = log_bets(0.75, in_arm=True, success=True)
    assert Tally.of([adaptive("B", successful=True)]).stakes() == {"B": pytest.approx(on_b)}
    failed = Tally.of([adaptive("A", successful=False)]).stakes()
    assert failed == {
        "B": pytest.approx(log_bets(0.75, in_arm=False, success=False)),
        "C": pytest.approx(log_bets(0.5, in_arm=False, success=False)),
    }
    assert Tally.of([record()]).stakes() == {}


def test_bets_are_told_in_the_same_steps_and_can_be_taken_away() -> None:
    spread = [
        adaptive("AB"[user % 2], successful=user % 3 == 0, settled_at=SETTLED + user * 7 * MINUTE)
        for user in range(2_000)
    ]
    tally = Tally.of(spread)
    assert tally.bets.keys() == tally.course.keys()
    left = tally.minus(Tally.of(spread[1:])).stakes()
    assert left["B"] == pytest.approx(Tally.of(spread[:1]).stakes()["B"], abs=1e-9)


@given(st.floats(0.01, 0.99), st.booleans())
def test_a_bet_is_fair_between_equal_arms(probability: float, success: bool) -> None:
    in_arm = np.exp(log_bets(probability, in_arm=True, success=success))
    in_control = np.exp(log_bets(probability, in_arm=False, success=success))
    assert probability * in_arm + (1 - probability) * in_control == pytest.approx(1)


def test_adaptively_allotted_outcomes_weigh_as_much_as_they_were_unlikely() -> None:
    exposure = replace(record().exposure, propensities={"A": 0.25, "B": 0.75})
    tally = Tally.of([replace(record(), exposure=exposure)])
    assert tally.earned == {"A": (1, 4.0, 16.0), "B": (1, 0.0, 0.0)}
