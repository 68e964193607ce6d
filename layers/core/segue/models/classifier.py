"""Model 2: the probability that the listener plays a track to its end within a week."""

from typing import ClassVar

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

# So many of the tracks that count most are tried out in an explanation.
MAX_EXPLAINED = 50
# Smaller ones would overflow on their way to a probability, which is nothing by then.
LEAST_LOG_ODDS = -80.0


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

    def score(self, listener: Listener) -> FloatArray:
        heard, own = encode_heard(listener.history)
        factors, memory = self._parts(self._profile(listener), listener.history, own)
        log_odds = self._factors @ factors + self._base
        log_odds[heard] += memory
        probabilities: FloatArray = 1 / (1 + np.exp(-np.maximum(log_odds, LEAST_LOG_ODDS)))
        return probabilities

    def contributions(self, listener: Listener, tracks: NDArray[np.intp]) -> Contributions:
        """How far the log-odds of each track would fall without the plays of a heard track. Beside
        those: how far its popularity puts it above the mean track, and what the listener's profile
        adds to that, were there no play to go by."""
        history, profile = listener.history, self._profile(listener)
        heard = _most_played(history)
        nothing = history.only(np.zeros(len(history), np.bool_))
        imagined = [history, nothing, *(history.only(history.tracks != track) for track in heard)]
        whole, silent, *without = (self._log_odds(profile, one, tracks) for one in imagined)
        base = self._base[tracks]
        return Contributions(
            heard,
            np.array([whole - less for less in without], np.float32).reshape(-1, len(tracks)),
            {"popularity": base - self._base.mean(), "profile": silent - base},
        )

    def _log_odds(
        self, profile: FloatArray, history: History, tracks: NDArray[np.intp]
    ) -> FloatArray:
        """(tracks,) of these tracks alone, as if the history had been this."""
        heard, own = encode_heard(history)
        _, places, among = np.intersect1d(tracks, heard, return_indices=True)
        factors, memory = self._parts(profile, history, own[among])
        log_odds: FloatArray = self._factors[tracks] @ factors + self._base[tracks]
        log_odds[places] += memory
        return log_odds

    def _profile(self, listener: Listener) -> FloatArray:
        columns = user_columns([listener.user], self._encoder.schema)
        profile: FloatArray = self._encoder.encode_users(columns)[0]
        return profile

    def _parts(
        self, profile: FloatArray, history: History, own: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """The listener's factors, (FACTORS,), and what the log-odds of heard tracks are more by,
        (n,), of which these are the ``own``, (n, OWN_WIDTH)."""
        vector = encode_listener(profile, history, self._features)
        factors, memory = self._network.run(["factors", "memory"], {"listener": vector, "own": own})
        return factors, memory


def _most_played(history: History) -> NDArray[np.int32]:
    tracks, plays = np.unique(history.tracks, return_inverse=True)
    weights = np.bincount(plays, history.recency(SLOW_HALF_LIFE), len(tracks))
    return tracks[np.argsort(-weights, kind="stable")[:MAX_EXPLAINED]]
