"""What the services need of the outside world. ``segue.adapters`` fulfils it, tests replace it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from segue.domain.events import Event
from segue.domain.times import Window
from segue.domain.users import User
from segue.experiments.experiment import Experiment
from segue.experiments.manifest import Compaction
from segue.experiments.records import Exposure, Record, RecordPage
from segue.experiments.tally import Tally

# It brings ONNX Runtime along, which not every function has a use for.
if TYPE_CHECKING:
    from segue.models.bundle import Bundle


class Clock(Protocol):
    """Tells the time, in milliseconds since 1970 UTC."""

    def now(self) -> int: ...


class SessionStore(Protocol):
    """Listening events, by user and time. Raises StoreUnavailable."""

    def events(self, user_id: str, window: Window) -> list[Event]:
        """The user's events in the window, in no particular order; empty for an unknown user."""
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


class UserStore(Protocol):
    """Profiles, by user. Raises StoreUnavailable."""

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

    def search(self, prefix: str, limit: int) -> list[User]:
        """Up to ``limit`` users whose ids begin so, in the order of the ids; "": any users.

        A profile that was put a moment ago may be missing.
        """
        ...


class Availability(Protocol):
    """Which tracks of the catalogue must not be recommended. Raises StoreUnavailable."""

    def unavailable(self) -> frozenset[str]:
        """Their ids, as of now."""
        ...

    def save(self, track_id: str, *, available: bool) -> None:
        """Let the track be recommended, or not, from now on. Safe to repeat."""
        ...


@dataclass(frozen=True, slots=True)
class Refused:
    """What should be served and is not, and why; ``version`` is None where even that is unknown."""

    version: str | None
    reason: str


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


class ResultStore(Protocol):
    """Experiments and what came of them. Raises StoreUnavailable."""

    def experiment(self, name: str) -> tuple[Experiment, str] | None:
        """The experiment and the tag of its version, or None where it was never saved."""
        ...

    def all_experiments(self) -> list[tuple[Experiment, str]]:
        """Every experiment that was saved, each with the tag of its version."""
        ...

    def save_experiment(self, experiment: Experiment, replaces: str | None) -> bool:
        """Save if the stored version still bears the tag ``replaces`` (None: if there is none).

        False where somebody else was faster; nothing is changed then.
        """
        ...

    def record(self, experiment: Experiment, user_id: str) -> Record | None:
        """The user's record in the experiment's epoch."""
        ...

    def add_record(
        self, experiment: Experiment, record: Record, erasure: str | None = None
    ) -> Record:
        """Store the record unless the user has one already; answer the one that counts.

        ``erasure``: the last one of the user that was known before anything was read of them.
        Raises UserErased, and stores nothing, where there has been another since.
        """
        ...

    def exposure(self, experiment: Experiment, user_id: str) -> tuple[Exposure, str] | None:
        """What the user was recommended in the epoch and the tag of its version, while pending."""
        ...

    def add_exposure(
        self, experiment: Experiment, exposure: Exposure, erasure: str | None = None
    ) -> Exposure:
        """Store the exposure unless the user has one already; answer the one that is stored.

        ``erasure``, UserErased: as for ``add_record``.
        """
        ...

    def records(self, experiment: Experiment, *, limit: int, after: str = "") -> RecordPage:
        """A page of the epoch's records in a fixed order, behind the user with the hash ``after``.

        Raises UnknownPosition where there is no record of that user, nor was before an erasure.
        """
        ...

    def tally(self, experiment: Experiment) -> Tally:
        """The counts of all the epoch's records, at a cost that does not grow with them."""
        ...

    def tally_and_pending(self, experiment: Experiment) -> tuple[Tally, list[Exposure]]:
        """That tally, and the first page of the exposures of users without a record.

        No user is in both, whoever records outcomes meanwhile.
        """
        ...

    def exposures(
        self, experiment: Experiment, *, after: str = ""
    ) -> tuple[list[tuple[Exposure, str]], str | None]:
        """Some pending exposures behind the position ``after``, each with the tag of its version.

        The second answer is the position to go on from, None at the end.
        """
        ...

    def drop_exposure(self, experiment: Experiment, user_id: str, tag: str) -> None:
        """Forget what the user was recommended, if that still bears the tag; the record stays."""
        ...

    def erase(self, experiment: Experiment, user_id: str) -> None:
        """Take all that is held of the user out of the epoch, its counts included.

        Who has read something of the user before, and writes after this, is refused.
        """
        ...


class ResultArchive(Protocol):
    """Where records are kept compactly; answers are the same before and after. Like ResultStore."""

    def compact(self, experiment: Experiment, after: str = "") -> Compaction:
        """Compact some of the epoch's records behind the position ``after``."""
        ...

    def sweep(self, experiment: Experiment, now: int) -> int:
        """Delete what compactions left behind that did not live to finish; how many files."""
        ...
