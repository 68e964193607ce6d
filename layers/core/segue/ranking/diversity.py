"""Diversity: a list whose tracks differ from each other, in the listener's own mix of genres."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segue.domain.genres import TrackGenres
from segue.features.encoder import FloatArray
from segue.models.ranked import Ranked

# A list of k tracks is put together from so many of the best: the more, the more different they
# can be, and the worse the last of them.
SMALLEST_POOL, POOL_PER_PLACE = 200, 5

# How much of the listener's mix is blended into the list's, so that a genre which the list lacks
# costs much, and not infinitely much; as in Steck's paper.
BLEND = 0.01


def pool_size(k: int) -> int:
    """How many of the best tracks a list of ``k`` is chosen from."""
    return max(SMALLEST_POOL, POOL_PER_PLACE * k)


def rerank(
    ranked: Ranked,
    k: int,
    diversity: float,
    *,
    vectors: NDArray[np.floating] | None = None,
    genres: TrackGenres | None = None,
    mix: FloatArray | None = None,
) -> Ranked:
    """``k`` of the tracks in a new order; fewer where fewer are ranked.

    diversity: 0 gives the k best by score, 1 the most diverse k.
    vectors: (tracks, width), where tracks lie; the angle tells how different two of them are.
    genres and mix: the tracks' genres and the (genres,) mix the list is calibrated to. Without
    either, or with a mix that is all 0, only the other counts; without both, only the score.

    Place by place the track with the greatest ``(1 - diversity) relevance + diversity gain`` is
    taken. The relevance falls evenly with the rank by score, since the scores of models have no
    scale in common. The gain is the mean of two: how far the track is from the nearest on the list
    (maximal marginal relevance: Carbonell & Goldstein, SIGIR 1998), and how much nearer it brings
    the list to the mix (calibration: Steck, RecSys 2018). Each is relative to the best candidate's.
    """
    candidates = ranked.tracks
    gains = list(_gains(candidates, vectors, genres, mix))
    relevance = 1 - np.arange(len(candidates), dtype=np.float32) / max(len(candidates), 1)
    chosen: list[int] = []
    while len(chosen) < min(k, len(candidates)):
        value = (1 - diversity) * relevance
        for gain in gains:
            value += diversity / len(gains) * _relative(gain.of_each(), chosen)
        value[chosen] = -np.inf
        # The first of equals: the one with the better score.
        best = int(value.argmax())
        chosen.append(best)
        for gain in gains:
            gain.take(best)
    return Ranked(candidates[chosen], ranked.scores[chosen])


class _Gain(Protocol):
    """What a list gains by each of the candidates, given those that were taken so far."""

    def of_each(self) -> FloatArray:
        """(candidates,) at least 0, and only to be compared with each other."""
        ...

    def take(self, candidate: int) -> None: ...


class _Distance:
    """1 - the cosine to the nearest track on the list."""

    def __init__(self, vectors: NDArray[np.floating]) -> None:
        rows = vectors.astype(np.float32)
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        self._rows = rows / np.maximum(lengths, np.float32(1e-12))[:, None]
        self._nearest = np.zeros(len(rows), np.float32)
        self._empty = True

    def of_each(self) -> FloatArray:
        return self._nearest.copy()

    def take(self, candidate: int) -> None:
        distances = np.maximum(1 - self._rows @ self._rows[candidate], 0)
        self._nearest = distances if self._empty else np.minimum(self._nearest, distances)
        self._empty = False


class _Calibration:
    """By how much the divergence sum_g p_g log(p_g / q_g) falls.

    p is the listener's mix, q the list's with a little of p blended in. A track differs from others
    by what it adds to its own genres, so these alone are looked at: a track of none gains 0.
    """

    def __init__(self, tracks: NDArray[np.integer], genres: TrackGenres, mix: FloatArray) -> None:
        rows, numbers, shares = genres.pairs(tracks)
        wanted = mix[numbers] > 0
        self._rows, self._numbers, self._shares = rows[wanted], numbers[wanted], shares[wanted]
        self._begins = np.searchsorted(self._rows, np.arange(len(tracks) + 1))
        self._wanted = mix[self._numbers]
        self._listed = np.zeros(len(mix), np.float32)
        self._taken = 0

    def of_each(self) -> FloatArray:
        scale = np.float32((1 - BLEND) / (self._taken + 1))
        before = scale * self._listed[self._numbers] + np.float32(BLEND) * self._wanted
        falls = self._wanted * np.log1p(scale * self._shares / before)
        return np.bincount(self._rows, falls, len(self._begins) - 1).astype(np.float32)

    def take(self, candidate: int) -> None:
        own = slice(self._begins[candidate], self._begins[candidate + 1])
        self._listed[self._numbers[own]] += self._shares[own]
        self._taken += 1


def _gains(
    candidates: NDArray[np.integer],
    vectors: NDArray[np.floating] | None,
    genres: TrackGenres | None,
    mix: FloatArray | None,
) -> Iterator[_Gain]:
    if vectors is not None:
        yield _Distance(vectors[candidates])
    if genres is not None and mix is not None and mix.any():
        yield _Calibration(candidates, genres, mix)


def _relative(gains: FloatArray, chosen: list[int]) -> FloatArray:
    """Relative to the greatest of those that can still be taken."""
    gains[chosen] = 0
    greatest = gains.max()
    return gains / greatest if greatest > 0 else gains
