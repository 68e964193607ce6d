"""The table of contents of an epoch's archive: which files hold the records, and their counts.

Users are spread over 256 shards by the first byte of ``sha256(user_id)``. A file holds the records
of a run of neighbouring shards, in the order of the users' hashes: one file holds them all while
they are few, and splits in halves as they become many, down to one file for each shard.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeVar

from segue.experiments.tally import Tally

T = TypeVar("T")

SHARDS = 256
# Of one file, unless it holds a single shard. A page reads one or two files of this size.
MOST_RECORDS = 4_096


def user_hash(user_id: str) -> str:
    """Where the user stands in the order of the records: ``sha256(user_id)`` in hexadecimal."""
    return sha256(user_id.encode()).hexdigest()


def shard_of(digest: str) -> int:
    """The shard of a user's hash: its first byte."""
    return int(digest[:2], 16)


@dataclass(frozen=True, slots=True)
class File:
    """One file of the archive and the shards ``first <= shard < end`` that it holds whole.

    ``columns`` gives the place of a column's values within the file, as offset and length in
    bytes, so that one column can be read without the others.
    """

    key: str
    first: int
    end: int
    records: int
    sha256: str
    columns: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Manifest:
    """An epoch's archive as of its ``revision``: files in the order of their shards, and counts.

    There is no file before the first record; from then on each shard is in one of them.
    """

    experiment: str
    epoch: int
    revision: int = 0
    records: int = 0
    files: tuple[File, ...] = ()
    tally: Tally = field(default_factory=Tally)

    def file_of(self, shard: int) -> File | None:
        """The file that holds the shard; None where there is no file at all."""
        return next((file for file in self.files if file.first <= shard < file.end), None)

    def replaced(self, old: Iterable[File], new: Iterable[File], tally: Tally) -> "Manifest":
        """The next revision, with these files for those and these counts."""
        gone = {file.key for file in old}
        kept = [file for file in self.files if file.key not in gone]
        files = tuple(sorted([*kept, *new], key=lambda file: file.first))
        records = sum(file.records for file in files)
        return Manifest(self.experiment, self.epoch, self.revision + 1, records, files, tally)


@dataclass(frozen=True, slots=True)
class Compaction:
    """What one compaction did, and the position to go on from; None at the end.

    ``unreadable`` names the raw objects that are no records; they stay where they are.
    """

    archived: int
    unreadable: tuple[str, ...]
    next: str | None


def split(
    first: int, end: int, entries: Mapping[str, T]
) -> Iterator[tuple[int, int, dict[str, T]]]:
    """Entries by their users' hashes, of the shards from ``first`` to ``end``, cut into files.

    In halves of halves, until none is too large or narrower than one shard; in order.
    """
    if len(entries) <= MOST_RECORDS or end - first == 1:
        yield first, end, dict(sorted(entries.items()))
        return
    middle = (first + end) // 2
    for begin, stop in ((first, middle), (middle, end)):
        half = {digest: it for digest, it in entries.items() if begin <= shard_of(digest) < stop}
        yield from split(begin, stop, half)
