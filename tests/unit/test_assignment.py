"""Who sees which arm."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.experiments.assignment import assign, position
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import Arm, Experiment


def test_the_position_has_the_published_check_value() -> None:
    assert position("exp1:1", "42") == 0.15803983591522336


@given(st.text(), st.text())
def test_a_position_is_in_the_unit_interval(salt: str, user: str) -> None:
    assert 0 <= position(salt, user) < 1


def epoch(*shares: float) -> Epoch:
    arms = tuple(Arm(chr(65 + place), place, share) for place, share in enumerate(shares))
    return Epoch(Experiment("test", arms), "bundle")


def test_each_epoch_and_each_side_of_it_has_a_salt_of_its_own() -> None:
    first = epoch(0.5, 0.5)
    salts = [side.id.salt for it in (first, first.following("bundle")) for side in it.sides]
    assert salts == ["test:1", "test.live:1", "test:2", "test.live:2"]


def test_the_arms_get_their_shares() -> None:
    groups = Counter(assign(epoch(0.2, 0.3, 0.5), str(user)).group for user in range(20_000))
    assert groups["A"] / 20_000 == pytest.approx(0.2, abs=0.015)
    assert groups["B"] / 20_000 == pytest.approx(0.3, abs=0.015)


def test_ramping_up_moves_nobody_who_is_in_the_arm_already() -> None:
    small, large = epoch(0.1, 0.9), epoch(0.4, 0.6)
    for user in map(str, range(2_000)):
        if assign(small, user).group == "A":
            assert assign(large, user).group == "A"


def test_a_new_epoch_shuffles_everyone_anew() -> None:
    first, second = epoch(0.5, 0.5), epoch(0.5, 0.5).following("bundle")
    same = sum(assign(first, str(u)) == assign(second, str(u)) for u in range(4_000))
    assert same / 4_000 == pytest.approx(0.5, abs=0.04)


@given(st.text())
def test_everyone_has_an_arm_though_rounded_shares_miss_one(user: str) -> None:
    assert assign(epoch(*[0.1] * 10), user).group in "ABCDEFGHIJ"
