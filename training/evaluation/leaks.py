"""Catches models that see the future: with another future, they must recommend the same."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segue.domain.times import DAY
from segue.features.schema import Schema
from training.catalogue import EncodedCatalogue, Popularity, encode_catalogue
from training.data import connect
from training.data.queries import COMPLETE, read_sql, write_query
from training.evaluation.lists import VIEWS, Lists
from training.evaluation.split import Split
from training.evaluation.temporal import split_at

# Fits at a split and lists for its judged listeners, contender by contender.
Fit = Callable[[duckdb.DuckDBPyConnection, Split, EncodedCatalogue], Mapping[str, Lists]]


def leaking(
    workspace: Path, other: Path, schema: Schema, cutoff: int, fit: Fit, seed: int
) -> list[str]:
    """The contenders of ``fit`` whose lists change with what happens from the cut-off on.

    Every one is fitted twice: on ``workspace``, and on a copy of it in ``other`` where all events
    from the cut-off on are garbage, and the outcomes likewise. Drawing at random must be seeded.
    """
    scramble(workspace, other, cutoff, seed)
    with connect(workspace) as connection:
        encoded = encode_catalogue(connection, schema, Popularity(connection, cutoff))
        split = split_at(connection, encoded, cutoff)
        expected = fit(connection, split, encoded)
    with connect(other) as connection:
        encoded = encode_catalogue(connection, schema, Popularity(connection, cutoff))
        found = fit(
            connection, _same_listeners(split_at(connection, encoded, cutoff), split, seed), encoded
        )
    return [name for name in expected if not _same(expected[name], found[name])]


def _same_listeners(garbled: Split, split: Split, seed: int) -> Split:
    """The garbled split, asking for the lists of the true one's listeners."""
    outcomes = np.random.default_rng(seed).integers(split.tracks, size=len(split.outcomes))
    return replace(
        garbled, judged=split.judged, offsets=split.offsets, outcomes=outcomes.astype(np.int32)
    )


def _same(expected: Lists, found: Lists) -> bool:
    return all(np.array_equal(expected[view], found[view]) for view in VIEWS)


def scramble(workspace: Path, other: Path, cutoff: int, seed: int) -> None:
    """Copy a workspace into ``other``, with garbage from the cut-off on.

    The events from then on keep their listeners, sessions and times; what happened, and to which
    track, is dealt out anew among them. And whatever was played in the day before the cut-off is
    skipped and liked at it, in sessions that so last beyond it.
    """
    events = pq.read_table(workspace / "events.parquet")
    time = events.column("time")
    past = events.filter(pc.less(time, cutoff))
    future = events.filter(pc.greater_equal(time, cutoff))
    order = pa.array(np.random.default_rng(seed).permutation(len(future)))
    for name in ("type", "track_id"):
        column = future.schema.get_field_index(name)
        future = future.set_column(column, future.field(name), future.column(name).take(order))
    late = past.filter(
        pc.and_(
            pc.greater_equal(past.column("time"), cutoff - DAY),
            pc.equal(past.column("type"), "PLAY"),
        )
    )
    turns = [_turn(late, kind, cutoff) for kind in ("SKIP", "LIKE")]
    with_events(workspace, other, pa.concat_tables([past, future, *turns]))


def with_events(workspace: Path, other: Path, events: pa.Table) -> None:
    """Copy a workspace into ``other``, with these events instead of its own."""
    other.mkdir(parents=True)
    for name in ("users.parquet", "tracks.parquet"):
        shutil.copyfile(workspace / name, other / name)
    pq.write_table(events, other / "events.parquet")
    with duckdb.connect() as connection:
        connection.register("events", events)
        write_query(connection, read_sql("plays.sql"), other / "plays.parquet")
    shutil.copyfile(workspace / COMPLETE, other / COMPLETE)


def _turn(late: pa.Table, kind: str, cutoff: int) -> pa.Table:
    """The plays as skips or likes at the cut-off."""
    values = {"time": pa.array(np.full(len(late), cutoff)), "type": pa.array([kind] * len(late))}
    for name, value in values.items():
        field = late.field(name)
        late = late.set_column(late.schema.get_field_index(name), field, value.cast(field.type))
    return late
