"""The table of contents of an epoch's archive: which files hold the records, and their counts.

A new batch of records is a new file. Files grow as the archive does, an order of magnitude at a
time: so they stay few, and a record is rewritten about as often as the number of records has
digits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from segue.experiments.tally import Tally

# Of base 8: a file of 32,768 records is large enough.
_DIGIT_BITS = 3
_FULL = 5


@dataclass(frozen=True, slots=True)
class File:
    """A file of the archive, and the batches ``first`` to ``last`` that it holds whole."""

    key: str
    first: int
    last: int
    records: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """An epoch's archive as of its ``revision``: files in the order of their batches, and counts.

    ``batch`` is the number of the latest batch, from 1 on. While it is not ``noted``, it is a file
    of its own. Batches that an erasure has left nothing of are in no file.
    """

    revision: int = 0
    batch: int = 0
    noted: bool = True
    files: tuple[File, ...] = ()
    tally: Tally = field(default_factory=Tally)

    def file_of(self, batch: int | None) -> File | None:
        """The file that holds the batch; None where none does."""
        files = (it for it in self.files if batch is not None and it.first <= batch <= it.last)
        return next(files, None)

    def to_merge(self) -> tuple[File, ...]:
        """The last files that belong into one, in their order; none where all is well.

        As many as possible. Together they are of a higher order of magnitude than the first of
        them. None of them is full.
        """
        start, records = len(self.files), 0
        for place in reversed(range(len(self.files))):
            magnitude = _magnitude(self.files[place].records)
            if magnitude == _FULL:
                break
            records += self.files[place].records
            if _magnitude(records) > magnitude:
                start = place
        return self.files[start:]

    def with_batch(self, file: File, tally: Tally) -> "Manifest":
        """The next revision, with a file of the next batch, which is counted so."""
        return replace(
            self,
            revision=self.revision + 1,
            batch=file.last,
            noted=False,
            files=(*self.files, file),
            tally=self.tally.plus(tally),
        )

    def with_file(self, old: Sequence[File], new: File | None) -> "Manifest":
        """The next revision, with one file in the place of these neighbours, or with none."""
        kept = [file for file in self.files if file not in old]
        files = sorted([*kept, *([new] if new else [])], key=lambda file: file.first)
        return replace(self, revision=self.revision + 1, files=tuple(files))


def _magnitude(records: int) -> int:
    """The number's digits to base 8, less one, and at most those of a full file's."""
    return min((records.bit_length() - 1) // _DIGIT_BITS, _FULL)
