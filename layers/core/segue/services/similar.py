"""Similar tracks: from a track to those that lie nearest to it."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from segue.domain.descriptions import TrackCard
from segue.domain.errors import UnknownModel, UnknownTrack
from segue.models.bundle import Bundle
from segue.models.ranked import best
from segue.ranking.explanations import Reason
from segue.ranking.filters import forbidden_tracks


@dataclass(frozen=True, slots=True)
class SimilarQuery:
    """Which track, and how many like it; ``explicit`` False leaves out explicit tracks, ``filter``
    those that it does not hold for; ``explain``: give reasons."""

    track_id: str
    k: int
    explicit: bool = True
    filter: str | None = None
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Similar:
    """The tracks, the most similar first.

    Track by track: ``scores``, cosines; and where it was to explain, else None, ``cards``,
    ``reasons``, and these in words, ``texts``. The kind of a reason is "artist" or "genre", where
    the tracks have these in common, which is reason enough, else "sound".
    """

    tracks: tuple[str, ...]
    scores: tuple[float, ...]
    cards: tuple[TrackCard, ...] | None = None
    reasons: tuple[Reason, ...] | None = None
    texts: tuple[str, ...] | None = None


def similar_tracks(
    bundle: Bundle, query: SimilarQuery, unavailable: Collection[str] = ()
) -> Similar:
    """The nearest tracks by the angle in the autoencoder's latent space, never the track itself nor
    one that is unavailable.

    Raises UnknownTrack, InvalidFilter, and UnknownModel where the bundle carries no autoencoder.
    """
    if not bundle.latents.shape[1]:
        raise UnknownModel("the bundle carries no autoencoder, in whose space tracks are similar")
    catalogue, latents = bundle.catalogue, bundle.latents
    (track,) = catalogue.positions([query.track_id])
    if track < 0:
        raise UnknownTrack(f"there is no track {query.track_id}")
    forbidden = forbidden_tracks(
        bundle,
        explicit=query.explicit,
        named={query.track_id, *unavailable},
        where=query.filter,
    )
    ranked = best(latents @ latents[track], query.k, forbidden)
    tracks, scores = tuple(catalogue.track_ids(ranked.tracks)), tuple(ranked.scores.tolist())
    if not query.explain:
        return Similar(tracks, scores)
    (itself,), cards = bundle.cards(np.array([track])), bundle.cards(ranked.tracks)
    told = [_reason(itself, card, score, bundle) for card, score in zip(cards, scores, strict=True)]
    return Similar(
        tracks, scores, cards, tuple(why for why, _ in told), tuple(it for _, it in told)
    )


def _reason(
    track: TrackCard, other: TrackCard, cosine: float, bundle: Bundle
) -> tuple[Reason, str]:
    if track.artist_id is not None and track.artist_id == other.artist_id:
        reason = Reason("artist", 1.0, artist_id=other.artist_id)
        return reason, f"also by {other.artist or other.artist_id}"
    if shared := set(track.genres) & set(other.genres):
        # The rarest of them says most.
        genre = min(shared, key=lambda name: (len(bundle.catalogue.genres[name]), name))
        return Reason("genre", 1.0, genre=genre), f"also {genre}"
    return Reason("sound", max(cosine, 0.0)), "sounds alike"
