"""What all listeners together did before a moment, and what is known of the tracks."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import shake_128
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from segue.domain.genres import TrackGenres
from segue.domain.ragged import entries
from segue.features.encoder import FloatArray
from segue.models.vectors import Vectors

# Popularity over so many days.
WINDOWS = (1, 3, 7, 14, 30, 365)
WEEK, RECENT, MONTH, YEAR = (WINDOWS.index(days) for days in (7, 14, 30, 365))

# A listener whose plays go to these so many tracks alone listens to what everybody does.
CHART = 100

# Implicit ALS: by how much a play outweighs a missing one, and the ridge.
CONFIDENCE = 10.0
RIDGE = 1.0

A = TypeVar("A", bound=NDArray[Any])
# What gives an array by the name of its file, given also what makes it: ``Bundle.precomputed``.
Precomputed = Callable[[str, Callable[[], Any]], Any]

# The names of the properties that ``stored`` marks.
STORED: list[str] = []


class Neighbours(NamedTuple):
    """What a play of one track speaks for another: EASE's weights, by way of their spectrum.

    vectors: of the head's tracks. gain: (head,) float32. A play of i gives j, another track,
    ``gain[j] * vectors[i] @ vectors[j]`` votes.
    """

    vectors: Vectors
    gain: FloatArray


class Patterns(NamedTuple):
    """The broadest patterns of who plays what: a spectral basis, as ``Neighbours`` are kept; but a
    track speaks for itself, too."""

    vectors: Vectors
    gain: FloatArray


class Followers(NamedTuple):
    """What is played soon after what, of tracks or of artists.

    offsets: (rows + 1,) int32. numbers, shares: (pairs,) int32 and float32; those at
    ``offsets[r]:offsets[r + 1]`` follow r, with their shares of all that does, the greatest first.
    """

    offsets: NDArray[np.int32]
    numbers: NDArray[np.int32]
    shares: FloatArray

    def of(self, weights: FloatArray, rows: NDArray[np.integer]) -> "Weighted":
        """What follows the rows, each of them as much as in each of the (m, n) weights."""
        of_row, places = entries(self.offsets, rows)
        numbers, slots = np.unique(self.numbers[places], return_inverse=True)
        parts = weights[:, of_row] * self.shares[places]
        sums = [np.bincount(slots, part, len(numbers)) for part in parts]
        return Weighted(numbers, np.reshape(sums, (len(weights), len(numbers))).astype(np.float32))


class Weighted(NamedTuple):
    """numbers: (n,) ascending, of tracks or artists. weights: (m, n)."""

    numbers: NDArray[np.int32]
    weights: FloatArray


def find(
    tracks: NDArray[np.integer], wanted: NDArray[np.integer]
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which of the wanted tracks are among others, ascending, and the places of those. NumPy's own
    ``isin`` may import its masked arrays, which takes a cold start 20 ms."""
    places = np.minimum(np.searchsorted(tracks, wanted), max(len(tracks) - 1, 0))
    found = tracks[places] == wanted if len(tracks) else np.zeros(len(wanted), np.bool_)
    return found, places[found]


def made(_: str, make: Callable[[], A]) -> A:
    """Makes the array: of statistics that no bundle holds."""
    return make()


def stored(make: Callable[["Statistics"], A]) -> "cached_property[A]":
    """Marks a property of ``Statistics`` that is the same for every request. Training stores it in
    the bundle, as ``hybrid/NAME.npy``, so that serving need not make it."""
    name = make.__name__
    STORED.append(name)

    def read_or_make(statistics: "Statistics") -> A:
        array: A = statistics.precomputed(f"hybrid/{name}.npy", lambda: make(statistics))
        return array

    return cached_property(read_or_make)


