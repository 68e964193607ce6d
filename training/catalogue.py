"""The catalogue as training makes it: from the workspace's tables to the arrays of the bundle."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.errors import InvalidData
from segue.domain.times import Window
from segue.features.encoder import Columns, Encoder, fit_encoder
from segue.features.listeners import user_columns
from segue.features.schema import Schema
from training.users import read_users

# Popularity is by the plays of so many days; more of the past only breaks ties.
RECENT_DAYS = 30


@dataclass(frozen=True)
class EncodedCatalogue:
    """The catalogue, the encoder fitted on it, and its features, (tracks, track_width) float16.

    Half precision keeps the bundle small; training reads the same rounded numbers as serving.
    """

    catalogue: Catalogue
    encoder: Encoder
    features: NDArray[np.float16]


class Popularity:
    """How often each track was fully played before the cut-off."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, cutoff: int) -> None:
        rows = connection.execute(
            """
            SELECT track_id, COUNT(*) FILTER (WHERE time >= $month_before), COUNT(*)
            FROM plays
            -- A skip at the cut-off or later is not known yet.
            WHERE time < $cutoff AND (skipped_at IS NULL OR skipped_at >= $cutoff)
            GROUP BY track_id
            """,
            {"cutoff": cutoff, "month_before": Window.before(cutoff, RECENT_DAYS).start},
        ).fetchall()
        self._counts = {track_id: (recent, ever) for track_id, recent, ever in rows}

    def ranks(self, track_ids: list[str]) -> NDArray[np.float32]:
        """(tracks,) in [0, 1]: by plays of the last 30 days, then by all; equals share a rank."""
        counts = [self._counts.get(track_id, (0, 0)) for track_id in track_ids]
        places = {count: place for place, count in enumerate(sorted(set(counts)))}
        highest = max(len(places) - 1, 1)
        return np.array([places[count] / highest for count in counts], np.float32)


def encode_catalogue(
    connection: duckdb.DuckDBPyConnection, schema: Schema, popularity: Popularity
) -> EncodedCatalogue:
    """Fit the encoder and encode every track. Raises InvalidData where there are no tracks."""
    tracks = _columns(connection)
    ids = np.array([str(track_id).encode() for track_id in tracks["id"]], np.bytes_)
    if not len(ids):
        raise InvalidData("the data has no tracks: there is nothing to recommend")
    order = np.argsort(ids)
    columns = {name: [values[row] for row in order] for name, values in tracks.items()}
    users = list(read_users(connection).values())
    encoder = fit_encoder(schema, columns, user_columns(users, schema))
    catalogue = Catalogue(
        ids=ids[order],
        explicit=_flags(columns, schema.explicit, len(ids)),
        popularity=popularity.ranks([str(track_id) for track_id in columns["id"]]),
        artists=_artists(columns.get("id_artist", [None] * len(ids))),
        genres=_genre_tracks(columns.get(schema.genres, ())),
    )
    return EncodedCatalogue(catalogue, encoder, encoder.encode_tracks(columns).astype(np.float16))


def _columns(connection: duckdb.DuckDBPyConnection) -> Columns:
    table = connection.sql("SELECT * FROM tracks ORDER BY id").to_arrow_table()
    return {name: table.column(name).to_pylist() for name in table.column_names}


def _flags(columns: Columns, name: str, tracks: int) -> NDArray[np.bool_]:
    if not name:
        return np.zeros(tracks, np.bool_)
    if name not in columns:
        raise InvalidData(f"the data has no column {name!r}")
    return np.array([value in (1, True) for value in columns[name]], np.bool_)


def _artists(ids: Sequence[object]) -> NDArray[np.int32]:
    """(tracks,) artists numbered in the order of their ids, -1 for none."""
    numbers = {artist: n for n, artist in enumerate(sorted({i for i in ids if isinstance(i, str)}))}
    return np.array([numbers.get(str(artist), -1) for artist in ids], np.int32)


def _genre_tracks(values: Sequence[object]) -> dict[str, NDArray[np.int32]]:
    positions: dict[str, list[int]] = {}
    for position, genres in enumerate(values):
        for genre in dict.fromkeys(genres if isinstance(genres, list) else ()):
            positions.setdefault(genre, []).append(position)
    return {genre: np.array(positions[genre], np.int32) for genre in sorted(positions)}
