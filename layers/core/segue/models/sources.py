"""Where a listener's next play may come from: for every source, a share of each track.

A source is a distribution over the catalogue: what everybody plays, what this listener plays, other
tracks of their artists, and so on. The hybrid is a mixture of them. Training and serving compute
them here, from the same arrays; ``training/models/hybrid/collaborative.py`` fits these.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray
from segue.features.listeners import History

# Popularity over so many days; the month's stands for "what is played" wherever shares are formed.
WINDOWS = (1, 3, 7, 14, 30, 365)
RECENT = WINDOWS.index(14)
# The same for everybody: popularity by window, the charts (squared, so that few tracks have most),
# and chance, from which any track may come.
COMMON = (*(f"popularity of {days} days" for days in WINDOWS), "charts", "week's charts", "chance")
# The listener's own.
PERSONAL = (
    "own plays", "own plays of two months", "own plays of two weeks", "own plays of a day",
    "started", "liked",
    "artist", "artist of late", "artist by tracks",
    "genre", "genre by excess", "main genre",
    "neighbours", "neighbours by count", "neighbours of late", "neighbours sharpened",
    "neighbours in fashion",
    "factors", "factors sharpened",
    "broad taste", "broad taste sharpened", "broad taste in fashion",
)  # fmt: skip
SOURCES = COMMON + PERSONAL

# What lets a track be repeated more or less than its share says: that it was heard, how fresh the
# last play is, how often it was skipped, how often it was fully played.
REPEATS = 4

# What tells one kind of listener from another: a constant, how much they play, how much of it
# again, how much of it is what everybody plays, how much they skip, how wide their taste is in
# genres and in artists, how much of the last week they knew before, how long they have been away.
TRAITS = 9
# Days.
_LAST_WEEK = 7.0

# A listener whose plays go to these so many tracks alone listens to what everybody does.
CHART = 100

# After so many days a play tells half as much: one's stock, one's current taste, one's mood.
_STOCK, _TASTE, _MOOD = 60.0, 14.0, 1.0
# A heard track is fresh for about a week.
_FRESH = 7.0

# Implicit ALS: by how much a play outweighs a missing one, and the ridge.
CONFIDENCE = 10.0
RIDGE = 1.0


@dataclass(frozen=True)
class Statistics:
    """What all listeners together did before a moment, and what is known of the tracks.

    popularity: (tracks, len(WINDOWS)) float32, each track's share of all full plays, smoothed.
    rows: (tracks,) int32, a track's row in the two that follow, or -1.
    neighbours, weights: (rows, n) int32 and float32, what a play of the row's track speaks for.
    factors: (tracks, d) float32, of implicit ALS.
    basis: (tracks, s) float32, the spectral basis: the broadest patterns of who plays what.
    audience: (tracks,) float32, the square root of how many listeners have played the track, at
    least 1. artist: (tracks,) int32, the track's artist, or -1. genres: (tracks, g) float32, one or
    zero.
    """

    popularity: FloatArray
    rows: NDArray[np.int32]
    neighbours: NDArray[np.int32]
    weights: FloatArray
    factors: FloatArray
    basis: FloatArray
    audience: FloatArray
    artist: NDArray[np.int32]
    genres: FloatArray

    def __len__(self) -> int:
        return len(self.popularity)

    @cached_property
    def gram(self) -> FloatArray:
        """(d, d), of the factors, with the ridge."""
        gram: FloatArray = self.factors.T @ self.factors
        gram[np.diag_indices(len(gram))] += RIDGE
        return gram

    @cached_property
    def common(self) -> FloatArray:
        """(tracks, len(COMMON)), the shares that are the same for everybody."""
        squares = self.popularity[:, [RECENT, WINDOWS.index(7)]] ** 2
        chance = np.full((len(self), 1), 1 / len(self), np.float32)
        return np.hstack([self.popularity, squares / squares.sum(0), chance])

    @cached_property
    def recent(self) -> FloatArray:
        """(tracks,) popularity of two weeks."""
        return np.ascontiguousarray(self.popularity[:, RECENT])

    @cached_property
    def fashion(self) -> FloatArray:
        """(tracks,) how much more a track is played this week than in the year."""
        week, year = (self.popularity[:, WINDOWS.index(days)] for days in (7, 365))
        ratio: FloatArray = week / year
        return ratio

    @cached_property
    def chart(self) -> NDArray[np.intp]:
        """(CHART,) the most played tracks of the month."""
        month = self.popularity[:, WINDOWS.index(30)]
        return np.argpartition(-month, min(CHART, len(month) - 1))[:CHART]

    @cached_property
    def within_artist(self) -> FloatArray:
        """(tracks,) the track's share of its artist: by the square root of popularity, so that the
        less played ones have a part; 0 where there is no artist."""
        return _within(self.artist, np.sqrt(self.recent))

    @cached_property
    def genre_popularity(self) -> FloatArray:
        """(g,) each genre's share of what is played; a track counts for its genres in parts."""
        shares: FloatArray = self.genre_parts.T @ self.recent
        return shares

    @cached_property
    def genre_parts(self) -> FloatArray:
        """(tracks, g) ``genres`` in equal parts that add up to 1; 0 where there is none."""
        parts: FloatArray = self.genres / np.maximum(self.genres.sum(1, keepdims=True), 1)
        return parts


