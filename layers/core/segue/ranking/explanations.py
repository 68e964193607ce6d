"""Explanations: what spoke most for a recommended track, by the model's own account."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.descriptions import Descriptions
from segue.domain.genres import TrackGenres
from segue.domain.users import User
from segue.features.encoder import FloatArray
from segue.models.cold_start import FAVOURITE
from segue.models.model import Contributions

# From this share on, one track (or one artist, or one genre) is reason enough.
SUBSTANTIAL = 1 / 3


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a track is on the list.

    share: how much of all that spoke for the track. kind says what did, and which field names it::

        track             one heard track, ``track_id``
        artist            all heard tracks by the track's own artist, ``artist_id``
        genre             all heard tracks of a genre of the track, ``genre``
        favourite_genre   a genre of the profile, ``genre``
        popularity, ...   what else the model goes by

    Of a track that is similar to another, kind is what the two have in common: "artist", "genre"
    or "sound".
    """

    kind: str
    share: float
    track_id: str | None = None
    artist_id: str | None = None
    genre: str | None = None


def explain(
    contributions: Contributions,
    tracks: NDArray[np.intp],
    catalogue: Catalogue,
    genres: TrackGenres,
) -> tuple[Reason | None, ...]:
    """The reason for each of the tracks; None where nothing that is known speaks for it.

    It is the heard track that contributed most, where that is substantial and no less than anything
    beside the heard tracks; else, by the same measure, the artist, whose heard tracks are taken
    together; else, likewise, the shared genre whose heard tracks contributed most; else the
    greatest single contribution.
    """
    amounts, kinds = contributions.amounts, list(contributions.others)
    others = np.array(list(contributions.others.values())).reshape(len(kinds), len(tracks))
    by_artist, artists = _artist_sums(contributions, tracks, catalogue)
    by_genre, shared = _genre_sums(contributions, tracks, genres)
    whole = np.maximum(amounts, 0).sum(0) + np.maximum(others, 0).sum(0)
    heard_ids = catalogue.track_ids(contributions.heard)
    reasons = []
    for place, total in enumerate(whole.tolist()):
        track, artist, genre, other = (
            _greatest(part[:, place], total) for part in (amounts, by_artist, by_genre, others)
        )
        reasons.append(
            _choose(
                track and Reason("track", track[1], track_id=heard_ids[track[0]]),
                artist and Reason("artist", artist[1], artist_id=artists[artist[0]]),
                genre and Reason("genre", genre[1], genre=genres.names[shared[genre[0]]]),
                other and Reason(kinds[other[0]], other[1]),
            )
        )
    return tuple(reasons)


def explain_cold_start(
    user: User, tracks: NDArray[np.intp], catalogue: Catalogue, genres: TrackGenres
) -> tuple[Reason | None, ...]:
    """The same for the list that the cold start gives: a favourite genre, else popularity."""
    reasons: list[Reason | None] = []
    for popularity, names in zip(
        catalogue.popularity[tracks].tolist(), map(genres.of_track, tracks), strict=True
    ):
        favourite = next((genre for genre in user.favourite_genres if genre in names), None)
        if favourite is not None:
            share = FAVOURITE / (FAVOURITE + popularity)
            reasons.append(Reason("favourite_genre", share, genre=favourite))
        else:
            reasons.append(Reason("popularity", 1.0) if popularity > 0 else None)
    return tuple(reasons)


def reason_text(reason: Reason, catalogue: Catalogue, descriptions: Descriptions) -> str:
    """The reason in words for the listener; what has no name in the data goes by its id."""
    match reason:
        case Reason("track", track_id=str(track_id)):
            return f"because you played {_track_name(track_id, catalogue, descriptions)}"
        case Reason("artist", artist_id=str(artist_id)):
            return f"more by {_artist_name(artist_id, catalogue, descriptions)}, whom you play"
        case Reason("genre", genre=str(genre)):
            return f"because you play {genre}"
        case Reason("favourite_genre", genre=str(genre)):
            return f"you like {genre}"
    return _OTHERS.get(reason.kind, reason.kind)


_OTHERS = {"popularity": "popular at the moment", "profile": "fits your profile"}


def _track_name(track_id: str, catalogue: Catalogue, descriptions: Descriptions) -> str:
    track = int(catalogue.positions([track_id])[0])
    title, artist = descriptions.titles[track] or track_id, int(catalogue.artists[track])
    name = descriptions.artist_names[artist] if artist >= 0 else None
    return f"{title} by {name}" if name else title


def _artist_name(artist_id: str, catalogue: Catalogue, descriptions: Descriptions) -> str:
    artist = int(np.searchsorted(catalogue.artist_ids, artist_id.encode()))
    return descriptions.artist_names[artist] or artist_id


def _choose(
    track: Reason | None, artist: Reason | None, genre: Reason | None, other: Reason | None
) -> Reason | None:
    bar = max(SUBSTANTIAL, other.share if other else 0.0)
    for reason in (track, artist, genre):
        if reason and reason.share >= bar:
            return reason
    singles = [reason for reason in (track, other) if reason]
    return max(singles, key=lambda reason: reason.share, default=None)


def _greatest(amounts: FloatArray, total: float) -> tuple[int, float] | None:
    """The row of the greatest amount and its share; None where no amount is positive."""
    row = int(amounts.argmax()) if len(amounts) else -1
    return (row, float(amounts[row]) / total) if row >= 0 and amounts[row] > 0 else None


def _artist_sums(
    contributions: Contributions, tracks: NDArray[np.intp], catalogue: Catalogue
) -> tuple[FloatArray, list[str]]:
    """What all heard tracks by an artist add to each track by them, 0 for tracks by others.

    (shared, tracks), and the ids of those artists who made a heard track and one of the tracks.
    """
    heard, own = catalogue.artists[contributions.heard], catalogue.artists[tracks]
    shared = np.intersect1d(heard, own)
    shared = shared[shared >= 0]
    sums = (heard == shared[:, None]).astype(np.float32) @ contributions.amounts
    ids = [artist.decode() for artist in catalogue.artist_ids[shared].tolist()]
    return sums * (own == shared[:, None]), ids


def _genre_sums(
    contributions: Contributions, tracks: NDArray[np.intp], genres: TrackGenres
) -> tuple[FloatArray, NDArray[np.int32]]:
    """What all heard tracks of a genre add to each track of it, 0 where a track is not of it.

    Two arrays: (shared, tracks), and (shared,), the numbers of the genres that at least one of the
    tracks shares with a heard one.
    """
    heard_rows, heard_numbers, _ = genres.pairs(contributions.heard)
    rows, numbers, _ = genres.pairs(tracks)
    shared = np.intersect1d(heard_numbers, numbers)
    is_of = _membership(rows, numbers, shared, len(tracks))
    heard_is_of = _membership(heard_rows, heard_numbers, shared, len(contributions.heard))
    return (heard_is_of @ contributions.amounts) * is_of, shared


def _membership(
    rows: NDArray[np.intp], numbers: NDArray[np.int32], shared: NDArray[np.int32], tracks: int
) -> FloatArray:
    """(shared, tracks) 1 where a track is of a genre."""
    known = np.isin(numbers, shared)
    members = np.zeros((len(shared), tracks), np.float32)
    members[np.searchsorted(shared, numbers[known]), rows[known]] = 1
    return members
