"""Model 2: the probability that the listener plays a track to its end within a week."""

from collections.abc import Mapping
from dataclasses import replace
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
        catalogue = {"factors": self._factors, "base": self._base}
        return self._probabilities(listener, catalogue, *encode_heard(listener.history))

    def contributions(self, listener: Listener, tracks: NDArray[np.intp]) -> Contributions:
        """How far the log-odds of each track would fall without the plays of a heard track. Beside
        those: how far its popularity puts it above the mean track, and what the listener's profile
        adds to that, were there no play to go by."""
        history = listener.history
        heard = _most_played(history)
        whole = self._log_odds(listener, history, tracks)
        amounts = [
            whole - self._log_odds(listener, history.only(history.tracks != track), tracks)
            for track in heard
        ]
        silent = self._log_odds(listener, history.only(np.zeros(len(history), np.bool_)), tracks)
        base = self._base[tracks]
        return Contributions(
            heard,
            np.array(amounts, np.float32).reshape(len(heard), len(tracks)),
            {"popularity": base - self._base.mean(), "profile": silent - base},
        )

    def _log_odds(
        self, listener: Listener, history: History, tracks: NDArray[np.intp]
    ) -> FloatArray:
        """(tracks,) of the asked-for tracks alone, as if the history had been this."""
        arrays = {"factors": self._factors, "base": self._base}
        rows = {name: array[tracks] for name, array in arrays.items()}
        heard, own = encode_heard(history)
        _, places, known = np.intersect1d(tracks, heard, return_indices=True)
        imagined = replace(listener, history=history)
        chances = self._probabilities(imagined, rows, places, own[known])
        log_odds: FloatArray = np.log(chances) - np.log1p(-np.minimum(chances, 1 - 1e-7))
        return log_odds

    def _probabilities(
        self,
        listener: Listener,
        rows: Mapping[str, FloatArray],
        heard: NDArray[np.int64],
        own: FloatArray,
    ) -> FloatArray:
        profile = self._encoder.encode_users(user_columns([listener.user], self._encoder.schema))[0]
        vector = encode_listener(profile, listener.history, self._features)
        feeds = {**rows, "listener": vector, "heard": heard, "own": own}
        scores: FloatArray = self._network.run(["scores"], feeds)[0]
        return scores


def _most_played(history: History) -> NDArray[np.int32]:
    tracks, plays = np.unique(history.tracks, return_inverse=True)
    weights = np.bincount(plays, history.recency(SLOW_HALF_LIFE), len(tracks))
    return tracks[np.argsort(-weights, kind="stable")[:MAX_EXPLAINED]]
