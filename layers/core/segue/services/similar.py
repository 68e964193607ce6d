"""Similar tracks: from a track to those that lie nearest to it."""

from dataclasses import dataclass

import numpy as np

from segue.domain.errors import UnknownModel, UnknownTrack
from segue.models.bundle import Bundle
from segue.models.ranked import best


@dataclass(frozen=True, slots=True)
class SimilarQuery:
    """Which track, and how many like it; ``explicit`` False leaves out explicit tracks."""

    track_id: str
    k: int
    explicit: bool = True


def similar_tracks(bundle: Bundle, query: SimilarQuery) -> tuple[str, ...]:
    """The nearest tracks by the angle in the autoencoder's latent space, the nearest first, never
    the track itself.

    Raises UnknownTrack, and UnknownModel where the bundle carries no autoencoder.
    """
    if not bundle.latents.shape[1]:
        raise UnknownModel("the bundle carries no autoencoder, in whose space tracks are similar")
    catalogue, latents = bundle.catalogue, bundle.latents
    (track,) = catalogue.positions([query.track_id])
    if track < 0:
        raise UnknownTrack(f"there is no track {query.track_id}")
    cosines = latents @ latents[track]
    forbidden = np.zeros(len(catalogue), np.bool_) if query.explicit else catalogue.explicit.copy()
    forbidden[track] = True
    return tuple(catalogue.track_ids(best(cosines, query.k, forbidden).tracks))
