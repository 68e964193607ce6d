"""The records of an epoch, compacted: a few files and a manifest in place of an object a user.

::

    ab/{experiment}/epoch={e}/raw/{hh}/{sha256(user)}.json   where a record is written, once
    ab/{experiment}/epoch={e}/archive/{hh}-{hh}-{id}.parquet the records of these shards, as a set
    ab/{experiment}/epoch={e}/manifest.json                  which files count, and their counts

A compaction writes new files, then the manifest that names them, by compare-and-swap, and only
then deletes what they replace. Whatever stops it leaves every record in a file that the manifest
names or in its raw object, and perhaps in both: readers take the union by user, the archived
record before the raw one. Files are written once and never changed; their names never recur.

Readers look at the raw objects first and at the manifest afterwards, so that a record that moves
from there to here is seen in one of the two. Where both have one, the archived record counts.

An erasure leaves a mark in place of the user's raw object. Whoever has read something of the user
before, and now writes what followed from it, finds the mark, since every write is conditional. The
mark bears an id, so that whoever begins after the erasure may take its place. It holds nothing of
the user; the bucket's lifecycle deletes it days later.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, TypeVar
from uuid import uuid4

import msgspec

from segue.adapters.archive.files import ArchiveFiles, Changed, Stored, decoded
from segue.adapters.objects import JSON, Entry, Objects
from segue.domain.errors import StoreUnavailable, UnknownPosition
from segue.domain.times import DAY
from segue.experiments.experiment import Experiment
from segue.adapters.archive.manifest import (
    SHARDS,
    Compaction,
    File,
    Manifest,
    shard_of,
    split,
    user_hash,
)
from segue.experiments.records import Record, RecordPage
from segue.experiments.tally import Tally

# Of one compaction: what one request lists, and deletes.
BATCH = 1_000
# How often a reader or writer starts over because a compaction or an erasure came between.
_TRIES = 8
_READERS = 16
# No compaction lives as long: a file of this age that no manifest names is nobody's any more.
_ABANDONED = DAY

_DIGITS = frozenset("0123456789abcdef")
_ERASED = b"erased "

R = TypeVar("R")
T = TypeVar("T")


class _Raw(NamedTuple):
    """Of some users' raw objects: the records, the users with an erasure's mark, the faulty keys.

    An object that has gone since it was listed, archived or dropped, is in none of these.
    """

    records: dict[str, Stored]
    erased: set[str]
    unreadable: tuple[str, ...]


class S3Archive:
    """Compacts, reads and erases the records of an epoch. All of it raises StoreUnavailable."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._files = ArchiveFiles(objects)

    def compact(self, experiment: Experiment, after: str = "") -> Compaction:
        """Archive up to BATCH raw records behind the position ``after``. Safe to repeat or race."""
        return _undisturbed(lambda: self._compact(experiment, after))

    def records(self, experiment: Experiment, *, limit: int, after: str = "") -> RecordPage:
        """A page of the union of archived and raw records, in the order of the users' hashes.

        Reads one listing, the manifest, the one or two files that the page spans, and its raw
        objects. Raises UnknownPosition where ``after`` is not among them.
        """
        return _undisturbed(lambda: self._page(experiment, limit, after))

    def find(self, experiment: Experiment, user_id: str) -> Record | None:
        """The user's archived record. Reads the manifest, then users, then records of one file."""
        return _undisturbed(lambda: self._find(experiment, user_hash(user_id)))

    def tally(self, experiment: Experiment) -> Tally:
        """The counts of all records. Reads the manifest and the raw objects, of which few are left.

        Where there are any, also the users of the files that they would go into.
        """
        return self.tally_and_recorded(experiment, ())[0]

    def tally_and_recorded(
        self, experiment: Experiment, digests: Collection[str]
    ) -> tuple[Tally, set[str]]:
        """The counts of all records, and which of the users with these hashes have one.

        Reads the users of the files that raw records and these users would go into, too.
        """
        raw = self._all_raw(experiment)
        return _undisturbed(lambda: self._tally(experiment, raw, digests))

    def erase(self, experiment: Experiment, user_id: str) -> None:
        """Take the user out of pending exposures, raw objects, archive and counts.

        The pending exposure first: whoever knows of the erasure and still finds an exposure may
        take it for a later one. The manifest changes even if the user is in no file: a compaction
        that has read the raw object, replaced here, must not succeed.
        """
        digest = user_hash(user_id)
        mark = _ERASED + uuid4().hex.encode()
        for prefix in (pending_prefix(experiment), raw_prefix(experiment)):
            self._objects.put(user_key(prefix, digest), mark, "text/plain")
        _undisturbed(lambda: self._erase(experiment, digest))

    def sweep(self, experiment: Experiment, now: int) -> int:
        """Delete files that a compaction left behind which did not live to commit them."""
        entries, _ = self._objects.listed(_archive_prefix(experiment))
        manifest, _tag = self._manifest(experiment)
        named = {file.key for file in manifest.files}
        abandoned = [
            entry.key
            for entry in entries
            if entry.key not in named and entry.modified < now - _ABANDONED
        ]
        self._objects.delete(abandoned)
        return len(abandoned)

    def _compact(self, experiment: Experiment, after: str) -> Compaction:
        # The manifest first: an erasure replaces the raw object before it changes the manifest, so
        # whoever read the object before will not get the manifest changed.
        manifest, tag = self._manifest(experiment)
        prefix = raw_prefix(experiment)
        start = user_key(prefix, after) if after else ""
        entries, more = self._objects.listed(prefix, after=start, limit=BATCH)
        listed = {digest_of(entry): entry for entry in entries}
        raw = self._read_raw(prefix, list(listed))
        archived = self._archive(experiment, manifest, tag, raw.records)
        # Another version than was read may be there by now: an erasure's mark, or a new record.
        self._objects.delete_unchanged(
            [(listed[digest].key, listed[digest].tag) for digest in raw.records]
        )
        return Compaction(archived, raw.unreadable, digest_of(entries[-1]) if more else None)

    def _find(self, experiment: Experiment, digest: str) -> Record | None:
        manifest, _ = self._manifest(experiment)
        file = manifest.file_of(shard_of(digest))
        if file is None or digest not in self._files.hashes(file):
            return None
        return self._files.read(file)[digest].record

    def _tally(
        self, experiment: Experiment, raw: Mapping[str, Stored], digests: Collection[str]
    ) -> tuple[Tally, set[str]]:
        manifest, _ = self._manifest(experiment)
        archived = self._archived_of(manifest, [*raw, *digests])
        fresh = [it.record for digest, it in raw.items() if digest not in archived]
        recorded = {digest for digest in digests if digest in raw or digest in archived}
        return manifest.tally.plus(Tally.of(fresh)), recorded

    def _archive(
        self, experiment: Experiment, manifest: Manifest, tag: str | None, raw: Mapping[str, Stored]
    ) -> int:
        """Merge raw records into the files and commit; how many of them were not there already."""
        old: list[File] = []
        new: list[File] = []
        fresh: list[Record] = []
        try:
            for file, part in _by_file(manifest, raw):
                held = self._files.read(file) if file else {}
                added = {digest: it for digest, it in part.items() if digest not in held}
                if added:
                    new += self._write_files(experiment, file, held | added)
                    old += [file] if file else []
                    fresh += [it.record for it in added.values()]
        except Changed:
            self._objects.delete([file.key for file in new])
            raise
        if fresh:
            tally = manifest.tally.plus(Tally.of(fresh))
            self._commit(experiment, tag, manifest.replaced(old, new, tally), old, new)
        return len(fresh)

    def _erase(self, experiment: Experiment, digest: str) -> None:
        manifest, tag = self._manifest(experiment)
        file = manifest.file_of(shard_of(digest))
        held = self._files.read(file) if file else {}
        stored = held.pop(digest, None)
        if file is None or stored is None:
            untouched = manifest.replaced([], [], manifest.tally)
            self._commit(experiment, tag, untouched, [], [])
            return
        new = self._files.write(_archive_prefix(experiment), file.first, file.end, held)
        tally = manifest.tally.minus(Tally.of([stored.record]))
        self._commit(experiment, tag, manifest.replaced([file], [new], tally), [file], [new])

    def _commit(
        self,
        experiment: Experiment,
        tag: str | None,
        manifest: Manifest,
        old: Sequence[File],
        new: Sequence[File],
    ) -> None:
        """Let these files count instead of those. Raises Changed if somebody else was faster."""
        key, body = _manifest_key(experiment), msgspec.json.encode(manifest)
        if tag is None:
            committed = self._objects.create(key, body, JSON)
        else:
            committed = self._objects.swap(key, body, JSON, tag)
        if not committed:
            current, _ = self._manifest(experiment)
            named = {file.key for file in current.files}
            # It may be ours: committed, the answer lost, and refused when it was tried again.
            if current != manifest:
                self._objects.delete([file.key for file in new if file.key not in named])
                raise Changed
        self._objects.delete([file.key for file in old])

    def _page(self, experiment: Experiment, limit: int, after: str) -> RecordPage:
        prefix = raw_prefix(experiment)
        start = user_key(prefix, after) if after else ""
        # Raw before archived: a record moves there, never back. An erasure's mark counts, too.
        known = not after or self._objects.read(start) is not None
        entries, more = self._objects.listed(prefix, after=start, limit=limit)
        raw = [digest_of(entry) for entry in entries]
        manifest, _ = self._manifest(experiment)
        archived = self._archived(manifest, after, limit)
        if archived.pop(after, None) is None and not known:
            raise UnknownPosition
        digests = sorted({*archived, *raw})
        page = digests[:limit]
        left = self._readable(prefix, [digest for digest in page if digest not in archived])
        found = left.records | archived
        if not all(digest in found or digest in left.erased for digest in page):
            raise Changed
        records = tuple(found[digest].record for digest in page if digest in found)
        return RecordPage(records, page[-1] if more or len(digests) > limit else None)

    def _archived(self, manifest: Manifest, after: str, limit: int) -> dict[str, Stored]:
        """The archived records from a user on: more than ``limit`` behind, or all there are."""
        found: dict[str, Stored] = {}
        start = shard_of(after) if after else 0
        for file in manifest.files:
            if file.end > start and len(found) <= limit + 1:
                held = self._files.read(file)
                found |= {digest: it for digest, it in held.items() if digest >= after}
        return found

    def _archived_of(self, manifest: Manifest, digests: Iterable[str]) -> set[str]:
        """The users, of all in the files that these would go into, that are archived."""
        files = {file.key: file for file, _ in _by_file(manifest, dict.fromkeys(digests)) if file}
        with ThreadPoolExecutor(_READERS) as pool:
            return set().union(*pool.map(self._files.hashes, files.values()))

    def _all_raw(self, experiment: Experiment) -> dict[str, Stored]:
        prefix, after, more = raw_prefix(experiment), "", True
        found: dict[str, Stored] = {}
        while more:
            entries, more = self._objects.listed(prefix, after=after)
            found |= self._readable(prefix, [digest_of(entry) for entry in entries]).records
            after = entries[-1].key if entries else ""
        return found

    def _readable(self, prefix: str, digests: Sequence[str]) -> _Raw:
        """These users' raw objects. Raises StoreUnavailable naming one that is no record."""
        raw = self._read_raw(prefix, digests)
        for key in raw.unreadable:
            raise StoreUnavailable(f"results: {key} cannot be read")
        return raw

    def _read_raw(self, prefix: str, digests: Sequence[str]) -> _Raw:
        records: dict[str, Stored] = {}
        erased, unreadable = set(), []
        keys = [user_key(prefix, digest) for digest in digests]
        for digest, key, body in zip(digests, keys, self._objects.read_all(keys), strict=True):
            if body is None:
                continue
            if erasure_of(body):
                erased.add(digest)
                continue
            try:
                records[digest] = decoded(body)
            except msgspec.DecodeError:
                unreadable.append(key)
        return _Raw(records, erased, tuple(unreadable))

    def _manifest(self, experiment: Experiment) -> tuple[Manifest, str | None]:
        """The manifest and its version's tag; an empty one and None before the first commit."""
        key = _manifest_key(experiment)
        found = self._objects.read(key)
        if found is None:
            return Manifest(experiment.name, experiment.epoch), None
        body, tag = found
        try:
            return msgspec.json.decode(body, type=Manifest), tag
        except msgspec.DecodeError as error:
            raise StoreUnavailable(f"results: {key} cannot be read: {error}") from error

    def _write_files(
        self, experiment: Experiment, file: File | None, entries: Mapping[str, Stored]
    ) -> list[File]:
        """What is to take the place of a file; of all of them where there is none yet."""
        prefix = _archive_prefix(experiment)
        first, end = (file.first, file.end) if file else (0, SHARDS)
        return [self._files.write(prefix, *run) for run in split(first, end, entries)]


