"""What an experiment remembers of a user: the exposure, and later its outcome."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from segue.domain.errors import UnknownPosition


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
class Record:
    """An exposure whose window has passed, and its outcome, settled for good at ``settled_at``.

    ``credits``: of an interleaved list, how many tracks of each group were fully played.
    ``figures``: what guardrails watch of the listener's behaviour in the window.
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


@dataclass(frozen=True, slots=True)
class RecordPage:
    """One page of records; ``next``: the hash of its last user, None on the last page."""

    records: tuple[Record, ...]
    next: str | None


def position_of(salt: str, digest: str) -> str:
    """The place behind a user, given by hash, in the list of an epoch's records.

    It says of which list it is, so that another one's is not taken for one of this.
    """
    return digest + sha256(repr((salt, digest)).encode()).hexdigest()[:16]


def digest_at(salt: str, position: str) -> str:
    """The hash of the user there. Raises UnknownPosition for one of another list."""
    digest = position[:64]
    if position != position_of(salt, digest):
        raise UnknownPosition
    return digest


def is_success(exposure: Exposure, completed: Collection[str]) -> bool:
    """At least one recommended track was fully played; ``completed``: the window's such tracks."""
    return any(track in completed for track in exposure.tracks)


def recommendation_id(salt: str, user_id: str) -> str:
    """Names the one exposure that a user has in an epoch; the same on every machine."""
    return sha256(f"recommendation:{salt}:{user_id}".encode()).hexdigest()[:32]
