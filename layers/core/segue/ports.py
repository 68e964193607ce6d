"""What the services need of the outside world. ``segue.adapters`` fulfils it, tests replace it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from segue.domain.added import AddedTrack, TrackChanges
from segue.domain.events import Event
from segue.domain.times import Window
from segue.domain.users import User

# Not every function has a use for ONNX Runtime, which the bundle brings along, or for experiments.
if TYPE_CHECKING:
    from segue.experiments.epoch import Epoch, EpochId
    from segue.experiments.layers import Layer
    from segue.experiments.records import Impression, Pending, Record, RecordPage, Result
    from segue.experiments.tally import Tally
    from segue.models.bundle import Bundle


class Clock(Protocol):
    """Tells the time, in milliseconds since 1970 UTC."""

    def now(self) -> int: ...


class SessionStore(Protocol):
    """Listening events, by user and time. Raises StoreUnavailable."""

    def events(self, user_id: str, window: Window, *, fresh: bool = True) -> list[Event]:
        """The user's events in the window, in no particular order; empty for an unknown user.

        Not ``fresh``: what was stored within the last second may be missing, at half the cost.
        """
        ...

    def history(self, user_id: str, window: Window, *, fresh: bool = True) -> list[Event]:
        """The same as ``events``, without the lists that they came from, at far less cost where the
        window is long; even if it has to be ``fresh``, an event that was stored within the last
        second may be missing if it bears a time more than some days ago."""
        ...

    def has_events(self, user_id: str) -> bool:
        """Whether the user has any event at all, at any time."""
        ...

    def put(self, events: Iterable[Event]) -> None:
        """Store whole sessions; storing the same again changes nothing."""
        ...

    def append(self, events: Iterable[Event]) -> int:
        """Add events to their sessions; how many of them were not there before.

        Safe under concurrent writers, and after a failure to be called again with the same.
        """
        ...

    def delete(self, user_id: str) -> None:
        """Delete all events of the user."""
        ...


class Profile(NamedTuple):
    """A user's profile, and what tells it from one of theirs before an erasure; None: nothing."""

    user: User
    mark: str | None


class StoredList(NamedTuple):
    """Tracks, best first, that a bundle's model recommends as of a moment, in milliseconds."""

    tracks: tuple[str, ...]
    bundle: str
    as_of: int


class UserStore(Protocol):
    """Profiles, by user, and lists beside them. Raises StoreUnavailable."""

    def get(self, user_id: str) -> User | None: ...

    def put(self, user: User) -> None:
        """Store the profile in place of the one before."""
        ...

    def amend(self, user: User) -> User:
        """The same, but the attributes of the one before stay; the profile as it is then."""
        ...

    def delete(self, user_id: str) -> None:
        """Delete the profile, if there is one."""
        ...

    def stored_list(self, user_id: str, model_id: int) -> StoredList | None:
        """The model's list for the user; one of a moment ago may be missing."""
        ...

    def store_list(self, profile: Profile, model_id: int, made: StoredList) -> None:
        """In place of the model's earlier list. Nothing where that is as of a later moment, or
        where the user was erased since the profile was read, even if they are back."""
        ...

    def search(self, prefix: str, limit: int) -> list[User]:
        """Up to ``limit`` users whose ids begin so, in the order of the ids; "": any users.

        A profile that was put a moment ago may be missing.
        """
        ...

    def part(self, number: int, of: int) -> Iterator[Profile]:
        """The profiles of one of so many parts, about equally large; ``number`` is from 0.

        Each user is in one part, and always in the same one of as many.
        """
        ...


class TrackStore(Protocol):
    """What was said of tracks since the models were trained. Raises StoreUnavailable."""

    def changes(self) -> TrackChanges:
        """All of it, as of now; the same object for as long as nothing was said."""
        ...

    def set_available(self, track_id: str, *, available: bool) -> None:
        """Let the track be recommended, or not, from now on. Safe to repeat."""
        ...

    def add(self, track: AddedTrack, *, available: bool | None = None) -> None:
        """Let there be this track from now on, in place of one that was added under its id.
        ``available``: whether it may be recommended; None: as before. Safe to repeat."""
        ...


