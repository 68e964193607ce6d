"""Whatever comes between two steps of whatever: the erased stay erased, and a record is one.

Every call of a store is a step, and before each of them, in turn, something else happens whole.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from infra.benchmarks.bucket import MemoryBucket
from infra.memory import MemoryResultStore, MemorySessionStore, MemoryUserStore
from segue.adapters.archive import S3Archive
from segue.adapters.experiments import S3ExperimentStore
from segue.adapters.objects import Objects
from segue.domain.errors import UnknownUser
from segue.domain.times import DAY
from segue.domain.users import User
from segue.experiments.epoch import Epoch, Side
from segue.experiments.records import Record
from segue.experiments.tally import Tally
from segue.models.bundle import Bundle
from segue.services.ingest import Profile
from tests.unit.conftest import World

USER, OTHER = "1", "2"
MOST_STEPS = 200


class Killed(BaseException):
    """The process ends here; nothing catches it."""


class Steps:
    """Counts steps, once begun. Before the given ones, acts or dies."""

    def __init__(self, act: Callable[[], object] = lambda: None) -> None:
        self.act = act
        self.acts_at = self.dies_at = 0
        self._taken = 0
        self._counting = False

    def begin(self, *, acts_at: int = 0, dies_at: int = 0) -> None:
        self.acts_at, self.dies_at = acts_at, dies_at
        self._taken = 0
        self._counting = True

    def end(self) -> bool:
        """Whether it came to what should happen."""
        self._counting = False
        return self._taken >= max(self.acts_at, self.dies_at)

    def take(self) -> None:
        if not self._counting:
            return
        self._taken += 1
        if self._taken == self.acts_at:
            self._counting = False
            self.act()
            self._counting = True
        if self._taken == self.dies_at:
            raise Killed


def in_steps(store: Any, steps: Steps) -> Any:
    """The store, each call of which is a step."""

    class Watched:
        def __getattr__(self, name: str) -> Any:
            found = getattr(store, name)
            if not callable(found):
                return found

            def call(*arguments: Any, **named: Any) -> Any:
                steps.take()
                return found(*arguments, **named)

            return call

    return Watched()


class Bucket(MemoryBucket):
    """Lists folders, too."""

    def get_paginator(self, _operation: str) -> Any:
        return self

    def paginate(self, *, Bucket: str, Prefix: str, Delimiter: str) -> Any:  # noqa: N803
        rest = (key.removeprefix(Prefix) for key in self._keys if key.startswith(Prefix))
        names = sorted({each.split(Delimiter)[0] for each in rest if Delimiter in each})
        return [{"CommonPrefixes": [{"Prefix": f"{Prefix}{name}/"} for name in names]}]

    def holding(self, text: bytes) -> list[str]:
        """The keys of the objects with this in them."""
        return [key for key, body in self._bodies.items() if text in body]


class Service(World):
    """The services over a bucket and tables, each call of which is a step.

    USER has a profile, and listened before the cut-off. So did OTHER, who has a record in every
    archive.
    """

    def __init__(self, bundle: Bundle, steps: Steps) -> None:
        self.steps = steps
        self.bucket = Bucket()
        objects = Objects(in_steps(self.bucket, steps), "bucket")
        super().__init__(
            bundle,
            in_steps(MemorySessionStore(), steps),
            in_steps(MemoryUserStore(), steps),
            S3ExperimentStore(objects),  # type: ignore[arg-type]
            in_steps(MemoryResultStore(), steps),
            S3Archive(objects),  # type: ignore[arg-type]
        )
        self.users.put(User(USER, attributes={"age": 40}))
        self.arrive(USER)
        self.arrive(OTHER)
        self.experiments.perform(OTHER)
        self.show(OTHER)
        self.maintain()

    @property
    def sides(self) -> tuple[Epoch, Epoch]:
        return self.epochs.running().sides

    @contextmanager
    def at(self, time: int) -> Iterator[None]:
        """As if it were then."""
        now, self.clock.time = self.clock.time, time
        try:
            yield
        finally:
            self.clock.time = now

    def arrive(self, user: str) -> None:
        self.play(user, self.tracks(0, 9), session=f"before {self.clock.time}")

    def show(self, user: str) -> None:
        """Recommend live at the cut-off, so that the outcome is due by now."""
        with self.at(self.cutoff):
            self.live.recommend(user)

    def maintain(self) -> None:
        work = self.maintenance.run(lambda: True)
        assert not work.faults

    def holds_nothing_of(self, user: str) -> None:
        """Nowhere, and not in the counts, which are those of OTHER."""
        dossier = self.privacy.export(user)
        assert (dossier.user, dossier.results) == (None, ())
        assert not self.bucket.holding(f'"user_id":"{user}"'.encode())
        for side in self.sides:
            assert {it.exposure.user_id for it in self.records(side)} == {OTHER}
            assert self.counted(side) == Tally.of(self.records(side)).outcomes()
            assert not self.results.pending(side.id)

    def records(self, epoch: Epoch) -> tuple[Record, ...]:
        return self.results.records(epoch.id, limit=9).records

    def counted(self, epoch: Epoch) -> dict[str, tuple[int, int]]:
        """As the report counts: successes and users of each arm that has any."""
        name, live = epoch.experiment.name, epoch.side is Side.LIVE
        counts = self.reports.report(name, live=live)
        return {group: (successes, users) for group, (successes, users) in counts.items() if users}


def replay(service: Service) -> object:
    return service.experiments.perform(USER)


def replay_early(service: Service) -> object:
    """The window has not passed: the exposure is stored, and settled some other day."""
    with service.at(service.cutoff + DAY):
        return service.experiments.perform(USER)


def replay_in_two_calls(service: Service) -> object:
    replay_early(service)
    return replay(service)


def recommend(service: Service) -> object:
    return service.live.recommend(USER)


def recommend_and_settle(service: Service) -> object:
    service.show(USER)
    service.maintain()
    return None


def compact(service: Service) -> object:
    """What was replayed right before."""
    replay(service)
    service.maintain()
    return None


@pytest.fixture(autouse=True)
def counts_as_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report is its counts here: statistics of them, hundreds of times, take long."""

    def document(_epoch: Epoch, tally: Tally, _pending: Mapping[str, int]) -> Mapping[str, Any]:
        return tally.outcomes()

    monkeypatch.setattr("segue.reporting.reports.document", document)


