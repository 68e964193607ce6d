"""Copies records into the archive, a batch at a time, each of them once.

A batch is added to the archive, then every record of it is noted as archived, then the archive
notes that. Whoever comes next first does what of this was not done; so records that are read as
unarchived are in no batch, whatever was stopped or raced before.
"""

from collections.abc import Sequence

from segue.experiments.epoch import EpochId
from segue.experiments.records import Record
from segue.ports import Archived, ResultArchive, ResultStore

# How often one begins anew because another was faster.
_TRIES = 8


class Compactor:
    """Between the store of results and the archive. Everything raises StoreUnavailable."""

    def __init__(self, results: ResultStore, archive: ResultArchive) -> None:
        self._results = results
        self._archive = archive

    def compact(self, epoch: EpochId) -> int:
        """Archive a batch of the epoch's records, of which this is the number.

        None are left where it is 0, or somebody else is at it.
        """
        archived = self._noted(self._archive.read(epoch))
        records = self._results.unarchived(epoch) if archived else []
        if archived is None or not records:
            return 0
        added = self._archive.add(archived, records)
        if added is None:
            return 0
        self._note(added, records)
        return len(records)

    def _noted(self, archived: Archived) -> Archived | None:
        """The archive, all of it noted; None where it is another's by now."""
        if archived.noted:
            return archived
        records = self._archive.latest(archived)
        return None if records is None else self._note(archived, records)

    def _note(self, archived: Archived, records: Sequence[Record]) -> Archived | None:
        self._results.note_archived(archived.epoch, records, archived.batch)
        return self._archive.note(archived)
