"""The files of an archive: batches of records as Parquet.

Each is written once, under a name that never recurs, and checked against the manifest when read.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from uuid import uuid4

import msgspec

from segue.adapters.archive.manifest import File
from segue.adapters.archive.parquet import (
    PARQUET,
    Block,
    Column,
    Kind,
    Repetition,
    pack,
    read_blocks,
    texts_of,
    write_parquet,
)
from segue.adapters.objects import Objects
from segue.domain.errors import StoreUnavailable
from segue.experiments.records import Record

# Of a merged file, the rows that are compressed anew together; larger ones are copied as they are.
_ROWS_TOGETHER = 4_096


class Changed(Exception):
    """What was being read or replaced has been replaced by somebody else."""


class ArchiveFiles:
    """Writes and reads files. Raises StoreUnavailable, and Changed for a file that is gone."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def add(self, prefix: str, batch: int, records: Sequence[Record]) -> File:
        """A file below ``prefix`` of this batch alone."""
        return self._write(prefix, batch, batch, [_block(records)])

    def records(self, file: File) -> list[Record]:
        """All that it holds."""
        return [record for block in self._read(file) for record in _records(block)]

    def users(self, file: File) -> list[str]:
        """Whose records it holds."""
        texts = (texts_of(block[_USER]) for block in self._read(file))
        return [text.decode() for block in texts for text in block]

    def merge(self, prefix: str, files: Sequence[File]) -> File:
        """A file of all records of these neighbours. Large ones are copied, not decoded."""
        blocks = [block for file in files for block in self._read(file)]
        if sum(file.records for file in files) <= _ROWS_TOGETHER:
            blocks = [_block([record for block in blocks for record in _records(block)])]
        return self._write(prefix, files[0].first, files[-1].last, blocks)

    def without(self, prefix: str, file: File, user_id: str) -> tuple[File | None, Record] | None:
        """A file of the others' records, if there are any, and the user's; None without one."""
        blocks = self._read(file)
        for place, block in enumerate(blocks):
            if user_id.encode() in texts_of(block[_USER]):
                records = {record.exposure.user_id: record for record in _records(block)}
                erased = records.pop(user_id)
                blocks[place : place + 1] = [_block([*records.values()])] if records else []
                rest = self._write(prefix, file.first, file.last, blocks) if blocks else None
                return rest, erased
        return None

    def _write(self, prefix: str, first: int, last: int, blocks: Sequence[Block]) -> File:
        body = write_parquet([*_COLUMNS], blocks)
        key = f"{prefix}{first}-{last}-{uuid4().hex}.parquet"
        self._objects.put(key, body, PARQUET)
        records = sum(block[_RECORD].rows for block in blocks)
        return File(key, first, last, records, sha256(body).hexdigest())

    def _read(self, file: File) -> list[Block]:
        found = self._objects.read(file.key)
        if found is None:
            raise Changed
        body, _ = found
        if sha256(body).hexdigest() != file.sha256:
            raise StoreUnavailable(f"results: {file.key} is not what the manifest says it is")
        return read_blocks(len(_COLUMNS), body)


def _records(block: Block) -> list[Record]:
    return [msgspec.json.decode(text, type=Record) for text in texts_of(block[_RECORD])]


def _block(records: Sequence[Record]) -> Block:
    return [pack(column, [*map(value, records)]) for column, value in _COLUMNS.items()]


def _error(record: Record) -> bytes | None:
    error = record.exposure.error
    return None if error is None else error.encode()


# What Athena finds: the original service's names where it had one, and the record itself.
_COLUMNS: Mapping[Column, Callable[[Record], bytes | int | None]] = {
    Column("record", Kind.TEXT): msgspec.json.encode,
    Column("user_id", Kind.TEXT): lambda it: it.exposure.user_id.encode(),
    Column("group", Kind.TEXT): lambda it: it.exposure.group.encode(),
    Column("model", Kind.TEXT): lambda it: it.exposure.model.encode(),
    Column("bundle", Kind.TEXT): lambda it: it.exposure.bundle.encode(),
    Column("recomm_successful", Kind.TRUTH): lambda it: it.successful,
    Column("created_at", Kind.TIME): lambda it: it.exposure.created_at,
    Column("as_of", Kind.TIME): lambda it: it.exposure.as_of,
    Column("settled_at", Kind.TIME): lambda it: it.settled_at,
    Column("error", Kind.TEXT, Repetition.ONE_OR_NONE): _error,
}
_RECORD, _USER = 0, 1
