"""What is checked beside counts and verdict, each by what the listeners themselves know."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise
from typing import Any

from infra.progress import Report
from infra.simulator.faults import Fault
from infra.simulator.listeners import Heard
from infra.simulator.plan import CONTROL, TREATMENT, Scenario
from infra.simulator.simulation import LENGTH, Document, Simulation, Visit
from segue.experiments.assignment import position
from segue_client import Problem

# The shares of the users who take part, one after the other.
TRAFFIC = (0.1, 0.5, 1.0)
# Of a layer, either experiment has the first share, and nobody is in neither but the holdout.
_SHARE, _HOLDOUT = 0.4, 0.2
# Under Thompson sampling, outcomes settle after so many listeners, and the odds follow.
_BATCH = 20
# The usual margin takes more users to show than a verdict does.
_GUARDRAILS = [{"figure": "failed_calls", "margin": 0.5}]
# Who comes only once an arm is shipped.
_NEWCOMERS = 10


@dataclass(frozen=True, slots=True)
class Check:
    """What is expected of the service, and what was found."""

    what: str
    expected: Any
    found: Any


# What the listeners of the experiment did, in the end, and what was checked meanwhile.
Played = tuple[list[Visit], list[Check]]


def play(simulation: Simulation, report: Report) -> Played:
    """Play the plan's scenario until all outcomes are settled. Raises as ``Simulation`` does."""
    return _SCENARIOS[simulation.plan.scenario](simulation, report)


def count(visits: Sequence[Visit], group: str) -> list[int]:
    """Successes and users, as the report has to have them."""
    stayed = [visit for visit in visits if visit.stayed and visit.group == group]
    return [sum(visit.succeeded for visit in stayed), len(stayed)]


def _plain(simulation: Simulation, report: Report) -> Played:
    simulation.put()
    visits = _visit_all(simulation, report)
    if simulation.plan.fault is Fault.DUPLICATES:
        again = _numbers(simulation)[::-1]
        simulation.everyone(simulation.visit, again, report, "listeners, once more")
        simulation.maintain()
    return visits, []


def _visit_all(simulation: Simulation, report: Report) -> list[Visit]:
    numbers = _numbers(simulation)
    visits = _there(simulation.everyone(simulation.visit, numbers, report, "listeners"))
    _settle(simulation, visits, report)
    return visits


def _ramped(simulation: Simulation, report: Report) -> Played:
    """Everybody asks before, while and after the traffic is changed."""
    epochs = [simulation.put(traffic=TRAFFIC[0])]
    simulation.everyone(simulation.join, _numbers(simulation), report, "listeners join")
    rounds = [_ask_all(simulation, report, TRAFFIC[0])]
    for traffic in TRAFFIC[1:]:
        rounds.append(_ask_all(simulation, report, traffic, changed_to=epochs))
        rounds.append(_ask_all(simulation, report, traffic))
    visits = _there(rounds[-1])
    _settle(simulation, visits, report)
    return visits, [
        *_traffic_checks(simulation, rounds[::2]),
        *_staying_checks([[visit.group if visit else None for visit in each] for each in rounds]),
        Check("epochs", epochs[:1] * len(TRAFFIC), epochs),
    ]


def _ask_all(
    simulation: Simulation, report: Report, traffic: float, changed_to: list[int] | None = None
) -> list[Visit | None]:
    """Of every listener. ``changed_to``: the traffic is changed half way, in this epoch."""
    numbers = _numbers(simulation)

    def ask(number: int) -> Visit | None:
        if changed_to is not None and number == len(numbers) // 2:
            changed_to.append(simulation.put(traffic=traffic))
        return simulation.ask_and_answer(number)

    phase = f"traffic {traffic:g}" if changed_to is None else f"traffic to {traffic:g}"
    return simulation.everyone(ask, numbers, report, phase)


