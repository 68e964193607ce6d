"""Model 1: nearest neighbours, in the autoencoder's latent space, of what the listener enjoyed."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray
from segue.features.listeners import SLOW_HALF_LIFE, History
from segue.models.bundle import Bundle
from segue.models.model import Contributions, Listener, Model

# So many of the listener's strongest tracks count, each as an interest of its own: the more, the
# longer a request takes, and the fewer, the narrower the list.
MAX_INTERESTS = 32


class Autoencoder(Model):
    """Scores a track by how densely the listener's interests lie around it; see ``TasteDensity``
    in ``training/models/networks.py`` for the formula that the network holds."""

    history_days: ClassVar[int] = 30

    def __init__(self, bundle: Bundle) -> None:
        self._latents = bundle.latents
        self._prior = bundle.array("autoencoder/prior.npy")
        self._network = bundle.session("autoencoder/density.onnx")

    def score(self, listener: Listener) -> FloatArray:
        return self._density(*interests(listener.history))

    def contributions(self, listener: Listener, tracks: NDArray[np.intp]) -> Contributions:
        """Each interest's share of the density at each track; they add up to 1 for a track, or to
        0 for one that has no other interest beside it."""
        heard, weights = interests(listener.history)
        # The density of a single interest is its part in the density of all of them.
        parts = [
            np.exp(self._density(heard[[place]], weights[[place]])[tracks])
            for place in range(len(heard))
        ]
        amounts = np.array(parts, np.float32).reshape(len(heard), len(tracks))
        total = amounts.sum(0)
        shares = (amounts / np.where(total > 0, total, 1)).astype(np.float32)
        return Contributions(heard.astype(np.int32), shares)

    def _density(self, tracks: NDArray[np.int64], weights: FloatArray) -> FloatArray:
        feeds = {"latents": self._latents, "prior": self._prior}
        scores: FloatArray = self._network.run(
            ["scores"], {**feeds, "interests": tracks, "weights": weights}
        )[0]
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
