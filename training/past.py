"""All that was played before a moment, by everybody."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray
from segue.features.listeners import History
from training.histories import history_at
from training.plays import Plays


@dataclass(frozen=True)
class Past:
    """Plays as arrays over the plays, in the order of (user, time), as known at ``as_of``.

    users: (users,) ids. owner, tracks: (plays,) int32, positions among these users and in the
    catalogue. completed, liked: (plays,) bool. age: (plays,) float32, days before ``as_of``.
    """

    as_of: int
    users: NDArray[np.str_]
    owner: NDArray[np.int32]
    tracks: NDArray[np.int32]
    completed: NDArray[np.bool_]
    liked: NDArray[np.bool_]
    age: FloatArray

    def history(self, user: int) -> History:
        """The plays of the user at this position."""
        start, end = np.searchsorted(self.owner, [user, user + 1])
        own = slice(start, end)
        return History(self.tracks[own], self.completed[own], self.liked[own], self.age[own])

    def only(self, plays: NDArray[np.bool_]) -> "Past":
        """Without the plays where ``plays``, (plays,), does not hold."""
        return Past(
            self.as_of,
            self.users,
            self.owner[plays],
            self.tracks[plays],
            self.completed[plays],
            self.liked[plays],
            self.age[plays],
        )


def past_at(users: NDArray[np.str_], plays: Plays, as_of: int, days: int) -> Past:
    """What was known at a moment of the ``days`` before it, and who had played anything by then.

    users, plays: see ``histories.read_plays``.
    """
    known = plays.known_at(as_of)
    active, owner = np.unique(known.user, return_inverse=True)
    history = history_at(known, as_of)
    past = Past(
        as_of,
        users[active],
        owner.astype(np.int32),
        history.tracks,
        history.completed,
        history.liked,
        history.age,
    )
    return past.only(past.age <= days)
