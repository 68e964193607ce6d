"""What is measured of a listener beside success, and whether an arm may be shipped."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from segue.api.report.page import page
from segue.domain.times import DAY
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import Arm, Experiment, Figure, Guardrail, Mode
from segue.experiments.outcome import PAST
from segue.experiments.records import Exposure, Record
from segue.experiments.tally import Tally
from segue.reporting.document import document
from segue.reporting.shipping import shipping
from tests.unit.conftest import World

ARMS = (Arm("A", 1, 0.5), Arm("B", 2, 0.5))
ADDED = Figure.ADDED_SUCCESS


class TestOfAListener:
    def settled(self, world: World) -> Record:
        """The record of the listener, whose window has passed."""
        record = world.experiments.perform("1")
        assert isinstance(record, Record)
        return record

    def recommended(self, world: World) -> str:
        """A track that the listener will be recommended."""
        world.play("1", world.tracks(0, 10), session="before")
        world.clock.time = world.cutoff
        track = world.live.recommend("1").impression.tracks[0]
        world.clock.time = world.cutoff + 31 * DAY
        return track

    def live(self, world: World) -> Record:
        world.maintenance.run(lambda: True)
        (record,) = world.results.settled.values()
        return record

    def test_full_plays_and_listening_time_are_of_the_window(self, world: World) -> None:
        world.play("1", world.tracks(0, 10), days=-1, session="before")
        world.play("1", world.tracks(20, 25), days=3, session="first")
        world.play("1", world.tracks(20, 23), days=5, session="second", skip=True)
        world.play("1", world.tracks(30, 40), days=30.5, session="after")
        figures = self.settled(world).figures
        assert figures[Figure.FULL_PLAYS] == 5
        # Tracks begin 200 seconds apart, the last has no end; three are skipped after 10 seconds.
        assert figures[Figure.LISTENING_TIME] == pytest.approx((4 * 200 + 3 * 10) / 60, abs=1e-3)
        assert figures[Figure.SKIP_RATE] == 3 / 8

    def test_who_plays_nothing_counts_with_nothing(self, world: World) -> None:
        world.play("1", world.tracks(0, 10))
        assert self.settled(world).figures == {
            Figure.FULL_PLAYS: 0,
            Figure.LISTENING_TIME: 0,
            ADDED: 0,
        }

    def test_a_success_was_added_if_the_track_was_new(self, world: World) -> None:
        world.play("1", [self.recommended(world)], days=3, session="later")
        record = self.live(world)
        assert record.successful
        assert record.figures[ADDED] == 1

    @pytest.mark.parametrize("skip", [False, True])
    def test_it_was_not_where_the_track_was_started_shortly_before(
        self, world: World, skip: bool
    ) -> None:
        track = self.recommended(world)
        world.play("1", [track], days=-0.5, session="shortly before", skip=skip)
        world.play("1", [track], days=3, session="later")
        record = self.live(world)
        assert record.successful
        assert record.figures[ADDED] == 0

    def test_a_play_of_long_ago_does_not_count(self, world: World) -> None:
        track = self.recommended(world)
        world.play("1", [track], days=-PAST / DAY - 1, session="long ago")
        world.play("1", [track], days=3, session="later")
        assert self.live(world).figures[ADDED] == 1


def records(users: int = 2_000, **effects: float) -> list[Record]:
    """Half of them in B; ``effects``: how much higher B's figures are than A's."""
    random = np.random.default_rng(7)
    found = []
    for user in range(users):
        group = "AB"[user % 2]
        gain = effects if group == "B" else {}
        exposure = Exposure(str(user), group, "m", "bundle", ("t",), 0, 0)
        figures = {
            ADDED: float(random.random() < 0.2 + gain.get("added_success", 0)),
            Figure.FULL_PLAYS: float(random.poisson(10 + gain.get("full_plays", 0))),
            Figure.LISTENING_TIME: random.exponential(30 + gain.get("listening_time", 0)),
            Figure.SKIP_RATE: random.beta(3, 7) + gain.get("skip_rate", 0),
        }
        success = bool(random.random() < 0.4 + gain.get("success", 0))
        found.append(Record(exposure, success, 0, figures=figures))
    return found


def with_lost_users(found: list[Record]) -> list[Record]:
    """Without most of those in B."""
    return [it for n, it in enumerate(found) if it.exposure.group == "A" or n % 5 == 0]


def report(found: list[Record], *rails: Guardrail, arms: tuple[Arm, ...] = ARMS) -> dict[str, Any]:
    return document(Epoch(Experiment("spring", arms, guardrails=rails), "bundle"), Tally.of(found))


def metrics(found: list[Record]) -> dict[str, Mapping[str, Any]]:
    return {it["metric"]: it for it in report(found)["metrics"]}


class TestOfArms:
    EFFECTS: Mapping[str, float] = {
        "added_success": 0.1,
        "full_plays": 2,
        "listening_time": 10,
        "skip_rate": -0.05,
    }

    def test_what_differs_is_told_with_intervals_without_0(self) -> None:
        found = metrics(records(**self.EFFECTS))
        for name, effect in self.EFFECTS.items():
            low, high = found[name]["interval"]
            assert low < effect < high
            assert low > 0 or high < 0
            low, high = found[name]["lift_interval"]
            assert low < found[name]["lift"] < high
            assert (low > 0) == (effect > 0)

    def test_it_is_said_what_is_asymptotic_and_which_way_it_should_go(self) -> None:
        told = {
            name: (it["asymptotic"], it["better"], it["unit"])
            for name, it in metrics(records()).items()
        }
        assert told == {
            "added_success": (False, "higher", ""),
            "full_plays": (True, "higher", ""),
            "listening_time": (True, "higher", "min"),
            "skip_rate": (True, "lower", ""),
        }

    def test_with_few_users_only_exact_intervals_are_told(self) -> None:
        found = metrics(records(60))
        assert found["full_plays"]["difference"] is not None
        assert found["full_plays"]["interval"] is found["full_plays"]["lift_interval"] is None
        assert found["added_success"]["interval"] is not None

    def test_records_of_before_a_metric_was_kept_do_not_count_for_it(self) -> None:
        old = [
            Record(Exposure(f"o{n}", "AB"[n % 2], "m", "bundle", (), 0, 0), True, 0)
            for n in range(10)
        ]
        assert report(old)["metrics"] == []
        assert metrics([*old, *records(50)])["full_plays"]["users"] == 50

    def test_more_arms_take_wider_intervals_as_the_verdict_does(self) -> None:
        found = records()
        thirds = tuple(Arm(group, 1, 1 / 3) for group in "ABC")
        two = report(found)["metrics"][1]["interval"]
        three = report(found, arms=thirds)["metrics"][2]["interval"]
        assert three[0] < two[0] < two[1] < three[1]

    def test_any_of_them_can_be_a_guardrail(self) -> None:
        rails = (Guardrail(Figure.LISTENING_TIME, 2.0), Guardrail(ADDED, 0.01))
        worse = report(records(listening_time=-12, added_success=-0.15), *rails)["guardrails"]
        states = {it["figure"]: it["state"] for it in worse}
        assert states == {
            "failed_calls": "held",
            "listening_time": "broken",
            "added_success": "broken",
        }

    def test_the_report_is_json(self) -> None:
        for found in (records(4), records(400, listening_time=-30)):
            json.dumps(report(found), allow_nan=False)

    def test_the_page_shows_them(self) -> None:
        html = page(report(records(**self.EFFECTS)))
        assert "Metrics, B \u2212 A" in html
        assert "listening time<small>higher is better; asymptotic</small>" in html
        assert "added success<small>higher is better; exact</small>" in html
        assert 'aria-label="Relative lift of each metric"' in html

    def test_while_users_are_being_lost_it_does_not(self) -> None:
        html = page(report(with_lost_users(records())))
        assert "Decision withheld" in html
        assert "Metrics" not in html


class TestShipping:
    RAIL = Guardrail(Figure.SKIP_RATE, 0.05)

    def test_an_arm_that_is_better_and_worsens_nothing_may_be_shipped(self) -> None:
        told = report(records(success=0.15), self.RAIL)
        assert told["shipping"] == [{"arm": "B", "ready": True, "reasons": []}]
        html = page(told)
        assert '<h1 class="yes">B is better</h1>' in html
        assert "<b>You may ship B.</b> Every guardrail is held." in html

    def test_a_broken_guardrail_is_told_while_the_arm_is_better(self) -> None:
        told = report(records(success=0.15, skip_rate=0.2), self.RAIL)
        reason = "guardrail skip rate is broken: it is worse by more than 0.05"
        assert told["shipping"] == [{"arm": "B", "ready": False, "reasons": [reason]}]
        html = page(told)
        assert '<h1 class="wait">B is better</h1>' in html
        assert "<b>Do not ship B.</b> Guardrail skip rate is broken" in html

    def test_so_is_one_that_is_not_known_to_be_held(self) -> None:
        told = report(records(600, success=0.3))
        assert told["shipping"][0]["reasons"] == [
            "guardrail failed calls is not known yet: it may be worse by more than 0.01"
        ]
        assert "<b>Do not ship B yet.</b>" in page(told)

    def test_a_broken_guardrail_is_told_before_there_is_a_verdict(self) -> None:
        told = report(records(skip_rate=0.2), self.RAIL)
        first, second = told["shipping"][0]["reasons"]
        assert first.startswith("no decision yet: the evidence is ")
        assert "skip rate is broken" in second
        assert "<b>Do not ship B.</b>" in page(told)

    def test_an_arm_that_is_worse_is_not_shipped(self) -> None:
        told = report(records(success=-0.15))
        (reason,) = told["shipping"][0]["reasons"]
        assert reason.startswith("A is better: ")
        html = page(told)
        assert "You may act on this" in html
        assert "ship" not in html

    def test_while_users_are_being_lost_nothing_is_shipped(self) -> None:
        told = report(with_lost_users(records(success=0.3)))
        (reason, *_) = told["shipping"][0]["reasons"]
        assert reason.startswith("decision withheld: users are not shared out")

    def test_each_of_several_arms_is_judged_by_its_own_guardrails(self) -> None:
        verdicts = [
            {
                "control": "A",
                "arm": arm,
                "better": arm,
                "decision": f"{arm} is better",
                "reason": "",
            }
            for arm in "BC"
        ]
        rail = {"figure": "latency", "margin": 20.0, "unit": "ms", "state": "not known yet"}
        rails = [{**rail, "arm": "B"}, {**rail, "arm": "C", "state": "held"}]
        b, c = shipping({"verdicts": verdicts, "guardrails": rails})
        assert b["reasons"] == [
            "guardrail latency is not known yet: it may be worse by more than 20 ms"
        ]
        assert c["ready"]

    @pytest.mark.parametrize("mode", [Mode.THOMPSON, Mode.INTERLEAVE])
    def test_without_guardrails_the_verdict_says_it(self, mode: Mode) -> None:
        epoch = Epoch(Experiment("spring", ARMS, mode=mode), "bundle")
        (arm,) = document(epoch, Tally())["shipping"]
        assert not arm["ready"]