def _within(artist: NDArray[np.int32], weights: FloatArray) -> FloatArray:
    known = artist >= 0
    totals = np.bincount(artist[known], weights[known], artist.max(initial=-1) + 1)
    shares = np.zeros(len(artist), np.float32)
    shares[known] = weights[known] / totals[artist[known]]
    return shares


@dataclass(frozen=True)
class Summary:
    """A listener's different tracks, (n,) positions, and for each of them, (n,) float32: full plays
    in all, with slow, middling and fast forgetting; starts and likes, with slow forgetting; skips
    likewise; and how fresh the last play is."""

    tracks: NDArray[np.intp]
    plays: FloatArray
    stock: FloatArray
    taste: FloatArray
    mood: FloatArray
    starts: FloatArray
    likes: FloatArray
    skips: FloatArray
    fresh: FloatArray


def summarise(history: History) -> Summary:
    """Sum a history up by track."""
    tracks, of_play = np.unique(history.tracks, return_inverse=True)

    def total(weights: NDArray[np.generic]) -> FloatArray:
        return np.bincount(of_play, weights, len(tracks)).astype(np.float32)

    completed = history.completed.astype(np.float32)
    slow = history.recency(_STOCK)
    fresh = np.zeros(len(tracks), np.float32)
    np.maximum.at(fresh, of_play, history.recency(_FRESH))
    return Summary(
        tracks=tracks.astype(np.intp),
        plays=total(completed),
        stock=total(completed * slow),
        taste=total(completed * history.recency(_TASTE)),
        mood=total(completed * history.recency(_MOOD)),
        starts=total(slow),
        likes=total(history.liked * slow),
        skips=total((1 - completed) * slow),
        fresh=fresh,
    )


def sources(statistics: Statistics, history: History) -> FloatArray:
    """(len(SOURCES), tracks) float32: the shares of each source add up to 1.

    A source of which nothing is known for this listener, such as likes of one who never liked, is
    popularity instead.
    """
    own = summarise(history)
    shares = np.zeros((len(SOURCES), len(statistics)), np.float32)
    shares[: len(COMMON)] = statistics.common.T
    personal = shares[len(COMMON) :]
    for row, counts in enumerate(
        (own.plays, own.stock, own.taste, own.mood, own.starts, own.likes)
    ):
        personal[row, own.tracks] = counts
    personal[6:9] = _of_artists(statistics, own)
    personal[9:12] = _of_genres(statistics, own)
    personal[12:17] = _of_neighbours(statistics, own)
    personal[17:19] = _of_factors(statistics, own)
    personal[19:22] = _of_broad_taste(statistics, own)
    sums = personal.sum(1)
    known = sums > 1e-12
    personal[known] /= sums[known, None]
    personal[~known] = statistics.recent
    return shares


def _of_artists(statistics: Statistics, own: Summary) -> FloatArray:
    """(3, tracks): other tracks of the artists played, also of late; and by how many different
    tracks of each were played, squared: who plays many of an artist's tracks wants the others."""
    artist = statistics.artist
    of_own = artist[own.tracks]
    known = of_own >= 0
    by_artist = np.zeros((3, artist.max(initial=-1) + 2), np.float32)
    for row, weights in enumerate((own.plays, own.taste, own.plays > 0)):
        np.add.at(by_artist[row], of_own[known], weights[known])
    by_artist[2] **= 2
    # The last place stays empty; -1 leads to it.
    shares: FloatArray = by_artist[:, artist] * statistics.within_artist
    return shares


