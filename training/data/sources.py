"""Finds the files of a data folder and streams their rows, damaged ones included."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from segue.domain.errors import InvalidData
from training.data.parquet import DAMAGE, Record, read_records

TABLES = ("tracks", "artists", "users", "sessions")
SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
DAMAGED = "file damaged from here on"
# A longer line is no record; the bound keeps a file without line ends from filling the memory.
MAX_LINE = 1 << 20
_CHUNK = 1 << 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Reached = Callable[[int], None]


class Unreadable(NamedTuple):
    """A row that could not be read in full: what there is of it, and why."""

    raw: bytes
    reason: str


Row = bytes | Record | Unreadable


@dataclass(frozen=True, slots=True)
class Source:
    """One file of a data folder: which table it holds, and where it lies."""

    table: str
    path: Path

    @property
    def size(self) -> int:
        """Length in bytes, as stored."""
        return self.path.stat().st_size

    def rows(self, reached: Reached = lambda _: None) -> Iterator[tuple[int, Row]]:
        """The rows and their numbers, which start at 1 and count blank lines.

        A row is a line's bytes, or the record of a Parquet row, or Unreadable; where a file breaks
        off, the rest of it is the last one. ``reached`` is told how many of the file's bytes were
        used by now. Raises InvalidData where the file cannot be opened.
        """
        try:
            with self.path.open("rb") as file:
                if self.path.suffix == ".parquet":
                    yield from _parquet_rows(file, self.size, reached)
                else:
                    yield from _lines(_chunks(file, self.path.suffix == ".gz", reached))
        except OSError as error:
            raise InvalidData(f"{self.path}: {error.strerror or error}") from error


def find_sources(folder: Path) -> dict[str, Source]:
    """The tables that the folder holds. Raises InvalidData where it holds none, or one twice."""
    if not folder.is_dir():
        raise InvalidData(f"{folder} is not a folder")
    sources: dict[str, Source] = {}
    for table in TABLES:
        paths = [folder / f"{table}{suffix}" for suffix in SUFFIXES]
        found = [path for path in paths if path.is_file()]
        if len(found) > 1:
            names = " and ".join(path.name for path in found)
            raise InvalidData(f"{folder} holds {names}: keep one of them")
        if found:
            sources[table] = Source(table, found[0])
    if not sources:
        raise InvalidData(f"{folder} holds none of {', '.join(TABLES)} ({', '.join(SUFFIXES)})")
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


def _row(line: bytes) -> bytes | Unreadable | None:
    if len(line) > MAX_LINE:
        return Unreadable(line[:MAX_LINE], f"longer than {MAX_LINE} bytes")
    return None if line.isspace() else line


def _parquet_rows(file: BinaryIO, size: int, reached: Reached) -> Iterator[tuple[int, Row]]:
    number = 0
    try:
        for number, record in enumerate(
            read_records(file, lambda share: reached(int(share * size))), start=1
        ):
            yield number, record
    except DAMAGE:
        yield number + 1, Unreadable(b"", DAMAGED)
