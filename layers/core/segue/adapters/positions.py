"""Positions in lists of records: where a page ended, for the next one to go on from."""

from hashlib import sha256

from segue.domain.errors import UnknownPosition
from segue.experiments.epoch import EpochId


def position_of(epoch: EpochId, digest: str) -> str:
    """The place behind a user, given by hash, in the list of an epoch's records.

    It says of which list it is, so that another one's is not taken for one of this.
    """
    return digest + sha256(repr((epoch.salt, digest)).encode()).hexdigest()[:16]


def digest_at(epoch: EpochId, position: str) -> str:
    """The hash of the user there. Raises UnknownPosition for one of another list."""
    digest = position[:64]
    if position != position_of(epoch, digest):
        raise UnknownPosition
    return digest
