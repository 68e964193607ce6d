"""Finds the files of a data folder and streams their rows, damaged ones included."""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa

from segue.domain.errors import InvalidData
from training.data.forms import Layout, advice
from training.data.lake import DAYS, complete_files
from training.data.parquet import DAMAGE, Record, read_batches, records_of

TABLES = ("tracks", "artists", "users", "sessions")
SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
DAMAGED = "file damaged from here on"
# A longer line is no record; the bound keeps a file without line ends from filling the memory.
MAX_LINE = 1 << 20
_CHUNK = 1 << 16
# Rows of a block: enough to make columns cheap, few enough that they may all be long.
_ROWS = 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Of a value in a JSON file, which may be a whole page of listens.
_MAX_VALUE = 1 << 24
# What a lake's columns are called in sessions.
_OF_SESSIONS = {"time": "timestamp", "type": "event_type"}
_BETWEEN_VALUES = re.compile(r"[\s,\[\]]*")

Reached = Callable[[int], None]


class Unreadable(NamedTuple):
    """A row that could not be read in full: what there is of it, and why."""

    raw: bytes
    reason: str


Row = bytes | Record | Unreadable


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows of a Parquet file by columns, numbered from ``first`` on."""

    first: int
    batch: pa.RecordBatch

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        return enumerate(records_of(self.batch), self.first)


Block = Columns | Sequence[tuple[int, Row]]


@dataclass(frozen=True, slots=True)
class Source:
    """One file of a data folder: which table it holds, where it lies, and how it is divided.

    ``name`` is what reports call it; its file name where it is empty.
    """

    table: str
    path: Path
    layout: Layout = "lines"
    name: str = ""

    @property
    def file(self) -> str:
        """What reports call it."""
        return self.name or self.path.name

    @property
    def size(self) -> int:
        """Length in bytes, as stored."""
        return self.path.stat().st_size

    def rows(self, reached: Reached = lambda _: None) -> Iterator[tuple[int, Row]]:
        """The rows and their numbers: of lines, which start at 1 and count blank ones, or of values
        or Parquet rows.

        A row is the bytes of a line or of a JSON value, or the record of a row of CSV or Parquet,
        or Unreadable; where a file breaks off, the rest of it is the last one. ``reached`` is told
        how many of the file's bytes were used by now. Raises InvalidData where the file cannot be
        opened.
        """
        if self.path.suffix == ".parquet":
            for block in self.blocks(reached):
                yield from block
            return
        with self._opened() as file:
            yield from self._divided(_chunks(file, self.path.suffix == ".gz", reached))

    def blocks(self, reached: Reached = lambda _: None) -> Iterator[Block]:
        """The same, many rows at once: those of Parquet by columns, others one by one."""
        if self.path.suffix == ".parquet":
            with self._opened() as file:
                yield from _parquet_blocks(file, self.size, reached)
            return
        rows = self.rows(reached)
        while block := list(islice(rows, _ROWS)):
            yield block

    @contextmanager
    def _opened(self) -> Iterator[io.BufferedReader]:
        try:
            with self.path.open("rb") as file:
                yield file
        except OSError as error:
            raise InvalidData(f"{self.path}: {error.strerror or error}") from error

    def _divided(self, chunks: Iterator[bytes]) -> Iterator[tuple[int, Row]]:
        match self.layout:
            case "lines":
                return _lines(chunks)
            case "json":
                return _values(chunks)
            case "csv":
                return _records(_lines(chunks))


@dataclass(frozen=True, slots=True)
class LakeSource(Source):
    """The events of a lake's complete days, as the rows of sessions; ``path`` is the lake's."""

    @property
    def size(self) -> int:
        """Length of all files in bytes, as stored."""
        return sum(file.stat().st_size for file in complete_files(self.path))

    def rows(self, reached: Reached = lambda _: None) -> Iterator[tuple[int, Row]]:
        """The rows of all files, numbered throughout. Raises InvalidData where a day is not whole:
        one is missing among them, or a file or a part of one."""
        for block in self.blocks(reached):
            yield from block

    def blocks(self, reached: Reached = lambda _: None) -> Iterator[Block]:
        """The same, many rows at once."""
        used, number = 0, 1
        for path in complete_files(self.path):
            for block in Source(self.table, path).blocks():
                if not isinstance(block, Columns):
                    raise InvalidData(f"{path} is damaged: export its day again")
                names = [_OF_SESSIONS.get(name, name) for name in block.batch.schema.names]
                yield Columns(number, block.batch.rename_columns(names))
                number += len(block)
            used += path.stat().st_size
            reached(used)


def find_sources(folder: Path) -> dict[str, Source]:
    """The tables that the folder holds. Raises InvalidData where it holds none, or one twice."""
    if not folder.is_dir():
        raise InvalidData(
            f"{folder} is not a folder" + (f"; {advice(folder)}" if folder.is_file() else "")
        )
    sources: dict[str, Source] = {}
    for table in TABLES:
        paths = [folder / f"{table}{suffix}" for suffix in SUFFIXES]
        found = [Source(table, path) for path in paths if path.is_file()]
        if table == "sessions" and (folder / DAYS).is_dir():
            found.append(LakeSource(table, folder, name=DAYS))
        if len(found) > 1:
            names = " and ".join(source.file for source in found)
            raise InvalidData(f"{folder} holds {names}: keep one of them")
        if found:
            sources[table] = found[0]
    if not sources:
        raise InvalidData(
            f"{folder} holds none of {', '.join(TABLES)} ({', '.join(SUFFIXES)}); {advice(folder)}"
        )
    return sources


def _chunks(file: io.BufferedReader, packed: bool, reached: Reached) -> Iterator[bytes]:
    stream: io.BufferedIOBase = gzip.GzipFile(fileobj=file) if packed else file
    # read1 and small chunks: what lies before the place where a gzip file breaks must come out.
    chunk = stream.read1(_CHUNK).removeprefix(_BYTE_ORDER_MARK)
    while chunk:
        yield chunk
        reached(file.tell())
        chunk = stream.read1(_CHUNK)


def _lines(chunks: Iterator[bytes]) -> Iterator[tuple[int, bytes | Unreadable]]:
    number, rest = 0, b""
    try:
        for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[: MAX_LINE + 1]
            for line in lines:
                number += 1
                if row := _row(line):
                    yield number, row
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield number + 1, Unreadable(rest, DAMAGED)
    else:
        if row := _row(rest):
            yield number + 1, row


def _values(chunks: Iterator[bytes]) -> Iterator[tuple[int, bytes | Unreadable]]:
    # As Latin-1 any bytes are text, and come back as they were. Syntax is ASCII, and that is all
    # that is looked at here.
    scan = json.JSONDecoder().raw_decode
    number, place, text = 0, 0, ""
    in_array = closed = False
    try:
        while True:
            found = _BETWEEN_VALUES.match(text, place)
            assert found is not None
            in_array |= not number and "[" in found.group()
            closed |= "]" in found.group()
            place = found.end()
            try:
                _, end = scan(text, place)
            except (ValueError, RecursionError):
                text, place = text[place:], 0
                # Twice as much at a time, since the scan begins anew.
                more = _at_least(chunks, len(text)) if len(text) < _MAX_VALUE else b""
                if not more:
                    break
                text += more.decode("latin-1")
            else:
                number += 1
                yield number, text[place:end].encode("latin-1")
                place = end
    except (EOFError, zlib.error, gzip.BadGzipFile):
        closed = False
    if text or (in_array and not closed):
        yield number + 1, Unreadable(text[:MAX_LINE].encode("latin-1"), DAMAGED)


def _at_least(chunks: Iterator[bytes], size: int) -> bytes:
    """The next chunks, of so many bytes together; less at the end."""
    parts, length = [], 0
    for chunk in chunks:
        parts.append(chunk)
        length += len(chunk)
        if length >= size:
            break
    return b"".join(parts)


def _records(lines: Iterator[tuple[int, bytes | Unreadable]]) -> Iterator[tuple[int, Row]]:
    unreadable: list[tuple[int, Unreadable]] = []
    number = 0

    def texts() -> Iterator[str]:
        nonlocal number
        for number, line in lines:
            if isinstance(line, Unreadable):
                unreadable.append((number, line))
            else:
                yield line.decode("utf-8", "surrogateescape") + "\n"

    source = texts()
    first = next(source, "")
    separator = max(",;\t|", key=first.count)
    rows = csv.reader(chain([first], source), delimiter=separator)
    header = [name.strip() for name in next(rows, [])]
    while (row := _record(rows, header, separator)) is not None:
        yield from unreadable
        unreadable.clear()
        yield number, row
    yield from unreadable


def _record(
    rows: Iterator[list[str]], header: Sequence[str], separator: str
) -> Record | Unreadable | None:
    """The next row by the columns' names; None at the end."""
    try:
        fields = next(rows)
    except StopIteration:
        return None
    except csv.Error as error:
        return Unreadable(b"", f"not CSV: {error}")
    raw = separator.join(fields).encode("utf-8", "surrogateescape")
    if len(fields) != len(header):
        return Unreadable(raw, f"{len(fields)} columns, not the {len(header)} of the first line")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return Unreadable(raw, "not UTF-8")
    return dict(zip(header, fields, strict=True))


def _row(line: bytes) -> bytes | Unreadable | None:
    if len(line) > MAX_LINE:
        return Unreadable(line[:MAX_LINE], f"longer than {MAX_LINE} bytes")
    return None if line.isspace() else line


def _parquet_blocks(file: BinaryIO, size: int, reached: Reached) -> Iterator[Block]:
    number = 1
    try:
        for batch in read_batches(file, lambda share: reached(int(share * size))):
            yield Columns(number, batch)
            number += batch.num_rows
    except DAMAGE:
        yield [(number, Unreadable(b"", DAMAGED))]
