"""Plays as arrays, and what was known of them at a moment.

Only NumPy is needed here, so that peers can read them from an environment of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

# As segue.domain.times has it, which is not there where peers run.
DAY = 24 * 60 * 60 * 1000
# The time of what has not happened.
NEVER = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Plays:
    """Arrays over the plays, in the order of (user, time, track).

    user, track: (plays,) int32, positions among the users and in the catalogue. time: (plays,)
    int64, milliseconds since 1970 UTC. skipped_at, liked_at: (plays,) int64, when the play was
    skipped, and from when on its track is liked; NEVER where that has not happened.
    """

    user: NDArray[np.int32]
    track: NDArray[np.int32]
    time: NDArray[np.int64]
    skipped_at: NDArray[np.int64]
    liked_at: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.user)

    @cached_property
    def completed(self) -> NDArray[np.bool_]:
        """(plays,) bool."""
        return np.asarray(self.skipped_at == NEVER)

    @cached_property
    def liked(self) -> NDArray[np.bool_]:
        """(plays,) bool."""
        return np.asarray(self.liked_at != NEVER)

    def known_at(self, moment: int, days: int | None = None) -> "Plays":
        """The plays before a moment, of so many days alone if that is said, as known then.

        A skip or a like at the moment or later is not known yet: the play counts as completed, or
        as not liked, as it does where the service is asked at that moment.
        """
        first = moment - days * DAY if days is not None else -NEVER
        plays = self.only((self.time >= first) & (self.time < moment))
        return replace(
            plays,
            skipped_at=np.where(plays.skipped_at < moment, plays.skipped_at, NEVER),
            liked_at=np.where(plays.liked_at < moment, plays.liked_at, NEVER),
        )

    def completed_in(self, start: int, end: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Who fully played what from ``start`` on and before ``end``, as known at ``end``.

        The different pairs, ascending: users and tracks, each (pairs,).
        """
        then = self.only((self.time >= start) & (self.time < end) & (self.skipped_at >= end))
        users, tracks, _ = then.pairs()
        return users, tracks

    def pairs(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.intp]]:
        """The different pairs, ascending: users and tracks, each (pairs,); and which of these each
        play is of, (plays,)."""
        tracks = int(self.track.max(initial=0)) + 1
        pairs, of_play = np.unique(
            self.user.astype(np.int64) * tracks + self.track, return_inverse=True
        )
        return (pairs // tracks).astype(np.int32), (pairs % tracks).astype(np.int32), of_play

    def of(self, user: int) -> "Plays":
        """Those of one user."""
        start, end = np.searchsorted(self.user, [user, user + 1])
        return self.only(slice(start, end))

    def only(self, chosen: NDArray[np.bool_] | slice) -> "Plays":
        """Those that are chosen; the order stays."""
        return Plays(
            self.user[chosen],
            self.track[chosen],
            self.time[chosen],
            self.skipped_at[chosen],
            self.liked_at[chosen],
        )


def concatenate(parts: Sequence[Plays]) -> Plays:
    """One behind the other; of at least one part."""
    columns = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Plays)
    }
    return Plays(**columns)
