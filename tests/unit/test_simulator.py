"""Simulated listeners: known by heart, counted to the last, and not fooled by faults."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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
from infra.simulator import Fault, Plan, simulate
from infra.simulator.faults import duplicating
from infra.simulator.listeners import PAST_DAYS, PATIENCE, Crowd, Listener
from infra.simulator.run import settle
from segue.domain.errors import InvalidData
from segue.domain.events import Event, parse_event
from segue.domain.plays import label_plays
from segue.domain.times import DAY, Window, format_time, parse_time
from segue.experiments.assignment import assign
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import Arm, Experiment
from segue.experiments.outcome import judge
from segue.experiments.records import Exposure, Record
from segue.experiments.tally import Tally
from segue.reporting.document import document

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
    exposures: dict[str, Exposure] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        self.answers -= 1
        if self.answers < 0:
            raise ServiceError("the service does not answer")
        parts = urlsplit(path)
        first, *rest = parts.path.strip("/").split("/")
        self.requests[f"{method} {first}"] += 1
        handler: Callable[..., Any] = getattr(self, f"_{method.lower()}_{first}")
        return handler(*rest, *parse_qs(parts.query).get("experiment", []), body)

    def maintain(self) -> bool:
        for user, exposure in self.exposures.items():
            if not self.lost(user):
                window = Window(exposure.as_of, exposure.as_of + DAY)
                played = [event for event in self.events[user] if event.time in window]
                self.records.setdefault(user, judge(exposure, played, CUTOFF))
        return True

    def _get_models(self, _body: None) -> Any:
        return {"cutoff": format_time(CUTOFF)}

    def _get_genres(self, _body: None) -> Any:
        return {"genres": []}

    def _put_experiments(self, name: str, body: Any) -> Any:
        arms = tuple(Arm(**arm) for arm in body["arms"])
        self.epoch = Epoch(Experiment(name, arms, window=DAY), "bundle").live
        return {"epoch": 1}

    def _put_users(self, _user: str, _body: Any) -> Any:
        return {}

    def _post_users(self, user: str, _events: str, body: Any) -> Any:
        assert len(body["events"]) <= 500
        self.events[user] |= {parse_event(event | {"user_id": user}) for event in body["events"]}

    def _get_users(self, user: str, _recommendations: str, _name: str, _body: None) -> Any:
        arm = assign(self.epoch, user)
        tracks = tuple(self.lists[arm.model_id])
        made = Exposure(user, arm.group, "model", "bundle", tracks, self.as_of, CUTOFF)
        shown = self.exposures.setdefault(user, made)
        as_of = format_time(shown.as_of)
        return {"user_id": user, "group": arm.group, "tracks": list(tracks), "as_of": as_of}

    def _post_models(self, model: str, _predict: str, body: Any) -> Any:
        assert body["user_id"] in self.exposures
        return self.lists[int(model)]

    def _delete_users(self, user: str, _body: None) -> None:
        del self.exposures[user]

    def _get_ab_test(self, _report: str, _name: str, _body: None) -> Any:
        return document(self.epoch, Tally.of(self.records.values()))


@pytest.fixture
def service(lists: dict[int, list[str]]) -> FakeService:
    return FakeService(lists)


@pytest.fixture
def play(service: FakeService, data_path: Path) -> Callable[..., Any]:
    """Runs a simulation against the service."""

    def run(listeners: int, models: tuple[int, int], fault: Fault | None = None) -> Any:
        return simulate(service, data_path, Plan(*models, listeners, 7, fault), silent)

    return run


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
    def test_tells_the_better_arm_and_counts_every_listener(self, play: Callable[..., Any]) -> None:
        answer = play(300, (WORST, BEST))
        assert answer["truth"]["better"] == answer["named"] == "treatment"
        assert answer["right"] is True
        assert answer["counts"]["exact"]
        assert sum(users for _, users in answer["counts"]["listeners"].values()) == 300

    def test_the_truth_is_what_happens_on_average(self, play: Callable[..., Any]) -> None:
        answer = play(300, (WORST, BEST))
        for group, (successes, users) in answer["counts"]["service"].items():
            rate = answer["truth"]["rates"][group]
            assert successes / users == pytest.approx(rate, abs=4 * 0.5 / users**0.5)

    def test_of_one_model_twice_neither_is_better(self, play: Callable[..., Any]) -> None:
        answer = play(60, (BEST, BEST))
        assert answer["truth"]["difference"] == 0
        assert answer["truth"]["better"] is answer["named"] is answer["right"] is None

    def test_listeners_who_leave_are_missed_by_the_sample_ratio(
        self, play: Callable[..., Any], service: FakeService
    ) -> None:
        answer = play(300, (BEST, WORST), Fault.SAMPLE_RATIO)
        assert service.requests["DELETE users"] > 0
        assert answer["report"]["sample_ratio"]["off"]
        assert answer["report"]["verdicts"][0]["decision"] == "decision withheld"
        successes, users = answer["counts"]["listeners"]["treatment"]
        assert successes == users > 0
        assert answer["counts"]["exact"]

    def test_duplicates_change_no_count(
        self, play: Callable[..., Any], service: FakeService
    ) -> None:
        answer = play(30, (WORST, BEST), Fault.DUPLICATES)
        assert service.requests["GET users"] == 4 * 30
        assert answer["counts"]["exact"]

    def test_goes_on_where_an_outage_has_stopped_it(
        self, play: Callable[..., Any], service: FakeService
    ) -> None:
        service.answers = 60
        with pytest.raises(ServiceError):
            play(20, (WORST, BEST))
        service.answers = inf
        resumed = play(20, (WORST, BEST))
        assert resumed["counts"]["exact"]
        # And once more, with nothing left to do, it changes nothing.
        assert play(20, (WORST, BEST)) == resumed

    def test_a_lost_outcome_shows_in_the_counts(
        self, play: Callable[..., Any], service: FakeService
    ) -> None:
        service.lost = lambda user: user.endswith("-3")
        answer = play(20, (WORST, BEST))
        assert answer["report"]["experiment"]["users"] == 19
        assert not answer["counts"]["exact"]

    def test_refuses_a_service_for_which_it_is_another_time(
        self, play: Callable[..., Any], service: FakeService
    ) -> None:
        service.as_of = CUTOFF + DAY
        with pytest.raises(InvalidData, match="2022-09-02"):
            play(2, (WORST, BEST))


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