@dataclass(frozen=True, slots=True)
class Refused:
    """What should be served and is not, and why; ``version`` is None where even that is unknown."""

    version: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of the users, for whom lists are made together: part ``number``, from 0, ``of``.

    run: a name for all shards of one order, which agree in everything but ``number``. model_id, k:
    whose lists, and how long. as_of: the moment that they are made for, in milliseconds. serve:
    whether they are stored beside the users' profiles, too, for requests to be answered with.
    """

    run: str
    model_id: int
    k: int
    as_of: int
    number: int
    of: int
    serve: bool = False


@dataclass(frozen=True, slots=True)
class UserList:
    """What a model of a bundle recommends to a user at a moment: tracks, best first, and scores."""

    user_id: str
    tracks: Sequence[str]
    scores: Sequence[float]
    model: str
    bundle: str
    as_of: int


class ListStore(Protocol):
    """The lists of shards that are done. Raises StoreUnavailable."""

    def has(self, shard: Shard) -> bool:
        """Whether the shard is done."""
        ...

    def add(self, shard: Shard, lists: Iterable[UserList]) -> int:
        """Store the lists, all or none of them; how many. 0, and nothing is stored, where
        somebody else was faster."""
        ...


class ModelStore(Protocol):
    """Where the models come from. Every bundle is whole and in working order."""

    def current(self, *, fresh: bool = False) -> "Bundle":
        """The bundle to serve: the active one, as of some seconds ago; ``fresh``: as of now.

        Where that one cannot be had, the one before goes on being served. Raises BundleMissing or
        BundleCorrupt where there is none at all.
        """
        ...

    def bundle(self, version: str) -> "Bundle":
        """The bundle of this version, active or not.

        Raises BundleMissing, BundleCorrupt, and StoreUnavailable.
        """
        ...

    def refused(self) -> Refused | None:
        """Why another bundle is served than should be; None where all is well."""
        ...


class ExperimentStore(Protocol):
    """Experiments, each with the epoch that runs, in replay. Raises StoreUnavailable."""

    def running(self, name: str) -> "tuple[Epoch, str] | None":
        """The running epoch and the tag of its version; None where there was never any."""
        ...

    def all_running(self) -> "list[tuple[Epoch, str]]":
        """Every experiment's."""
        ...

    def all_epochs(self) -> "list[Epoch]":
        """Every epoch of every experiment that runs or ever ran."""
        ...

    def save(self, epoch: "Epoch", replaces: str | None) -> bool:
        """Let the epoch run if what is stored still bears the tag ``replaces`` (None: if nothing
        is stored). False where somebody else was faster; nothing is changed then.
        """
        ...

    def epoch(self, name: str, number: int) -> "Epoch | None":
        """An epoch that runs or ran, as it stood last; None where there was never any of that
        number."""
        ...

    def versions(self, name: str) -> "list[Epoch]":
        """The experiment after every change, the latest ones of very many, in their order."""
        ...

    def layers(self) -> "list[tuple[Layer, str]]":
        """Every layer, with the tag of its version."""
        ...

    def layer(self, name: str) -> "tuple[Layer, str] | None":
        """The layer and the tag of its version; None where nobody has used it yet."""
        ...

    def save_layer(self, layer: "Layer", replaces: str | None) -> bool:
        """Store the layer if what is stored still bears the tag, as ``save`` does."""
        ...


