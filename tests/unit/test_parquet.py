"""Parquet files: other libraries read them, and we read back what we wrote."""

from datetime import UTC, datetime
from io import BytesIO

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.adapters.archive.parquet import Column, Kind, read_texts, write_parquet

TEXT = st.text().map(str.encode)
ROWS = st.lists(
    st.tuples(TEXT, st.integers(0, 253_402_300_799_999), st.booleans(), st.none() | TEXT),
    max_size=70,
)


def columns(rows: list[tuple[bytes, int, bool, bytes | None]]) -> list[Column]:
    texts, times, truths, maybes = zip(*rows, strict=True) if rows else ((), (), (), ())
    return [
        Column("text", Kind.TEXT, texts),
        Column("time", Kind.TIME, times),
        Column("truth", Kind.TRUTH, truths),
        Column("maybe", Kind.TEXT, maybes, optional=True),
    ]


@given(ROWS)
def test_another_library_reads_every_value(
    rows: list[tuple[bytes, int, bool, bytes | None]],
) -> None:
    body, _ = write_parquet(columns(rows))
    table = pyarrow.parquet.read_table(BytesIO(body))
    assert table["text"].to_pylist() == [row[0].decode() for row in rows]
    assert table["time"].cast("int64").to_pylist() == [row[1] for row in rows]
    assert table["truth"].to_pylist() == [row[2] for row in rows]
    assert table["maybe"].to_pylist() == [
        row[3] if row[3] is None else row[3].decode() for row in rows
    ]


@given(ROWS)
def test_a_column_is_read_from_its_place_alone(
    rows: list[tuple[bytes, int, bool, bytes | None]],
) -> None:
    body, spans = write_parquet(columns(rows))
    start, length = spans["text"]
    assert read_texts(body[start : start + length]) == [row[0] for row in rows]


def test_columns_say_what_they_hold() -> None:
    body, _ = write_parquet(columns([(b"a", 1_662_000_000_123, True, None)]))
    table = pyarrow.parquet.read_table(BytesIO(body))
    assert [str(field.type) for field in table.schema] == [
        "string",
        "timestamp[ms, tz=UTC]",
        "bool",
        "string",
    ]
    assert [field.nullable for field in table.schema] == [False, False, False, True]
    assert table["time"].to_pylist() == [datetime(2022, 9, 1, 2, 40, 0, 123_000, tzinfo=UTC)]


def test_the_same_rows_make_the_same_file() -> None:
    rows = [(b"a", 1, True, None), (b"b", 2, False, b"c")]
    assert write_parquet(columns(rows)) == write_parquet(columns(rows))


def test_a_damaged_column_is_no_column() -> None:
    body, spans = write_parquet(columns([(b"abc", 1, True, None)]))
    start, length = spans["text"]
    damaged = bytearray(body[start : start + length])
    damaged[-6] ^= 1
    with pytest.raises(OSError, match="CRC"):
        read_texts(bytes(damaged))