CALLS = [replay, replay_early, replay_in_two_calls, recommend, recommend_and_settle, compact]


@dataclass
class Case:
    """Something done, and something else that happens before one of its steps."""

    bundle: Bundle
    done: Callable[[Service], object]
    between: Callable[[Service], object]

    def run(self, *, acts_at: int, dies_at: int = 0) -> tuple[Service, object, bool]:
        """The service afterwards, the answer, and whether there were as many steps."""
        steps = Steps()
        service = Service(self.bundle, steps)
        steps.act = lambda: self.between(service)
        steps.begin(acts_at=acts_at, dies_at=dies_at)
        answer: object = None
        try:
            answer = self.done(service)
        except (Killed, UnknownUser) as error:
            answer = error
        return service, answer, steps.end()

    def at_every_step(self) -> Iterator[tuple[Service, object]]:
        """What there is afterwards, for each of the steps that it may happen before."""
        for step in range(1, MOST_STEPS):
            service, answer, reached = self.run(acts_at=step)
            if not reached:
                assert step > 1
                return
            yield service, answer
        raise AssertionError("there is no end to it")


def erase(service: Service) -> None:
    service.privacy.erase(USER)


@pytest.mark.parametrize("call", CALLS)
def test_who_is_erased_during_a_call_stays_erased(bundle: Bundle, call: Any) -> None:
    for service, _ in Case(bundle, call, erase).at_every_step():
        service.holds_nothing_of(USER)
        service.maintain()
        service.holds_nothing_of(USER)


