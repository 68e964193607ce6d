"""The catalogue as people look it up: one track, a search, the genres."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segue.domain.added import AddedTrack, TrackChanges
from segue.domain.descriptions import Attribute, TrackCard
from segue.domain.errors import InvalidRequest, UnknownTrack
from segue.domain.events import parse_id
from segue.domain.limits import MAX_ID_LENGTH
from segue.features.columns import misread_columns
from segue.models.bundle import Bundle
from segue.ports import ModelStore, TrackStore
from segue.ranking.filters import forbidden_tracks
from segue.ranking.search import search

# So many tracks may be added to those of a bundle: each one takes time when they change, and nobody
# has listened to any of them when the models are trained again.
MAX_ADDED = 1_000


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
    """Looks tracks up in the bundle that is served, adds some, and takes some out of all lists."""

    def __init__(self, models: ModelStore, track_store: TrackStore) -> None:
        self._models = models
        self._track_store = track_store

    def track(self, track_id: str) -> TrackDetails:
        """Raises UnknownTrack, BundleError and StoreUnavailable."""
        bundle, changes = self._served()
        return _details(track_id, bundle, available=track_id not in changes.unavailable)

    def save(
        self, track_id: str, columns: Mapping[str, object] | None = None, *, available: bool
    ) -> TrackDetails:
        """Let the track be recommended, or not, from the next request on.

        ``columns``: the row of a track that the models were not trained with. The track is added,
        or described anew. Without a row, the track has to be there.

        Raises UnknownTrack, BundleError and StoreUnavailable. Raises InvalidRequest where the row
        cannot be added: the schema does not read a column so, the models were trained with the
        track, or MAX_ADDED others were added since.
        """
        if columns is not None:
            return self._add(AddedTrack(track_id, columns), available=available)
        details = _details(track_id, self._served()[0], available=available)
        self._track_store.set_available(track_id, available=available)
        return details

    def _add(self, track: AddedTrack, *, available: bool) -> TrackDetails:
        bundle, changes = self._models.current(), self._track_store.changes()
        _check_id(track.track_id)
        for column, reason in misread_columns(track.columns, bundle.schema):
            raise InvalidRequest(reason, field=f"track.{column}")
        _check_new(track.track_id, bundle, changes.added)
        details = _details(track.track_id, bundle.extended((track,)), available=available)
        self._track_store.add(track, available=available)
        return details

    def search(self, query: TrackQuery) -> tuple[TrackCard, ...]:
        """The tracks that fit best first, the popular before others that fit as well; none that is
        unavailable. Raises InvalidFilter, BundleError and StoreUnavailable."""
        bundle, changes = self._served()
        forbidden = forbidden_tracks(
            bundle,
            explicit=query.explicit,
            named=changes.unavailable,
            where=query.filter,
        )
        return bundle.cards(search(query.text or "", bundle, query.limit, forbidden))

    def genres(self) -> tuple[GenreCount, ...]:
        """The genres, those of most tracks first. Raises BundleError and StoreUnavailable."""
        genres = self._served()[0].catalogue.genres
        counts = (GenreCount(genre, len(tracks)) for genre, tracks in genres.items())
        return tuple(sorted(counts, key=lambda count: (-count.tracks, count.genre)))

    def _served(self) -> tuple[Bundle, TrackChanges]:
        changes = self._track_store.changes()
        return self._models.current().extended(changes.added), changes


def _details(track_id: str, bundle: Bundle, *, available: bool) -> TrackDetails:
    positions = bundle.catalogue.positions([track_id])
    if positions[0] < 0:
        raise UnknownTrack(f"there is no track {track_id}")
    (card,) = bundle.cards(positions)
    return TrackDetails(card, available, bundle.descriptions.attributes(int(positions[0])))


def _check_id(track_id: str) -> None:
    """Raises InvalidRequest for what is no id of a track."""
    if parse_id(track_id) is None or not track_id.isprintable():
        raise InvalidRequest(
            f"must have 1 to {MAX_ID_LENGTH} printable characters", field="track_id"
        )


def _check_new(track_id: str, bundle: Bundle, added: Sequence[AddedTrack]) -> None:
    """Raises InvalidRequest where the track cannot be added to those of the bundle."""
    others = [track.track_id for track in added if track.track_id != track_id]
    positions = bundle.catalogue.positions([track_id, *others])
    if positions[0] >= 0:
        raise InvalidRequest(
            "the models were trained with this track; what they know of it changes when they are "
            "trained again",
            field="track",
        )
    if (positions < 0).sum() > MAX_ADDED:
        raise InvalidRequest(
            f"{MAX_ADDED:,} tracks were added since the models were trained; train them again",
            field="track",
        )
