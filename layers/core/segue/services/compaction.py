"""Copies records into the archive, a batch at a time, each of them once.

A batch is added to the archive, then every record of it is noted as archived, then the archive
notes that. Whoever comes next first does what of this was not done; so records that are read as
unarchived are in no batch, whatever was stopped or raced before.
"""

from segue.experiments.epoch import EpochId
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
        self._note(added, {record.exposure.user_id for record in records})
        return len(records)

    def _noted(self, archived: Archived) -> Archived | None:
        """The archive, all of it noted; None where it is another's by now."""
        if archived.noted:
            return archived
        users = self._archive.users(archived)
        return None if users is None else self._note(archived, users)

    def _note(self, archived: Archived, users: set[str]) -> Archived | None:
        self._results.note_archived(archived.epoch, users, archived.batch)
        return self._archive.note(archived)
