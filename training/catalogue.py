"""The catalogue as training makes it: from the workspace's tables to the arrays of the bundle."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress

import duckdb
import numpy as np
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.errors import InvalidData
from segue.domain.times import Window, format_time
from segue.domain.users import User
from segue.features.columns import date_of, flag_of, labels_in, text_of
from segue.features.encoder import Columns, Encoder, fit_encoder
from segue.features.listeners import user_columns
from segue.features.schema import ARTIST, Schema
from training.data.queries import query
from training.users import read_users

# Popularity is by the plays of so many days; more of the past only breaks ties.
RECENT_DAYS = 30

_LAST_DAY = "0000-12-31"


@dataclass(frozen=True)
class EncodedCatalogue:
    """The catalogue, the encoder fitted on it, and its features, (tracks, track_width) float16.

    Half precision keeps the bundle small; training reads the same rounded numbers as serving.
    ``released``: (tracks,) bool, the tracks that were out before the cut-off. Whatever is fitted
    sees these alone; what it says of the others follows from their features.
    """

    catalogue: Catalogue
    encoder: Encoder
    features: NDArray[np.float16]
    released: NDArray[np.bool_]

    @cached_property
    def past(self) -> "EncodedCatalogue":
        """The same without the tracks that were not out yet; positions move up. One for all who
        learn from it."""
        out = self.released
        if out.all():
            return self
        return EncodedCatalogue(
            _only(self.catalogue, out), self.encoder, self.features[out], out[out]
        )


def _only(catalogue: Catalogue, tracks: NDArray[np.bool_]) -> Catalogue:
    moved = np.cumsum(tracks, dtype=np.int32) - 1
    kept = {genre: moved[own[tracks[own]]] for genre, own in catalogue.genres.items()}
    return Catalogue(
        ids=catalogue.ids[tracks],
        explicit=catalogue.explicit[tracks],
        popularity=catalogue.popularity[tracks],
        artists=catalogue.artists[tracks],
        genres={genre: own for genre, own in kept.items() if len(own)},
        artist_ids=catalogue.artist_ids,
    )


class Popularity:
    """How often each track was fully played before the cut-off."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, cutoff: int) -> None:
        self.cutoff = cutoff
        table = query(connection, "popularity.sql", Window.before(cutoff, RECENT_DAYS))
        self._counts = {row["track_id"]: (row["recent"], row["ever"]) for row in table.to_pylist()}

    def ranks(self, track_ids: list[str]) -> NDArray[np.float32]:
        """(tracks,) in [0, 1]: by plays of the last 30 days, then by all; equals share a rank."""
        counts = [self._counts.get(track_id, (0, 0)) for track_id in track_ids]
        places = {count: place for place, count in enumerate(sorted(set(counts)))}
        highest = max(len(places) - 1, 1)
        return np.array([places[count] / highest for count in counts], np.float32)


def encode_catalogue(
    connection: duckdb.DuckDBPyConnection,
    schema: Schema,
    popularity: Popularity,
    encoder: Encoder | None = None,
) -> EncodedCatalogue:
    """Fit the encoder on what was known at the cut-off of ``popularity``, and encode every track.

    ``encoder``: one that was fitted before, to be taken as it is: networks that were trained on its
    inputs still know what these mean. Raises InvalidData where there are no tracks.
    """
    columns = read_columns(connection)
    ids = _encoded(columns["id"])
    if not len(ids):
        raise InvalidData("the data has no tracks: there is nothing to recommend")
    cutoff = popularity.cutoff
    released = _released(columns, schema, cutoff) | _played(connection, ids, cutoff)
    known = {name: list(compress(values, released)) for name, values in columns.items()}
    if encoder is None:
        encoder = fit_encoder(schema, known, user_columns(_listeners(connection, cutoff), schema))
    artists, artist_ids = _artists(columns.get(ARTIST, [None] * len(ids)))
    catalogue = Catalogue(
        ids=ids,
        explicit=_flags(columns, schema.explicit, len(ids)),
        popularity=popularity.ranks([str(track_id) for track_id in columns["id"]]),
        artists=artists,
        genres=_genre_tracks(columns.get(schema.genres, ())),
        artist_ids=artist_ids,
    )
    features = encoder.encode_tracks(columns).astype(np.float16)
    return EncodedCatalogue(catalogue, encoder, features, released)


def read_columns(connection: duckdb.DuckDBPyConnection) -> Columns:
    """All columns of the tracks, in the order of their ids' bytes."""
    table = connection.sql("SELECT * FROM tracks ORDER BY id").to_arrow_table()
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    order = np.argsort(_encoded(columns["id"]))
    return {name: [values[row] for row in order] for name, values in columns.items()}


def _encoded(ids: Sequence[object]) -> NDArray[np.bytes_]:
    return np.array([str(track_id).encode() for track_id in ids], np.bytes_)


def _released(columns: Columns, schema: Schema, cutoff: int) -> NDArray[np.bool_]:
    """(tracks,) whether all of the day, month or year of the release lies before the cut-off.

    Where there is no date, nothing says that the track is of the future.
    """
    if not schema.released:
        return np.ones(len(columns["id"]), np.bool_)
    today = format_time(cutoff)[: len(_LAST_DAY)]
    dates = (date_of(value) for value in _column(columns, schema.released))
    return np.array([date + _LAST_DAY[len(date) :] < today for date in dates], np.bool_)


def _played(
    connection: duckdb.DuckDBPyConnection, ids: NDArray[np.bytes_], cutoff: int
) -> NDArray[np.bool_]:
    """(tracks,) whether anybody played them before the cut-off, whatever their dates say."""
    rows = connection.execute("SELECT DISTINCT track_id FROM plays WHERE time < $1", [cutoff])
    return np.isin(ids, np.array([track_id.encode() for (track_id,) in rows.fetchall()], np.bytes_))


def _listeners(connection: duckdb.DuckDBPyConnection, cutoff: int) -> list[User]:
    """The profiles of those who had played anything before the cut-off."""
    rows = connection.execute("SELECT DISTINCT user_id FROM plays WHERE time < $1", [cutoff])
    active = {user_id for (user_id,) in rows.fetchall()}
    return [user for user in read_users(connection).values() if user.user_id in active]


def _flags(columns: Columns, name: str, tracks: int) -> NDArray[np.bool_]:
    if not name:
        return np.zeros(tracks, np.bool_)
    return np.array([flag_of(value) for value in _column(columns, name)], np.bool_)


def _column(columns: Columns, name: str) -> Sequence[object]:
    if name not in columns:
        raise InvalidData(f"the data has no column {name!r}")
    return columns[name]


def _artists(ids: Sequence[object]) -> tuple[NDArray[np.int32], NDArray[np.bytes_]]:
    """(tracks,) artists numbered in the order of their ids, -1 for none; and (artists,) the ids."""
    known = sorted({artist for artist in map(text_of, ids) if artist is not None})
    numbers = {artist: number for number, artist in enumerate(known)}
    of_tracks = np.array([numbers.get(str(artist), -1) for artist in ids], np.int32)
    return of_tracks, np.array([artist.encode() for artist in known], np.bytes_)


def _genre_tracks(values: Sequence[object]) -> dict[str, NDArray[np.int32]]:
    positions: dict[str, list[int]] = {}
    for position, genres in enumerate(values):
        for genre in labels_in(genres):
            positions.setdefault(genre, []).append(position)
    return {genre: np.array(positions[genre], np.int32) for genre in sorted(positions)}
