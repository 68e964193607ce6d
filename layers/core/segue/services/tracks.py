"""The catalogue as people look it up: one track, a search, the genres."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from segue.domain.descriptions import Attribute, TrackCard
from segue.domain.errors import UnknownTrack
from segue.ports import Availability, ModelStore
from segue.ranking.filters import forbidden_tracks
from segue.ranking.search import search


@dataclass(frozen=True, slots=True)
class TrackDetails:
    """All about one track. ``attributes``: the values that the models' inputs are made of."""

    card: TrackCard
    available: bool
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class TrackQuery:
    """What to look for. ``text``: words of a title or of an artist's name, or an id; None: whatever
    is popular. ``explicit`` False leaves out explicit tracks, ``filter`` those that it does not
    hold for."""

    text: str | None = None
    limit: int = 20
    explicit: bool = True
    filter: str | None = None


@dataclass(frozen=True, slots=True)
class GenreCount:
    """A genre, and how many tracks are of it."""

    genre: str
    tracks: int


class Tracks:
    """Looks tracks up in the bundle that is served, and takes them out of all lists."""

    def __init__(self, models: ModelStore, availability: Availability) -> None:
        self._models = models
        self._availability = availability

    def track(self, track_id: str) -> TrackDetails:
        """Raises UnknownTrack, BundleError and StoreUnavailable."""
        details = self._details(track_id)
        return replace(details, available=track_id not in self._availability.unavailable())

    def save(self, track_id: str, *, available: bool) -> TrackDetails:
        """Let the track be recommended, or not, from the next request on.

        Raises UnknownTrack, BundleError and StoreUnavailable.
        """
        details = self._details(track_id)
        self._availability.save(track_id, available=available)
        return replace(details, available=available)

    def _details(self, track_id: str) -> TrackDetails:
        bundle = self._models.current()
        positions = bundle.catalogue.positions([track_id])
        if positions[0] < 0:
            raise UnknownTrack(f"there is no track {track_id}")
        (card,) = bundle.cards(positions)
        return TrackDetails(card, True, bundle.descriptions.attributes(int(positions[0])))

    def search(self, query: TrackQuery) -> tuple[TrackCard, ...]:
        """The tracks that fit best first, the popular before others that fit as well; none that is
        unavailable. Raises InvalidFilter, BundleError and StoreUnavailable."""
        bundle = self._models.current()
        forbidden = forbidden_tracks(
            bundle,
            explicit=query.explicit,
            named=self._availability.unavailable(),
            where=query.filter,
        )
        return bundle.cards(search(query.text or "", bundle, query.limit, forbidden))

    def genres(self) -> tuple[GenreCount, ...]:
        """The genres, those of most tracks first. Raises BundleError."""
        genres = self._models.current().catalogue.genres
        counts = (GenreCount(genre, len(tracks)) for genre, tracks in genres.items())
        return tuple(sorted(counts, key=lambda count: (-count.tracks, count.genre)))
