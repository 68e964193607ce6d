"""What the hybrid sees of one listener and every track: a row of signals a track.

Training and serving compute them here, from the same arrays; ``training/collective.py`` fits these.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray
from segue.features.listeners import FAST_HALF_LIFE, SLOW_HALF_LIFE, History

# The columns of ``signals``, in their order; how each track stands with everybody comes before.
PERSONAL = (
    "neighbours", "neighbours of late", "factors", "factors of late", "broad taste",
    "own plays", "own plays of late", "own plays now", "own skips", "heard", "heard of late",
    "artist", "genres", "genres above chance", "latent space",
)  # fmt: skip
STANDING = ("plays of a day", "of a week", "of a month", "of a year", "fully played", "appeal")
SIGNALS = STANDING + PERSONAL

# What tells one kind of listener from another: a constant, how much they play, how much of it
# again, how much of it is what everybody plays, how much they skip, how wide their taste is in
# genres and in artists, and how much of the last week they knew before.
TRAITS = 8
# Days.
_LAST_WEEK = 7.0

# A listener whose plays go to these so many tracks alone listens to what everybody does.
CHART = 100

# So many of a listener's strongest tracks are looked up in the latent space.
_INTERESTS = 32
_CONCENTRATION = 16.0
# A heard track is fresh for about a week.
_FRESH_HALF_LIFE = 7.0


@dataclass(frozen=True)
class Collective:
    """What all listeners together did before a moment, and what is known of the tracks.

    standing: (tracks, len(STANDING)) float32, each column of mean 0 and variance 1.
    rows: (tracks,) int32, a track's row in the two that follow, or -1.
    neighbours, weights: (rows, n) int32 and float32, what a play of the row's track speaks for.
    factors: (tracks, d) float32, and confidence: how much a play outweighs a missing one.
    waves: (tracks, s) float32, the broadest patterns of who plays what. reach: (tracks,) float32,
    the square root of how many listeners have played the track, at least 1.
    artist: (tracks,) int32, the track's artist, or -1. genres: (tracks, g) float32, one or zero.
    latents: (tracks, l) float32, of length 1; of width 0 where there is no autoencoder.
    """

    standing: FloatArray
    rows: NDArray[np.int32]
    neighbours: NDArray[np.int32]
    weights: FloatArray
    factors: FloatArray
    confidence: float
    ridge: float
    waves: FloatArray
    reach: FloatArray
    artist: NDArray[np.int32]
    genres: FloatArray
    latents: FloatArray

    def __len__(self) -> int:
        return len(self.standing)

    @cached_property
    def gram(self) -> FloatArray:
        """(d, d), of the factors."""
        return self.factors.T @ self.factors


@dataclass(frozen=True)
class Taste:
    """A listener's different tracks, (n,) positions, and for each of them, (n,) float32:

    how intensely it was fully played against their others (0 where never, 1 on average); how often
    (without, with slow and with fast forgetting); how often skipped; how fresh the last play is.
    """

    tracks: NDArray[np.intp]
    intensity: FloatArray
    plays: FloatArray
    slow: FloatArray
    fast: FloatArray
    skips: FloatArray
    fresh: FloatArray


def taste(history: History) -> Taste:
    """Sum a history up by track."""
    tracks, of_play = np.unique(history.tracks, return_inverse=True)

    def total(weights: NDArray[np.generic]) -> FloatArray:
        return np.bincount(of_play, weights, len(tracks)).astype(np.float32)

    completed = history.completed.astype(np.float32)
    fresh = np.zeros(len(tracks), np.float32)
    np.maximum.at(fresh, of_play, history.recency(_FRESH_HALF_LIFE))
    plays = total(completed)
    return Taste(
        tracks=tracks.astype(np.intp),
        intensity=intensity(plays),
        plays=plays,
        slow=total(completed * history.recency(SLOW_HALF_LIFE)),
        fast=total(completed * history.recency(FAST_HALF_LIFE)),
        skips=total(1 - completed),
        fresh=fresh,
    )


def intensity(plays: FloatArray) -> FloatArray:
    """(n,) from 0.5 to 1.5 by the rank of a track among those that the listener fully played,
    equals alike; 0 for a track that was never fully played.

    Ranks, since raw counts would let one track stand for a whole taste.
    """
    played = plays > 0
    ordered = np.sort(plays[played])
    below = np.searchsorted(ordered, plays, "left") + np.searchsorted(ordered, plays, "right")
    ranks = 0.5 + below / max(2 * len(ordered), 1)
    return np.where(played, ranks, 0).astype(np.float32)


def signals(collective: Collective, history: History) -> FloatArray:
    """(tracks, len(SIGNALS)) float32, raw; the network standardises the columns."""
    own = taste(history)
    columns = np.zeros((len(collective), len(SIGNALS)), np.float32)
    columns[:, : len(STANDING)] = collective.standing
    personal = columns[:, len(STANDING) :]
    personal[:, 0] = _neighbourhood(collective, own.tracks, own.intensity)
    personal[:, 1] = _neighbourhood(collective, own.tracks, own.slow)
    personal[:, 2] = _folded_in(collective, own.tracks, (own.plays > 0).astype(np.float32))
    personal[:, 3] = _folded_in(collective, own.tracks, own.slow)
    personal[:, 4] = _broad(collective, own.tracks, own.intensity)
    personal[own.tracks, 5] = np.log1p(own.plays)
    personal[own.tracks, 6] = np.log1p(own.slow)
    personal[own.tracks, 7] = np.log1p(own.fast)
    personal[own.tracks, 8] = np.log1p(own.skips)
    personal[own.tracks, 9] = 1
    personal[own.tracks, 10] = own.fresh
    weights = own.slow + (own.plays > 0)
    personal[:, 11] = _same_artist(collective, own.tracks, weights)
    personal[:, 12:14] = _same_genres(collective, own.tracks, weights)
    personal[:, 14] = _density(collective, own.tracks, weights)
    return columns


def traits(collective: Collective, history: History) -> FloatArray:
    """(TRAITS,) float32; the first is 1."""
    tracks = np.unique(history.tracks)
    chart = _chart(collective)
    return np.array(
        [
            1.0,
            np.log1p(len(history)) / 5.0,
            1 - len(tracks) / len(history),
            np.isin(tracks, chart).mean(),
            1 - history.completed.mean(),
            _width_in_genres(collective, history),
            _width_in_artists(collective, tracks),
            _known_of_late(history),
        ],
        np.float32,
    )


def _width_in_genres(collective: Collective, history: History) -> float:
    """The entropy of the genres played, 1 being all genres evenly. A play counts for each genre of
    its track in equal parts."""
    genres = collective.genres[history.tracks]
    parts = (genres / np.maximum(genres.sum(1, keepdims=True), 1)).sum(0)
    shares = parts[parts > 0] / parts.sum()
    return float(-(shares * np.log(shares)).sum() / np.log(max(genres.shape[1], 2)))


def _width_in_artists(collective: Collective, tracks: NDArray[np.int32]) -> float:
    """How many artists there are to a track."""
    artists = collective.artist[tracks]
    artists = artists[artists >= 0]
    return len(np.unique(artists)) / max(len(artists), 1)


def _known_of_late(history: History) -> float:
    """The share of the last week's plays whose track had been played before it."""
    late = history.age <= _LAST_WEEK
    known = np.isin(history.tracks[late], history.tracks[~late])
    return float(known.sum() / max(len(known), 1))


