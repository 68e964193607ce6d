"""GET /ab_test/report: the verdict, what it rests on, and the page that says so."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from segue.api.report.page import no_report, page
from segue.domain.times import DAY
from segue.experiments.epoch import Epoch, EpochId
from segue.experiments.experiment import (
    DEFAULT_NAME,
    Arm,
    Experiment,
    Figure,
    Guardrail,
    Mode,
)
from segue.experiments.records import Exposure, Pending, Record
from segue.experiments.tally import Outcomes, Tally
from segue.reporting.document import document
from segue.reporting.pairs import MOST_POINTS, MOST_POINTS_OF_ALL
from segue.statistics.adjustment import adjusted_difference
from tests.unit.arms import ORACLES, at_a_known_share
from tests.unit.conftest import Function, World

REPORT = "/ab_test/report"
MINUTE = 60_000
TWO = (Arm("A", 1, 0.5), Arm("B", 2, 0.5))
THREE = (Arm("A", 1, 0.5), Arm("B", 2, 0.25), Arm("C", 3, 0.25))


def epoch(
    arms: tuple[Arm, ...] = TWO,
    mode: Mode = Mode.FIXED,
    number: int = 1,
    name: str = "spring",
    **settings: Any,
) -> Epoch:
    return Epoch(Experiment(name, arms, mode=mode, **settings), "bundle", number)


def counted(**outcomes: Outcomes) -> Tally:
    """Counts alone, all settled in one step."""
    return Tally(course={0: outcomes} if outcomes else {})


def record(user: int, group: str, *, successful: bool, **known: Any) -> Record:
    exposure = Exposure(str(user), group, "m", "bundle", ("t",), 0, 0)
    figures = known.pop("figures", {})
    return Record(replace(exposure, **known), successful, user * MINUTE, figures=figures)


def interleaved_tie(user: int) -> Record:
    exposure = Exposure(str(user), "draw+B", "m+m", "bundle", ("t",), 0, 0, owners=("draw",))
    return Record(exposure, True, user * MINUTE, credits={"draw": 1, "B": 1})


def adaptive(users: int, rates: Callable[[float], tuple[float, float]]) -> list[Record]:
    """Users of whom ever more are in B; ``rates`` of A and B, by the part that has passed."""
    random = np.random.default_rng(7)
    records = []
    for user in range(users):
        share = 0.1 + 0.8 * user / users
        arm = int(random.random() < share)
        success = bool(random.random() < rates(user / users)[arm])
        odds = {"A": 1 - share, "B": share}
        records.append(record(user, "AB"[arm], successful=success, propensities=odds))
    return records


def verdict(tally: Tally, **settings: Any) -> Mapping[str, Any]:
    """Of the only pair."""
    (found,) = document(epoch(**settings), tally)["verdicts"]
    return dict(found)


def page_of(tally: Tally, **settings: Any) -> str:
    return page(document(epoch(**settings), tally))


class TestVerdict:
    def test_evidence_of_a_difference_decides(self) -> None:
        found = verdict(counted(A=(60, 200), B=(140, 200)))
        assert (found["decision"], found["better"]) == ("B is better", "B")
        found = verdict(counted(A=(140, 200), B=(60, 200)))
        assert (found["decision"], found["better"]) == ("A is better", "A")

    def test_too_little_evidence_decides_nothing(self) -> None:
        found = verdict(counted(A=(6, 20), B=(14, 20)))
        assert (found["decision"], found["better"]) == ("no decision yet", None)
        assert "a decision takes 20" in found["reason"]

    @pytest.mark.parametrize("tally", [counted(), counted(A=(5, 5))])
    def test_without_outcomes_of_both_nothing_is_decided(self, tally: Tally) -> None:
        assert verdict(tally)["decision"] == "no decision yet"

    def test_the_evidence_that_is_told_is_the_one_that_decides(self) -> None:
        found = verdict(counted(A=(14, 60), B=(33, 60)))
        assert found["decision"] == "no decision yet"
        assert found["evidence"] < 20
        assert found["p_anytime"] == pytest.approx(1 / found["evidence"])
        assert found["p_anytime"] > 0.05

    def test_lost_users_withhold_the_decision(self) -> None:
        report = document(epoch(), counted(A=(60, 200), B=(280, 400)))
        assert report["verdicts"][0]["decision"] == "decision withheld"
        assert report["sample_ratio"]["off"]

    @pytest.mark.parametrize(
        ("mode", "said"),
        [
            (Mode.FIXED, "It would take 85 lost users to overturn it, if every one spoke against"),
            (Mode.INTERLEAVE, "lost lists to overturn it, all won by the other arm"),
        ],
    )
    def test_it_is_told_how_few_lost_users_would_overturn_it(self, mode: Mode, said: str) -> None:
        tally = {
            Mode.FIXED: counted(A=(60, 200), B=(140, 200)),
            Mode.INTERLEAVE: counted(A=(40, 40), B=(90, 90)),
        }[mode]
        lost = verdict(tally, mode=mode)["lost_users"]
        html = page(document(epoch(mode=mode), tally))
        assert said in html
        assert f"It would take {lost} lost" in html

    def test_what_is_not_decided_cannot_be_overturned(self) -> None:
        assert verdict(counted(A=(6, 20), B=(14, 20)))["lost_users"] is None
        assert verdict(counted(A=(60, 200), B=(280, 400)))["lost_users"] is None
        tally = Tally.of(adaptive(800, lambda _: (0.3, 0.6)))
        found = verdict(tally, mode=Mode.THOMPSON)
        assert (found["decision"], found["lost_users"]) == ("B is better", None)

    def test_of_more_arms_each_is_judged_against_the_control(self) -> None:
        report = document(epoch(THREE), counted(A=(120, 400), B=(140, 200), C=(62, 200)))
        assert [it["decision"] for it in report["verdicts"]] == ["B is better", "no decision yet"]
        assert [it["arm"] for it in report["comparisons"]] == ["B", "C"]
        assert report["comparisons"][0]["share"] == pytest.approx(1 / 3)

    def test_groups_are_called_by_their_names(self) -> None:
        arms = (Arm("old", 1, 0.5), Arm("new", 2, 0.5))
        found = verdict(counted(old=(60, 200), new=(140, 200)), arms=arms)
        assert found["decision"] == "new is better"

    def test_interleaved_lists_are_decided_by_who_won_more_of_them(self) -> None:
        wins = replace(counted(A=(40, 40), B=(90, 90)), draws=500)
        assert verdict(wins, mode=Mode.INTERLEAVE)["decision"] == "B is better"
        even = counted(A=(65, 65), B=(66, 66))
        assert verdict(even, mode=Mode.INTERLEAVE)["decision"] == "no decision yet"

    def test_an_arm_called_draw_is_an_arm_like_any_other(self) -> None:
        arms = (Arm("draw", 1, 0.5), Arm("B", 2, 0.5))
        ties = [interleaved_tie(user) for user in range(500)]
        found = verdict(Tally.of(ties), arms=arms, mode=Mode.INTERLEAVE)
        assert (found["decision"], found["evidence"]) == ("no decision yet", 0.5)

    def test_the_threshold_rises_with_the_arms_and_the_interval_with_it(self) -> None:
        alone = document(epoch(), counted(A=(100, 300), B=(143, 300)))
        assert alone["verdicts"][0]["decision"] == "B is better"
        assert alone["comparisons"][0]["cs"][0] > 0
        thirds = tuple(Arm(group, 1, 1 / 3) for group in "ABC")
        tally = counted(A=(100, 300), B=(143, 300), C=(100, 300))
        among = document(epoch(thirds), tally)
        assert among["verdicts"][0]["decision"] == "no decision yet"
        assert "a decision takes 40" in among["verdicts"][0]["reason"]
        assert among["comparisons"][0]["cs"][0] <= 0

    @pytest.mark.parametrize(("rate_b", "decided"), [(0.3, False), (0.6, True)])
    def test_under_adaptive_allocation_the_logged_odds_are_the_evidence(
        self, rate_b: float, decided: bool
    ) -> None:
        tally = Tally.of(adaptive(800, lambda _: (0.3, rate_b)))
        report = document(epoch(mode=Mode.THOMPSON), tally)
        assert (report["verdicts"][0]["decision"] == "B is better") == decided
        last = report["course"][0]["points"][-1]
        assert last["log_evidence"] == pytest.approx(report["verdicts"][0]["log_evidence"])

    def test_rates_that_rise_for_both_are_no_difference_under_adaptive_allocation(self) -> None:
        # Most users are in B only when rates have risen, so its rate is far above that of A.
        tally = Tally.of(adaptive(2_000, lambda part: (0.1 + 0.6 * part,) * 2))
        found = document(epoch(mode=Mode.THOMPSON), tally)
        rates = {arm["group"]: arm["rate"] for arm in found["arms"]}
        assert rates["B"] > rates["A"] + 0.1
        assert found["verdicts"][0]["decision"] == "no decision yet"

    def test_equal_arms_are_rarely_told_apart_by_interleaving(self) -> None:
        random = np.random.default_rng(7)
        wins = random.binomial(400, 0.5, size=100)
        decided = [
            verdict(counted(A=(n, n), B=(400 - n, 400 - n)), mode=Mode.INTERLEAVE)["better"]
            for n in map(int, wins)
        ]
        assert sum(it is not None for it in decided) <= 5


class TestFigures:
    @pytest.mark.parametrize("oracle", ORACLES["two_arm"], ids=lambda it: str(it["data"]))
    def test_the_figures_are_those_of_the_statistics(self, oracle: Mapping[str, Any]) -> None:
        successes_a, users_a, successes_b, users_b = oracle["data"]
        tally = counted(A=(successes_a, users_a), B=(successes_b, users_b))
        (found,) = document(epoch(), tally)["comparisons"]
        for name, value in at_a_known_share(oracle).items():
            assert found[name] == pytest.approx(value, rel=1e-5, abs=1e-8)

    def test_the_lift_is_told_with_an_interval_that_agrees_with_the_verdict(self) -> None:
        arms = tuple(Arm(group, 1, 1 / 3) for group in "ABC")
        tally = counted(A=(100, 500), B=(160, 500), C=(105, 500))
        better, alike = document(epoch(arms), tally)["comparisons"]
        assert better["lift"] == pytest.approx(0.6)
        assert 0 < better["lift_cs"][0] < 0.6 < better["lift_cs"][1]
        assert alike["lift_cs"][0] < 0 < alike["lift"] < alike["lift_cs"][1]

    def test_over_a_rate_of_nothing_there_is_no_lift_and_its_interval_is_open(self) -> None:
        (found,) = document(epoch(), counted(A=(0, 200), B=(30, 200)))["comparisons"]
        assert found["lift"] is None
        assert found["lift_cs"][0] > 0
        assert found["lift_cs"][1] is None

    def test_models_have_names(self) -> None:
        arms = (Arm("A", 1, 0.5), Arm("B", 9, 0.5))
        found = document(epoch(arms), counted())["arms"]
        assert [(arm["model_id"], arm["model"]) for arm in found] == [(1, "autoencoder"), (9, None)]

    @pytest.mark.parametrize("mode", Mode)
    def test_an_arm_has_a_share_where_one_is_allotted(self, mode: Mode) -> None:
        found = document(epoch(mode=mode), counted(A=(6, 20), B=(14, 20)))["arms"]
        share = 0.5 if mode is Mode.FIXED else None
        assert [arm["share"] for arm in found] == [share, share]

    def test_every_report_is_json(self) -> None:
        tallies = [
            counted(),
            counted(A=(0, 1)),
            counted(A=(0, 500), B=(500, 500)),
            counted(A=(0, 10**8), B=(10**8, 10**8)),
        ]
        for tally in tallies:
            for mode in Mode:
                json.dumps(document(epoch(mode=mode), tally), allow_nan=False)

    def test_the_course_ends_where_the_counts_are(self) -> None:
        records = [record(n, "AB"[n % 2], successful=n % 3 == 0) for n in range(500)]
        report = document(epoch(), Tally.of(records))
        (course,) = report["course"]
        assert len(course["points"]) <= MOST_POINTS
        users = [point["users"] for point in course["points"]]
        assert users == sorted(users)
        last, comparison = course["points"][-1], report["comparisons"][0]
        assert last["users"] == 500
        assert [last["low"], last["high"]] == pytest.approx(comparison["cs"], abs=1e-7)
        assert last["log_evidence"] == pytest.approx(report["verdicts"][0]["log_evidence"])

    def test_the_courses_of_many_arms_have_fewer_points_each(self) -> None:
        arms = tuple(Arm(group, 1, 1 / 8) for group in "ABCDEFGH")
        records = [record(n, "ABCDEFGH"[n % 8], successful=n % 3 == 0) for n in range(600)]
        report = document(epoch(arms), Tally.of(records))
        for course, comparison in zip(report["course"], report["comparisons"], strict=True):
            assert len(course["points"]) == MOST_POINTS_OF_ALL // 7
            assert course["points"][-1]["users"] == 150
            assert comparison["cs"] == [course["points"][-1][end] for end in ("low", "high")]

    def test_densities_are_densities(self) -> None:
        densities = document(epoch(), counted(A=(6, 20), B=(14, 20)))["densities"]
        for curve in densities["groups"].values():
            assert np.trapezoid(curve, densities["rates"]) == pytest.approx(1, abs=0.01)

    def test_power_says_how_far_along_the_test_is(self) -> None:
        (power,) = document(epoch(), counted(A=(70, 100), B=(70, 100)))["power"]
        done = {it["difference"]: it["done"] for it in power["needed"]}
        assert done[0.05] == pytest.approx(200 / 5_400, rel=0.05)
        assert done[0.01] < done[0.02] < done[0.05] < done[0.1]

    def test_the_epoch_is_told(self) -> None:
        told = document(epoch(number=4), counted())["experiment"]
        assert (told["epoch"], told["mode"], told["side"]) == (4, "fixed", "replay")


class TestGuardrails:
    def records(self, skips_b: float) -> Tally:
        random = np.random.default_rng(7)
        return Tally.of(
            record(
                n,
                "AB"[n % 2],
                successful=True,
                figures={"skip_rate": float(random.normal([0.3, skips_b][n % 2], 0.05))},
            )
            for n in range(2_000)
        )

    @pytest.mark.parametrize(
        ("skips_b", "state"),
        [(0.3, "held"), (0.2, "held"), (0.4, "broken"), (0.32, "not known yet")],
    )
    def test_a_worse_figure_is_told(self, skips_b: float, state: str) -> None:
        rail = Guardrail(Figure.SKIP_RATE, 0.02)
        report = document(epoch(guardrails=(rail,)), self.records(skips_b))
        states = {it["figure"]: it["state"] for it in report["guardrails"]}
        assert states["skip_rate"] == state

    def test_failed_calls_are_always_watched(self) -> None:
        records = [
            record(n, "AB"[n % 2], successful=False, error="gave up" if n % 2 else None)
            for n in range(1_000)
        ]
        (found,) = document(epoch(), Tally.of(records))["guardrails"]
        assert (found["figure"], found["state"]) == ("failed_calls", "broken")
        assert (found["mean_control"], found["mean_arm"]) == (0, 1)

    def test_failed_calls_are_watched_by_another_margin_where_one_is_given(self) -> None:
        rail = Guardrail(Figure.FAILED_CALLS, 0.005)
        (found,) = document(epoch(guardrails=(rail,)), counted())["guardrails"]
        assert (found["margin"], found["state"]) == (0.005, "not known yet")

    def test_calls_none_of_which_failed_are_not_yet_held(self) -> None:
        records = [record(n, "AB"[n % 2], successful=True) for n in range(600)]
        (found,) = document(epoch(), Tally.of(records))["guardrails"]
        assert found["state"] == "not known yet"


class TestListeners:
    def test_segments_whose_differences_differ_are_told(self) -> None:
        records = [
            record(
                n,
                group,
                successful=n % 10 < (8 if premium and group == "B" else 3),
                traits={"premium": "yes" if premium else "no"},
            )
            for n in range(800)
            for group, premium in [(("A", "B")[n // 10 % 2], n // 20 % 2 == 1)]
        ]
        (found,) = document(epoch(), Tally.of(records))["breakdowns"]
        assert found["trait"] == "premium"
        assert found["p_holm"] < 0.001
        assert [it["value"] for it in found["segments"]] == ["no", "yes"]
        assert [it["difference"] for it in found["segments"]] == pytest.approx([0, 0.5])

    def test_what_was_known_before_is_taken_out_of_the_difference(self) -> None:
        random = np.random.default_rng(7)
        before = np.round(random.random(2_000) * 20) / 20
        outcomes = random.random(2_000) < before
        records = [
            record(n, "AB"[n % 2], successful=bool(outcomes[n]), before=float(before[n]))
            for n in range(2_000)
        ]
        (found,) = document(epoch(), Tally.of(records))["covariate"]
        # Each user a stratum.
        users = [[n % 2 == arm for n in range(2_000)] for arm in (0, 1)]
        whole = adjusted_difference(before, users * outcomes, users)
        assert whole
        assert found["interval"] == pytest.approx(whole.interval)
        assert found["variance_left"] == pytest.approx(whole.variance_left)
        assert found["variance_left"] < 0.8
        assert found["asymptotic"]

    def test_who_has_no_past_is_kept_in_the_adjusted_difference(self) -> None:
        records = [
            record(
                n,
                "AB"[n % 2],
                successful=n % 7 < 3,
                before=None if n % 10 < 4 else n % 20 / 20,
            )
            for n in range(1_000)
        ]
        (found,) = document(epoch(), Tally.of(records))["covariate"]
        assert (found["users"], found["without_past"]) == (1_000, 400)

    def test_where_nobody_has_a_past_nothing_is_adjusted(self) -> None:
        assert document(epoch(), counted(A=(300, 1_000), B=(374, 1_000)))["covariate"] == []

    def test_the_rate_of_an_arm_alone_is_estimated_from_the_log(self) -> None:
        random = np.random.default_rng(7)
        records = []
        for n in range(20_000):
            share = 0.2 if n < 10_000 else 0.8
            group = "B" if random.random() < share else "A"
            success = bool(random.random() < (0.7 if group == "B" else 0.3))
            odds = {"A": 1 - share, "B": share}
            records.append(record(n, group, successful=success, propensities=odds))
        found = document(epoch(mode=Mode.THOMPSON), Tally.of(records))["off_policy"]
        for arm, rate in zip(found, (0.3, 0.7), strict=True):
            low, high = arm["interval"]
            assert low < arm["rate"] < high < low + 0.06
            assert arm["rate"] == pytest.approx(rate, abs=0.03)


class TestPending:
    def exposures(self, world: World, groups: str) -> EpochId:
        live = epoch().live.id
        for user, group in enumerate(groups):
            exposure = Exposure(str(user), group, "m", "bundle", ("t",), 0, 0)
            world.results.add(live, Pending(exposure, 30 * DAY))
        world.stored_experiments.save(epoch(), None)
        return live

    def test_the_sample_ratio_looks_at_users_who_await_their_outcome(self, world: World) -> None:
        self.exposures(world, "A" * 12)
        report = world.reports.report("spring", live=True)
        assert report["sample_ratio"]["off"]
        assert report["verdicts"][0]["decision"] == "decision withheld"
        assert "12 / 0" in report["verdicts"][0]["reason"]
        assert [arm["assigned"] for arm in report["arms"]] == [12, 0]
        assert [arm["users"] for arm in report["arms"]] == [0, 0]

    def test_the_watch_over_all_experiments_looks_at_them_too(self, world: World) -> None:
        self.exposures(world, "A" * 12)
        (found,) = world.reports.mismatches()
        assert found["users"] == {"A": 12, "B": 0}

    def test_who_is_settled_is_no_longer_among_them(self, world: World) -> None:
        live = self.exposures(world, "A" * 6)
        for exposure in list(world.results.exposed.values())[:3]:
            world.results.settle(live, Record(exposure, False, 0))
        report = world.reports.report("spring", live=True)
        assert [arm["assigned"] for arm in report["arms"]] == [6, 0]
        assert [arm["users"] for arm in report["arms"]] == [3, 0]
        assert world.reports.mismatches() == []

    def test_as_many_as_allotted_are_not_off(self, world: World) -> None:
        self.exposures(world, "AB" * 6)
        assert world.reports.mismatches() == []


class TestList:
    def test_every_experiment_is_listed_by_name_and_side(self, world: World) -> None:
        for name in ("spring", "autumn"):
            world.stored_experiments.save(epoch(name=name), None)
        found = world.reports.experiments()
        assert [(it["name"], it["side"]) for it in found] == [
            (name, side) for name in ("autumn", "spring") for side in ("replay", "live")
        ]

    def test_it_says_of_how_many_users_and_from_when_to_when(self, world: World) -> None:
        world.stored_experiments.save(epoch(), None)
        for user, day in enumerate((0, 3)):
            settled = replace(record(user, "A", successful=True), settled_at=day * DAY)
            world.results.add(epoch().id, settled)
        world.maintenance.run(lambda: True)
        replay, live = world.reports.experiments()
        assert (replay["users"], live["users"]) == (2, 0)
        assert replay["first_settled"].startswith("1970-01-01")
        assert replay["last_settled"].startswith("1970-01-04")
        assert live["first_settled"] is None


class TestPage:
    def test_a_winner_never_stands_beside_an_interval_that_holds_0(self) -> None:
        html = page(document(epoch(), counted(A=(300, 1000), B=(374, 1000))))
        assert "B is better" in html
        assert "This is hardly chance" in html
        assert "the true difference is above 0 and up to" in html
        assert "or above 0 and up to +57.5" in html

    def test_a_withheld_decision_stands_beside_no_interval(self) -> None:
        html = page(document(epoch(), counted(A=(60, 200), B=(280, 400))))
        assert "Decision withheld" in html
        assert "true difference is" not in html
        assert "relative lift" not in html
        assert "30.0\u00a0% of those in A" in html

    def test_an_undecided_test_goes_on(self) -> None:
        html = page(document(epoch(), counted(A=(6, 20), B=(14, 20))))
        assert "This may still be chance: the evidence is 2.01; a decision takes 20." in html

    @pytest.mark.parametrize(
        ("successes", "gain"),
        [
            (150, "+10.0\u00a0percentage points, or 50.0\u00a0% more"),
            (75, "\u22125.0\u00a0percentage points, or 25.0\u00a0% fewer"),
            (100, "<b>0\u00a0percentage points</b>"),
        ],
    )
    def test_the_difference_is_told_in_points_and_relative_to_the_control(
        self, successes: int, gain: str
    ) -> None:
        assert gain in page(document(epoch(), counted(A=(100, 500), B=(successes, 500))))

    def test_over_a_rate_of_nothing_it_tells_no_lift(self) -> None:
        html = page(document(epoch(), counted(A=(0, 200), B=(30, 200))))
        assert "+15.0\u00a0percentage points</b>" in html
        assert re.search(r"or \+[\d.]+\u00a0% or more\.", html)

    def test_without_an_outcome_there_is_nothing_but_the_shares_of_users(self) -> None:
        html = page(document(epoch(), counted(), {"A": 3, "B": 2}))
        assert "users count once their window of 30 days has passed" in html
        assert re.findall("<h2>(.*?)</h2>", html) == ["Shares of users"]
        assert "<svg" not in html

    @pytest.mark.parametrize("mode", [Mode.FIXED, Mode.INTERLEAVE])
    def test_what_is_known_of_one_moment_alone_is_drawn_without_a_course(self, mode: Mode) -> None:
        html = page(document(epoch(mode=mode), counted(A=(90, 90), B=(14, 90))))
        assert ">now</text>" in html
        assert ">users</text>" not in html

    def test_among_several_arms_it_says_than_which_one_is_better(self) -> None:
        arms = tuple(Arm(group, 1, 1 / 3) for group in ("old", "new", "newer"))
        html = page(document(epoch(arms), counted(old=(60, 200), new=(120, 200), newer=(10, 200))))
        assert '<h1 class="wait">New is better than old; old is better than newer</h1>' in html

    def test_it_names_the_control_once(self) -> None:
        arms = (Arm("control", 1, 0.5), Arm("B", 2, 0.5))
        html = page(document(epoch(arms), counted(control=(6, 20), B=(14, 20))))
        assert "control: autoencoder\u00a0(1)" in html
        assert "A, control: autoencoder\u00a0(1)" in page(document(epoch(), counted(A=(6, 20))))

    def test_it_names_an_arm_once_that_is_called_after_its_model(self) -> None:
        arms = (Arm("control", 1, 0.5), Arm("hybrid", 3, 0.5))
        html = page(document(epoch(arms), counted(control=(6, 20), hybrid=(14, 20))))
        assert "</span>hybrid\u00a0(3)" in html
        assert "users in hybrid fully played" in html

    def test_a_model_that_is_not_known_here_has_its_number(self) -> None:
        arms = (Arm("A", 1, 0.5), Arm("B", 9, 0.5))
        html = page(document(epoch(arms), counted(A=(6, 20), B=(14, 20))))
        assert "B: model\u00a0(9)" in html
        assert "users in B (model 9)" in html

    def test_one_gets_on_to_every_other_experiment_and_to_the_figures(self, world: World) -> None:
        world.stored_experiments.save(epoch(), None)
        world.stored_experiments.save(epoch(name="autumn"), None)
        report = world.reports.report("spring", live=True)
        html = page(report, world.reports.experiments())
        links = re.findall('<a href="([^"]*)"(.*?)>(.*?)</a>', html)
        assert [address.replace("&amp;", "&") for address, _, _ in links] == [
            "?experiment=autumn&live=false",
            "?experiment=autumn&live=true",
            "?experiment=spring&live=false",
            "?experiment=spring&live=true",
            "?experiment=spring&live=true&format=json",
            "results?experiment=spring&live=true&format=csv&limit=1000",
            "overview",
        ]
        assert ["current" in attributes for _, attributes, _ in links] == [
            *[False] * 3,
            True,
            *[False] * 3,
        ]
        assert links[0][2] == "no outcome yet"

    def test_full_plays_are_told_by_their_position_in_the_list(self) -> None:
        positions = {1: {"A": (30, 20), "B": (45, 15)}, 3: {"B": (10, 0)}}
        tally = replace(counted(A=(90, 300), B=(120, 300)), positions=positions)
        (found,) = re.findall("<section><[^>]*><h2>Positions .*?</section>", page_of(tally))
        cells = [re.findall("<t[hd].*?>(.*?)</t[hd]>", row) for row in found.split("<tr>")[2:]]
        assert cells == [
            ["1", "30 (20)", "45 (15)"],
            ["2", "0 (0)", "0 (0)"],
            ["3", "0 (0)", "10 (0)"],
        ]
        assert "In brackets: those that named their list" in found
        assert len(re.findall('<path class="line', found)) == 2

    def test_plays_far_down_the_list_are_told_together(self) -> None:
        positions = {place: {"A": (3, 0)} for place in (1, 10, 11, 40)}
        html = page_of(replace(counted(A=(9, 300), B=(12, 300)), positions=positions))
        assert '<th scope="row">11 to 40</th><td>6</td>' in html
        assert "In brackets" not in html

    def test_interleaved_lists_have_positions_of_both_arms_together(self) -> None:
        tally = replace(counted(A=(30, 30), B=(40, 40)), positions={1: {"A+B": (50, 9)}})
        html = page_of(tally, mode=Mode.INTERLEAVE)
        assert '<span class="key s1"></span>A+B</th>' in html
        assert "<td>50 (9)</td>" in html

    @pytest.mark.parametrize("positions", [{}, {1: {"A": (0, 0)}}])
    def test_without_full_plays_there_are_no_positions(self, positions: Any) -> None:
        html = page_of(replace(counted(A=(0, 300), B=(0, 300)), positions=positions))
        assert "Positions in the list" not in html

    def test_where_there_is_nothing_to_choose_it_says_how_to_begin(self) -> None:
        assert "PUT /experiments/{name}" in no_report("there is no experiment 'default'", [])

    @pytest.fixture(params=list(Mode))
    def html(self, request: pytest.FixtureRequest) -> str:
        records = [
            record(
                n,
                "AB"[n % 2],
                successful=n % 3 == 0,
                traits={"genre": "<i>R&B</i>"},
                before=n % 20 / 20,
                figures={
                    "latency": 20.0 + n % 7,
                    "full_plays": n % 9,
                    "added_success": n % 4 == 0,
                },
            )
            for n in range(400)
        ]
        rails = (Guardrail(Figure.LATENCY, 5.0),)
        settings = epoch(mode=request.param, guardrails=rails, number=3)
        return page(document(settings, Tally.of(records)))

    def test_it_needs_nothing_from_elsewhere(self, html: str) -> None:
        assert not re.search(r"https?:|//|src=|<script|<link|@import|url\(", html)

    def test_the_verdict_comes_first(self, html: str) -> None:
        assert html.index("No decision yet") < html.index("<section")
        assert "started over 2 times" in html

    def test_every_chart_is_well_formed_and_has_a_name(self, html: str) -> None:
        charts = re.findall(r"<svg.*?</svg>", html)
        assert charts
        for chart in charts:
            assert ET.fromstring(chart).get("aria-label")
            assert not re.search(r"nan|inf", chart)

    def test_what_was_recorded_is_text_and_not_markup(self, html: str) -> None:
        assert "<i>" not in html

    def test_a_page_without_outcomes_says_so(self) -> None:
        for mode in Mode:
            html = page(document(epoch(mode=mode), counted()))
            assert "No decision yet" in html
            assert not re.search(r"\bnan\b|\binf\b|None", html)

    def test_every_table_has_a_caption_and_headings(self, html: str) -> None:
        tables = re.findall(r"<table>.*?</table>", html)
        assert tables
        for table in tables:
            assert "<caption" in table
            assert table.count('<th scope="col">') >= 2
            assert table.count('<th scope="row">') == table.count("<tr>") - 1

    def test_every_arm_of_many_is_shown(self) -> None:
        arms = tuple(Arm(f"g{n}", n, 1 / 8) for n in range(8))
        html = page(
            document(epoch(arms), counted(**{arm.group: (n, 90) for n, arm in enumerate(arms)}))
        )
        assert all(f"</span>{arm.group}" in html for arm in arms)


class TestFunction:
    def test_a_program_is_given_json(self, ab_report: Function, world: World) -> None:
        world.experiments.clear()
        status, headers, body = ab_report.call("GET", REPORT)
        assert status == 200
        assert headers["Content-Type"] == "application/json"
        assert headers["Vary"] == "Accept"
        assert body["experiment"]["name"] == DEFAULT_NAME

    def test_a_browser_is_given_a_page(
        self, ab_report: Function, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.experiments.clear()
        monkeypatch.setattr("tests.unit.conftest.json.loads", lambda text: text)
        status, headers, body = ab_report.call("GET", REPORT, headers={"Accept": "text/html"})
        assert status == 200
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert body.startswith("<!doctype html>")

    @pytest.mark.parametrize(
        ("query", "status", "said"),
        [
            ({"experiment": "sprung"}, 404, "There is no experiment &#x27;sprung&#x27;"),
            ({"experiment": "<b>"}, 422, "Experiment must be 1 to 64 of a-z"),
            ({"live": "maybe"}, 422, "Live must be true or false"),
        ],
    )
    def test_a_browser_that_asks_for_no_report_is_given_those_there_are(
        self,
        ab_report: Function,
        world: World,
        monkeypatch: pytest.MonkeyPatch,
        query: dict[str, str],
        status: int,
        said: str,
    ) -> None:
        world.stored_experiments.save(epoch(), None)
        monkeypatch.setattr("tests.unit.conftest.json.loads", lambda text: text)
        found, headers, body = ab_report.call(
            "GET", REPORT, query=query, headers={"Accept": "text/html"}
        )
        assert (found, headers["Content-Type"]) == (status, "text/html; charset=utf-8")
        assert said in body
        assert 'href="?experiment=spring&amp;live=false"' in body

    def test_live_and_replay_are_reported_apart(self, ab_report: Function, world: World) -> None:
        world.play("1", world.tracks(0, 10))
        world.experiments.perform("1")
        replay = ab_report.call("GET", REPORT)[2]["experiment"]
        live = ab_report.call("GET", REPORT, query={"live": "true"})[2]["experiment"]
        assert (replay["users"], live["users"]) == (1, 0)
        assert (replay["side"], live["side"]) == ("replay", "live")
        assert replay["name"] == live["name"] == DEFAULT_NAME

    def test_an_unknown_experiment_is_not_found(self, ab_report: Function) -> None:
        status, _, body = ab_report.call("GET", REPORT, query={"experiment": "spring"})
        assert status == 404
        assert "spring" in body["detail"]
