"""Simulated listeners: known by heart, counted to the last, and not fooled by faults."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from infra.demo import Oracle
from infra.demo.randomness import stream
from infra.progress import silent
from infra.service import ServiceError
from infra.simulator import Fault, Plan, Scenario, simulate
from infra.simulator.faults import duplicating
from infra.simulator.listeners import PAST_DAYS, PATIENCE, Crowd, Listener
from infra.simulator.simulation import settle
from segue.domain.errors import InvalidData
from segue.domain.events import Event, parse_event
from segue.domain.plays import label_plays
from segue.domain.times import DAY, Window, format_time, parse_time
from segue.experiments.assignment import assign, choose, takes_part
from segue.experiments.bandit import propensities
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import Arm, Experiment, Mode, State
from segue.experiments.layers import ALL, Layer, first, parts_of
from segue.experiments.outcome import judge
from segue.experiments.records import Exposure, Impression, Pending, Record, Result
from segue.experiments.tally import Tally
from segue.reporting.document import document
from segue_client import Problem

CUTOFF = parse_time("2022-09-01")
WORST, BEST = 0, 1


@pytest.fixture(scope="module")
def crowd(data_path: Path) -> Crowd:
    return Crowd(data_path, seed=7, moment=CUTOFF)


@pytest.fixture(scope="module")
def lists(data_path: Path) -> dict[int, list[str]]:
    """What the models recommend to everybody: what listeners like least, and what best."""
    oracle = Oracle(data_path)
    order = np.argsort(sum(oracle.finish_chances(user) for user in oracle.user_ids))
    ids = np.array(oracle.track_ids)
    return {WORST: ids[order[:20]].tolist(), BEST: ids[order[-20:]].tolist()}


@dataclass
class FakeService:
    """The service as far as the simulator sees it.

    ``lost``: these users' outcomes get lost. ``answers``: so many more, and then none.
    """

    lists: dict[int, list[str]]
    as_of: int = CUTOFF
    lost: Callable[[str], bool] = lambda _: False
    answers: float = inf
    events: dict[str, set[Event]] = field(default_factory=lambda: defaultdict(set))
    epochs: dict[str, Epoch] = field(default_factory=dict)
    layers: dict[str, Layer] = field(default_factory=dict)
    results: dict[tuple[str, str], Result] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)

    def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        self.answers -= 1
        if self.answers < 0:
            raise ServiceError("the service does not answer")
        parts = urlsplit(path)
        root, *rest = parts.path.strip("/").split("/")
        self.requests[f"{method} {root}"] += 1
        if path.startswith("/experiments") and method == "PUT":
            body = {**body, "if_match": (headers or {}).get("If-Match")}
        operation = "_".join([method.lower(), root, *rest[1:]])
        handler: Callable[..., Any] = getattr(self, f"_{operation}")
        return handler(*rest[:1], *parse_qs(parts.query).get("experiment", []), body)

    def maintain(self) -> bool:
        for (name, user), result in self.results.items():
            if isinstance(result, Pending) and not self.lost(user):
                played = [event for event in self.events[user] if event.time < result.settles_at]
                judged = judge(self.epochs[name].id, result, played, CUTOFF)
                self.results[name, user] = judged
        return True

    def _get_models(self, _body: None) -> Any:
        return {"cutoff": format_time(CUTOFF)}

    def _get_genres(self, _body: None) -> Any:
        return {"genres": []}

    def _get_experiments(self, name: str, _body: None) -> Any:
        if name not in self.epochs:
            raise Problem(404)
        return {"etag": repr(self.epochs[name])}

    def _put_experiments(self, name: str, body: Any) -> Any:
        arms = tuple(Arm(**{"share": 0.5} | arm) for arm in body["arms"])
        traffic, layer = body.get("traffic", 1.0), body.get("layer")
        slots = first(ALL, parts_of(traffic))
        if layer:
            self.layers[layer] = self.layers[layer].granting(name, traffic)
            slots = self.layers[layer].taken[name]
        experiment = Experiment(
            name,
            arms,
            window=DAY,
            mode=Mode(body["mode"]),
            traffic=traffic,
            layer=layer,
            slots=slots,
        )
        before, epoch = self.epochs.get(name), Epoch(experiment, "bundle").live
        if before and before != epoch and body["if_match"] != repr(before):
            raise Problem(428)
        self.epochs[name] = epoch
        return {"epoch": 1}

    def _post_experiments_ship(self, name: str, body: Any) -> None:
        if not self.may_ship(name, body["group"]):
            raise Problem(409)
        stopped = {"state": State.STOPPED, "shipped": body["group"]}
        epoch = self.epochs[name]
        self.epochs[name] = replace(epoch, experiment=replace(epoch.experiment, **stopped))

    def _put_layers(self, name: str, body: Any) -> None:
        self.layers[name] = self.layers.get(name, Layer(name)).holding_out(body["holdout"])

    def _put_users(self, _user: str, _body: Any) -> Any:
        return {}

    def _post_users_events(self, user: str, body: Any) -> Any:
        assert len(body["events"]) <= 500
        self.events[user] |= {parse_event(event | {"user_id": user}) for event in body["events"]}

    def _get_users_recommendations(self, user: str, name: str, _body: None) -> Any:
        epoch = self.epochs[name]
        if epoch.experiment.state is not State.RUNNING or not self.takes_part(epoch, user):
            tracks = self.recommended(epoch.experiment.default_arm.model_id, user)
            return self.shown(user, None, tracks, None)
        if (name, user) not in self.results:
            self.results.setdefault((name, user), self.exposed(epoch, user))
        result = self.results[name, user]
        group = self.group(epoch, user, result)
        arm = next(arm for arm in epoch.experiment.arms if arm.group == group)
        tracks = self.recommended(arm.model_id, user)
        impression = Impression(self.as_of, tuple(tracks))
        if isinstance(result, Pending) and impression not in result.impressions:
            self.results[name, user] = self.remembering(result, impression)
        return self.shown(user, group, tracks, impression.id(epoch.id.salt, user))

    def shown(self, user: str, group: str | None, tracks: list[str], source: str | None) -> Any:
        answer = {"user_id": user, "group": group, "tracks": tracks, "recommendation_id": source}
        return answer | {"as_of": format_time(self.as_of)}

    def exposed(self, epoch: Epoch, user: str) -> Pending:
        outcomes = Tally.of(self.records(epoch.experiment.name)).outcomes()
        seen = {arm.group: outcomes.get(arm.group, (0, 0)) for arm in epoch.experiment.arms}
        arm, adaptive = assign(epoch, user), {}
        if epoch.experiment.mode is Mode.THOMPSON:
            shares = propensities(list(seen.values()))
            arm = choose(epoch, user, shares)
            adaptive = {"propensities": dict(zip(seen, shares, strict=True)), "seen": seen}
        tracks = tuple(self.recommended(arm.model_id, user))
        exposure = Exposure(
            user, arm.group, "model", "bundle", tracks, self.as_of, CUTOFF, **adaptive
        )
        return Pending(exposure, self.as_of + DAY)

    def recommended(self, model: int, user: str) -> list[str]:
        """The model's list, which every event before the cut-off turns by one place."""
        turned = sum(event.time < CUTOFF for event in self.events[user]) % len(self.lists[model])
        return self.lists[model][turned:] + self.lists[model][:turned]

    def group(self, _epoch: Epoch, _user: str, result: Result) -> str:
        return result.exposure.group

    def takes_part(self, epoch: Epoch, user: str) -> bool:
        return takes_part(epoch.experiment, user)

    def remembering(self, pending: Pending, impression: Impression) -> Pending:
        return replace(pending, later=(*pending.later, impression))

    def may_ship(self, name: str, group: str) -> bool:
        return bool(self._get_ab_test("report", name, None)["verdicts"][0]["better"] == group)

    def records(self, name: str) -> list[Record]:
        found = [result for (its, _), result in [*self.results.items()] if its == name]
        return [result for result in found if isinstance(result, Record)]

    def _get_users_export(self, user: str, _body: None) -> Any:
        held = {name: result for (name, its), result in self.results.items() if its == user}
        return {
            "experiments": [
                {
                    "experiment": name,
                    "exposure": {"tracks": [*result.exposure.tracks], "seen": result.exposure.seen},
                    "later": [{"tracks": [*it.tracks]} for it in result.later],
                    "outcome": {"successful": isinstance(result, Record) and result.successful},
                }
                for name, result in held.items()
            ]
        }

    def _post_models_predict(self, model: str, body: Any) -> Any:
        return self.recommended(int(model), body["user_id"])

    def _delete_users(self, user: str, _body: None) -> None:
        self.events.pop(user, None)
        for name in self.epochs:
            self.results.pop((name, user), None)

    def _get_ab_test(self, _report: str, name: str, _body: None) -> Any:
        return reported(self.epochs[name], frozenset(self.records(name)))


