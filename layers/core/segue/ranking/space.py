"""Where tracks lie, so that how near two of them are can be told."""

import numpy as np
from numpy.typing import NDArray

from segue.models.bundle import Bundle


def track_vectors(bundle: Bundle) -> NDArray[np.floating] | None:
    """(tracks, width): the autoencoder's latent space, where the bundle carries it, else the
    features; None where tracks have neither."""
    if bundle.latents.shape[1]:
        return bundle.latents
    return bundle.features if bundle.features.shape[1] else None
