"""A paired replay: every arm makes a list for every user, who so compares them."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.api.report.page import page
from segue.domain.times import Window
from segue.experiments.epoch import Epoch, EpochId, Side
from segue.experiments.experiment import DEFAULT, Arm, Experiment
from segue.experiments.outcome import judge
from segue.experiments.records import Exposure, Pending, Record
from segue.experiments.tally import Pairs, Tally
from segue.models.classifier import Classifier
from segue.reporting.document import document
from segue.statistics.paired import PairedCounts, rate_sequence
from tests.unit.conftest import World

TWO = (Arm("A", 1, 0.5), Arm("B", 2, 0.5))


def record(**successes: bool) -> Record:
    """Of a user in arm A."""
    exposure = Exposure("1", "A", "m", "bundle", ("t",), 0, 0)
    return Record(exposure, successes.get("A", False), 0, successes=successes)


def report(**paired: Pairs) -> dict[str, Any]:
    """Of three arms, with these pairs and as many users in each."""
    arms = tuple(Arm(group, 1, 1 / 3) for group in "ABC")
    users = sum(next(iter(paired.values()), ())) // 3
    outcomes = dict.fromkeys("ABC", (users // 2, users))
    tally = Tally(course={0: outcomes}, paired=paired)
    return document(Epoch(Experiment("spring", arms, paired=True), "bundle"), tally)


class TestReplay:
    @pytest.fixture(autouse=True)
    def listeners(self, world: World) -> None:
        for user in range(1, 11):
            world.play(str(user), world.tracks(user, user + 5))

    @pytest.fixture
    def begun(self, world: World) -> World:
        world.epochs.save(replace(DEFAULT, paired=True))
        return world

    def test_every_arm_makes_a_list_and_the_user_keeps_their_own(self, begun: World) -> None:
        for user in map(str, range(1, 11)):
            begun.experiments.perform(user)
        records = begun.results.settled.values()
        assert {it.exposure.group for it in records} == {"A", "B"}
        for it in records:
            assert list(it.exposure.lists) == list(it.successes) == ["A", "B"]
            assert it.exposure.lists[it.exposure.group] == it.exposure.tracks
            assert it.successes[it.exposure.group] == it.successful
            assert all(it.exposure.lists.values())

    def test_lists_are_the_same_whichever_arm_is_the_users_own(self, begun: World) -> None:
        begun.experiments.perform("1")
        begun.experiments.clear()
        begun.experiments.perform("1")
        first, second = begun.results.settled.values()
        assert first.exposure.lists == second.exposure.lists

    def test_a_model_that_fails_fails_for_every_user(
        self, begun: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("out of memory")

        monkeypatch.setattr(Classifier, "best", broken)
        for user in map(str, range(1, 11)):
            begun.experiments.perform(user)
        for it in begun.results.settled.values():
            assert it.exposure.lists["A"]
            assert (it.exposure.lists["B"], it.successes["B"]) == ((), False)

    def test_who_is_shown_a_list_has_only_that_one(self, begun: World) -> None:
        begun.live.recommend("1")
        (exposure,) = begun.results.exposed.values()
        assert exposure.lists == {}

    def test_others_have_no_pairs(self, world: World) -> None:
        world.experiments.perform("1")
        (it,) = world.results.settled.values()
        assert (it.exposure.lists, it.successes) == ({}, {})


def test_each_arm_is_judged_by_the_same_plays(world: World) -> None:
    one, other, *_ = world.tracks(0, 2)
    world.play("1", [one])
    lists: dict[str, tuple[str, ...]] = {"A": (other,), "B": (other, one), "C": ()}
    exposure = Exposure("1", "A", "m", "bundle", lists["A"], 0, 0, lists=lists)
    epoch = EpochId("spring", 1, Side.REPLAY)
    events = world.sessions.events("1", Window(0, world.cutoff))
    found = judge(epoch, Pending(exposure, 1), events, 1)
    assert found.successes == {"A": False, "B": True, "C": False}


def test_a_record_without_pairs_is_read_as_before() -> None:
    stored = msgspec.json.decode(msgspec.json.encode(record()))
    del stored["successes"], stored["exposure"]["lists"]
    assert msgspec.convert(stored, Record) == record()


class TestTally:
    def test_counts_every_arm_beside_the_control(self) -> None:
        tally = Tally.of(
            [
                record(A=True, B=True, C=False),
                record(A=True, B=False, C=False),
                record(A=False, B=True, C=False),
                record(A=False, B=False, C=False),
                record(A=False, B=True, C=True),
            ]
        )
        assert tally.paired == {"B": (1, 1, 2, 1), "C": (0, 2, 1, 2)}

    def test_what_is_taken_away_was_never_there(self) -> None:
        both, alone = [record(A=True, B=True)], [record(A=False, B=True)]
        assert Tally.of(both + alone).minus(Tally.of(alone)).paired == Tally.of(both).paired


class TestEvidence:
    def test_users_for_whom_both_did_alike_are_no_evidence(self) -> None:
        few, many = PairedCounts(0, 10, 40, 0), PairedCounts(500, 10, 40, 500)
        assert few.evidence() == many.evidence()

    @given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
    @settings(max_examples=50)
    def test_exchanging_the_arms_exchanges_the_bets(self, same: int, one: int, other: int) -> None:
        forth, back = PairedCounts(same, one, other, 5), PairedCounts(same, other, one, 5)
        assert forth.evidence().log_plus == pytest.approx(back.evidence().log_minus)
        low, high = forth.difference()
        assert back.difference() == pytest.approx((-high, -low), abs=1e-9)

    @given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
    @settings(max_examples=50)
    def test_the_interval_holds_what_was_observed(self, same: int, one: int, other: int) -> None:
        counts = PairedCounts(same, one, other, 5)
        low, high = counts.difference()
        assert -1 <= low <= (other - one) / counts.users <= high <= 1

    def test_equal_arms_are_rarely_told_apart_though_one_looks_all_the_time(self) -> None:
        random = np.random.default_rng(7)
        ever = 0
        for _ in range(100):
            for_b = np.cumsum(random.random(200) < 0.5)
            looks = [PairedCounts(0, n + 1 - int(b), int(b), 0) for n, b in enumerate(for_b)][::10]
            ever += any(it.evidence().log_deciding >= np.log(20) for it in looks)
        assert ever <= 5

    @pytest.mark.parametrize("rate", [0.05, 0.5])
    def test_a_rate_is_in_its_interval_at_every_look(self, rate: float) -> None:
        random = np.random.default_rng(7)
        missed = 0
        for _ in range(100):
            successes = np.cumsum(random.random(200) < rate).tolist()
            ends = [rate_sequence(s, n + 1 - s) for n, s in enumerate(successes)][::10]
            missed += any(not low <= rate <= high for low, high in ends)
        assert missed <= 5


class TestReport:
    def test_it_says_who_is_better_and_by_how_much(self) -> None:
        (found,) = report(B=(100, 20, 80, 100))["paired"]
        assert (found["decision"], found["users"]) == ("B is better", 300)
        assert found["difference"] == pytest.approx(0.2)
        assert found["interval"][0] < 0.2 < found["interval"][1]
        assert found["users_needed_unpaired"] > 300

    def test_several_arms_are_judged_together(self) -> None:
        alone = report(B=(100, 38, 75, 87))["paired"]
        among = report(B=(100, 38, 75, 87), C=(100, 50, 50, 100))["paired"]
        assert [it["better"] for it in alone] == ["B"]
        assert [it["better"] for it in among] == [None, None]

    def test_where_both_succeed_as_often_no_number_of_users_finds_a_difference(self) -> None:
        (found,) = report(B=(100, 50, 50, 100))["paired"]
        assert (found["better"], found["users_needed_unpaired"]) == (None, None)

    def test_without_pairs_there_is_no_such_part(self) -> None:
        assert report()["paired"] == []
        assert "Both arms for every user" not in page(report())

    def test_the_page_says_what_it_takes_without_pairs(self) -> None:
        html = page(report(B=(100, 20, 80, 100)))
        assert "Both arms for every user: B against A" in html
        assert "There are 300 users; with one arm for each, it would take" in html