@pytest.mark.parametrize("call", [replay, recommend, recommend_and_settle])
def test_who_is_erased_during_a_call_that_then_dies_stays_erased(bundle: Bundle, call: Any) -> None:
    case = Case(bundle, call, erase)
    deaths = 0
    for acts_at in range(1, MOST_STEPS):
        if not case.run(acts_at=acts_at)[2]:
            break
        for dies_at in range(acts_at, MOST_STEPS):
            service, _, reached = case.run(acts_at=acts_at, dies_at=dies_at)
            if not reached:
                break
            deaths += 1
            service.maintain()
            service.holds_nothing_of(USER)
    assert deaths > 20


@pytest.mark.parametrize("call", CALLS)
def test_who_calls_during_an_erasure_is_erased(bundle: Bundle, call: Any) -> None:
    def called(service: Service) -> None:
        with suppress(UnknownUser):
            call(service)

    for service, _ in Case(bundle, erase, called).at_every_step():
        service.maintain()
        service.holds_nothing_of(USER)


def erase_and_return(service: Service) -> None:
    """Erased, and a day later here anew."""
    service.privacy.erase(USER)
    service.clock.time += DAY
    service.arrive(USER)


@pytest.mark.parametrize("call", [replay, recommend])
@pytest.mark.parametrize("maintained", [False, True])
def test_who_returns_after_an_erasure_is_recorded_by_what_came_after_it(
    bundle: Bundle, call: Any, maintained: bool
) -> None:
    def come_back(service: Service) -> None:
        erase_and_return(service)
        call(service)
        if maintained:
            service.maintain()

    for service, _ in Case(bundle, call, come_back).at_every_step():
        ((epoch, result),) = service.privacy.export(USER).results
        returned = service.cutoff + 32 * DAY
        assert result.exposure.created_at == returned
        service.maintain()
        assert service.privacy.export(USER).results == ((epoch, result),)


@pytest.mark.parametrize("call", [replay, replay_in_two_calls, recommend_and_settle])
def test_a_call_that_dies_is_finished_by_the_next_one(bundle: Bundle, call: Any) -> None:
    case = Case(bundle, call, lambda _: None)
    for dies_at in range(1, MOST_STEPS):
        service, _, reached = case.run(acts_at=0, dies_at=dies_at)
        call(service)
        service.maintain()
        side = service.sides[call is recommend_and_settle]
        assert sum(users for _, users in service.counted(side).values()) == 2
        assert len(service.privacy.export(USER).results) == 1
        if not reached:
            return
    raise AssertionError("there is no end to it")


def test_an_export_misses_nothing_that_is_settled_meanwhile(bundle: Bundle) -> None:
    def export(service: Service) -> object:
        return service.privacy.export(USER).results

    def shown_before(service: Service) -> object:
        service.show(USER)
        return export(service)

    for _, results in Case(bundle, shown_before, lambda it: it.maintain()).at_every_step():
        assert isinstance(results, tuple)
        assert len(results) == 1


def test_what_an_erased_profile_held_is_not_put_back(bundle: Bundle) -> None:
    def edit(service: Service) -> object:
        return service.ingest.save_profile(USER, Profile(("modal drift",), True, attributes=None))

    for service, _ in Case(bundle, edit, erase).at_every_step():
        profile = service.users.get(USER)
        assert profile is None or not profile.attributes


def test_two_that_settle_one_users_outcome_are_told_the_same(bundle: Bundle) -> None:
    def settle(service: Service) -> object:
        return service.experiments.perform(USER)

    def heard_more(service: Service) -> object:
        """By another call, which knows of a play that was reported late."""
        tracks = service.tracks(0, len(service.bundle.catalogue))
        service.play(USER, tracks, days=3, session="reported late")
        return service.experiments.perform(USER)

    for service, told in Case(bundle, settle, heard_more).at_every_step():
        assert told == service.experiments.perform(USER)
        service.maintain()
        assert told == service.experiments.perform(USER)
        (listed,) = (it for it in service.records(service.sides[0]) if it.exposure.user_id == USER)
        assert listed == told
