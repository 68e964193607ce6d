"""Model 1: nearest neighbours, in the autoencoder's latent space, of what the listener enjoyed."""

from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray
from segue.features.listeners import SLOW_HALF_LIFE, History
from segue.models.bundle import LATENTS, Bundle
from segue.models.model import Contributions, Listener, Model
from segue.models.ranked import Forbidden, Ranked, best, contenders
from segue.models.vectors import ASKED, KEPT, ZERO, in_steps

# So many of the listener's strongest tracks count, each as an interest of its own: the more, the
# longer a request takes, and the fewer, the narrower the list.
MAX_INTERESTS = 32

# How fast a listener's interest fades with the angle: along the cosine from 1 to 0, e times 4.
CONCENTRATION = 4.0

# By so many coordinates of the latent space all tracks are looked at, and by all coordinates those
# that may get on the list. The leading ones tell most of how far tracks are from each other.
LEADING = 40
# So many tracks at a time, so that what is computed of them stays in the processor's cache.
_TRACKS_AT_ONCE = 32_768
# For each place on the list so many tracks are tried to find out what it takes to get on it.
TRIED = 4
# Up to so many tracks, sums over a track's neighbours are exact; so many rows at a time.
SUMMED = 32_768
_BLOCK = 256
# The prior of a track that nobody has played in the last month.
UNPLAYED = 1.0
# Squared; rounded to half precision, a latent vector may be a little longer than 1.
_LONGEST = 1.001
# How far a vector of LEADING + 1 numbers, each rounded to 1/127, may be from what it was; and a
# little more, as sums of floats are not exact either.
_ROUNDED_BY = (LEADING + 1) ** 0.5 / 2 / KEPT + 1e-4


class Autoencoder(Model):
    """Scores a track by how densely the listener's interests lie around it.

    Each interest i has a weight w_i, and leads to its neighbours, never to itself. The chances fall
    with the angle (a von Mises-Fisher kernel) and grow with the track's prior p_t:
    ``P(t|i) = p_t exp(c cos(t, i)) / sum_{s != i} p_s exp(c cos(s, i))`` with c = CONCENTRATION.
    ``score(t) = log sum_{i != t} w_i P(t|i)``. An interest shares out its own weight and no more,
    be its neighbourhood crowded or empty, and a track that several interests lead to comes first.
    The sums over s are computed when the bundle is written.
    """

    history_days: ClassVar[int] = 30
    logarithmic: ClassVar[bool] = True

    def __init__(self, bundle: Bundle) -> None:
        self._latents: NDArray[np.float16] = bundle.array(LATENTS)
        self._prior = bundle.array("autoencoder/prior.npy")
        self._totals = bundle.array("autoencoder/totals.npy")
        self._network = bundle.session("autoencoder/density.onnx")

    @cached_property
    def _leading(self) -> list[NDArray[np.int8]]:
        """For every _TRACKS_AT_ONCE tracks, (LEADING + 1, tracks) multiples of 1/127; see
        ``_outlines``. By column, a product with all tracks is several times as fast.

        Computed when the model is first asked: a cold start loads all models.
        """
        starts = range(0, len(self._latents), _TRACKS_AT_ONCE)
        parts = (self._latents[start : start + _TRACKS_AT_ONCE] for start in starts)
        rounded = (np.rint(KEPT * _outlines(part)).astype(np.int8) for part in parts)
        return [np.ascontiguousarray(numbers.T) for numbers in rounded]

    def score(self, listener: Listener) -> FloatArray:
        heard, weights = interests(listener.history)
        return _log(self._densities(heard, weights, np.arange(len(self._prior))).sum(0))

    def best(self, listener: Listener, k: int, forbidden: Forbidden | None = None) -> Ranked:
        """As if all tracks were scored; but only those are that can get among the best."""
        heard, weights = interests(listener.history)

        def density(tracks: NDArray[np.intp]) -> FloatArray:
            summed: FloatArray = self._densities(heard, weights, tracks).sum(0)
            return summed

        most, tried = self._most(heard, weights), TRIED * k + len(heard)
        tracks = contenders(most, density, k, tried, forbidden)
        return best(_log(density(tracks)), k, forbidden, tracks)

    def contributions(self, listener: Listener, tracks: NDArray[np.intp]) -> Contributions:
        """Each interest's share of the density at each track; they add up to 1 for a track, or to
        0 for one that has no other interest beside it."""
        heard, weights = interests(listener.history)
        shares = self._densities(heard, weights, tracks)
        total = shares.sum(0)
        shares /= np.where(total > 0, total, np.float32(1))
        return Contributions(heard.astype(np.int32), shares)

    def _densities(
        self, heard: NDArray[np.int64], weights: FloatArray, tracks: NDArray[np.intp]
    ) -> FloatArray:
        """(n, tracks) ``w_i P(t|i)`` of the n interests."""
        cosines = self._points(heard) @ self._points(tracks).T
        shared = (weights / self._totals[heard])[:, None] * self._prior[tracks]
        densities: FloatArray = np.exp(CONCENTRATION * cosines)
        densities *= shared
        densities[heard[:, None] == tracks] = 0
        return densities

    def _most(self, heard: NDArray[np.int64], weights: FloatArray) -> FloatArray:
        """(tracks,), the most that the density can be; infinite for the interests themselves, as
        what each leads to itself is not told apart."""
        asked = _outlines(self._latents[heard])
        numbers, steps = in_steps(asked, ASKED)
        missed = np.linalg.norm(asked - numbers * steps[:, None], axis=1)
        # A product is off by at most that of one side and what rounding missed of the other.
        slack = missed * (_LONGEST + _ROUNDED_BY) + _LONGEST * _ROUNDED_BY
        feeds = {
            "interests": (numbers + ZERO).astype(np.uint8),
            "steps": (CONCENTRATION / KEPT) * steps[:, None],
            "weights": weights / self._totals[heard] * np.exp(CONCENTRATION * slack),
        }
        parts = [self._network.run(["density"], feeds | {"tracks": it})[0] for it in self._leading]
        most: FloatArray = np.concatenate(parts)
        most *= self._prior
        most[heard] = np.inf
        return most

    def _points(self, tracks: NDArray[np.integer]) -> FloatArray:
        points: FloatArray = self._latents[tracks].astype(np.float32)
        return points


