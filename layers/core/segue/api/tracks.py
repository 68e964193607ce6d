"""Tracks: what is known of them, how they are found, and which are alike."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from msgspec import UNSET, Meta, Struct, UnsetType

from segue.api.http import (
    DEFAULT_LENGTH,
    Explain,
    Explicit,
    Filter,
    ListLength,
    json_response,
    read_body,
    read_query,
    read_segment,
)
from segue.domain.errors import InvalidRequest

# They bring NumPy along, which not every function has a use for.
if TYPE_CHECKING:
    from segue.domain.descriptions import TrackCard
    from segue.ranking.explanations import Reason
    from segue.services import similar
    from segue.services.recommend import Recommendation
    from segue.services.tracks import GenreCount, TrackDetails, TrackQuery

Search = Annotated[
    str,
    Meta(
        max_length=256,
        description="Words of a title or an artist's name, or the beginning of an id; the last "
        "word may be begun, letters may be wrong. Without it, the most popular tracks",
        examples=["paper lan"],
    ),
]


class TrackRow(Struct):
    """What people read of a track; null where the catalogue does not say."""

    track_id: str
    title: str | None
    artist: str | None
    artist_id: str | None
    genres: tuple[str, ...]
    year: int | None
    explicit: bool
    popularity: float


class TrackAnswer(TrackRow):
    """The same, whether it may be recommended, and the values of the feature schema's columns."""

    available: bool
    attributes: dict[str, int | float | str | tuple[str | int, ...] | None]


class ReasonRow(Struct, omit_defaults=True):
    """Why a track is on a list: ``text`` says it in words, ``kind`` and what follows to programs.

    ``share``: of all that spoke for the track."""

    kind: str
    share: float
    text: str
    track_id: str | UnsetType = UNSET
    artist_id: str | UnsetType = UNSET
    genre: str | UnsetType = UNSET


class RecommendedTrack(TrackRow, omit_defaults=True):
    """A track on a list, with its score on the model's own scale and what spoke most for it.

    ``propensity``: where the list explores, how likely this track was to be drawn here."""

    score: float
    reason: ReasonRow | None
    propensity: float | UnsetType = UNSET


class TracksAnswer(Struct):
    """The tracks that were found, the best match first."""

    tracks: list[TrackRow]


class GenreRow(Struct):
    """A genre, and how many tracks are of it."""

    genre: str
    tracks: int


class GenresAnswer(Struct):
    """Every genre of the catalogue, that of the most tracks first."""

    genres: list[GenreRow]


ColumnText = Annotated[str, Meta(max_length=256)]
ColumnTexts = Annotated[list[ColumnText], Meta(max_length=64)]
Columns = Annotated[
    dict[str, ColumnText | ColumnTexts | int | float | bool | None],
    Meta(
        description="The track's row, by the columns of `tracks` that the feature schema reads, "
        "with `name`, `artist_name` and `id_artist`. For a track that the models were not trained "
        "with",
    ),
]


class TrackBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Whether a track may be recommended (a new one may unless this says otherwise), and what a new
    one is: from the next request on."""

    available: bool | UnsetType = UNSET
    track: Columns | UnsetType = UNSET


class SearchQuery(Struct):
    """Which tracks are looked for."""

    query: Search = ""
    limit: ListLength = DEFAULT_LENGTH
    filter: Filter | None = None
    explicit: Explicit = True


class SimilarQuery(Struct):
    """How many tracks, which ones, and whether as objects with names and reasons."""

    k: ListLength = DEFAULT_LENGTH
    explicit: Explicit = True
    filter: Filter | None = None
    explain: Explain = False


def parse_search(event: APIGatewayProxyEvent) -> "TrackQuery":
    """Raises InvalidRequest naming the field."""
    from segue.services.tracks import TrackQuery

    query = read_query(event, SearchQuery)
    return TrackQuery(query.query or None, query.limit, query.explicit, query.filter)


def parse_similar(track_id: str, event: APIGatewayProxyEvent) -> "similar.SimilarQuery":
    """``track_id`` as it stands in the path, the rest of the query string.

    Raises InvalidRequest naming the field.
    """
    from segue.services import similar

    query = read_query(event, SimilarQuery)
    track_id = read_segment(track_id, "track_id")
    return similar.SimilarQuery(track_id, query.k, query.explicit, query.filter, query.explain)


def parse_track(
    track_id: str, event: APIGatewayProxyEvent
) -> tuple[str, Mapping[str, object] | None, bool]:
    """The track's id, as it stands in the path; its row, None where none is given; and whether it
    may be recommended. Raises InvalidRequest."""
    body = read_body(event, TrackBody)
    columns = None if body.track is UNSET else body.track
    if body.available is UNSET and columns is None:
        raise InvalidRequest("is missing, and so is track", field="available")
    return read_segment(track_id, "track_id"), columns, body.available is not False


def track_answer(track: "TrackDetails") -> TrackAnswer:
    """Everything about one track."""
    attributes = dict(track.attributes)
    return TrackAnswer(**asdict(track.card), available=track.available, attributes=attributes)


def tracks_answer(cards: "Sequence[TrackCard]") -> TracksAnswer:
    """The tracks that a search found."""
    return TracksAnswer([TrackRow(**asdict(card)) for card in cards])


def genres_answer(genres: "Sequence[GenreCount]") -> GenresAnswer:
    """The catalogue's genres."""
    return GenresAnswer([GenreRow(it.genre, it.tracks) for it in genres])


def similar_response(found: "similar.Similar") -> Response[str]:
    """Track ids, the nearest first; or objects where they were asked for."""
    return json_response(found.tracks if found.cards is None else recommended_tracks(found))


def recommended_tracks(
    found: "Recommendation | similar.Similar", propensities: Sequence[float] | None = None
) -> list[RecommendedTrack]:
    """The tracks of a list, with names and reasons."""
    rows = zip(found.cards or (), found.scores, found.reasons or (), found.texts or (), strict=True)
    return [
        RecommendedTrack(
            **asdict(card),
            score=_rounded(score),
            reason=_reason_row(reason, text) if reason and text else None,
            propensity=UNSET if propensities is None else propensities[place],
        )
        for place, (card, score, reason, text) in enumerate(rows)
    ]


def _reason_row(reason: "Reason", text: str) -> ReasonRow:
    return ReasonRow(
        kind=reason.kind,
        share=_rounded(reason.share),
        text=text,
        track_id=reason.track_id or UNSET,
        artist_id=reason.artist_id or UNSET,
        genre=reason.genre or UNSET,
    )


def _rounded(number: float) -> float:
    """To as many digits as a float32 holds."""
    return float(f"{number:.6g}")
