"""The catalogue: every track that can be recommended, by position."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

V = TypeVar("V", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The tracks, in the order of their ids' bytes; a track's *position* is its row in all arrays.

    ids: (tracks,) bytes, sorted. explicit: (tracks,) bool. popularity: (tracks,) float32 in
    [0, 1], from plays before the cut-off. artists: (tracks,) int32, a number for each artist, -1
    where unknown. genres: for each genre the positions of its tracks. artist_ids: (artists,) bytes,
    sorted, by those numbers.
    """

    ids: NDArray[np.bytes_]
    explicit: NDArray[np.bool_]
    popularity: NDArray[np.float32]
    artists: NDArray[np.int32]
    genres: Mapping[str, NDArray[np.int32]]
    artist_ids: NDArray[np.bytes_] = field(default_factory=lambda: np.empty(0, np.bytes_))

    def __len__(self) -> int:
        return len(self.ids)

    def positions(self, track_ids: Sequence[str]) -> NDArray[np.int32]:
        """(len(track_ids),) the tracks' positions; -1 for a track that is not in the catalogue.

        By binary search, since a dict of a million ids costs half a second at every cold start.
        """
        if not len(self.ids):
            return np.full(len(track_ids), -1, np.int32)
        # A longer id cannot be one of ours, and would widen all of them to its own length; one that
        # ends in NUL would pass for the id without it.
        encoded = [track_id.encode() for track_id in track_ids]
        known = [i if len(i) <= self.ids.itemsize and i[-1:] != b"\0" else b"" for i in encoded]
        wanted = np.array(known, self.ids.dtype)
        found = np.searchsorted(self.ids, wanted)
        found[found == len(self.ids)] = 0
        return np.where(self.ids[found] == wanted, found, -1).astype(np.int32)

    def beginning_with(self, start: str) -> slice:
        """The positions of the tracks whose ids begin so."""
        wanted = start.encode()
        return slice(bisect_left(self.ids, wanted), bisect_left(self.ids, wanted + b"\xff"))

    def of_artists(self, values: NDArray[V], absent: V) -> NDArray[V]:
        """(tracks,) what the artist of each track has; ``absent`` for tracks of no artist.

        values: (artists,) by their numbers.
        """
        # The last place is for the number -1.
        found: NDArray[V] = np.append(values, absent).take(self.artists, mode="wrap")
        return found

    def track_ids(self, positions: NDArray[np.integer]) -> list[str]:
        """The ids of the tracks at these positions."""
        return [track_id.decode() for track_id in self.ids[positions].tolist()]
