"""What an experiment remembers of a user: the exposure, and later its outcome."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from segue.domain.times import Window


@dataclass(frozen=True, slots=True)
class Exposure:
    """What one user was recommended in one epoch, and by which arm.

    ``as_of`` is the moment the recommendation was made for; its window begins there.
    ``error`` names what failed where the model gave no answer: everyone assigned is analysed, and
    a failed call is a failure of its arm. Times are in milliseconds since 1970 UTC.

    Of the listener, as of that moment: ``traits`` to break results down by, and ``before``, the
    share of the plays of the window's length before it that were completed (None: no plays).
    ``figures``: what guardrails watch of the recommendation. ``owners``: of an interleaved list,
    the group that each track came from. ``propensities``: where allocation adapts, each group's
    probability at that moment, and ``seen``, the successes and users that it followed from.
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

    @property
    def failed(self) -> bool:
        """Whether there is nothing to show. (Where one of two arms failed, the other's list is.)"""
        return self.error is not None and not self.tracks


@dataclass(frozen=True, slots=True)
class Pending:
    """An exposure without an outcome. From ``settles_at`` on, when its window has passed, it can be
    had; in milliseconds since 1970 UTC."""

    exposure: Exposure
    settles_at: int

    @property
    def window(self) -> Window:
        """The stretch of time in which a play counts."""
        return Window(self.exposure.as_of, self.settles_at)


@dataclass(frozen=True, slots=True)
class Record:
    """An exposure whose window has passed, and its outcome, settled for good at ``settled_at``.

    ``credits``: of an interleaved list, how many tracks of each group were fully played.
    ``figures``: what metrics and guardrails say of the listener's behaviour in the window.
    """

    exposure: Exposure
    successful: bool
    settled_at: int
    credits: Mapping[str, int] = field(default_factory=dict, hash=False)
    figures: Mapping[str, float] = field(default_factory=dict, hash=False)

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


def user_hash(user_id: str) -> str:
    """Where the user stands in the order of the records: ``sha256(user_id)`` in hexadecimal."""
    return sha256(user_id.encode()).hexdigest()


def is_success(exposure: Exposure, completed: Collection[str]) -> bool:
    """At least one recommended track was fully played; ``completed``: the window's such tracks."""
    return any(track in completed for track in exposure.tracks)


def recommendation_id(salt: str, user_id: str) -> str:
    """Names the one exposure that a user has in an epoch; the same on every machine."""
    return sha256(f"recommendation:{salt}:{user_id}".encode()).hexdigest()[:32]
