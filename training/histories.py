"""The plays and the profiles of a workspace, as training reads them."""

from collections.abc import Sequence
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.times import DAY, Window
from segue.domain.users import User
from segue.features.encoder import Encoder, FloatArray
from segue.features.listeners import History, user_columns
from training.data.queries import ALL_TIME, listener_blocks, query
from training.plays import NEVER, Plays, concatenate
from training.users import read_users


def read_plays(
    connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, window: Window = ALL_TIME
) -> tuple[NDArray[np.str_], Plays]:
    """The plays of tracks in the catalogue within ``window``, as they were known at its end; and
    the ids of the users with any, (users,), sorted by their bytes."""
    users: list[NDArray[np.str_]] = []
    parts: list[Plays] = []
    for block in listener_blocks(connection, "plays"):
        ids, plays = _read_block(block, catalogue, window)
        before = sum(len(own) for own in users)
        parts.append(replace(plays, user=(plays.user + before).astype(np.int32)))
        users.append(ids)
    return np.concatenate(users), concatenate(parts)


def _read_block(
    connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, window: Window
) -> tuple[NDArray[np.str_], Plays]:
    table = query(connection, "known.sql", window)
    tracks = _positions(table, catalogue)
    known = tracks >= 0
    table = table.filter(pa.array(known))
    named = table.column("user_id").combine_chunks().dictionary_encode()
    skipped_at, liked_at = (
        pc.fill_null(table.column(name), NEVER).to_numpy() for name in ("skipped_at", "liked_at")
    )
    return np.array(named.dictionary.to_pylist(), np.str_), Plays(
        user=named.indices.to_numpy().astype(np.int32),
        track=tracks[known],
        time=table.column("time").to_numpy(),
        skipped_at=skipped_at,
        liked_at=liked_at,
    )


def _positions(plays: pa.Table, catalogue: Catalogue) -> NDArray[np.int32]:
    """(plays,) positions in the catalogue, -1 for an unknown track."""
    named = plays.column("track_id").combine_chunks().dictionary_encode()
    places = catalogue.positions(named.dictionary.to_pylist())
    return places[named.indices.to_numpy()] if len(plays) else np.empty(0, np.int32)


def history_at(plays: Plays, as_of: int) -> History:
    """Plays that are known at a moment as models see them then."""
    age = ((as_of - plays.time) / DAY).astype(np.float32)
    return History(plays.track, plays.completed, plays.liked, age)


def read_profiles(
    connection: duckdb.DuckDBPyConnection, encoder: Encoder, user_ids: Sequence[str]
) -> FloatArray:
    """(users, user_width) encoded; of a user without a profile what serving takes in its place."""
    known = read_users(connection, user_ids)
    users = [known.get(user_id, User(user_id)) for user_id in user_ids]
    return encoder.encode_users(user_columns(users, encoder.schema))
