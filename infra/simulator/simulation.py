"""One experiment at the service, and listeners who ask and answer by its API."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from infra.progress import Report
from infra.simulator.faults import Call, Fault, duplicating
from infra.simulator.listeners import Crowd, Heard, Listener, Record, batches
from infra.simulator.plan import TREATMENT, Plan, Scenario
from segue.domain.errors import InvalidData
from segue.domain.times import format_time, parse_time
from segue_client import Problem

# The shortest window there is; whoever answers a list, does so at once.
WINDOW_DAYS, LENGTH = 1, 20
_AT_ONCE = 8
_EVENTS_AT_ONCE = 500
# How long to wait, in seconds, for what the service does by schedule.
_PAUSE = 30
# Where rates drift, the first listener starts a track with this part of the usual probability.
_FIRST_MOOD = 0.2

# An answer of the service.
Document = dict[str, Any]

T = TypeVar("T")


class Api(Protocol):
    """What the simulation needs of ``infra.service.Service``."""

    def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The parsed answer."""
        ...

    def maintain(self) -> bool:
        """Settle what is due; False where the service does that in its own time."""
        ...


@dataclass(frozen=True, slots=True)
class Visit:
    """What one listener did. ``chances``: of success with each group's list, theirs and the other.

    ``stayed``: whether the service still knows of it, and so has to count it.
    """

    group: str
    succeeded: bool
    stayed: bool
    chances: dict[str, float]


