"""Writes flat tables as Parquet files, for Athena and whoever else reads them.

Only as much of the format as one row group of a few columns needs: values in plain encoding, in
gzipped pages. A library that does all of it (Apache Arrow) weighs 90 MB, which functions that
answer users would have to carry and load; the tests read the files with it and with DuckDB.

The format: https://parquet.apache.org/docs/file-format/, its metadata in Thrift's compact protocol.
"""

import gzip
import struct
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from itertools import chain
from typing import Any, NamedTuple

# What HTTP calls it.
PARQUET = "application/vnd.apache.parquet"

_MAGIC = b"PAR1"
_GZIP, _PLAIN, _RLE = 2, 0, 3

# A value of Thrift: the code of its type, and its bytes.
_Thrift = tuple[int, bytes]


class Kind(Enum):
    """What a column holds: Parquet's physical type and what it stands for (None: itself)."""

    TEXT = (6, 0)
    TIME = (2, 9)
    TRUTH = (0, None)
    NUMBER = (4, None)


class Repetition(Enum):
    """How many values of a column a row has, as Parquet numbers it."""

    ONE = 0
    ONE_OR_NONE = 1
    MANY = 2


class Column(NamedTuple):
    """One column. Every row has one value, unless ``repetition`` says otherwise."""

    name: str
    kind: Kind
    repetition: Repetition = Repetition.ONE


# Texts are bytes of UTF-8; times are in milliseconds since 1970 UTC; numbers are of single
# precision.
Value = bytes | int | float
# Of a column of MANY, a sequence for each row; else a value, which is None where there is none.
Values = Sequence[Value | None] | Sequence[Sequence[Value]]


class Page(NamedTuple):
    """Values of one column: how many, in how many bytes, and these compressed. A row of none counts
    as one."""

    rows: int
    size: int
    packed: bytes


# Some rows of a table, one at least: a page for each column, the first of which is not of MANY. It
# is the same in every file that it is part of.
Block = Sequence[Page]


def pack(column: Column, values: Values) -> Page:
    """A page of these values."""
    levels, entries, present = _flattened(column.repetition, values)
    plain = levels + _plain(column.kind, present)
    return Page(entries, len(plain), gzip.compress(plain, compresslevel=6, mtime=0))


def texts_of(page: Page) -> list[bytes]:
    """The values of a page of a text column that has one in every row."""
    return list(_texts(gzip.decompress(page.packed)))


def write_parquet(schema: Sequence[Column], blocks: Sequence[Block]) -> bytes:
    """A file of these rows in this order. Nothing is compressed anew."""
    body = bytearray(_MAGIC)
    chunks: list[_Thrift] = []
    size = 0
    for column, pages in zip(schema, zip(*blocks, strict=True), strict=True):
        start = len(body)
        for page in pages:
            body += _page_header(page) + page.packed
        # The size before compression, headers included.
        plain = len(body) - start + sum(page.size - len(page.packed) for page in pages)
        rows = sum(page.rows for page in pages)
        chunks.append(_chunk(column, rows, start, plain, len(body) - start))
        size += plain
    body += _footer(schema, chunks, sum(block[0].rows for block in blocks), size)
    return bytes(body)


def read_blocks(columns: int, body: bytes) -> list[Block]:
    """The blocks that ``write_parquet`` made a file of, which has so many columns."""
    (footer,) = struct.unpack("<i", body[-8:-4])
    pages = list(_pages(body, len(_MAGIC), len(body) - 8 - footer))
    blocks = len(pages) // columns
    return [pages[place::blocks] for place in range(blocks)]


def _pages(body: bytes, place: int, end: int) -> Iterator[Page]:
    while place < end:
        page, place = _page_at(body, place)
        yield page