def _outlines(latents: NDArray[np.float16]) -> FloatArray:
    """(tracks, LEADING + 1): the leading coordinates, and the most that is left of each vector's
    length beside them. Two tracks' cosine is at most the product of their outlines, which takes
    what is left of both to point the same way."""
    outlines = np.empty((len(latents), LEADING + 1), np.float32)
    leading = outlines[:, :LEADING]
    leading[:] = latents[:, :LEADING]
    lengths = np.einsum("ij,ij->i", leading, leading)
    outlines[:, LEADING] = np.sqrt(np.maximum(_LONGEST - lengths, 0))
    return outlines


def neighbourhood_totals(
    latents: NDArray[np.floating], prior: FloatArray, tracks: NDArray[np.integer]
) -> FloatArray:
    """(n,) for each of the tracks t, the sum of ``p_s exp(c cos(t, s))`` over all other tracks s.

    latents: (catalogue, LATENT). prior: (catalogue,). tracks: (n,). In a catalogue of more than
    SUMMED tracks, so many stand for all, or time would grow with the square.
    """
    size = len(latents)
    summed = np.linspace(0, size - 1, min(size, SUMMED)).astype(np.intp)
    others, weights = latents[summed].astype(np.float32).T, prior[summed]
    totals = np.empty(len(tracks), np.float32)
    for start in range(0, len(tracks), _BLOCK):
        rows = tracks[start : start + _BLOCK]
        kernel = np.exp((np.float32(CONCENTRATION) * latents[rows].astype(np.float32)) @ others)
        kernel[rows[:, None] == summed] = 0
        totals[start : start + _BLOCK] = kernel @ weights
    # The only track of a catalogue has no others.
    np.maximum(totals, np.float32(1e-30), out=totals)
    totals *= prior.sum() / weights.sum()
    return totals


def _log(densities: FloatArray) -> FloatArray:
    """The logarithm, which of nothing is -inf."""
    with np.errstate(divide="ignore"):
        logarithms: FloatArray = np.log(densities)
    return logarithms


def interests(history: History) -> tuple[NDArray[np.int64], FloatArray]:
    """The listener's strongest tracks and their weights, each of shape (at most MAX_INTERESTS,).

    A track's weight is the sum over its plays of strength times recency; the weights add up to 1.
    A listener who enjoyed nothing is taken by what they started.
    """
    weights = history.strength * history.recency(SLOW_HALF_LIFE)
    if not weights.any():
        weights = history.recency(SLOW_HALF_LIFE)
    tracks, plays = np.unique(history.tracks, return_inverse=True)
    totals = np.bincount(plays, weights, len(tracks))
    strongest = np.argsort(-totals, kind="stable")[:MAX_INTERESTS]
    strongest = strongest[totals[strongest] > 0]
    chosen = totals[strongest]
    return tracks[strongest].astype(np.int64), (chosen / chosen.sum()).astype(np.float32)