def _chart(collective: Collective) -> NDArray[np.intp]:
    month = collective.standing[:, STANDING.index("of a month")]
    return np.argpartition(-month, min(CHART, len(month) - 1))[:CHART]


def _neighbourhood(
    collective: Collective, tracks: NDArray[np.intp], weights: FloatArray
) -> FloatArray:
    """What the listener's tracks speak for together."""
    rows = collective.rows[tracks]
    counted = (rows >= 0) & (weights > 0)
    near = collective.neighbours[rows[counted]]
    votes = collective.weights[rows[counted]] * weights[counted, None]
    return np.bincount(near.ravel(), votes.ravel(), len(collective)).astype(np.float32)


def _folded_in(collective: Collective, tracks: NDArray[np.intp], weights: FloatArray) -> FloatArray:
    """The listener's factors by the closed form of implicit ALS (Hu, Koren and Volinsky, 2008),
    ``(V'V + c V'WV + l I) p = (1 + c) V'w``, times every track's: nothing of them is stored."""
    factors = collective.factors
    own = factors[tracks]
    gram = collective.gram + collective.confidence * (own.T * weights) @ own
    gram[np.diag_indices(len(gram))] += collective.ridge
    target = own.T @ np.where(weights > 0, 1 + collective.confidence * weights, 0)
    scores: FloatArray = factors @ np.linalg.solve(gram, target).astype(np.float32)
    return scores


def _broad(collective: Collective, tracks: NDArray[np.intp], weights: FloatArray) -> FloatArray:
    """The listener's plays with all but the broadest patterns taken out: the ideal low-pass filter
    of GF-CF (Shen et al., 2021)."""
    own = (weights / collective.reach[tracks]) @ collective.waves[tracks]
    return ((collective.waves @ own) * collective.reach).astype(np.float32, copy=False)


def _same_artist(
    collective: Collective, tracks: NDArray[np.intp], weights: FloatArray
) -> FloatArray:
    """The share of the listener's plays that goes to the track's artist, as a logarithm."""
    artists = collective.artist[tracks]
    known = artists >= 0
    plays = np.bincount(artists[known], weights[known], collective.artist.max(initial=-1) + 2)
    shares: NDArray[np.float64] = np.log1p(10 * plays / max(float(weights.sum()), 1e-9))
    # The last place stays empty; -1 leads to it.
    return shares[collective.artist].astype(np.float32)


def _same_genres(
    collective: Collective, tracks: NDArray[np.intp], weights: FloatArray
) -> FloatArray:
    """(tracks, 2): the listener's share of the track's genres; and that against the catalogue's
    share, as a logarithm, on average over the track's genres."""
    genres = collective.genres
    own = weights @ genres[tracks]
    share = own / max(float(own.sum()), 1e-9)
    usual = genres.sum(0)
    lift = np.log((share + 0.01) / (usual / max(float(usual.sum()), 1.0) + 0.01))
    sums = genres @ np.stack([share, lift], 1).astype(np.float32)
    count = np.maximum(genres.sum(1), 1)
    return np.stack([sums[:, 0], sums[:, 1] / count], 1)


def _density(collective: Collective, tracks: NDArray[np.intp], weights: FloatArray) -> FloatArray:
    """How densely the listener's strongest tracks lie around each track in the latent space, as a
    logarithm; a track is not its own neighbour."""
    strongest = np.argsort(-weights, kind="stable")[:_INTERESTS]
    strongest = strongest[weights[strongest] > 0]
    if not len(strongest) or not collective.latents.shape[1]:
        return np.zeros(len(collective), np.float32)
    own = tracks[strongest]
    kernel = np.exp(_CONCENTRATION * (collective.latents[own] @ collective.latents.T - 1))
    kernel[np.arange(len(own)), own] = 0
    shares = weights[strongest] / weights[strongest].sum()
    density: FloatArray = np.log(shares @ kernel + np.float32(1e-9))
    return density