class Simulation:
    """Raises ServiceError and ``segue_client.ApiError``.

    ``name``: of the experiment, by default the plan's. ``audience``: what the ids of its listeners
    begin with, by default what belongs to the running epoch alone.
    """

    def __init__(
        self, api: Api, crowd: Crowd, plan: Plan, name: str = "", audience: str = ""
    ) -> None:
        self.plan = plan
        self.name = name or plan.experiment
        self.audience = audience
        self.call = api.call
        self.maintain = api.maintain
        self._api = api
        # As the listeners' requests come.
        self._send: Call = duplicating(api.call) if plan.fault is Fault.DUPLICATES else api.call
        self._crowd = crowd
        # Somebody may like what a small catalogue does not have.
        self._genres = {row["genre"] for row in self.call("GET", "/genres")["genres"]}

    def beside(self, name: str) -> "Simulation":
        """Another experiment, before the same listeners."""
        return Simulation(self._api, self._crowd, self.plan, name, self.audience)

    def put(self, mode: str = "fixed", **settings: Any) -> int:
        """Let the experiment run, with these settings beside its arms; the epoch's number."""
        share = {"share": 0.5} if mode == "fixed" else {}
        arms = [
            {"group": group, "model_id": model} | share for group, model in self.plan.models.items()
        ]
        body = {"arms": arms, "window_days": WINDOW_DAYS, "k": LENGTH, "mode": mode} | settings
        epoch: int = self.call("PUT", f"/experiments/{self.name}", body, self._if_match())["epoch"]
        # Of this epoch alone, or what they played in another one would count in this.
        self.audience = self.audience or f"{self.name}-{epoch}"
        return epoch

    def _if_match(self) -> dict[str, str]:
        try:
            return {"If-Match": self.call("GET", f"/experiments/{self.name}")["etag"]}
        except Problem as problem:
            if problem.status != HTTPStatus.NOT_FOUND:
                raise
            return {}

    def everyone(
        self, act: Callable[[int], T], numbers: Sequence[int], report: Report, phase: str
    ) -> list[T]:
        """What these listeners' doings come to; a few act at a time."""
        results: list[T] = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for result in pool.map(act, numbers):
                results.append(result)
                report(phase, len(results), len(numbers))
        return results

    def visit(self, number: int) -> Visit | None:
        """A listener signs up, asks and answers. None: takes no part in the experiment."""
        self.join(number)
        return self.ask_and_answer(number)

    def join(self, number: int) -> None:
        """Sign up, with all of the past."""
        listener = self.listener(number)
        self.sign_up(number, listener)
        self.send(number, listener.past)

    def ask_and_answer(self, number: int) -> Visit | None:
        """Of who takes no part nothing is counted, so they answer nothing."""
        listener, shown = self.listener(number), self.ask(number)
        group = shown["group"]
        if group is None:
            return None
        heard = self.answer(number, listener, shown)
        succeeded = any(it.finished for it in heard)
        chances = self.chances(listener, shown)
        leaves = self.plan.fault is Fault.SAMPLE_RATIO and group == TREATMENT and not succeeded
        if leaves:
            self.erase(number)
        return Visit(group, succeeded, not leaves, chances)

    def listener(self, number: int) -> Listener:
        """The one of this number; where rates drift, later ones start more tracks."""
        listener = self._crowd.listener(number)
        if self.plan.scenario is not Scenario.DRIFT:
            return listener
        mood = _FIRST_MOOD + (1 - _FIRST_MOOD) * number / self.plan.listeners
        return replace(listener, start=listener.start * mood)

    def user_id(self, number: int) -> str:
        """The listener's, at the service."""
        return f"{self.audience}-{number}"

    def user(self, number: int) -> str:
        """The path of all that is the listener's."""
        return f"/users/{self.user_id(number)}"

    def sign_up(self, number: int, listener: Listener) -> None:
        """Let the service have the profile."""
        favourites = [genre for genre in listener.genres if genre in self._genres]
        self._send("PUT", self.user(number), {"favourite_genres": favourites})

    def erase(self, number: int) -> None:
        """Let the service forget the listener."""
        self._send("DELETE", self.user(number), None)

    def send(self, number: int, events: Sequence[Record]) -> None:
        """Let the service have the events."""
        for part in batches(events, _EVENTS_AT_ONCE):
            self._send("POST", f"{self.user(number)}/events", {"events": part})

    def ask(self, number: int) -> Document:
        """What the listener is shown.

        Raises InvalidData where "now" is not the cut-off, as listeners' past and answers stand
        around that.
        """
        path = f"{self.user(number)}/recommendations?experiment={self.name}"
        shown: Document = self._send("GET", path, None)
        if parse_time(shown["as_of"]) != self._crowd.moment:
            raise InvalidData(
                f"the service recommends as of {shown['as_of']}, its models' cut-off is "
                f"{format_time(self._crowd.moment)}: have it take that for now, as `segue serve` "
                "does (the template's parameter AsOf)"
            )
        return shown

    def answer(
        self,
        number: int,
        listener: Listener,
        shown: Document,
        *,
        visit: int = 0,
        names_list: bool = False,
    ) -> list[Heard]:
        """What the listener plays of the list, which is sent back; ``visit``: the how manieth."""
        tracks = self._crowd.places(shown["tracks"])
        heard = listener.answer(tracks, self._crowd.chance_of(number, visit))
        source = shown["recommendation_id"] if names_list else None
        self.send(number, self._crowd.events(heard, visit, source))
        return heard

    def chances(self, listener: Listener, shown: Document) -> dict[str, float]:
        """By group; the list that the listener was not shown, its model is asked for."""
        lists = {self.plan.models[shown["group"]]: shown["tracks"]}
        for model in set(self.plan.models.values()) - set(lists):
            lists[model] = self.predict(model, shown)
        chances = {it: listener.success_chance(self._crowd.places(lists[it])) for it in lists}
        return {group: chances[model] for group, model in self.plan.models.items()}

    def predict(self, model: int, shown: Document) -> list[str]:
        """What the model recommends in place of what is shown."""
        body = {"user_id": shown["user_id"], "k": LENGTH, "as_of": shown["as_of"]}
        tracks: list[str] = self.call("POST", f"/models/{model}/predict", body)
        return tracks

    def held(self, number: int) -> Document:
        """What the experiment holds of the listener, as an export has it."""
        rows = self.call("GET", f"{self.user(number)}/export")["experiments"]
        held: Document = next(row for row in rows if row["experiment"] == self.name)
        return held

    def settle(self, expected: int, report: Report) -> None:
        """Have outcomes settled until the report knows of so many."""
        settle(lambda: int(self.report()["experiment"]["users"]), self.maintain, expected, report)

    def report(self) -> Document:
        """On the live side, as it stands."""
        path = f"/ab_test/report?experiment={self.name}&live=true"
        document: Document = self.call("GET", path)
        return document


def settle(
    settled: Callable[[], int],
    maintain: Callable[[], bool],
    expected: int,
    report: Report,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Until all that is expected has been settled, or maintenance finds no more to settle."""
    before = -1
    while (now := settled()) < expected:
        report("settling", now, expected)
        if not maintain():
            pause(_PAUSE)
        elif now == before:
            return
        before = now
    report("settling", expected, expected)