@cache
def reported(epoch: Epoch, records: frozenset[Record]) -> Any:
    """The report; of the same records it is asked for again and again."""
    return document(epoch, Tally.of(records))


@pytest.fixture
def service(lists: dict[int, list[str]]) -> FakeService:
    return FakeService(lists)


Play = Callable[..., Any]


@pytest.fixture
def play(service: FakeService, data_path: Path) -> Play:
    """Runs a simulation against the service."""

    def run(
        listeners: int,
        models: tuple[int, int],
        fault: Fault | None = None,
        scenario: Scenario | None = None,
    ) -> Any:
        return simulate(service, data_path, Plan(*models, listeners, 7, fault, scenario), silent)

    return run


def wrong(answer: Any) -> dict[str, tuple[Any, Any]]:
    """Of the checks that fail, what was expected and found."""
    rows = {it["what"]: (it["expected"], it["found"]) for it in answer["checks"]}
    return {what: pair for what, pair in rows.items() if pair[0] != pair[1]}


def found(answer: Any, what: str) -> Any:
    return next(it["found"] for it in answer["checks"] if it["what"] == what)


def some(crowd: Crowd, count: int) -> Iterator[Listener]:
    return (crowd.listener(number) for number in range(count))


class TestListener:
    def test_is_always_the_same_and_no_other(self, crowd: Crowd, data_path: Path) -> None:
        again = Crowd(data_path, seed=7, moment=CUTOFF)
        assert again.listener(5).past == crowd.listener(5).past
        others = [Crowd(data_path, seed=8, moment=CUTOFF).listener(5), crowd.listener(6)]
        assert all(other.past != crowd.listener(5).past for other in others)

    def test_has_a_past_that_ends_before_the_recommendation(self, crowd: Crowd) -> None:
        window = Window.before(CUTOFF, PAST_DAYS)
        for listener in some(crowd, 20):
            events = [parse_event(record | {"user_id": "x"}) for record in listener.past]
            assert events
            assert all(event.time in window for event in events)

    def test_the_chance_of_success_is_that_of_the_first_track_or_else_of_the_rest(
        self, crowd: Crowd
    ) -> None:
        listener = crowd.listener(0)
        first, second = (float(listener.start[it] * listener.finish[it]) for it in (3, 4))
        expected = first + (1 - first) * PATIENCE * second
        assert listener.success_chance([3, 4]) == pytest.approx(expected)
        assert listener.success_chance([]) == 0

    def test_succeeds_as_often_as_the_truth_says(self, crowd: Crowd) -> None:
        tracks, draws = list(range(20)), 4_000
        for number, listener in enumerate(some(crowd, 3)):
            random = stream(1, number)
            answers = [listener.answer(tracks, random) for _ in range(draws)]
            found = sum(any(it.finished for it in answer) for answer in answers) / draws
            assert found == pytest.approx(listener.success_chance(tracks), abs=4 * 0.5 / draws**0.5)

    def test_what_is_sent_says_what_was_finished_and_what_was_liked(self, crowd: Crowd) -> None:
        tracks = list(range(20))
        kinds: Counter[tuple[bool, bool]] = Counter()
        for number, listener in enumerate(some(crowd, 40)):
            heard = listener.answer(tracks, crowd.chance_of(number))
            events = [parse_event(it | {"user_id": "x"}) for it in crowd.events(heard)]
            assert all(event.time in Window.after(CUTOFF, 1) for event in events)
            told = [(play.completed, play.liked) for play in label_plays(events)]
            assert told == [(it.finished, it.liked) for it in heard]
            kinds.update(told)
        assert len(kinds) > 2


