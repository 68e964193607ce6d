"""What an experiment remembers of a user: the exposure, and later its outcome."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exposure:
    """What one user was recommended in one epoch, and by which arm.

    ``as_of`` is the moment the recommendation was made for; its window begins there.
    ``error`` names what failed where the model gave no answer: everyone assigned is analysed, and
    a failed call is a failure of its arm. Times are in milliseconds since 1970 UTC.
    """

    user_id: str
    group: str
    model: str
    bundle: str
    tracks: tuple[str, ...]
    as_of: int
    created_at: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """An exposure whose window has passed, and its outcome, settled for good at ``settled_at``."""

    exposure: Exposure
    successful: bool
    settled_at: int


@dataclass(frozen=True, slots=True)
class RecordPage:
    """One page of records; ``next`` is the position to go on from, None on the last page."""

    records: tuple[Record, ...]
    next: str | None


def is_success(exposure: Exposure, completed: Collection[str]) -> bool:
    """At least one recommended track was fully played; ``completed``: the window's such tracks."""
    return any(track in completed for track in exposure.tracks)
