"""The ports in memory, for tests: the same promises, no network."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from threading import Lock
from uuid import uuid4

from segue.domain.errors import BundleMissing, UnknownPosition, UserErased
from segue.domain.events import Event
from segue.domain.times import Window
from segue.domain.users import User
from segue.experiments.experiment import Experiment
from segue.experiments.manifest import user_hash
from segue.experiments.records import Exposure, Record, RecordPage
from segue.experiments.tally import Tally
from segue.models.bundle import Bundle
from segue.ports import Refused


@dataclass
class FixedClock:
    """A clock that stands still until it is set."""

    time: int

    def now(self) -> int:
        return self.time


@dataclass
class MemorySessionStore:
    stored: set[Event] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def events(self, user_id: str, window: Window) -> list[Event]:
        return [e for e in self.stored if e.user_id == user_id and e.time in window]

    def has_events(self, user_id: str) -> bool:
        return any(event.user_id == user_id for event in self.stored)

    def put(self, events: Iterable[Event]) -> None:
        self.stored.update(events)

    def append(self, events: Iterable[Event]) -> int:
        with self._lock:
            new = set(events) - self.stored
            self.stored |= new
            return len(new)

    def delete(self, user_id: str) -> None:
        self.stored = {event for event in self.stored if event.user_id != user_id}


@dataclass
class MemoryUserStore:
    users: dict[str, User] = field(default_factory=dict)

    def get(self, user_id: str) -> User | None:
        return self.users.get(user_id)

    def put(self, user: User) -> None:
        self.users[user.user_id] = user

    def amend(self, user: User) -> User:
        before = self.users.get(user.user_id, user)
        amended = replace(user, attributes=before.attributes)
        self.put(amended)
        return amended

    def delete(self, user_id: str) -> None:
        self.users.pop(user_id, None)

    def search(self, prefix: str, limit: int) -> list[User]:
        return [self.users[it] for it in sorted(self.users) if it.startswith(prefix)][:limit]


@dataclass
class MemoryAvailability:
    tracks: set[str] = field(default_factory=set)

    def unavailable(self) -> frozenset[str]:
        return frozenset(self.tracks)

    def save(self, track_id: str, *, available: bool) -> None:
        if available:
            self.tracks.discard(track_id)
        else:
            self.tracks.add(track_id)


@dataclass
class MemoryModelStore:
    """``served``: what is served until it is noticed that another one is active."""

    active: Bundle
    others: tuple[Bundle, ...] = ()
    served: Bundle | None = None

    def current(self, *, fresh: bool = False) -> Bundle:
        if fresh:
            self.served = None
        return self.served or self.active

    def bundle(self, version: str) -> Bundle:
        for bundle in (self.active, *self.others):
            if bundle.version == version:
                return bundle
        raise BundleMissing(f"there is no bundle {version}")

    def refused(self) -> Refused | None:
        return None


@dataclass
class MemoryResultStore:
    experiments: dict[str, tuple[Experiment, str]] = field(default_factory=dict)
    settled: dict[tuple[str, int, str], Record] = field(default_factory=dict)
    pending: dict[tuple[str, int, str], Exposure] = field(default_factory=dict)
    erasures: dict[tuple[str, int, str], str] = field(default_factory=dict)

    def experiment(self, name: str) -> tuple[Experiment, str] | None:
        return self.experiments.get(name)

    def all_experiments(self) -> list[tuple[Experiment, str]]:
        return list(self.experiments.values())

    def save_experiment(self, experiment: Experiment, replaces: str | None) -> bool:
        found = self.experiments.get(experiment.name)
        if (found[1] if found else None) != replaces:
            return False
        self.experiments[experiment.name] = experiment, f'"{experiment.epoch}"'
        return True

    def record(self, experiment: Experiment, user_id: str) -> Record | None:
        return self.settled.get((experiment.name, experiment.epoch, user_id))

    def add_record(
        self, experiment: Experiment, record: Record, erasure: str | None = None
    ) -> Record:
        key = experiment.name, experiment.epoch, record.exposure.user_id
        if key not in self.settled and self.erasures.get(key) != erasure:
            raise UserErased(self.erasures.get(key))
        return self.settled.setdefault(key, record)

    def exposure(self, experiment: Experiment, user_id: str) -> tuple[Exposure, str] | None:
        found = self.pending.get((experiment.name, experiment.epoch, user_id))
        return (found, repr(found)) if found else None

    def add_exposure(
        self, experiment: Experiment, exposure: Exposure, erasure: str | None = None
    ) -> Exposure:
        key = experiment.name, experiment.epoch, exposure.user_id
        if key not in self.pending and self.erasures.get(key) != erasure:
            raise UserErased(self.erasures.get(key))
        return self.pending.setdefault(key, exposure)

    def records(self, experiment: Experiment, *, limit: int, after: str = "") -> RecordPage:
        epoch = experiment.name, experiment.epoch
        users = {user_hash(user): user for *key, user in self.settled if tuple(key) == epoch}
        erased = {user_hash(user) for *key, user in self.erasures if tuple(key) == epoch}
        if after and after not in users.keys() | erased:
            raise UnknownPosition
        hashes = sorted(users)
        start = bisect_right(hashes, after)
        page = hashes[start : start + limit]
        records = tuple(self.settled[(*epoch, users[it])] for it in page)
        return RecordPage(records, page[-1] if start + limit < len(hashes) else None)

    def tally(self, experiment: Experiment) -> Tally:
        epoch = experiment.name, experiment.epoch
        return Tally.of(it for (*key, _), it in self.settled.items() if tuple(key) == epoch)

    def tally_and_pending(self, experiment: Experiment) -> tuple[Tally, list[Exposure]]:
        page, _ = self.exposures(experiment)
        pending = [it for it, _ in page if not self.record(experiment, it.user_id)]
        return self.tally(experiment), pending

    def exposures(
        self, experiment: Experiment, *, after: str = ""
    ) -> tuple[list[tuple[Exposure, str]], str | None]:
        epoch = experiment.name, experiment.epoch
        found = [it for (*key, _), it in self.pending.items() if tuple(key) == epoch]
        return [(it, repr(it)) for it in found if it.user_id > after], None

    def drop_exposure(self, experiment: Experiment, user_id: str, tag: str) -> None:
        key = experiment.name, experiment.epoch, user_id
        if repr(self.pending.get(key)) == tag:
            del self.pending[key]

    def erase(self, experiment: Experiment, user_id: str) -> None:
        key = experiment.name, experiment.epoch, user_id
        self.erasures[key] = uuid4().hex
        self.pending.pop(key, None)
        self.settled.pop(key, None)