def _traffic_checks(
    simulation: Simulation, rounds: Sequence[Sequence[Visit | None]]
) -> Iterator[Check]:
    """``rounds``: one at each traffic."""
    places = [
        position(f"traffic:{simulation.name}", simulation.user_id(number))
        for number in _numbers(simulation)
    ]
    for traffic, visits in zip(TRAFFIC, rounds, strict=True):
        yield Check(
            f"listeners who take part at traffic {traffic:g}",
            sum(place < traffic for place in places),
            len(_there(visits)),
        )


def _staying_checks(rounds: Sequence[Sequence[str | None]]) -> Iterator[Check]:
    """``rounds``: of each, every listener's group, None of those who take no part."""
    of_each = list(zip(*rounds, strict=True))
    moved = sum(len({*groups} - {None}) > 1 for groups in of_each)
    fell_out = sum(
        any(before and not after for before, after in pairwise(groups)) for groups in of_each
    )
    yield Check("listeners who moved between arms", 0, moved)
    yield Check("listeners who were in and fell out", 0, fell_out)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A list, what its arm's model recommended then, and what was played of it."""

    answer: Document
    expected: list[str]
    heard: list[Heard]
    names_list: bool

    @property
    def tracks(self) -> list[str]:
        tracks: list[str] = self.answer["tracks"]
        return tracks

    @property
    def finished(self) -> list[Heard]:
        return [it for it in self.heard if it.finished]


@dataclass(frozen=True, slots=True)
class _Return:
    """Of one listener: what both visits come to, and either list."""

    visit: Visit
    first: _Shown
    second: _Shown

    @property
    def lists(self) -> list[list[str]]:
        """The lists that differ, in their order."""
        same = self.first.tracks == self.second.tracks
        return [self.first.tracks] if same else [self.first.tracks, self.second.tracks]

    @property
    def only_by_second(self) -> bool:
        """Whether nothing of the first list was heard to its end, and something of the second."""
        return not self.first.finished and bool(self.second.finished)

    def plays(self) -> Counter[tuple[str, int, bool]]:
        """Group, position, and whether the list was named, of each track's first full play."""
        # Time stands still, so for a play that names none the last list that has the track counts.
        first: dict[int, tuple[str, int, bool]] = {}
        for shown in (self.first, self.second):
            for heard in shown.finished:
                track = shown.tracks[heard.place]
                source = shown.tracks if shown.names_list else self._latest(track)
                row = self.visit.group, source.index(track) + 1, shown.names_list
                first.setdefault(heard.track, row)
        return Counter(first.values())

    def _latest(self, track: str) -> list[str]:
        return next(tracks for tracks in reversed(self.lists) if track in tracks)


def _fresh(simulation: Simulation, report: Report) -> Played:
    """Everybody asks twice; in between comes the later half of what they had heard before."""
    numbers = _numbers(simulation)
    simulation.put()

    def come_twice(number: int) -> _Return:
        return _come_twice(simulation, number)

    returns = simulation.everyone(come_twice, numbers, report, "listeners, twice each")
    visits = [it.visit for it in returns]
    _settle(simulation, visits, report)
    exported = simulation.everyone(simulation.held, numbers, report, "exports")
    return visits, [*_list_checks(returns, exported), *_position_checks(returns, simulation)]


def _come_twice(simulation: Simulation, number: int) -> _Return:
    listener = simulation.listener(number)
    # Where the simulation was stopped, the second half may be there already.
    simulation.erase(number)
    simulation.sign_up(number, listener)
    half = len(listener.past) // 2
    shown, chances = [], []
    for visit, past in enumerate((listener.past[:half], listener.past[half:])):
        simulation.send(number, past)
        answer = simulation.ask(number)
        expected = simulation.predict(simulation.plan.models[answer["group"]], answer)
        chances.append(simulation.chances(listener, answer))
        names = bool(number % 2)
        heard = simulation.answer(number, listener, answer, visit=visit, names_list=names)
        shown.append(_Shown(answer, expected, heard, names))
    first, second = shown
    both = {group: 1 - (1 - chances[0][group]) * (1 - chances[1][group]) for group in chances[0]}
    succeeded = bool(first.finished or second.finished)
    return _Return(Visit(first.answer["group"], succeeded, True, both), first, second)