def _texts(plain: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(plain):
        (length,) = struct.unpack_from("<i", plain, place)
        place += 4 + length
        yield plain[place - length : place]


def _flattened(repetition: Repetition, values: Any) -> tuple[bytes, int, Sequence[Value]]:
    """The levels that tell where rows begin and which values are there; how many entries there are,
    an empty row counting as one; and the values that are there."""
    if repetition is Repetition.ONE:
        return b"", len(values), values
    if repetition is Repetition.ONE_OR_NONE:
        there = [value is not None for value in values]
        return _levels(there), len(values), [value for value in values if value is not None]
    continues = [place > 0 for row in values for place in range(max(len(row), 1))]
    there = [bool(row) for row in values for _ in range(max(len(row), 1))]
    return _levels(continues) + _levels(there), len(there), [*chain.from_iterable(values)]


def _plain(kind: Kind, values: Sequence[Value]) -> bytes:
    if kind is Kind.TEXT:
        texts = [value for value in values if isinstance(value, bytes)]
        return b"".join(struct.pack("<i", len(text)) + text for text in texts)
    if kind is Kind.TIME:
        return struct.pack(f"<{len(values)}q", *values)
    if kind is Kind.NUMBER:
        return struct.pack(f"<{len(values)}f", *values)
    return _bits(values)


def _levels(values: Sequence[bool]) -> bytes:
    """Levels of 0 and 1, as one bit-packed run of Parquet's hybrid encoding."""
    bits = _bits(values)
    run = _varint(len(bits) << 1 | 1) + bits
    return struct.pack("<i", len(run)) + run


def _bits(values: Sequence[object]) -> bytes:
    """One bit a value, the first in the lowest place."""
    packed = bytearray((len(values) + 7) // 8)
    for place, value in enumerate(values):
        packed[place // 8] |= bool(value) << place % 8
    return bytes(packed)


def _page_header(page: Page) -> bytes:
    data = {1: _i32(page.rows), 2: _i32(_PLAIN), 3: _i32(_RLE), 4: _i32(_RLE)}
    data_page, packed = 0, len(page.packed)
    header = {1: _i32(data_page), 2: _i32(page.size), 3: _i32(packed), 5: _struct(data)}
    return _struct(header)[1]


def _page_at(body: bytes, place: int) -> tuple[Page, int]:
    """The page whose header begins here, and where the next one's does.

    The header is as ``_page_header`` writes it: a byte before each number, and one more before the
    three encodings' struct begins; both structs end with a byte.
    """
    numbers = []
    for bytes_before in (1, 1, 1, 2, 1, 1, 1):
        number, place = _read_zigzag(body, place + bytes_before)
        numbers.append(number)
    _, size, packed, rows, *_ = numbers
    start = place + 2
    return Page(rows, size, body[start : start + packed]), start + packed


def _chunk(column: Column, rows: int, start: int, plain: int, packed: int) -> _Thrift:
    metadata = {
        1: _i32(column.kind.value[0]),
        2: _list([_i32(_PLAIN), _i32(_RLE)]),
        3: _list([_text(column.name)]),
        4: _i32(_GZIP),
        5: _i64(rows),
        6: _i64(plain),
        7: _i64(packed),
        9: _i64(start),
    }
    return _struct({2: _i64(start), 3: _struct(metadata)})


def _footer(columns: Sequence[Column], chunks: Sequence[_Thrift], rows: int, size: int) -> bytes:
    root = _struct({4: _text("schema"), 5: _i32(len(columns))})
    schema = [root, *(_schema_element(column) for column in columns)]
    group = _struct({1: _list(chunks), 2: _i64(size), 3: _i64(rows)})
    metadata = {1: _i32(1), 2: _list(schema), 3: _i64(rows), 4: _list([group])}
    _, footer = _struct(metadata | {6: _text("segue")})
    return footer + struct.pack("<i", len(footer)) + _MAGIC


def _schema_element(column: Column) -> _Thrift:
    physical, meaning = column.kind.value
    fields = {1: _i32(physical), 3: _i32(column.repetition.value), 4: _text(column.name)}
    return _struct(fields if meaning is None else fields | {6: _i32(meaning)})


def _i32(value: int) -> _Thrift:
    return 5, _zigzag(value)


def _i64(value: int) -> _Thrift:
    return 6, _zigzag(value)


def _text(value: str) -> _Thrift:
    encoded = value.encode()
    return 8, _varint(len(encoded)) + encoded


def _list(values: Sequence[_Thrift]) -> _Thrift:
    kind = values[0][0]
    size = len(values)
    head = bytes([size << 4 | kind]) if size < 15 else bytes([0xF0 | kind]) + _varint(size)
    return 9, head + b"".join(body for _, body in values)


def _struct(fields: Mapping[int, _Thrift]) -> _Thrift:
    """Fields by their ids, in rising order, at most 15 apart."""
    parts, last = [], 0
    for field, (kind, body) in fields.items():
        parts.append(bytes([(field - last) << 4 | kind]) + body)
        last = field
    return 12, b"".join(parts) + b"\0"


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else ~(value << 1))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_zigzag(body: bytes, place: int) -> tuple[int, int]:
    """A number that is not negative, and the place behind it."""
    value = shift = 0
    while body[place] > 0x7F:
        value |= (body[place] & 0x7F) << shift
        place, shift = place + 1, shift + 7
    return (value | body[place] << shift) >> 1, place + 1
