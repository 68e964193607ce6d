"""All that was played before a moment, by everybody."""

from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.times import DAY
from segue.features.encoder import FloatArray
from segue.features.listeners import History
from training.data import query, set_cutoffs
from training.slices import known_tracks


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


def read_past(
    connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, as_of: int, days: int
) -> Past:
    """The plays of known tracks in the ``days`` before ``as_of``."""
    set_cutoffs(connection, [as_of])
    rows = known_tracks(query(connection, "history.sql"), catalogue)
    age = ((as_of - rows.column("time").to_numpy()) / DAY).astype(np.float32)
    recent = age <= days
    named = rows.column("user_id").combine_chunks().dictionary_encode()
    return Past(
        as_of,
        np.array(named.dictionary.to_pylist(), np.str_),
        named.indices.to_numpy().astype(np.int32)[recent],
        rows.column("position").to_numpy()[recent],
        rows.column("completed").to_numpy()[recent],
        rows.column("liked").to_numpy()[recent],
        age[recent],
    )