def _list_checks(returns: Sequence[_Return], exported: Sequence[Document]) -> list[Check]:
    late = [held for it, held in zip(returns, exported, strict=True) if it.only_by_second]
    return [
        Check(
            "listeners who were shown another list",
            sum(it.first.expected != it.second.expected for it in returns),
            sum(len(it.lists) > 1 for it in returns),
        ),
        Check(
            "lists that are not what the arm's model recommends then",
            0,
            sum(
                shown.tracks != shown.expected for it in returns for shown in (it.first, it.second)
            ),
        ),
        Check(
            "listeners who moved between arms",
            0,
            sum(it.first.answer["group"] != it.second.answer["group"] for it in returns),
        ),
        Check(
            "listeners of whom every list is remembered",
            len(returns),
            sum(it.lists == _remembered(held) for it, held in zip(returns, exported, strict=True)),
        ),
        Check(
            "successes by the later list alone",
            len(late),
            sum(held["outcome"]["successful"] for held in late),
        ),
    ]


def _remembered(held: Document) -> list[list[str]]:
    return [held["exposure"]["tracks"], *(shown["tracks"] for shown in held["later"])]


def _position_checks(returns: Sequence[_Return], simulation: Simulation) -> list[Check]:
    happened: Counter[tuple[str, int, bool]] = Counter()
    for it in returns:
        happened.update(it.plays())
    counted: Counter[tuple[str, int, bool]] = Counter()
    for row in simulation.report()["positions"]:
        for arm in row["arms"]:
            place = arm["group"], row["position"]
            counted[*place, True] = arm["reported"]
            counted[*place, False] = arm["full_plays"] - arm["reported"]
    words = {True: "with the list's name", False: "without"}
    return [
        Check(
            f"full plays by position, {group}, sent {words[named]}",
            _by_position(happened, group, named),
            _by_position(counted, group, named),
        )
        for group in (CONTROL, TREATMENT)
        for named in (True, False)
    ]


def _by_position(plays: Counter[tuple[str, int, bool]], group: str, named: bool) -> list[int]:
    return [plays[group, place, named] for place in range(1, LENGTH + 1)]


def _layers(simulation: Simulation, report: Report) -> Played:
    """Everybody asks both experiments of one layer, of which some are held out."""
    numbers, layer = _numbers(simulation), simulation.name
    simulation.call("PUT", f"/layers/{layer}", {"holdout": _HOLDOUT})
    simulation.put(layer=layer, traffic=_SHARE)
    other = simulation.beside(f"{layer}-other")
    other.put(layer=layer, traffic=_SHARE)

    def visit(number: int) -> tuple[Visit | None, Visit | None]:
        return simulation.visit(number), other.ask_and_answer(number)

    both = simulation.everyone(visit, numbers, report, "listeners")
    visits = _there([first for first, _ in both])
    of_other = _there([second for _, second in both])
    for experiment, there in ((simulation, visits), (other, of_other)):
        _settle(experiment, there, report)
    held_out = [
        position(f"layer:{layer}", simulation.user_id(number)) < _HOLDOUT for number in numbers
    ]
    experiments = [[bool(first), bool(second)] for first, second in both]
    return visits, [
        Check("listeners in both experiments", 0, sum(map(all, experiments))),
        Check(
            "listeners of the holdout in any experiment",
            0,
            sum(any(it) for it, out in zip(experiments, held_out, strict=True) if out),
        ),
        Check(
            "listeners outside the holdout in one experiment",
            len(numbers) - sum(held_out),
            sum(any(it) for it, out in zip(experiments, held_out, strict=True) if not out),
        ),
        Check(
            f"successes and users of {other.name}",
            {group: count(of_other, group) for group in (CONTROL, TREATMENT)},
            counts(other.report()),
        ),
    ]


