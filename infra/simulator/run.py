"""A simulation from its first listener to the report."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from infra.progress import Report
from infra.simulator.faults import Call, Fault, duplicating
from infra.simulator.listeners import Crowd, Listener, batches
from segue.domain.errors import InvalidData
from segue.domain.times import format_time, parse_time

CONTROL, TREATMENT = "control", "treatment"
# The shortest window there is; whoever answers a list, does so at once.
_WINDOW_DAYS, _LENGTH = 1, 20
_AT_ONCE = 8
_EVENTS_AT_ONCE = 500
# How long to wait, in seconds, for what the service does by schedule.
_PAUSE = 30

# The report as the service has it.
Document = dict[str, Any]


class Api(Protocol):
    """What the simulation needs of ``infra.service.Service``."""

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The parsed answer."""
        ...

    def maintain(self) -> bool:
        """Settle what is due; False where the service does that in its own time."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """Which models compete (the same one twice: an A/A test), before whom, and what goes wrong.

    The experiment bears all of it in its name: another plan's listeners have no part in it. The
    same plan again asks and answers the same: it changes nothing, or goes on where it was stopped.
    """

    control: int
    treatment: int
    listeners: int
    seed: int
    fault: Fault | None = None

    @property
    def experiment(self) -> str:
        """Its name at the service."""
        parts = ["simulation", self.control, self.treatment, self.listeners, self.seed]
        return "-".join(map(str, [*parts, self.fault] if self.fault else parts))

    @property
    def models(self) -> dict[str, int]:
        """The model of each group."""
        return {CONTROL: self.control, TREATMENT: self.treatment}


@dataclass(frozen=True, slots=True)
class Visit:
    """What one listener did. ``chances``: of success with each group's list, theirs and the other.

    ``stayed``: whether the service still knows of it, and so has to count it.
    """

    group: str
    succeeded: bool
    stayed: bool
    chances: dict[str, float]


def simulate(api: Api, data: Path, plan: Plan, report: Report) -> Document:
    """Play it through; the answer holds the truth, the listeners' own counts and the report.

    ``data``: the demo data that the service's models were trained on. Raises ServiceError and
    ``segue_client.ApiError``, and InvalidData where they do not belong together.
    """
    cutoff = parse_time(api.call("GET", "/models")["cutoff"])
    simulation = _Simulation(api, Crowd(data, plan.seed, cutoff), plan)
    visits = simulation.visit_all(range(plan.listeners), report, "listeners")
    expected = sum(visit.stayed for visit in visits)
    settle(simulation.settled, api.maintain, expected, report)
    if plan.fault is Fault.DUPLICATES:
        simulation.visit_all(reversed(range(plan.listeners)), report, "listeners, once more")
        api.maintain()
    return _answer(plan, visits, simulation.report())


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


class _Simulation:
    def __init__(self, api: Api, crowd: Crowd, plan: Plan) -> None:
        self._call: Call = api.call
        self._crowd = crowd
        self._plan = plan
        arms = [{"group": group, "model_id": it, "share": 0.5} for group, it in plan.models.items()]
        body = {"arms": arms, "window_days": _WINDOW_DAYS, "k": _LENGTH}
        put = self._call("PUT", f"/experiments/{plan.experiment}", body)
        # Somebody may like what a small catalogue does not have.
        self._genres = {row["genre"] for row in self._call("GET", "/genres", None)["genres"]}
        # Of this epoch alone, or what they played in another one would count in this.
        self._prefix = f"{plan.experiment}-{put['epoch']}"

    def visit_all(self, numbers: Iterable[int], report: Report, phase: str) -> list[Visit]:
        """All listeners, a few at a time, each in the order of their own doings."""
        call = duplicating(self._call) if self._plan.fault is Fault.DUPLICATES else self._call
        visits = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for visit in pool.map(partial(self._visit, call), numbers):
                visits.append(visit)
                report(phase, len(visits), self._plan.listeners)
        return visits

    def settled(self) -> int:
        """Of how many listeners the outcome is on record."""
        return int(self.report()["experiment"]["users"])

    def report(self) -> Document:
        path = f"/ab_test/report?experiment={self._plan.experiment}&live=true"
        document: Document = self._call("GET", path, None)
        return document

    def _visit(self, call: Call, number: int) -> Visit:
        listener = self._crowd.listener(number)
        user = f"/users/{self._prefix}-{number}"
        self._join(call, user, listener)
        shown = call("GET", f"{user}/recommendations?experiment={self._plan.experiment}", None)
        self._check_moment(shown)
        tracks = self._crowd.places(shown["tracks"])
        heard = listener.answer(tracks, self._crowd.chance_of(number))
        if heard:
            call("POST", f"{user}/events", {"events": self._crowd.events(heard)})
        succeeded = any(it.finished for it in heard)
        chances = self._chances(listener, shown)
        leaves = self._leaves(shown["group"], succeeded)
        if leaves:
            call("DELETE", user, None)
        return Visit(shown["group"], succeeded, not leaves, chances)

    def _check_moment(self, shown: Document) -> None:
        """Listeners' past and answers stand around the cut-off; so must the recommendation."""
        if parse_time(shown["as_of"]) != self._crowd.moment:
            raise InvalidData(
                f"the service recommends as of {shown['as_of']}, its models' cut-off is "
                f"{format_time(self._crowd.moment)}: have it take that for now, as `segue serve` "
                "does (the template's parameter AsOf)"
            )

    def _join(self, call: Call, user: str, listener: Listener) -> None:
        favourites = [genre for genre in listener.genres if genre in self._genres]
        call("PUT", user, {"favourite_genres": favourites})
        for part in batches(listener.past, _EVENTS_AT_ONCE):
            call("POST", f"{user}/events", {"events": part})

    def _leaves(self, group: str, succeeded: bool) -> bool:
        return self._plan.fault is Fault.SAMPLE_RATIO and group == TREATMENT and not succeeded

    def _chances(self, listener: Listener, shown: Document) -> dict[str, float]:
        """By group; the list that the listener was not shown, its model is asked for."""
        lists = {self._plan.models[shown["group"]]: shown["tracks"]}
        body = {"user_id": shown["user_id"], "k": _LENGTH, "as_of": shown["as_of"]}
        for model in set(self._plan.models.values()) - set(lists):
            lists[model] = self._call("POST", f"/models/{model}/predict", body)
        chances = {it: listener.success_chance(self._crowd.places(lists[it])) for it in lists}
        return {group: chances[model] for group, model in self._plan.models.items()}


def _answer(plan: Plan, visits: Sequence[Visit], report: Document) -> Document:
    rates = {group: fmean(visit.chances[group] for visit in visits) for group in plan.models}
    better = max(rates, key=rates.__getitem__) if len(set(rates.values())) > 1 else None
    counted = {arm["group"]: [arm["successes"], arm["users"]] for arm in report["arms"]}
    expected = {group: _count(visits, group) for group in plan.models}
    verdict = report["verdicts"][0]
    return {
        "experiment": plan.experiment,
        "epoch": report["experiment"]["epoch"],
        "seed": plan.seed,
        "listeners": plan.listeners,
        "fault": plan.fault,
        "truth": {
            "rates": rates,
            "difference": rates[TREATMENT] - rates[CONTROL],
            "better": better,
        },
        "counts": {"listeners": expected, "service": counted, "exact": counted == expected},
        "named": verdict["better"],
        "right": None if verdict["better"] is None else verdict["better"] == better,
        "report": report,
    }


def _count(visits: Sequence[Visit], group: str) -> list[int]:
    """Successes and users, as the report has them."""
    stayed = [visit for visit in visits if visit.stayed and visit.group == group]
    return [sum(visit.succeeded for visit in stayed), len(stayed)]
