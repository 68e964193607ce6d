"""What an experiment remembers of a user: the exposure, and later its outcome."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from segue.domain.times import Window

# Of one user in one epoch, so many tracks of all lists together are remembered.
MOST_TRACKS = 2_000


@dataclass(frozen=True, slots=True)
class Impression:
    """A list that the user was shown, from ``shown_at`` on; in milliseconds since 1970 UTC.

    ``owners``: of an interleaved list, the group that each track came from.
    """

    shown_at: int
    tracks: tuple[str, ...]
    owners: tuple[str, ...] = ()

    def is_same(self, other: "Impression") -> bool:
        """Whether the list is the same, whenever it was shown."""
        return (self.tracks, self.owners) == (other.tracks, other.owners)

    def id(self, salt: str, user_id: str) -> str:
        """Names the list, among all of all users and epochs; the same on every machine."""
        named = json.dumps([salt, user_id, self.tracks, self.owners])
        return sha256(f"recommendation:{named}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Exposure:
    """What one user was recommended first in one epoch, and by which arm.

    ``as_of`` is the moment the recommendation was made for; its window begins there.
    ``error`` names what failed where the model gave no answer: everyone assigned is analysed, and
    a failed call is a failure of its arm. Times are in milliseconds since 1970 UTC.

    Of the listener, as of that moment: ``traits`` to break results down by, and ``before``, the
    share of the plays of the window's length before it that were completed (None: no plays).
    ``figures``: what guardrails watch of the recommendation. ``owners``: of an interleaved list,
    the group that each track came from. ``propensities``: where allocation adapts, each group's
    probability at that moment, and ``seen``, the successes and users that it followed from.
    ``lists``: of a paired replay, what each arm would have recommended, the control first; nothing
    where its model failed.
    """

    user_id: str
    group: str
    model: str
    bundle: str
    tracks: tuple[str, ...]
    as_of: int
    created_at: int
    error: str | None = None
    owners: tuple[str, ...] = ()
    before: float | None = None
    # Mappings have no hash; equal exposures still have equal hashes.
    traits: Mapping[str, str] = field(default_factory=dict, hash=False)
    figures: Mapping[str, float] = field(default_factory=dict, hash=False)
    propensities: Mapping[str, float] = field(default_factory=dict, hash=False)
    seen: Mapping[str, tuple[int, int]] = field(default_factory=dict, hash=False)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @property
    def failed(self) -> bool:
        """Whether there is nothing to show. (Where one of two arms failed, the other's list is.)"""
        return self.error is not None and not self.tracks

    @property
    def impression(self) -> Impression:
        """Its list."""
        return Impression(self.as_of, self.tracks, self.owners)


@dataclass(frozen=True, slots=True)
class Pending:
    """An exposure without an outcome. From ``settles_at`` on, when its window has passed, it can be
    had; in milliseconds since 1970 UTC. ``later``: other lists that the user has been shown since.
    """

    exposure: Exposure
    settles_at: int
    later: tuple[Impression, ...] = ()

    @property
    def window(self) -> Window:
        """The stretch of time in which a play counts."""
        return Window(self.exposure.as_of, self.settles_at)

    @property
    def impressions(self) -> tuple[Impression, ...]:
        """All lists that the user was shown."""
        return (self.exposure.impression, *self.later)

    def has_room(self, impression: Impression) -> bool:
        """Whether the list can still be remembered beside the others."""
        shown = sum(len(other.tracks) for other in self.impressions)
        return shown + len(impression.tracks) <= MOST_TRACKS


@dataclass(frozen=True, slots=True)
class Record:
    """An exposure whose window has passed, and its outcome, settled for good at ``settled_at``.

    ``credits``: of interleaved lists, how many tracks of each group were fully played.
    ``figures``: what metrics and guardrails say of the listener's behaviour in the window.
    ``later``: other lists than the exposure's that the user was shown.
    ``positions``: where in their lists the tracks stood that were fully played, from 1 on, and
    ``reported``, those of plays that were sent with the list's ``recommendation_id``.
    ``successes``: of a paired replay, whether each arm's list was a success, the control's first.
    """

    exposure: Exposure
    successful: bool
    settled_at: int
    credits: Mapping[str, int] = field(default_factory=dict, hash=False)
    figures: Mapping[str, float] = field(default_factory=dict, hash=False)
    later: tuple[Impression, ...] = ()
    positions: tuple[int, ...] = ()
    reported: tuple[int, ...] = ()
    successes: Mapping[str, bool] = field(default_factory=dict, hash=False)

    @property
    def winner(self) -> str | None:
        """The group with the most credit; None where nothing was interleaved, or it is a draw."""
        best = max(self.credits.values(), default=0)
        leaders = [group for group, credit in self.credits.items() if credit == best]
        return leaders[0] if len(leaders) == 1 else None


# A user's part in an epoch.
Result = Pending | Record


@dataclass(frozen=True, slots=True)
class RecordPage:
    """One page of records; ``next``: the position behind its last one, None on the last page."""

    records: tuple[Record, ...]
    next: str | None