def _of_genres(statistics: Statistics, own: Summary) -> FloatArray:
    """(3, tracks): what is played of the genres played; of those played more than by others; and of
    the one or two played most."""
    usual = statistics.genre_popularity
    plays = own.plays @ statistics.genre_parts[own.tracks]
    excess = np.maximum(plays - own.plays.sum() * usual, 0)
    weights = np.stack([plays**2, excess, plays**4]) / np.maximum(usual, 1e-9)
    # Powers of large counts leave little room for the rest of a float.
    weights /= weights.max(1, keepdims=True, initial=1e-12)
    shares = weights.astype(np.float32) @ statistics.genre_parts.T
    shares *= statistics.recent
    shares[1] /= np.sqrt(statistics.recent)
    return shares


def _of_neighbours(statistics: Statistics, own: Summary) -> FloatArray:
    """(5, tracks): what the tracks played speak for: each alike, by their counts, by those of late;
    by their counts, sharpened; and by these, the more in fashion the more."""
    rows = statistics.rows[own.tracks]
    counted = (rows >= 0) & (own.plays > 0)
    near = statistics.neighbours[rows[counted]].ravel()
    votes = statistics.weights[rows[counted]]
    shares = np.empty((5, len(statistics)), np.float32)
    for row, weights in enumerate((own.plays > 0, np.log1p(own.plays), own.taste)):
        spoken = (votes * weights[counted, None]).ravel()
        shares[row] = np.bincount(near, spoken, len(statistics))
    np.maximum(shares[:3], 0, out=shares[:3])
    shares[3] = shares[1] ** 2
    shares[4] = shares[1] * statistics.fashion
    return shares


def _of_factors(statistics: Statistics, own: Summary) -> FloatArray:
    """(2, tracks): by the listener's factors, and sharpened. These follow in closed form from what
    they played (Hu, Koren & Volinsky, 2008), ``(V'V + c V'WV + l I) p = (1 + c) V'w``, so that
    nothing of a listener has to be stored."""
    factors = statistics.factors[own.tracks[own.plays > 0]]
    gram = statistics.gram + CONFIDENCE * factors.T @ factors
    listener = np.linalg.solve(gram, (1 + CONFIDENCE) * factors.sum(0)).astype(np.float32)
    likely = np.maximum(statistics.factors @ listener, 0)
    return np.stack([likely, likely**2])


def _of_broad_taste(statistics: Statistics, own: Summary) -> FloatArray:
    """(3, tracks): the listener's plays with all but the broadest patterns taken out, the ideal
    low-pass filter of GF-CF (Shen et al., 2021); sharpened; and the more in fashion the more."""
    basis, audience = statistics.basis, statistics.audience
    pattern = ((own.plays > 0) / audience[own.tracks]).astype(np.float32) @ basis[own.tracks]
    smooth = np.maximum((basis @ pattern) * audience, 0)
    return np.stack([smooth, smooth**2, smooth * statistics.fashion])


def repeats(own: Summary) -> FloatArray:
    """(n, REPEATS) float32, of the listener's tracks."""
    heard = np.ones_like(own.fresh)
    return np.stack([heard, own.fresh, np.log1p(own.skips), np.log1p(own.plays)], 1)


def traits(statistics: Statistics, history: History) -> FloatArray:
    """(TRAITS,) float32; the first is 1."""
    tracks = np.unique(history.tracks)
    return np.array(
        [
            1.0,
            np.log1p(len(history)) / 5.0,
            1 - len(tracks) / len(history),
            np.isin(tracks, statistics.chart).mean(),
            1 - history.completed.mean(),
            _width_in_genres(statistics, history),
            _width_in_artists(statistics, tracks),
            _known_of_late(history),
            np.log1p(history.age.min()),
        ],
        np.float32,
    )


def _width_in_genres(statistics: Statistics, history: History) -> float:
    """The entropy of the genres played, 1 being all genres evenly. A play counts for each genre of
    its track in equal parts."""
    parts = statistics.genre_parts[history.tracks].sum(0)
    shares = parts[parts > 0] / max(float(parts.sum()), 1e-9)
    return float(-(shares * np.log(shares)).sum() / np.log(max(len(parts), 2)))


def _width_in_artists(statistics: Statistics, tracks: NDArray[np.int32]) -> float:
    """How many artists there are to a track."""
    artists = statistics.artist[tracks]
    artists = artists[artists >= 0]
    return len(np.unique(artists)) / max(len(artists), 1)


def _known_of_late(history: History) -> float:
    """The share of the last week's plays whose track had been played before it."""
    late = history.age <= _LAST_WEEK
    known = np.isin(history.tracks[late], history.tracks[~late])
    return float(known.sum() / max(len(known), 1))
