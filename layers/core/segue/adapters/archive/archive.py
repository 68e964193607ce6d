"""The records of an epoch as a few files, with a manifest that says which of them count.

::

    ab/{experiment}/epoch={n}/manifest.json                          files, and counts
    ab/{experiment}/epoch={n}/archive/{first}-{last}-{id}.parquet    batches of records

The live side's experiment has ``.live`` behind its name. Every change writes new files, then the
manifest that names them, by compare-and-swap, and only then deletes what they replace. Whatever
stops it, the manifest names whole files that hold each record once. Files are written once and
never changed; their names never recur.
"""

import re
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

import msgspec

from segue.adapters.archive.files import ArchiveFiles, Changed
from segue.adapters.archive.manifest import File, Manifest
from segue.adapters.objects import JSON, Objects
from segue.domain.errors import StoreUnavailable
from segue.domain.times import DAY
from segue.experiments.epoch import EpochId, Side
from segue.experiments.records import Record
from segue.experiments.tally import Tally
from segue.ports import Archived

# Of all that is kept of experiments.
FOLDER = "ab/"
_MANIFEST = re.compile(rf"{FOLDER}([^/.]+)(\.live)?/epoch=(\d+)/manifest\.json")
# How often an erasure starts over because somebody else came between.
_TRIES = 16
_TOO_FAST = "results: the archive changed faster than it could be read"
# No writer lives as long: a file of this age that no manifest names is nobody's any more.
_ABANDONED = DAY


class S3Archive:
    """Copies of records in one bucket. Everything raises StoreUnavailable."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._files = ArchiveFiles(objects)

    def read(self, epoch: EpochId) -> Archived:
        """One GetObject."""
        return _archived(epoch, *self._manifest(epoch))

    def latest(self, archived: Archived) -> Sequence[Record] | None:
        """Two GetObjects, one of them of the latest batch's file."""
        manifest = self._unchanged(archived)
        if manifest is None:
            return None
        latest = manifest.file_of(manifest.batch)
        try:
            return self._files.records(latest) if latest else []
        except Changed:
            return None

    def add(self, archived: Archived, records: Sequence[Record]) -> Archived | None:
        """One GetObject and two PutObjects, one of them of the batch's file."""
        manifest = self._unchanged(archived)
        if manifest is None:
            return None
        if not manifest.noted:
            raise ValueError("the latest batch must be noted before another one is added")
        if not records:
            return archived
        file = self._files.add(_folder(archived.epoch), manifest.batch + 1, records)
        added = manifest.with_batch(file, Tally.of(records))
        return self._commit(archived.epoch, archived.tag, manifest, added)

    def note(self, archived: Archived) -> Archived | None:
        """One GetObject and one PutObject; also those of the files that are merged, if any are."""
        manifest = self._unchanged(archived)
        if manifest is None:
            return None
        small = manifest.to_merge()
        try:
            large = self._files.merge(_folder(archived.epoch), small) if small else None
        except Changed:
            return None
        noted = replace(manifest.with_file(small, large), noted=True)
        return self._commit(archived.epoch, archived.tag, manifest, noted)

    def erase(self, epoch: EpochId, user_id: str, batch: int | None) -> None:
        """One GetObject and one PutObject, and those of the batch's file."""
        for _ in range(_TRIES):
            manifest, tag = self._manifest(epoch)
            with suppress(Changed):
                erased = self._without(epoch, manifest, user_id, batch)
                if self._commit(epoch, tag, manifest, erased):
                    return
        raise StoreUnavailable(_TOO_FAST)

    def sweep(self, epoch: EpochId, now: int) -> int:
        """One ListObjectsV2 a thousand files, and one GetObject."""
        entries = self._objects.all_listed(_folder(epoch))
        manifest, _ = self._manifest(epoch)
        named = {file.key for file in manifest.files}
        abandoned = [
            entry.key
            for entry in entries
            if entry.key not in named and entry.modified < now - _ABANDONED
        ]
        self._objects.delete(abandoned)
        return len(abandoned)

    def users(self, epoch: EpochId) -> dict[str, int] | None:
        """Whose records there are, and a batch of the file that holds each; None where nothing was
        ever archived. One GetObject, and one a file."""
        for _ in range(_TRIES):
            manifest, tag = self._manifest(epoch)
            if tag is None:
                return None
            with suppress(Changed):
                files = manifest.files
                return {user: file.last for file in files for user in self._files.users(file)}
        raise StoreUnavailable(_TOO_FAST)

    def records(self, epoch: EpochId, batch: int) -> Sequence[Record]:
        """All records of the file with this batch. Two GetObjects."""
        for _ in range(_TRIES):
            manifest, _ = self._manifest(epoch)
            file = manifest.file_of(batch)
            with suppress(Changed):
                return self._files.records(file) if file else ()
        raise StoreUnavailable(_TOO_FAST)

    def _without(
        self, epoch: EpochId, manifest: Manifest, user_id: str, batch: int | None
    ) -> Manifest:
        """The next revision, without the user's record if it is there."""
        # What is noted, the ResultStore would have said to be in a batch.
        latest = None if manifest.noted else manifest.batch
        file = manifest.file_of(batch or latest)
        found = self._files.without(_folder(epoch), file, user_id) if file else None
        if file is None or found is None:
            return manifest.with_file([], None)
        rest, record = found
        tally = manifest.tally.minus(Tally.of([record]))
        return replace(manifest.with_file([file], rest), tally=tally)

    def _commit(
        self, epoch: EpochId, tag: str | None, old: Manifest, new: Manifest
    ) -> Archived | None:
        """Let these files count instead of those; None if somebody else was faster."""
        key, body = _manifest_key(epoch), msgspec.json.encode(new)
        written = self._objects.swap(key, body, JSON, tag)
        if written is None:
            current, there = self._manifest(epoch)
            # It may be ours: written, the answer lost, and refused when it was tried again. Or it
            # was, and has been replaced since by one that names the same files.
            if current != new:
                self._delete(new.files, but=(*old.files, *current.files))
                return None
            written = there
        self._delete(old.files, but=new.files)
        return _archived(epoch, new, written)

    def _delete(self, files: Iterable[File], but: Container[File]) -> None:
        self._objects.delete([file.key for file in files if file not in but])

    def _unchanged(self, archived: Archived) -> Manifest | None:
        """The manifest, if it still is of that version."""
        manifest, tag = self._manifest(archived.epoch)
        return manifest if tag == archived.tag else None

    def _manifest(self, epoch: EpochId) -> tuple[Manifest, str | None]:
        """The manifest and its version's tag; an empty one and None before the first commit."""
        return self._objects.read_as(_manifest_key(epoch), Manifest) or (Manifest(), None)


def epoch_of_manifest(key: str) -> EpochId | None:
    """The epoch whose manifest is under this key; None where none is."""
    found = _MANIFEST.fullmatch(key)
    if found is None:
        return None
    name, live, number = found.groups()
    return EpochId(name, int(number), Side.LIVE if live else Side.REPLAY)


def _archived(epoch: EpochId, manifest: Manifest, tag: str | None) -> Archived:
    return Archived(epoch, tag, manifest.tally, manifest.batch, manifest.noted)


def _folder(epoch: EpochId) -> str:
    return f"{_prefix(epoch)}archive/"


def _manifest_key(epoch: EpochId) -> str:
    return f"{_prefix(epoch)}manifest.json"


def _prefix(epoch: EpochId) -> str:
    live = ".live" if epoch.side is Side.LIVE else ""
    return f"{FOLDER}{epoch.experiment}{live}/epoch={epoch.number}/"