class TestCrowd:
    def test_needs_the_truth(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidData, match="truth"):
            Crowd(tmp_path, seed=7, moment=CUTOFF)

    def test_lives_in_the_demos_year(self, data_path: Path) -> None:
        with pytest.raises(InvalidData, match="2023"):
            Crowd(data_path, seed=7, moment=parse_time("2023-01-01"))

    def test_knows_no_tracks_but_its_own(self, crowd: Crowd) -> None:
        with pytest.raises(InvalidData, match="'another'"):
            crowd.places(["another"])


class TestSimulation:
    def test_tells_the_better_arm_and_counts_every_listener(self, play: Play) -> None:
        answer = play(300, (WORST, BEST))
        assert answer["truth"]["better"] == answer["named"] == "treatment"
        assert answer["right"] is True
        assert answer["counts"]["exact"]
        assert sum(users for _, users in answer["counts"]["listeners"].values()) == 300

    def test_the_truth_is_what_happens_on_average(self, play: Play) -> None:
        answer = play(300, (WORST, BEST))
        for group, (successes, users) in answer["counts"]["service"].items():
            rate = answer["truth"]["rates"][group]
            assert successes / users == pytest.approx(rate, abs=4 * 0.5 / users**0.5)

    def test_of_one_model_twice_neither_is_better(self, play: Play) -> None:
        answer = play(60, (BEST, BEST))
        assert answer["truth"]["difference"] == 0
        assert answer["truth"]["better"] is answer["named"] is answer["right"] is None

    def test_listeners_who_leave_are_missed_by_the_sample_ratio(
        self, play: Play, service: FakeService
    ) -> None:
        answer = play(300, (BEST, WORST), Fault.SAMPLE_RATIO)
        assert service.requests["DELETE users"] > 0
        assert answer["report"]["sample_ratio"]["off"]
        assert answer["report"]["verdicts"][0]["decision"] == "decision withheld"
        successes, users = answer["counts"]["listeners"]["treatment"]
        assert successes == users > 0
        assert answer["counts"]["exact"]

    def test_duplicates_change_no_count(self, play: Play, service: FakeService) -> None:
        answer = play(30, (WORST, BEST), Fault.DUPLICATES)
        assert service.requests["GET users"] == 4 * 30
        assert answer["counts"]["exact"]

    def test_goes_on_where_an_outage_has_stopped_it(self, play: Play, service: FakeService) -> None:
        service.answers = 60
        with pytest.raises(ServiceError):
            play(20, (WORST, BEST))
        service.answers = inf
        resumed = play(20, (WORST, BEST))
        assert resumed["counts"]["exact"]
        # And once more, with nothing left to do, it changes nothing.
        assert play(20, (WORST, BEST)) == resumed

    def test_a_lost_outcome_shows_in_the_counts(self, play: Play, service: FakeService) -> None:
        service.lost = lambda user: user.endswith("-3")
        answer = play(20, (WORST, BEST))
        assert answer["report"]["experiment"]["users"] == 19
        assert not answer["counts"]["exact"]

    def test_refuses_a_service_for_which_it_is_another_time(
        self, play: Play, service: FakeService
    ) -> None:
        service.as_of = CUTOFF + DAY
        with pytest.raises(InvalidData, match="2022-09-02"):
            play(2, (WORST, BEST))