@dataclass(frozen=True)
class Statistics:
    """What the sources are computed from.

    popularity: (tracks, len(WINDOWS)) float32, each track's share of all full plays, smoothed.
    unplayed: (len(WINDOWS),) float32, what it is for a track that nobody has played.
    head: (n,) int32, ascending, the tracks with the most listeners: of these alone it is told what
    goes together, so that neither time nor memory grow with a long tail of tracks that hardly
    anybody plays. factors: theirs, of implicit ALS. followers, artist_followers: of all tracks and
    artists. artist: (tracks,) int32, the track's artist, or -1. precomputed: gives the properties
    that are ``stored``.
    """

    popularity: FloatArray
    unplayed: FloatArray
    head: NDArray[np.int32]
    neighbours: Neighbours
    patterns: Patterns
    factors: Vectors
    followers: Followers
    artist_followers: Followers
    artist: NDArray[np.int32]
    genres: TrackGenres
    precomputed: Precomputed = made

    def __len__(self) -> int:
        return len(self.popularity)

    @cached_property
    def tail(self) -> NDArray[np.int32]:
        """The tracks outside the head, ascending."""
        outside = np.ones(len(self), np.bool_)
        outside[self.head] = False
        return np.flatnonzero(outside).astype(np.int32)

    @stored
    def neighbour_lengths(self) -> FloatArray:
        """(head,) the squared lengths of the neighbours' vectors: what a track would give itself,
        were it not left out."""
        vectors = self.neighbours.vectors
        squares = np.einsum("ij,ij->j", vectors.numbers, vectors.numbers, dtype=np.float32)
        lengths: FloatArray = squares * vectors.scale**2
        return lengths

    @stored
    def gram(self) -> FloatArray:
        """(d, d), of the factors, with the ridge."""
        factors = self.factors.at(slice(None))
        gram: FloatArray = factors.T @ factors
        gram[np.diag_indices(len(gram))] += RIDGE
        return gram

    def common_of(self, tracks: NDArray[np.integer]) -> FloatArray:
        """(9, n) the shares that are the same for everybody: popularity by window, the charts of
        two weeks and of one (squared), and chance."""
        return self.common_of_head if tracks is self.head else self._common(self.popularity[tracks])

    # Not stored: it is large, and soon made.
    @cached_property
    def common_of_head(self) -> FloatArray:
        """(9, head) these shares of the head's tracks."""
        return self._common(self.popularity[self.head])

    @stored
    def most_common_in_tail(self) -> FloatArray:
        """(9,) the greatest such shares of any track of the tail."""
        # Column by column: all of them at once would be copied, and the copy's memory kept.
        most = [column[self.tail].max(initial=0) for column in self.popularity.T]
        return self._common(np.array([most], np.float32))[:, 0]

    def _common(self, popularity: FloatArray) -> FloatArray:
        charts = popularity[:, [RECENT, WEEK]] ** 2 / self.chart_totals
        chance = np.full((len(popularity), 1), 1 / len(self), np.float32)
        return np.ascontiguousarray(np.hstack([popularity, charts, chance]).T)

    @stored
    def chart_totals(self) -> FloatArray:
        """(2,) what the squared popularities of two weeks and of one add up to."""
        sums: FloatArray = (self.popularity[:, [RECENT, WEEK]] ** 2).sum(0)
        return sums

    @stored
    def chart(self) -> NDArray[np.int32]:
        """(at most CHART,) the most played tracks of the month, ascending."""
        month = self.popularity[:, MONTH]
        most = np.argpartition(-month, min(CHART, len(month) - 1))[:CHART]
        return np.sort(most).astype(np.int32)

    @stored
    def of_artists(self) -> FloatArray:
        """(2, artists) the popularity of each artist's tracks in the year, and the square roots of
        that of two weeks, summed up."""
        known = self.artist >= 0
        year, recent = (self.popularity[known, window] for window in (YEAR, RECENT))
        size = self.artist.max(initial=-1) + 1
        sums = [np.bincount(self.artist[known], of, size) for of in (year, np.sqrt(recent))]
        return np.stack(sums).astype(np.float32)

    @stored
    def of_genres(self) -> FloatArray:
        """(2, genres): how popular each genre's tracks are together, and the square roots of that
        summed up; a track counts for its genres in equal parts."""
        rows, genres, parts = self.genres.pairs(np.arange(len(self)))
        recent = self.popularity[rows, RECENT]
        size = len(self.genres.names)
        sums = [np.bincount(genres, parts * of, size) for of in (recent, np.sqrt(recent))]
        return np.stack(sums).astype(np.float32)

    def by_genre(self, tracks: NDArray[np.integer], weights: FloatArray) -> FloatArray:
        """(m, n): for each of the (m, genres) weights, the mean of those of a track's genres, 0 for
        a track of none. Many tracks have the same genres, so in the head it is found once for all.
        """
        if tracks is self.head:
            return self._by_genre(self.genre_examples, weights)[:, self.genre_sets]
        return self._by_genre(tracks, weights)

    def _by_genre(self, tracks: NDArray[np.integer], weights: FloatArray) -> FloatArray:
        rows, genres, parts = self.genres.pairs(tracks)
        means = [np.bincount(rows, of[genres] * parts, len(tracks)) for of in weights]
        return np.reshape(means, (len(weights), len(tracks))).astype(np.float32)

    @stored
    def genre_examples(self) -> NDArray[np.int32]:
        """(sets,) a track of the head for each set of genres that any of them has."""
        _, examples = np.unique(self._genre_sums, return_index=True)
        return self.head[examples]

    @stored
    def genre_sets(self) -> NDArray[np.int32]:
        """(head,) the place among these of the track with the same genres."""
        _, places = np.unique(self._genre_sums, return_inverse=True)
        return places.astype(np.int32)

    @cached_property
    def _genre_sums(self) -> NDArray[np.int64]:
        """(head,) a number for each track's set of genres: a sum of numbers as if drawn tells sets
        apart. To import what really draws takes long."""
        rows, genres, _ = self.genres.pairs(self.head)
        digest = shake_128(b"genres").digest(8 * len(self.genres.names))
        draws = np.frombuffer(digest, np.int64)
        sums = np.zeros(len(self.head), np.int64)
        np.add.at(sums, rows, draws[genres])
        return sums

    @stored
    def tail_by_artist(self) -> NDArray[np.int32]:
        """(tail,) the tail's tracks in the order of their artists, those of none first."""
        return self.tail[np.argsort(self.artist[self.tail], kind="stable")]

    @stored
    def artist_starts(self) -> NDArray[np.int32]:
        """(artists + 1,) where each artist's tracks begin in ``tail_by_artist``."""
        artists = self.artist[self.tail_by_artist]
        numbers = np.arange(self.artist.max(initial=-1) + 2)
        return np.searchsorted(artists, numbers).astype(np.int32)

    @stored
    def most_in_tail_by_artist(self) -> FloatArray:
        """(artists,) the greatest share that a track of the tail has of its artist's popularity in
        the year."""
        tracks = self.tail_by_artist[self.artist_starts[0] :]
        artists = self.artist[tracks]
        popular = self.of_artists[0]
        most = np.zeros(len(popular), np.float32)
        np.maximum.at(most, artists, self.popularity[tracks, YEAR] / popular[artists])
        return most

    @stored
    def most_in_tail_by_genre(self) -> FloatArray:
        """(genres,) the greatest popularity of two weeks of any track of the tail."""
        rows, genres, _ = self.genres.pairs(self.tail)
        most = np.zeros(len(self.genres.names), np.float32)
        np.maximum.at(most, genres, self.popularity[self.tail[rows], RECENT])
        return most
