"""Reads many events at once, by columns, as far as it is sure what ``parse_event`` makes of them.

What it is not sure of is left to ``parse_event``, which names the faults of a row. That costs ten
times as much, and rows with faults are few. Columns of Parquet are never taken apart into rows,
which saves another nine tenths.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import compress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from segue.domain.events import EventType, parse_id
from segue.domain.limits import MAX_ID_LENGTH
from segue.domain.times import LATEST
from training.data.parquet import INTEGER, TEXT, Record, plain_values, records_of
from training.data.records import record_of
from training.data.sources import Columns, Row

EVENT_COLUMNS = {
    "line": INTEGER,
    "user_id": TEXT,
    "session_id": TEXT,
    "time": INTEGER,
    "type": TEXT,
    "track_id": TEXT,
}
# The usual spellings; ``parse_event`` knows any.
_TYPES = {spelling: kind.value for kind in EventType for spelling in (kind.value, kind.lower())} | {
    "advertisment": EventType.ADVERTISEMENT.value
}
_WITHOUT_TRACK = pa.array([EventType.ADVERTISEMENT.value, EventType.BUY_PREMIUM.value])
# A time in UTC without its zone, as most tools write it. Arrow reads these as Python does.
_TIME = (
    r"^(19[7-9]\d|20\d\d)-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{3}|\.\d{6})?$"
)
_FIELDS = ("user_id", "session_id", "timestamp", "event_type", "track_id")
_parse_id = lru_cache(1 << 16, typed=True)(parse_id)


def read_plain_events(
    rows: Sequence[tuple[int, Row]],
) -> tuple[pa.Table, Sequence[tuple[int, Row]]]:
    """The events of numbered rows as a table of EVENT_COLUMNS, and the rows that are not in it."""
    records = [record_of(row) for _, row in rows]
    table = pa.table(
        {
            "line": pa.array([line for line, _ in rows], INTEGER),
            "user_id": _ids(records, "user_id"),
            "session_id": _ids(records, "session_id"),
            "time": _times(records),
            "type": _types(records),
            "track_id": _ids(records, "track_id"),
        }
    )
    plain = _are_plain(table)
    return table.filter(pa.array(plain)), list(compress(rows, ~plain))


def read_plain_columns(block: Columns) -> tuple[pa.Table, Sequence[tuple[int, Row]]]:
    """The same of rows of Parquet."""
    columns = {name: _column(block.batch, name) for name in _FIELDS}
    if any(column is None for column in columns.values()):
        return read_plain_events([])[0], list(block)
    table = pa.table(
        {
            "line": np.arange(block.first, block.first + len(block)),
            "user_id": _plain_ids(columns["user_id"]),
            "session_id": _plain_ids(columns["session_id"]),
            "time": _plain_times(columns["timestamp"]),
            "type": _plain_types(columns["event_type"]),
            "track_id": _plain_ids(columns["track_id"]),
        }
    )
    plain = _are_plain(table)
    others = block.batch.filter(pa.array(~plain))
    lines = np.arange(block.first, block.first + len(block))[~plain].tolist()
    return table.filter(pa.array(plain)), list(zip(lines, records_of(others), strict=True))


def _column(batch: pa.RecordBatch, name: str) -> pa.Array | None:
    """The column where it is of texts or whole numbers, as a column of ids, times or types is."""
    if name not in batch.schema.names:
        return None
    column = plain_values(name, batch.column(name))
    usual = pa.types.is_string(column.type) or pa.types.is_integer(column.type)
    return column if usual else None


def _plain_ids(column: pa.Array) -> pa.Array:
    if pa.types.is_integer(column.type):
        return pc.cast(pc.if_else(pc.greater_equal(column, 0), column, None), TEXT)
    length = pc.utf8_length(column)
    usable = pc.and_(pc.greater(length, 0), pc.less_equal(length, MAX_ID_LENGTH))
    return pc.if_else(usable, column, None)


def _plain_types(column: pa.Array) -> pa.Array:
    if not pa.types.is_string(column.type):
        return pa.nulls(len(column), TEXT)
    places = pc.index_in(column, pa.array(_TYPES))
    return pa.array(_TYPES.values(), TEXT).take(places)


def _plain_times(column: pa.Array) -> pa.Array:
    if pa.types.is_string(column.type):
        return _milliseconds(pc.if_else(pc.match_substring_regex(column, _TIME), column, None))
    within = pc.and_(pc.greater_equal(column, 0), pc.less(column, LATEST))
    return pc.cast(pc.if_else(within, column, None), INTEGER)


def _are_plain(table: pa.Table) -> NDArray[np.bool_]:
    """(rows,) whether everything is there; only some types of event go without a track."""
    needed = ("user_id", "session_id", "time", "type")
    complete = [pc.is_valid(table.column(name)) for name in needed]
    goes_without = pc.is_in(table.column("type"), _WITHOUT_TRACK)
    complete.append(pc.or_(pc.is_valid(table.column("track_id")), goes_without))
    plain: NDArray[np.bool_] = np.logical_and.reduce([column.to_numpy() for column in complete])
    return plain


def _ids(records: Sequence[Record], field: str) -> pa.Array:
    values = [record.get(field) for record in records]
    try:
        ids = [_parse_id(value) for value in values]
    except TypeError:  # lists and objects are no ids, and cannot be looked up
        ids = [parse_id(value) for value in values]
    return pa.array(ids, TEXT)


def _types(records: Sequence[Record]) -> pa.Array:
    values = (record.get("event_type") for record in records)
    return pa.array([_TYPES.get(value) if type(value) is str else None for value in values], TEXT)


def _times(records: Sequence[Record]) -> pa.Array:
    values = [record.get("timestamp") for record in records]
    texts = pa.array([value if type(value) is str else None for value in values], TEXT)
    numbers = [value if type(value) is int and 0 <= value < LATEST else None for value in values]
    return pc.coalesce(_plain_times(texts), pa.array(numbers, INTEGER))


def _milliseconds(texts: pa.Array) -> pa.Array:
    try:
        moments = pc.cast(texts, pa.timestamp("us"))
    except pa.ArrowInvalid:  # 31 February looks like a day
        return pa.nulls(len(texts), INTEGER)
    return pc.cast(pc.cast(moments, pa.timestamp("ms"), safe=False), INTEGER)