class TestRampedTraffic:
    def test_moves_nobody_and_loses_nobody(self, play: Play) -> None:
        answer = play(60, (WORST, BEST), scenario=Scenario.RAMPED)
        assert answer["counts"]["exact"]
        assert wrong(answer) == {}
        grown = [found(answer, f"listeners who take part at traffic {it}") for it in ("0.1", "0.5")]
        assert 0 < grown[0] < grown[1] < 60

    def test_finds_listeners_who_are_assigned_anew(self, play: Play, service: FakeService) -> None:
        def by_traffic(epoch: Epoch, user: str, _: Result) -> str:
            number = round(10 * epoch.experiment.traffic)
            return assign(replace(epoch, number=number), user).group

        service.group = by_traffic  # type: ignore[method-assign]
        answer = play(60, (WORST, BEST), scenario=Scenario.RAMPED)
        assert "listeners who moved between arms" in wrong(answer)

    def test_finds_listeners_who_fall_out(self, play: Play, service: FakeService) -> None:
        def by_traffic(epoch: Epoch, user: str) -> bool:
            return takes_part(replace(epoch.experiment, layer=f"{epoch.experiment.traffic}"), user)

        service.takes_part = by_traffic  # type: ignore[method-assign]
        answer = play(60, (WORST, BEST), scenario=Scenario.RAMPED)
        assert "listeners who were in and fell out" in wrong(answer)


