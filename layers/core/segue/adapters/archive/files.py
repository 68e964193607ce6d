"""The files of an archive: records as Parquet, found again by their users' hashes.

Each is written once, under a name that never recurs, and checked against the manifest when read.
"""

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple
from uuid import uuid4

import msgspec

from segue.adapters.objects import Objects
from segue.adapters.archive.parquet import Column, Kind, read_texts, write_parquet
from segue.domain.errors import StoreUnavailable
from segue.adapters.archive.manifest import File, user_hash
from segue.experiments.records import Record

_PARQUET = "application/vnd.apache.parquet"


class Stored(NamedTuple):
    """A record, and the very bytes that were written of it."""

    record: Record
    body: bytes


class Changed(Exception):
    """What was being read or replaced has been replaced by somebody else."""


class ArchiveFiles:
    """Writes and reads files. Raises StoreUnavailable, and Changed for a file that is gone."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def write(self, prefix: str, first: int, end: int, entries: Mapping[str, Stored]) -> File:
        """A file below ``prefix`` of these records, in the order of their users' hashes."""
        rows = [entries[digest] for digest in sorted(entries)]
        body, columns = write_parquet(_columns(rows))
        key = f"{prefix}{first:02x}-{end - 1:02x}-{uuid4().hex}.parquet"
        self._objects.create(key, body, _PARQUET)
        return File(key, first, end, len(rows), sha256(body).hexdigest(), columns)

    def read(self, file: File) -> dict[str, Stored]:
        """Its records by their users' hashes, in their order."""
        found = self._objects.read(file.key)
        if found is None:
            raise Changed
        body, _ = found
        if sha256(body).hexdigest() != file.sha256:
            raise StoreUnavailable(f"results: {file.key} is not what the manifest says it is")
        start, length = file.columns["record"]
        stored = [decoded(text) for text in read_texts(body[start : start + length])]
        return {user_hash(it.record.exposure.user_id): it for it in stored}

    def hashes(self, file: File) -> set[str]:
        """The hashes of its users, read without their records."""
        found = self._objects.read(file.key, file.columns["user_id"])
        if found is None:
            raise Changed
        try:
            return {user_hash(text.decode()) for text in read_texts(found[0])}
        except (OSError, EOFError, zlib.error, struct.error, UnicodeDecodeError) as error:
            raise StoreUnavailable(f"results: {file.key} cannot be read: {error}") from error


def decoded(body: bytes) -> Stored:
    """Raises msgspec.DecodeError."""
    return Stored(msgspec.json.decode(body, type=Record), body)


def _columns(rows: Sequence[Stored]) -> list[Column]:
    """What Athena finds: the original service's names where it had one, and the record itself."""
    records = [row.record for row in rows]
    exposures = [record.exposure for record in records]

    def texts(name: str, values: Iterable[str]) -> Column:
        return Column(name, Kind.TEXT, [value.encode() for value in values])

    errors = [None if it.error is None else it.error.encode() for it in exposures]
    return [
        Column("record", Kind.TEXT, [row.body for row in rows]),
        texts("user_id", (it.user_id for it in exposures)),
        texts("group", (it.group for it in exposures)),
        texts("model", (it.model for it in exposures)),
        texts("bundle", (it.bundle for it in exposures)),
        Column("recomm_successful", Kind.TRUTH, [record.successful for record in records]),
        Column("created_at", Kind.TIME, [it.created_at for it in exposures]),
        Column("as_of", Kind.TIME, [it.as_of for it in exposures]),
        Column("settled_at", Kind.TIME, [record.settled_at for record in records]),
        Column("error", Kind.TEXT, errors, optional=True),
    ]
