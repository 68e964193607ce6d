"""Writes flat tables as Parquet files, for Athena and whoever else reads them.

Only as much of the format as one row group of a few columns needs: values in plain encoding, one
gzipped page a column. A library that does all of it (Apache Arrow) weighs 90 MB, which functions
that answer users would have to carry and load; the tests read the files with it and with DuckDB.

The format: https://parquet.apache.org/docs/file-format/, its metadata in Thrift's compact protocol.
"""

import gzip
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

_MAGIC = b"PAR1"
_GZIP, _PLAIN, _RLE = 2, 0, 3

# A value of Thrift: the code of its type, and its bytes.
_Thrift = tuple[int, bytes]


class Kind(Enum):
    """What a column holds: Parquet's physical type and what it stands for (None: itself)."""

    TEXT = (6, 0)
    TIME = (2, 9)
    TRUTH = (0, None)


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Texts are bytes of UTF-8, or None; times are in milliseconds since 1970 UTC.

    Every value of a column without an ``optional`` one has to be there.
    """

    name: str
    kind: Kind
    values: Sequence[bytes | int | None]
    optional: bool = False


Span = tuple[int, int]


def write_parquet(columns: Sequence[Column]) -> tuple[bytes, dict[str, Span]]:
    """The file, and where in it each column's values are: offset and length in bytes."""
    rows = len(columns[0].values)
    body = bytearray(_MAGIC)
    spans: dict[str, Span] = {}
    chunks: list[_Thrift] = []
    size = 0
    for column in columns:
        plain = _page(column)
        packed = gzip.compress(plain, compresslevel=6, mtime=0)
        header = _page_header(len(plain), len(packed), rows)
        start = len(body)
        body += header + packed
        spans[column.name] = start + len(header), len(packed)
        chunks.append(_chunk(column, start, len(header) + len(plain), len(body) - start))
        size += len(header) + len(plain)
    body += _footer(columns, chunks, rows, size)
    return bytes(body), spans


def read_texts(packed: bytes) -> list[bytes]:
    """The values of a text column that is not optional, given the bytes of its span.

    Raises OSError, EOFError, zlib.error or struct.error for bytes that are no such thing.
    """
    return list(_texts(gzip.decompress(packed)))


def _texts(plain: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(plain):
        (length,) = struct.unpack_from("<i", plain, place)
        place += 4 + length
        yield plain[place - length : place]


def _page(column: Column) -> bytes:
    present = [value for value in column.values if value is not None]
    levels = _levels(column.values) if column.optional else b""
    return levels + _plain(column.kind, present)


def _plain(kind: Kind, values: Sequence[bytes | int]) -> bytes:
    if kind is Kind.TEXT:
        texts = [value for value in values if isinstance(value, bytes)]
        return b"".join(struct.pack("<i", len(text)) + text for text in texts)
    if kind is Kind.TIME:
        return struct.pack(f"<{len(values)}q", *values)
    return _bits(values)


def _levels(values: Sequence[object]) -> bytes:
    """Which values are there, as one bit-packed run of Parquet's hybrid encoding."""
    bits = _bits([value is not None for value in values])
    run = _varint(len(bits) << 1 | 1) + bits
    return struct.pack("<i", len(run)) + run


def _bits(values: Sequence[object]) -> bytes:
    """One bit a value, the first in the lowest place."""
    packed = bytearray((len(values) + 7) // 8)
    for place, value in enumerate(values):
        packed[place // 8] |= bool(value) << place % 8
    return bytes(packed)


def _page_header(plain: int, packed: int, rows: int) -> bytes:
    data = {1: _i32(rows), 2: _i32(_PLAIN), 3: _i32(_RLE), 4: _i32(_RLE)}
    data_page = 0
    header = {1: _i32(data_page), 2: _i32(plain), 3: _i32(packed), 5: _struct(data)}
    return _struct(header)[1]


def _chunk(column: Column, start: int, plain: int, packed: int) -> _Thrift:
    metadata = {
        1: _i32(column.kind.value[0]),
        2: _list([_i32(_PLAIN), _i32(_RLE)]),
        3: _list([_text(column.name)]),
        4: _i32(_GZIP),
        5: _i64(len(column.values)),
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
    fields = {1: _i32(physical), 3: _i32(column.optional), 4: _text(column.name)}
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
