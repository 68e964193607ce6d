"""The genres of tracks, by track."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.labels import Labels
from segue.domain.ragged import entries


@dataclass(frozen=True, slots=True)
class TrackGenres(Labels[str]):
    """The catalogue's genres, the other way round: those of each track."""

    @classmethod
    def of(cls, catalogue: Catalogue) -> "TrackGenres":
        """Turn the catalogue's lists of tracks by genre into lists of genres by track."""
        return cls(tuple(catalogue.genres), genre_offsets(catalogue), genre_numbers(catalogue))

    def pairs(
        self, tracks: NDArray[np.integer]
    ) -> tuple[NDArray[np.intp], NDArray[np.int32], NDArray[np.float32]]:
        """Every genre of every one of the tracks.

        Three arrays (pairs,): the row in ``tracks``, ascending; the genre's number; and the share
        of the track that falls to the genre, 1 / the number of its genres.
        """
        rows, places = entries(self.offsets, tracks)
        counts = self.offsets[tracks + 1] - self.offsets[tracks]
        return rows, self.numbers[places], (1 / counts[rows]).astype(np.float32)

    def mix(self, tracks: NDArray[np.integer], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """(genres,) the share of each genre in the weighted tracks; all 0 where there is none."""
        rows, numbers, shares = self.pairs(tracks)
        totals = np.bincount(numbers, weights[rows] * shares, len(self.names)).astype(np.float32)
        whole = totals.sum()
        return totals / whole if whole > 0 else totals


def genre_offsets(catalogue: Catalogue) -> NDArray[np.int32]:
    """The ``offsets`` of ``TrackGenres``."""
    counts = np.bincount(_members(catalogue), minlength=len(catalogue))
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def genre_numbers(catalogue: Catalogue) -> NDArray[np.int32]:
    """The ``numbers`` of ``TrackGenres``."""
    sizes = [len(tracks) for tracks in catalogue.genres.values()]
    numbers = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    return numbers[np.argsort(_members(catalogue), kind="stable")]


def _members(catalogue: Catalogue) -> NDArray[np.int32]:
    """(pairs,) the tracks of all genres, genre after genre."""
    return np.concatenate([np.empty(0, np.int32), *catalogue.genres.values()])
