"""Positions in the list of an epoch's records, as the pages of the list give them to callers."""

from hashlib import sha256

from segue.domain.errors import UnknownPosition
from segue.experiments.epoch import EpochId

_PLACE = 64  # characters of a place


def position_of(epoch: EpochId, place: str) -> str:
    """The position behind the item in this place, which is drawn by lot and names no user.

    It says of which list it is, so that another list's position is not taken for one of this.
    """
    return place + sha256(repr((epoch.salt, place)).encode()).hexdigest()[:16]


def place_at(epoch: EpochId, position: str) -> str:
    """The place of the item there. Raises UnknownPosition for a position of another list."""
    place = position[:_PLACE]
    if position != position_of(epoch, place):
        raise UnknownPosition
    return place
