"""Model 1: nearest neighbours, in the autoencoder's latent space, of what the listener enjoyed."""

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray
from segue.features.listeners import SLOW_HALF_LIFE, History
from segue.models.bundle import Bundle
from segue.models.model import Listener

# So many of the listener's strongest tracks count, each as an interest of its own: the more, the
# longer a request takes, and the fewer, the narrower the list.
MAX_INTERESTS = 32


class Autoencoder:
    """Scores a track by how densely the listener's interests lie around it; see ``TasteDensity``
    in ``training/networks.py`` for the formula that the network holds."""

    def __init__(self, bundle: Bundle) -> None:
        self._latents = bundle.array("autoencoder/latents.npy")
        self._network = bundle.session("autoencoder/density.onnx")

    def score(self, listener: Listener) -> FloatArray:
        tracks, weights = interests(listener.history)
        feeds = {"latents": self._latents, "interests": tracks, "weights": weights}
        scores: FloatArray = self._network.run(["scores"], feeds)[0]
        return scores


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