def _undisturbed(attempt: Callable[[], R]) -> R:
    """What an attempt answers that nobody came between."""
    for _ in range(_TRIES):
        with suppress(Changed):
            return attempt()
    raise StoreUnavailable("results: changed faster than they could be read")


def epoch_prefix(experiment: Experiment) -> str:
    """Below which all of an epoch lies."""
    return f"ab/{experiment.name}/epoch={experiment.epoch}/"


def raw_prefix(experiment: Experiment) -> str:
    """Below which the epoch's raw records lie."""
    return f"{epoch_prefix(experiment)}raw/"


def pending_prefix(experiment: Experiment) -> str:
    """Below which the epoch's exposures lie that await their outcome."""
    return f"{epoch_prefix(experiment)}pending/"


def user_key(prefix: str, digest: str) -> str:
    """Where the user's object lies. Raises UnknownPosition for what is no hash of a user."""
    if len(digest) != 64 or not _DIGITS.issuperset(digest):
        raise UnknownPosition
    return f"{prefix}{digest[:2]}/{digest}.json"


def erasure_of(body: bytes) -> str | None:
    """The id of the erasure whose mark an object is; None of an exposure or a record."""
    return body.removeprefix(_ERASED).decode() if body.startswith(_ERASED) else None


def digest_of(entry: Entry) -> str:
    """The user's hash in an object's key."""
    return entry.key.rsplit("/", 1)[1].removesuffix(".json")


def _archive_prefix(experiment: Experiment) -> str:
    return f"{epoch_prefix(experiment)}archive/"


def _manifest_key(experiment: Experiment) -> str:
    return f"{epoch_prefix(experiment)}manifest.json"


def _by_file(
    manifest: Manifest, entries: Mapping[str, T]
) -> Iterator[tuple[File | None, dict[str, T]]]:
    """Entries by their users' hashes, grouped by the file that they belong into."""
    if not manifest.files and entries:
        yield None, dict(entries)
    for file in manifest.files:
        part = {d: it for d, it in entries.items() if file.first <= shard_of(d) < file.end}
        if part:
            yield file, part
