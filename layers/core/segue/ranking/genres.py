"""The mix of genres that a listener likes."""

import numpy as np

from segue.domain.genres import TrackGenres
from segue.features.encoder import FloatArray
from segue.features.listeners import SLOW_HALF_LIFE
from segue.models.model import Listener


def listener_mix(listener: Listener, genres: TrackGenres) -> FloatArray:
    """(genres,) the listener's own mix, adding up to 1; all 0 where nothing is known of it.

    Of what they enjoyed, the recent more; of what they started, if they enjoyed nothing; of their
    favourite genres alike, if they played nothing.
    """
    history = listener.history
    if len(history) == 0:
        liked = set(listener.user.favourite_genres)
        favourites = np.array([name in liked for name in genres.names], np.float32)
        mix: FloatArray = favourites / max(favourites.sum(), np.float32(1))
        return mix
    recency = history.recency(SLOW_HALF_LIFE)
    weights = history.strength * recency
    return genres.mix(history.tracks, weights if weights.any() else recency)
