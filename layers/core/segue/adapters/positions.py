"""Positions in the list of an epoch's records, as the pages of the list give them to callers."""

from hashlib import sha256

from segue.domain.errors import UnknownPosition
from segue.experiments.epoch import EpochId

_DIGEST = 64  # characters of a ``user_hash``


def position_of(epoch: EpochId, digest: str) -> str:
    """The place behind the user with this ``user_hash``.

    It says of which list it is, so that another list's position is not taken for one of this.
    """
    return digest + sha256(repr((epoch.salt, digest)).encode()).hexdigest()[:16]


def digest_at(epoch: EpochId, position: str) -> str:
    """The ``user_hash`` of the user there. Raises UnknownPosition for one of another list."""
    digest = position[:_DIGEST]
    if position != position_of(epoch, digest):
        raise UnknownPosition
    return digest
