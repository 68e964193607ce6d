"""Interleaved lists and adaptive allocation."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.experiments.assignment import choose, position, seed
from segue.experiments.bandit import EXPLORED, propensities
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import DEFAULT
from segue.experiments.interleaving import team_draft
from segue.experiments.records import Exposure, Impression, Record

tracks = st.lists(st.integers(0, 30).map(str), max_size=20, unique=True)


class TestTeamDraft:
    @given(tracks, tracks, st.integers(1, 25), st.randoms(use_true_random=False))
    def test_holds_the_best_of_both_without_repeats(
        self, a: list[str], b: list[str], length: int, random: Random
    ) -> None:
        picks = team_draft({"A": a, "B": b}, length, random)
        listed = [track for track, _ in picks]
        assert len(listed) == len(set(listed)) == min(length, len({*a, *b}))
        for group, own in (("A", a), ("B", b)):
            picked = [track for track, owner in picks if owner == group]
            assert picked == sorted(picked, key=own.index)
            # Whatever an arm passed over, the other had picked before.
            others = set(listed) - set(picked)
            last = own.index(picked[-1]) if picked else 0
            assert set(own[:last]) <= set(picked) | others

    @given(tracks, tracks, st.integers(1, 25), st.randoms(use_true_random=False))
    def test_gives_each_arm_as_many_turns(
        self, a: list[str], b: list[str], length: int, random: Random
    ) -> None:
        picks = team_draft({"A": a, "B": b}, length, random)
        rounds = min(len(a), len(b), length // 2) // 2
        turns = Counter(owner for _, owner in picks[: 2 * rounds])
        assert turns["A"] == turns["B"]

    @pytest.mark.parametrize("similar", [0, 5, 10])
    def test_is_even_between_equal_arms(self, similar: int) -> None:
        """Of listeners who play some track at random, as many play one of A's as one of B's."""
        a = [f"both{n}" for n in range(similar)] + [f"a{n}" for n in range(10 - similar)]
        b = [f"both{n}" for n in range(similar)] + [f"b{n}" for n in range(10 - similar)]
        credit: Counter[str] = Counter()
        for user in range(4_000):
            picks = team_draft({"A": a, "B": b}, 9, Random(user))
            credit.update(owner for _, owner in picks)
            credit["first"] += picks[0][1] == "A"
        assert credit["first"] / 4_000 == pytest.approx(0.5, abs=0.04)
        assert credit["A"] / credit["B"] == pytest.approx(1, abs=0.02)


class TestPropensities:
    def exact(self, a: tuple[int, int], b: tuple[int, int]) -> float:
        """P(B's rate > A's) under Beta(1 + successes, 1 + failures), on a fine grid."""
        grid = (np.arange(200_000) + 0.5) / 200_000
        densities = []
        for successes, users in (a, b):
            log = successes * np.log(grid) + (users - successes) * np.log1p(-grid)
            density = np.exp(log - log.max())
            densities.append(density / density.sum())
        return float((densities[1] * np.cumsum(densities[0])).sum())

    @pytest.mark.parametrize(
        "outcomes", [((3, 10), (7, 10)), ((0, 0), (1, 1)), ((300, 1_000), (310, 1_000))]
    )
    def test_are_the_probabilities_of_being_best(self, outcomes: Sequence[tuple[int, int]]) -> None:
        expected = (1 - EXPLORED) * self.exact(*outcomes) + EXPLORED / 2
        assert propensities(outcomes)[1] == pytest.approx(expected, abs=0.015)

    @given(
        st.lists(
            st.integers(0, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
            min_size=2,
            max_size=8,
        )
    )
    def test_sum_to_1_and_none_falls_below_the_floor(self, outcomes: list[tuple[int, int]]) -> None:
        found = propensities(outcomes)
        assert sum(found) == pytest.approx(1)
        assert min(found) >= EXPLORED / len(outcomes) - 1e-12
        assert found == propensities(outcomes)

    def test_are_the_shares_by_which_users_are_assigned(self) -> None:
        epoch = Epoch(DEFAULT, "bundle")
        shares = propensities([(3, 10), (5, 10)])
        users = [str(user) for user in range(20_000)]
        chosen = Counter(choose(epoch, user, shares).group for user in users)
        assert chosen["B"] / len(users) == pytest.approx(shares[1], abs=0.015)


def correlation(one: Sequence[float], other: Sequence[float]) -> float:
    return float(np.asarray(np.corrcoef(one, other))[0, 1])


def test_a_coin_says_nothing_of_the_position() -> None:
    pairs = [(position("e:1", str(it)), seed("e:1", str(it)) / 2**64) for it in range(4_000)]
    assert abs(correlation(*zip(*pairs, strict=True))) < 0.06


def test_the_live_side_is_assigned_independently_of_the_replay() -> None:
    sides = Epoch(DEFAULT, "bundle").sides
    places = [[position(it.id.salt, str(user)) for user in range(4_000)] for it in sides]
    assert abs(correlation(*places)) < 0.06


def test_a_recommendation_id_is_the_same_everywhere() -> None:
    impression = Impression(1_662_000_000_000, ("t1", "t2"))
    assert impression.id("default:1", "42") == "6d4783112646fc2591a8121b5c1627bd"
    assert impression.id("default:1", "43") != impression.id("default:1", "42")


@pytest.mark.parametrize(
    ("credit", "winner"),
    [({}, None), ({"A": 0, "B": 0}, None), ({"A": 1, "B": 1}, None), ({"A": 1, "B": 2}, "B")],
)
def test_the_winner_of_a_list_is_whose_tracks_were_played_more(
    credit: dict[str, int], winner: str | None
) -> None:
    exposure = Exposure("1", "A+B", "a+b", "bundle", (), 0, 0)
    assert Record(exposure, successful=bool(winner), settled_at=1, credits=credit).winner == winner
