"""Model 2: the probability that the listener plays a track to its end within a week."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray
from segue.features.listeners import (
    SLOW_HALF_LIFE,
    History,
    encode_heard,
    encode_listener,
    user_columns,
)
from segue.models.bundle import Bundle
from segue.models.model import Contributions, Listener, Model
from segue.models.ranked import Forbidden, Ranked, best, contenders

# So many of the tracks that count most are tried out in an explanation.
MAX_EXPLAINED = 50
# For each place on the list so many tracks are tried to find out what it takes to get on it.
TRIED = 16
# Beyond this share of the tracks it is faster to read all in order than those alone.
_SCATTERED = 1 / 16
_ALL = slice(None)
# Far more than log-odds are off by where floats are added up in another order.
_INEXACT = 1e-3
# Smaller ones would overflow on their way to a probability, which is nothing by then.
LEAST_LOG_ODDS = -80.0


class _Parts(NamedTuple):
    """Of a listener: the factors, (FACTORS,), and (tracks,) what the log-odds of each track are
    beside the product of both factors."""

    factors: FloatArray
    base: FloatArray


class Classifier(Model):
    """The network over every pair of listener and track, evaluated for the whole catalogue.

    Listener and track meet in a product of factors, so the track's part (``factors`` and ``base``)
    is computed once, when the bundle is written. What a listener's own plays of a track add is
    computed for the tracks they have heard, and is nothing for all others. That is the same
    network, not an approximation of it.
    """

    history_days: ClassVar[int] = 30

    def __init__(self, bundle: Bundle) -> None:
        self._encoder = bundle.encoder
        self._features = bundle.features
        self._factors = bundle.array("classifier/factors.npy")
        self._base = bundle.array("classifier/base.npy")
        self._network = bundle.session("classifier/head.onnx")

    @cached_property
    def _lengths(self) -> FloatArray:
        """(tracks,), of their factors. Computed when the model is first asked."""
        lengths: FloatArray = np.sqrt(np.einsum("ij,ij->i", self._factors, self._factors))
        return lengths

    def score(self, listener: Listener) -> FloatArray:
        (parts,) = self._parts_of_each([listener])
        return _probabilities(self._log_odds_at(parts, _ALL))

    def best(self, listener: Listener, k: int, forbidden: Forbidden | None = None) -> Ranked:
        (ranked,) = self.best_of_each([listener], k, forbidden)
        return ranked

    def best_of_each(
        self, listeners: Sequence[Listener], k: int, forbidden: Forbidden | None = None
    ) -> list[Ranked]:
        """As if all tracks were scored; but only those are that can get among the best."""
        return [self._best(parts, k, forbidden) for parts in self._parts_of_each(listeners)]

    def _best(self, parts: _Parts, k: int, forbidden: Forbidden | None) -> Ranked:
        most, log_odds = self._most(parts), partial(self._log_odds_at, parts)
        tracks = contenders(most, log_odds, k, TRIED * k, forbidden, _INEXACT)
        if len(tracks) > len(most) * _SCATTERED:
            ranked = best(log_odds(_ALL), k, forbidden)
        else:
            ranked = best(log_odds(tracks), k, forbidden, tracks)
        return Ranked(ranked.tracks, _probabilities(ranked.scores))

    def _most(self, parts: _Parts) -> FloatArray:
        """(tracks,), the most that the log-odds can be: a product of factors is at most that of
        their lengths."""
        most: FloatArray = self._lengths * np.linalg.norm(parts.factors)
        most += parts.base
        return most

    def _log_odds_at(self, parts: _Parts, tracks: NDArray[np.intp] | slice) -> FloatArray:
        log_odds: FloatArray = self._factors[tracks] @ parts.factors + parts.base[tracks]
        return log_odds

    def contributions(self, listener: Listener, tracks: NDArray[np.intp]) -> Contributions:
        """How far the log-odds of each track would fall without the plays of a heard track. Beside
        those: how far its popularity puts it above the mean track, and what the listener's profile
        adds to that, were there no play to go by."""
        heard, own = encode_heard(listener.history)
        tried = _most_played(listener.history, heard)
        # The listener as they are comes first, then without any play, then without each track's.
        kept = np.ones((len(tried) + 2, len(heard)), np.bool_)
        kept[1], kept[np.arange(len(tried)) + 2, tried] = False, False
        whole, silent, *without = self._log_odds(listener, heard, own, kept, tracks)
        base = self._base[tracks]
        return Contributions(
            heard[tried].astype(np.int32),
            np.array([whole - less for less in without], np.float32).reshape(-1, len(tracks)),
            {"popularity": base - self._base.mean(), "profile": silent - base},
        )

    def _log_odds(
        self,
        listener: Listener,
        heard: NDArray[np.int64],
        own: FloatArray,
        kept: NDArray[np.bool_],
        tracks: NDArray[np.intp],
    ) -> Iterator[FloatArray]:
        """For each row of ``kept``, (rows, heard): (tracks,) of these tracks alone, as if the
        listener had played those that are kept, and nothing else."""
        (profile,) = self._profiles([listener])
        # What is heard is looked up, and widened to single precision, once for all rows.
        features = self._features[heard].astype(np.float32)
        plays = np.searchsorted(heard, listener.history.tracks).astype(np.int32)
        history = replace(listener.history, tracks=plays)
        factors, base = self._factors[tracks], self._base[tracks]
        _, places, among = np.intersect1d(tracks, heard, return_indices=True)
        for row in kept:
            vector = encode_listener(profile, history.only(row[history.tracks]), features)
            of_listener, memory = self._parts(vector, own[among])
            log_odds: FloatArray = factors @ of_listener + base
            log_odds[places] += np.where(row[among], memory, 0)
            yield log_odds

    def _profiles(self, listeners: Sequence[Listener]) -> FloatArray:
        """(listeners, user_width)."""
        users = [listener.user for listener in listeners]
        return self._encoder.encode_users(user_columns(users, self._encoder.schema))

    def _parts_of_each(self, listeners: Sequence[Listener]) -> Iterator[_Parts]:
        for listener, profile in zip(listeners, self._profiles(listeners), strict=True):
            heard, own = encode_heard(listener.history)
            vector = encode_listener(profile, listener.history, self._features)
            factors, memory = self._parts(vector, own)
            base = self._base.copy()
            base[heard] += memory
            yield _Parts(factors, base)

    def _parts(self, vector: FloatArray, own: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Of a listener's vector, their factors, (FACTORS,), and what is added to the log-odds of
        heard tracks, (n,), of which these are the ``own``, (n, OWN_WIDTH)."""
        factors, memory = self._network.run(["factors", "memory"], {"listener": vector, "own": own})
        return factors, memory


def _probabilities(log_odds: FloatArray) -> FloatArray:
    clipped = np.maximum(log_odds, np.float32(LEAST_LOG_ODDS))
    return np.asarray(1 / (1 + np.exp(-clipped)), np.float32)


def _most_played(history: History, heard: NDArray[np.int64]) -> NDArray[np.intp]:
    """The places of at most MAX_EXPLAINED among the heard tracks, ascending positions."""
    plays = np.searchsorted(heard, history.tracks)
    weights = np.bincount(plays, history.recency(SLOW_HALF_LIFE), len(heard))
    return np.argsort(-weights, kind="stable")[:MAX_EXPLAINED]
