"""Slices of time: what was known of every listener at a moment, as serving would see it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.times import DAY
from segue.features.listeners import History
from training.data import query, set_cutoffs


@dataclass(frozen=True)
class Slice:
    """The listeners with a play of a known track in the 30 days before ``as_of``.

    starts, completions: (tracks,) int64, how often each track was begun and fully played then, by
    all of them together.
    """

    as_of: int
    histories: dict[str, History]
    starts: NDArray[np.int64]
    completions: NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """What was fully played in the week from ``as_of`` on: arrays over (user, track) pairs.

    users: ids. tracks: (pairs,) int32 positions.
    """

    as_of: int
    users: list[str]
    tracks: NDArray[np.int32]


def read_slices(
    connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, times: Sequence[int]
) -> Iterator[Slice]:
    """A slice for each of the times, in ascending order."""
    set_cutoffs(connection, times)
    table = known_tracks(query(connection, "windows.sql"), catalogue)
    for as_of, rows in _by_time(table, times):
        yield _slice(as_of, rows, len(catalogue))


def read_labels(
    connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, times: Sequence[int]
) -> Iterator[Labels]:
    """The labels of each of the times, in ascending order."""
    set_cutoffs(connection, times)
    table = known_tracks(query(connection, "labels.sql"), catalogue)
    for as_of, rows in _by_time(table, times):
        users, tracks = rows.column("user_id"), rows.column("position")
        yield Labels(as_of, users.to_pylist(), tracks.to_numpy())


def known_tracks(table: pa.Table, catalogue: Catalogue) -> pa.Table:
    """The rows whose track is in the catalogue, with its ``position``."""
    encoded = table.column("track_id").combine_chunks().dictionary_encode()
    places = catalogue.positions(encoded.dictionary.to_pylist())
    positions = places[encoded.indices.to_numpy()] if len(table) else np.empty(0, np.int32)
    return table.append_column("position", pa.array(positions)).filter(pa.array(positions >= 0))


def _by_time(table: pa.Table, times: Sequence[int]) -> Iterator[tuple[int, pa.Table]]:
    as_ofs = table.column("as_of").to_numpy()
    for as_of in sorted(set(times)):
        start, end = np.searchsorted(as_ofs, [as_of, as_of + 1])
        yield as_of, table.slice(start, end - start)


def _slice(as_of: int, rows: pa.Table, tracks: int) -> Slice:
    users = rows.column("user_id").combine_chunks().dictionary_encode()
    everyone = _history(as_of, rows)
    # Rows are in the order of users, so each one's plays adjoin.
    bounds = np.flatnonzero(np.diff(users.indices.to_numpy())) + 1
    pieces = zip(np.r_[0, bounds], np.r_[bounds, len(rows)], strict=True) if len(rows) else ()
    return Slice(
        as_of,
        dict(
            zip(
                users.dictionary.to_pylist(), (_cut(everyone, a, b) for a, b in pieces), strict=True
            )
        ),
        np.bincount(everyone.tracks, minlength=tracks),
        np.bincount(everyone.tracks[everyone.completed], minlength=tracks),
    )


def _history(as_of: int, rows: pa.Table) -> History:
    return History(
        rows.column("position").to_numpy(),
        rows.column("completed").to_numpy(),
        rows.column("liked").to_numpy(),
        ((as_of - rows.column("time").to_numpy()) / DAY).astype(np.float32),
    )


def _cut(history: History, start: int, end: int) -> History:
    return History(
        history.tracks[start:end],
        history.completed[start:end],
        history.liked[start:end],
        history.age[start:end],
    )


def concatenate(histories: Sequence[History]) -> History:
    """All their plays, one history after the other."""
    return History(
        np.concatenate([np.empty(0, np.int32), *(history.tracks for history in histories)]),
        np.concatenate([np.empty(0, np.bool_), *(history.completed for history in histories)]),
        np.concatenate([np.empty(0, np.bool_), *(history.liked for history in histories)]),
        np.concatenate([np.empty(0, np.float32), *(history.age for history in histories)]),
    )
