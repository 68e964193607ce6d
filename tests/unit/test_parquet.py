"""Parquet files: other libraries read them, and we read back what we wrote."""

from datetime import UTC, datetime
from io import BytesIO

import pyarrow.parquet
from hypothesis import given
from hypothesis import strategies as st

from segue.adapters.archive.parquet import (
    Block,
    Column,
    Kind,
    Repetition,
    pack,
    read_blocks,
    texts_of,
    write_parquet,
)

TEXT = st.text().map(str.encode)
ROWS = st.lists(
    st.tuples(
        TEXT,
        st.integers(0, 253_402_300_799_999),
        st.booleans(),
        st.none() | TEXT,
        st.lists(TEXT, max_size=9),
        st.lists(st.floats(width=32, allow_nan=False), max_size=9),
    ),
    min_size=1,
    max_size=70,
)


SCHEMA = [
    Column("text", Kind.TEXT),
    Column("time", Kind.TIME),
    Column("truth", Kind.TRUTH),
    Column("maybe", Kind.TEXT, Repetition.ONE_OR_NONE),
    Column("texts", Kind.TEXT, Repetition.MANY),
    Column("numbers", Kind.NUMBER, Repetition.MANY),
]
Row = tuple[bytes, int, bool, bytes | None, list[bytes], list[float]]


def block(rows: list[Row]) -> Block:
    columns = zip(SCHEMA, zip(*rows, strict=True), strict=True)
    return [pack(column, values) for column, values in columns]


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_another_library_reads_every_value_of_every_block(blocks: list[list[Row]]) -> None:
    body = write_parquet(SCHEMA, [block(rows) for rows in blocks])
    table = pyarrow.parquet.read_table(BytesIO(body))
    rows = [row for rows in blocks for row in rows]
    assert table["text"].to_pylist() == [row[0].decode() for row in rows]
    assert table["time"].cast("int64").to_pylist() == [row[1] for row in rows]
    assert table["truth"].to_pylist() == [row[2] for row in rows]
    assert table["maybe"].to_pylist() == [
        row[3] if row[3] is None else row[3].decode() for row in rows
    ]
    assert table["texts"].to_pylist() == [[it.decode() for it in row[4]] for row in rows]
    assert table["numbers"].to_pylist() == [row[5] for row in rows]


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_blocks_are_read_back_as_they_were_written(blocks: list[list[Row]]) -> None:
    written = [block(rows) for rows in blocks]
    read = read_blocks(len(SCHEMA), write_parquet(SCHEMA, written))
    assert read == written
    assert [texts_of(it[0]) for it in read] == [[row[0] for row in rows] for rows in blocks]


def test_columns_say_what_they_hold_and_how_large_it_is() -> None:
    blocks = [
        block([(b"a", 1_662_000_000_123, True, None, [b"x"], [0.5])]),
        block([(b"b" * 999, 0, True, b"c", [], [1.0])]),
    ]
    body = write_parquet(SCHEMA, blocks)
    table = pyarrow.parquet.read_table(BytesIO(body))
    assert [str(field.type) for field in table.schema] == [
        "string",
        "timestamp[ms, tz=UTC]",
        "bool",
        "string",
        "list<texts: string not null>",
        "list<numbers: float not null>",
    ]
    assert [field.nullable for field in table.schema][:4] == [False, False, False, True]
    assert table["time"].to_pylist()[0] == datetime(2022, 9, 1, 2, 40, 0, 123_000, tzinfo=UTC)
    metadata = pyarrow.parquet.read_metadata(BytesIO(body))
    group = metadata.row_group(0)
    columns = [group.column(place) for place in range(len(SCHEMA))]
    assert (metadata.num_rows, metadata.num_row_groups) == (2, 1)
    assert {column.num_values for column in columns} == {2}
    # Behind the four bytes that a file begins with, one column follows the other.
    ends = [4, *(it.data_page_offset + it.total_compressed_size for it in columns)]
    assert [it.data_page_offset for it in columns] == ends[:-1]
    headers = sum(it.total_compressed_size for it in columns) - sum(
        len(page.packed) for it in blocks for page in it
    )
    plain = sum(page.size for it in blocks for page in it)
    assert group.total_byte_size == headers + plain
    assert sum(it.total_uncompressed_size for it in columns) == headers + plain


def test_a_table_may_have_no_rows() -> None:
    body = write_parquet(SCHEMA, [[pack(column, []) for column in SCHEMA]])
    assert pyarrow.parquet.read_table(BytesIO(body)).num_rows == 0


def test_the_same_rows_make_the_same_file() -> None:
    rows: list[Row] = [(b"a", 1, True, None, [], [1.0]), (b"b", 2, False, b"c", [b"d"], [])]
    assert write_parquet(SCHEMA, [block(rows)]) == write_parquet(SCHEMA, [block(rows)])