class TestFreshLists:
    def test_are_all_remembered_and_counted_where_they_were_played_from(self, play: Play) -> None:
        answer = play(60, (WORST, BEST), scenario=Scenario.FRESH)
        assert answer["counts"]["exact"]
        assert wrong(answer) == {}
        assert found(answer, "listeners who were shown another list") > 30
        assert found(answer, "successes by the later list alone") > 0
        plays = [it["found"] for it in answer["checks"] if it["what"].startswith("full plays")]
        assert all(map(any, plays))

    def test_are_the_same_when_the_simulation_is_repeated(self, play: Play) -> None:
        answer = play(20, (WORST, BEST), scenario=Scenario.FRESH)
        assert play(20, (WORST, BEST), scenario=Scenario.FRESH) == answer

    def test_that_are_forgotten_are_missed(self, play: Play, service: FakeService) -> None:
        service.remembering = lambda pending, _: pending  # type: ignore[method-assign]
        answer = play(60, (WORST, BEST), scenario=Scenario.FRESH)
        assert "listeners of whom every list is remembered" in wrong(answer)


class TestLayers:
    def test_share_nobody_and_hold_some_out(self, play: Play, service: FakeService) -> None:
        answer = play(60, (WORST, BEST), scenario=Scenario.LAYERS)
        assert answer["counts"]["exact"]
        assert wrong(answer) == {}
        users = [len(service.records(name)) for name in service.epochs]
        assert 0 < min(users) < sum(users) < 60

    def test_finds_listeners_who_are_in_two_experiments(
        self, play: Play, service: FakeService
    ) -> None:
        service.takes_part = lambda *_: True  # type: ignore[method-assign]
        answer = play(60, (WORST, BEST), scenario=Scenario.LAYERS)
        assert wrong(answer)["listeners in both experiments"] == (0, 60)
        assert "listeners of the holdout in any experiment" in wrong(answer)


class TestDrift:
    def test_of_both_arms_names_none(self, play: Play) -> None:
        answer = play(200, (BEST, BEST), scenario=Scenario.DRIFT)
        assert answer["report"]["experiment"]["mode"] == "thompson"
        assert answer["counts"]["exact"]
        assert answer["named"] is None
        assert wrong(answer) == {}

    def test_finds_odds_that_follow_nothing(self, play: Play, service: FakeService) -> None:
        service.lost = lambda user: user.endswith("-7")
        answer = play(60, (BEST, BEST), scenario=Scenario.DRIFT)
        assert wrong(answer) == {"outcomes that the last odds follow": (40, 39)}


class TestShipping:
    def test_lets_everybody_have_the_model_that_is_named(self, play: Play) -> None:
        answer = play(160, (WORST, BEST), scenario=Scenario.SHIP)
        assert answer["counts"]["exact"]
        assert wrong(answer) == {}
        assert found(answer, "status of shipping the treatment before anybody asked") == 409
        assert found(answer, "status of shipping the treatment when all was settled") == 200
        assert found(answer, "listeners who are shown the winner's list") == 170
        # And once more: what was shipped runs again.
        again = play(160, (WORST, BEST), scenario=Scenario.SHIP)
        assert again["counts"] == answer["counts"]
        assert wrong(again) == {}

    def test_is_refused_without_a_verdict(self, play: Play) -> None:
        answer = play(20, (BEST, BEST), scenario=Scenario.SHIP)
        assert wrong(answer) == {}
        assert found(answer, "status of shipping the treatment when all was settled") == 409

    def test_finds_what_is_shipped_without_a_verdict(
        self, play: Play, service: FakeService
    ) -> None:
        service.may_ship = lambda *_: True  # type: ignore[method-assign]
        answer = play(20, (BEST, BEST), scenario=Scenario.SHIP)
        expected, status = wrong(answer)["status of shipping the treatment when all was settled"]
        assert (expected, status) == (409, 200)


def test_waits_for_the_schedule_where_nothing_else_settles() -> None:
    settled = iter([0, 0, 3, 5])
    pauses: list[float] = []
    settle(lambda: next(settled), lambda: False, 5, silent, pauses.append)
    assert len(pauses) == 3


def test_notices_a_question_that_is_answered_in_two_ways() -> None:
    answers = iter([["a"], ["b"]])
    call = duplicating(lambda *_: next(answers))
    with pytest.raises(ServiceError, match="two ways"):
        call("GET", "/users/1/recommendations", None)