def counts(report: Document) -> dict[str, list[int]]:
    """Of each group, the successes and users that the report has."""
    return {arm["group"]: [arm["successes"], arm["users"]] for arm in report["arms"]}


def _drift(simulation: Simulation, report: Report) -> Played:
    """Listeners come by the batch, and each batch starts more tracks than the one before."""
    numbers = _numbers(simulation)
    simulation.put(mode="thompson")
    visits: list[Visit] = []
    for start in range(0, len(numbers), _BATCH):
        batch = numbers[start : start + _BATCH]
        phase = f"listeners from {start}"
        visits += _there(simulation.everyone(simulation.visit, batch, report, phase))
        before = len(visits) - len(batch)
        _settle(simulation, visits, report)
    seen = simulation.held(numbers[-1])["exposure"]["seen"]
    named = simulation.report()["verdicts"][0]["better"]
    return visits, [
        Check(
            "outcomes that the last odds follow", before, sum(users for _, users in seen.values())
        ),
        Check("arms that are named wrongly", 0, int(named not in (None, better_arm(visits)))),
    ]


def better_arm(visits: Sequence[Visit]) -> str | None:
    """The group whose lists all listeners would have made more of; None where that is neither."""
    control, treatment = (sum(it.chances[group] for it in visits) for group in (CONTROL, TREATMENT))
    if control == treatment:
        return None
    return TREATMENT if treatment > control else CONTROL


def _ship(simulation: Simulation, report: Report) -> Played:
    """The treatment is shipped if it is named, and otherwise not."""
    simulation.put(guardrails=_GUARDRAILS)
    early = _shipping(simulation, "before anybody asked")
    # Where the simulation is repeated, it has been shipped by now.
    simulation.put(guardrails=_GUARDRAILS)
    visits = _visit_all(simulation, report)
    late = _shipping(simulation, "when all was settled")
    if late.found != HTTPStatus.OK:
        return visits, [early, late]
    newcomers = range(simulation.plan.listeners, simulation.plan.listeners + _NEWCOMERS)
    simulation.everyone(simulation.join, newcomers, report, "newcomers")
    everybody = range(newcomers.stop)

    def has_winner(number: int) -> bool:
        shown = simulation.ask(number)
        winners = simulation.predict(simulation.plan.treatment, shown)
        return shown["group"] is None and shown["tracks"] == winners

    found = sum(simulation.everyone(has_winner, everybody, report, "after the shipping"))
    return visits, [
        early,
        late,
        Check("listeners who are shown the winner's list", len(everybody), found),
    ]


def _shipping(simulation: Simulation, when: str) -> Check:
    named = simulation.report()["verdicts"][0]["better"]
    expected = HTTPStatus.OK if named == TREATMENT else HTTPStatus.CONFLICT
    try:
        simulation.call("POST", f"/experiments/{simulation.name}/ship", {"group": TREATMENT})
        found = int(HTTPStatus.OK)
    except Problem as problem:
        found = problem.status
    return Check(f"status of shipping the treatment {when}", int(expected), found)


def _settle(simulation: Simulation, visits: Sequence[Visit], report: Report) -> None:
    simulation.settle(sum(visit.stayed for visit in visits), report)


def _there(visits: Sequence[Visit | None]) -> list[Visit]:
    """Of those who take part."""
    return [visit for visit in visits if visit]


def _numbers(simulation: Simulation) -> range:
    return range(simulation.plan.listeners)


_SCENARIOS: dict[Scenario | None, Callable[[Simulation, Report], Played]] = {
    None: _plain,
    Scenario.RAMPED: _ramped,
    Scenario.FRESH: _fresh,
    Scenario.LAYERS: _layers,
    Scenario.DRIFT: _drift,
    Scenario.SHIP: _ship,
}
