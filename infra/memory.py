"""The ports in memory, for tests and benchmarks: the same promises, no network."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from uuid import uuid4
from zlib import crc32

from segue.adapters.positions import place_at, position_of
from segue.domain.added import AddedTrack, TrackChanges, ordered
from segue.domain.errors import BundleMissing, UserErased
from segue.domain.events import Event, distinct
from segue.domain.times import Window
from segue.domain.users import User
from segue.experiments.epoch import Epoch, EpochId
from segue.experiments.layers import Layer
from segue.experiments.records import (
    Exposure,
    Impression,
    Pending,
    Record,
    RecordPage,
    Result,
)
from segue.experiments.tally import Tally
from segue.models.bundle import Bundle
from segue.ports import Archived, Profile, Refused, Shard, StoredList, UserList


@dataclass
class FixedClock:
    """A clock that stands still until it is set."""

    time: int

    def now(self) -> int:
        return self.time


@dataclass
class MemorySessionStore:
    stored: dict[tuple[object, ...], Event] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def events(self, user_id: str, window: Window, *, fresh: bool = True) -> list[Event]:  # noqa: ARG002
        return [e for e in self.stored.values() if e.user_id == user_id and e.time in window]

    def history(self, user_id: str, window: Window, *, fresh: bool = True) -> list[Event]:  # noqa: ARG002
        return self.events(user_id, window)

    def has_events(self, user_id: str) -> bool:
        return any(event.user_id == user_id for event in self.stored.values())

    def put(self, events: Iterable[Event]) -> None:
        self.stored |= {event.identity: event for event in events}

    def append(self, events: Iterable[Event]) -> int:
        with self._lock:
            found = {event.identity: event for event in distinct(events)}
            new = {identity: it for identity, it in found.items() if identity not in self.stored}
            self.stored |= new
            return len(new)

    def delete(self, user_id: str) -> None:
        self.stored = {key: it for key, it in self.stored.items() if it.user_id != user_id}


@dataclass
class MemoryUserStore:
    users: dict[str, User] = field(default_factory=dict)
    lists: dict[tuple[str, int], StoredList] = field(default_factory=dict)
    erasures: Counter[str] = field(default_factory=Counter)

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
        self.erasures[user_id] += 1
        self.lists = {key: made for key, made in self.lists.items() if key[0] != user_id}

    def stored_list(self, user_id: str, model_id: int) -> StoredList | None:
        return self.lists.get((user_id, model_id))

    def store_list(self, profile: Profile, model_id: int, made: StoredList) -> None:
        user_id = profile.user.user_id
        before = self.lists.get((user_id, model_id), made)
        same = user_id in self.users and profile.mark == str(self.erasures[user_id])
        if same and before.as_of <= made.as_of:
            self.lists[user_id, model_id] = made

    def search(self, prefix: str, limit: int) -> list[User]:
        return [self.users[it] for it in sorted(self.users) if it.startswith(prefix)][:limit]

    def part(self, number: int, of: int) -> Iterator[Profile]:
        for user_id, user in self.users.items():
            if crc32(user_id.encode()) % of == number:
                yield Profile(user, str(self.erasures[user_id]))


@dataclass
class MemoryTrackStore:
    said: TrackChanges = field(default_factory=TrackChanges)

    def changes(self) -> TrackChanges:
        return self.said

    def set_available(self, track_id: str, *, available: bool) -> None:
        others = self.said.unavailable - {track_id}
        self.said = self.said._replace(unavailable=others if available else others | {track_id})

    def add(self, track: AddedTrack, *, available: bool | None = None) -> None:
        if available is not None:
            self.set_available(track.track_id, available=available)
        others = (it for it in self.said.added if it.track_id != track.track_id)
        self.said = self.said._replace(added=ordered([*others, track]))


@dataclass
class MemoryLists:
    """``done``: the lists by shard."""

    done: dict[Shard, list[UserList]] = field(default_factory=dict)

    def has(self, shard: Shard) -> bool:
        return shard in self.done

    def add(self, shard: Shard, lists: Iterable[UserList]) -> int:
        added = list(lists)
        return len(added) if self.done.setdefault(shard, added) is added else 0


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
class MemoryExperimentStore:
    """Of each experiment, and of each layer, every version; the last is the one that stands."""

    epochs: dict[str, list[Epoch]] = field(default_factory=dict)
    layer_versions: dict[str, list[Layer]] = field(default_factory=dict)

    def running(self, name: str) -> tuple[Epoch, str] | None:
        epochs = self.epochs.get(name)
        return (epochs[-1], f'"{len(epochs)}"') if epochs else None

    def all_running(self) -> list[tuple[Epoch, str]]:
        return [found for name in self.epochs if (found := self.running(name))]

    def all_epochs(self) -> list[Epoch]:
        latest = {epoch.id: epoch for epochs in self.epochs.values() for epoch in epochs}
        return [*latest.values()]

    def save(self, epoch: Epoch, replaces: str | None) -> bool:
        found = self.running(epoch.experiment.name)
        if (found[1] if found else None) != replaces:
            return False
        self.epochs.setdefault(epoch.experiment.name, []).append(epoch)
        return True

    def epoch(self, name: str, number: int) -> Epoch | None:
        found = [it for it in self.epochs.get(name, ()) if it.number == number]
        return found[-1] if found else None

    def versions(self, name: str) -> list[Epoch]:
        return [*self.epochs.get(name, ())]

    def layers(self) -> list[tuple[Layer, str]]:
        return [found for name in sorted(self.layer_versions) if (found := self.layer(name))]

    def layer(self, name: str) -> tuple[Layer, str] | None:
        layers = self.layer_versions.get(name)
        return (layers[-1], f'"{len(layers)}"') if layers else None

    def save_layer(self, layer: Layer, replaces: str | None) -> bool:
        found = self.layer(layer.name)
        if (found[1] if found else None) != replaces:
            return False
        self.layer_versions.setdefault(layer.name, []).append(layer)
        return True


@dataclass
class MemoryResultStore:
    """``results``: of an epoch and a user; ``batches``: where of these it is archived.

    ``page``: how much is answered at a time, where a port says "some".
    """

    results: dict[tuple[EpochId, str], Result] = field(default_factory=dict)
    batches: dict[tuple[EpochId, str], int] = field(default_factory=dict)
    sealed: set[tuple[EpochId, str]] = field(default_factory=set)
    erasures: dict[str, str] = field(default_factory=dict)
    page: int = 1_000
    _lock: Lock = field(default_factory=Lock)
    _places: dict[tuple[EpochId, str], str] = field(default_factory=dict)

    @property
    def settled(self) -> dict[tuple[EpochId, str], Record]:
        """All records, by epoch and user."""
        return {key: it for key, it in self._found() if isinstance(it, Record)}

    @property
    def exposed(self) -> dict[tuple[EpochId, str], Exposure]:
        """All exposures that await their outcome, by epoch and user."""
        return {key: it.exposure for key, it in self._found() if isinstance(it, Pending)}

    def find(self, epoch: EpochId, user_id: str) -> Result | None:
        return None if (epoch, user_id) in self.sealed else self.results.get((epoch, user_id))

    def add(self, epoch: EpochId, result: Result, erasure: str | None = None) -> Result:
        user_id = result.exposure.user_id
        with self._lock:
            if found := self.find(epoch, user_id):
                return found
            if self.erasures.get(user_id) != erasure or (epoch, user_id) in self.sealed:
                raise UserErased(self.erasures.get(user_id))
            self.results[epoch, user_id] = result
            return result

    def show(self, epoch: EpochId, pending: Pending, impression: Impression) -> Result | None:
        user_id = pending.exposure.user_id
        with self._lock:
            found = self.find(epoch, user_id)
            if found is None or found.exposure != pending.exposure:
                return None
            if isinstance(found, Pending):
                found = replace(found, later=(*found.later, impression))
                self.results[epoch, user_id] = found
            return found

    def settle(self, epoch: EpochId, record: Record) -> Record | None:
        with self._lock:
            found = self.find(epoch, record.exposure.user_id)
            if found is None or found.exposure != record.exposure:
                return None
            if isinstance(found, Pending):
                found = replace(record, later=found.later)
                self.results[epoch, record.exposure.user_id] = found
            return found

    def due(self, now: int) -> Iterator[Sequence[tuple[EpochId, Pending]]]:
        found = [(epoch, it) for (epoch, _), it in self._found() if isinstance(it, Pending)]
        due = [(epoch, it) for epoch, it in found if it.settles_at <= now]
        return (due[start : start + self.page] for start in range(0, len(due), self.page))

    def records(self, epoch: EpochId, *, limit: int, after: str | None = None) -> RecordPage:
        behind = "" if after is None else place_at(epoch, after)
        found = {self._place(epoch, it): it for it in self._records(epoch)}
        places = sorted(it for it in found if it > behind)
        page = places[:limit]
        following = position_of(epoch, page[-1]) if len(places) > limit else None
        return RecordPage(tuple(found[it] for it in page), following)

    def pending(self, epoch: EpochId) -> list[Pending]:
        results = {self._place(of, it): it for (of, _), it in self._found() if of == epoch}
        first = [results[it] for it in sorted(results)[: self.page]]
        return [it for it in first if isinstance(it, Pending)]

    def unarchived(self, epoch: EpochId) -> list[Record]:
        records = self._records(epoch)
        left = [it for it in records if (epoch, it.exposure.user_id) not in self.batches]
        return left[: self.page]

    def epochs_to_archive(self) -> set[EpochId]:
        return {epoch for epoch in {of for (of, _), _ in self._found()} if self.unarchived(epoch)}

    def note_archived(self, epoch: EpochId, records: Iterable[Record], batch: int) -> None:
        with self._lock:
            for record in records:
                user_id = record.exposure.user_id
                found = self.results.get((epoch, user_id))
                if isinstance(found, Record) and found.exposure == record.exposure:
                    self.batches[epoch, user_id] = batch

    def of_user(self, user_id: str) -> list[tuple[EpochId, Result]]:
        return [(epoch, it) for (epoch, user), it in self._found() if user == user_id]

    def begin_erasure(self, user_id: str) -> list[EpochId]:
        with self._lock:
            self.erasures[user_id] = uuid4().hex
            return [epoch for epoch, user in self.results if user == user_id]

    def seal(self, epoch: EpochId, user_id: str) -> int | None:
        with self._lock:
            if (epoch, user_id) in self.results:
                self.sealed.add((epoch, user_id))
            return self.batches.get((epoch, user_id))

    def forget(self, epoch: EpochId, user_id: str) -> None:
        with self._lock:
            if (epoch, user_id) in self.sealed:
                del self.results[epoch, user_id]
                self.batches.pop((epoch, user_id), None)
                self.sealed.discard((epoch, user_id))

    def _place(self, epoch: EpochId, result: Result) -> str:
        """Results stand in the order in which they were first asked for."""
        key = epoch, result.exposure.user_id
        return self._places.setdefault(key, f"{len(self._places):064x}")

    def _records(self, epoch: EpochId) -> list[Record]:
        return [it for (of, _), it in self._found() if of == epoch and isinstance(it, Record)]

    def _found(self) -> list[tuple[tuple[EpochId, str], Result]]:
        with self._lock:
            return [(key, it) for key, it in self.results.items() if key not in self.sealed]


@dataclass
class MemoryArchive:
    """Of each epoch the records of every batch, and how often anything has changed."""

    batches: dict[EpochId, list[dict[str, Record]]] = field(default_factory=dict)
    changes: dict[EpochId, int] = field(default_factory=dict)
    unnoted: set[EpochId] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def read(self, epoch: EpochId) -> Archived:
        with self._lock:
            return self._read(epoch)

    def latest(self, archived: Archived) -> list[Record] | None:
        with self._lock:
            changed = self._read(archived.epoch).tag != archived.tag
            return None if changed else list(self.batches[archived.epoch][-1].values())

    def add(self, archived: Archived, records: Sequence[Record]) -> Archived | None:
        assert archived.noted

        def act() -> None:
            batch = {record.exposure.user_id: record for record in records}
            self.batches.setdefault(archived.epoch, []).append(batch)
            self.unnoted.add(archived.epoch)

        return self._change(archived, act)

    def note(self, archived: Archived) -> Archived | None:
        return self._change(archived, lambda: self.unnoted.discard(archived.epoch))

    def erase(self, epoch: EpochId, user_id: str, batch: int | None) -> None:
        with self._lock:
            if batches := self.batches.get(epoch):
                batches[batch - 1 if batch else -1].pop(user_id, None)
            self.changes[epoch] = self.changes.get(epoch, 0) + 1

    def sweep(self, epoch: EpochId, now: int) -> int:  # noqa: ARG002
        return 0

    def _read(self, epoch: EpochId) -> Archived:
        batches = self.batches.get(epoch, [])
        tag = str(self.changes[epoch]) if epoch in self.changes else None
        tally = Tally.of(record for batch in batches for record in batch.values())
        return Archived(epoch, tag, tally, len(batches), epoch not in self.unnoted)

    def _change(self, archived: Archived, act: Callable[[], object]) -> Archived | None:
        with self._lock:
            if self._read(archived.epoch).tag != archived.tag:
                return None
            act()
            self.changes[archived.epoch] = self.changes.get(archived.epoch, 0) + 1
            return self._read(archived.epoch)