class ResultStore(Protocol):
    """What users were recommended in experiments, and what came of it. Raises StoreUnavailable.

    A user has one result in an epoch: pending at first, then a record, or a record at once.
    """

    def find(self, epoch: "EpochId", user_id: str) -> "Result | None":
        """The user's result."""
        ...

    def add(self, epoch: "EpochId", result: "Result", erasure: str | None = None) -> "Result":
        """Store the result unless the user has one already; answer the one that is stored.

        ``erasure``: the last one of the user that was known before anything was read of them.
        Raises UserErased, and stores nothing, where there has been another since.
        """
        ...

    def show(
        self, epoch: "EpochId", pending: "Pending", impression: "Impression"
    ) -> "Result | None":
        """Remember another list that the user is shown, beside those of the pending exposure.

        The user's result as it is then: without the list where it has been settled meanwhile; None
        where the exposure is gone, as the user was erased.
        """
        ...

    def settle(self, epoch: "EpochId", record: "Record") -> "Record | None":
        """Let the record take the place of its pending exposure; answer the record that counts,
        another one where somebody else was faster. None, and nothing is stored, where the exposure
        is gone: the user was erased.
        """
        ...

    def due(self, now: int) -> "Iterator[Sequence[tuple[EpochId, Pending]]]":
        """What is pending and can be settled by now, of all epochs, some at a time.

        Costs what is due, not what is pending. Begins at another place each time, so that nothing
        is always last. What was added a moment ago may be missing.
        """
        ...

    def records(self, epoch: "EpochId", *, limit: int, after: str | None = None) -> "RecordPage":
        """Up to ``limit`` records behind the position ``after``, in an order that stays the same.

        A page of large records, and one where many are pending, may hold fewer, even none. Raises
        UnknownPosition for what is no position of this list.
        """
        ...

    def pending(self, epoch: "EpochId") -> "list[Pending]":
        """Of the first thousand users of the epoch in that order, those who are pending."""
        ...

    def unarchived(self, epoch: "EpochId") -> "list[Record]":
        """Records that are not noted as archived: all of them, or some thousand.

        What was added a moment ago may be missing; what is noted as archived is never there.
        """
        ...

    def epochs_to_archive(self) -> "set[EpochId]":
        """Epochs with unarchived records: all of them, or some; none where nothing is left."""
        ...

    def note_archived(self, epoch: "EpochId", records: "Iterable[Record]", batch: int) -> None:
        """Note which batch of the archive holds these records. Safe to repeat.

        A later record of a user who was erased and came back is none of these.
        """
        ...

    def of_user(self, user_id: str) -> "list[tuple[EpochId, Result]]":
        """The user's results of all epochs. Costs what there is of the user."""
        ...

    def begin_erasure(self, user_id: str) -> "list[EpochId]":
        """Have every ``add`` refused from now on that read something of the user before.

        The epochs that the user has a result in, those half erased included.
        """
        ...

    def seal(self, epoch: "EpochId", user_id: str) -> int | None:
        """Let the result of a user who is being erased be neither found, settled nor archived.

        The archive's batch that holds the record, if that is noted; safe to repeat.
        """
        ...

    def forget(self, epoch: "EpochId", user_id: str) -> None:
        """Delete what is sealed."""
        ...


@dataclass(frozen=True, slots=True)
class Archived:
    """An epoch's archive as of a version of it, whose tag is None before the first batch.

    ``batch`` is the number of the latest batch, from 1 on. Its records may not all be noted as
    archived in the ResultStore while ``noted`` is false.
    """

    epoch: "EpochId"
    tag: str | None
    tally: "Tally"
    batch: int
    noted: bool


class ResultArchive(Protocol):
    """Copies of records by the thousand, for reports and analysis. Raises StoreUnavailable.

    What changes the archive takes the version that was read, and answers the one that follows from
    it; None where somebody else was faster, and nothing is changed then.
    """

    def read(self, epoch: "EpochId") -> Archived:
        """The archive as it stands. Costs the same whatever it holds."""
        ...

    def latest(self, archived: Archived) -> "Sequence[Record] | None":
        """The records of the latest batch; None where the archive has changed since."""
        ...

    def add(self, archived: Archived, records: "Sequence[Record]") -> Archived | None:
        """Add a batch, which is not noted yet. Everything in the archive must be."""
        ...

    def note(self, archived: Archived) -> Archived | None:
        """Say that the latest batch is noted in the ResultStore.

        Small files are merged on this occasion, so that each record is rewritten O(log n) times.
        """
        ...

    def erase(self, epoch: "EpochId", user_id: str, batch: int | None) -> None:
        """Take the user's record, and what it counted, out of the batch, or out of the latest one.

        The version changes even where there is no such record: who has read an earlier one, and the
        record beside it, adds it no more.
        """
        ...

    def sweep(self, epoch: "EpochId", now: int) -> int:
        """Delete files whose writers did not live to have them count; how many."""
        ...
