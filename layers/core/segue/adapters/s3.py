"""Experiments and records in S3, every write conditional but for an erasure's marks.

::

    ab/{experiment}/experiment.json                              changed by compare-and-swap
    ab/{experiment}/epoch={e}/raw/{hh}/{sha256(user)}.json       one record a user, written once
    ab/{experiment}/epoch={e}/pending/{hh}/{sha256(user)}.json   exposures that await their outcome

No key holds a time, so a retry finds the object that its first try may have written. Raw records
move into the archive as time goes by; ``segue.adapters.archive`` has the rest of an epoch's keys.
"""

from typing import TYPE_CHECKING, TypeVar

import msgspec

from segue.adapters.archive import (
    S3Archive,
    digest_of,
    erasure_of,
    pending_prefix,
    raw_prefix,
    user_key,
)
from segue.adapters.objects import JSON, Objects
from segue.domain.errors import StoreUnavailable, UserErased
from segue.experiments.experiment import Experiment, is_live
from segue.experiments.manifest import user_hash
from segue.experiments.records import Exposure, Record, RecordPage
from segue.experiments.tally import Tally

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T", Experiment, Exposure, Record)
E = TypeVar("E", Exposure, Record)


class S3ResultStore:
    """Results as objects of one bucket."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._objects = Objects(client, bucket)
        self._archive = S3Archive(self._objects)

    def experiment(self, name: str) -> tuple[Experiment, str] | None:
        """One GetObject. Raises StoreUnavailable."""
        return self._read(_experiment_key(name), Experiment)

    def all_experiments(self) -> list[tuple[Experiment, str]]:
        """One listing, and one GetObject an experiment. Raises StoreUnavailable."""
        names = (folder.split("/")[1] for folder in self._objects.folders("ab/"))
        found = (self.experiment(name) for name in names if not is_live(name))
        return [each for each in found if each]

    def save_experiment(self, experiment: Experiment, replaces: str | None) -> bool:
        """One PutObject with If-Match or If-None-Match. Raises StoreUnavailable."""
        key, body = _experiment_key(experiment.name), msgspec.json.encode(experiment)
        if replaces is None:
            return self._objects.create(key, body, JSON)
        return self._objects.swap(key, body, JSON, replaces)

    def record(self, experiment: Experiment, user_id: str) -> Record | None:
        """Two GetObjects; up to two more where anything is archived. Raises StoreUnavailable."""
        raw = self._read(_raw_key(experiment, user_id), Record)
        return self._archive.find(experiment, user_id) or (raw[0] if raw else None)

    def add_record(
        self, experiment: Experiment, record: Record, erasure: str | None = None
    ) -> Record:
        """The record that counts: this, or the one that was there.

        One PutObject, and a look into the archive: another writer's record may have moved there
        while this call was under way. Raises StoreUnavailable and UserErased.
        """
        user_id = record.exposure.user_id
        raw = self._add(_raw_key(experiment, user_id), record, erasure)
        counted = self._archive.find(experiment, user_id) or raw
        if counted is None:
            raise UserErased(erasure)
        return counted

    def exposure(self, experiment: Experiment, user_id: str) -> tuple[Exposure, str] | None:
        """One GetObject. Raises StoreUnavailable."""
        return self._read(_pending_key(experiment, user_id), Exposure)

    def add_exposure(
        self, experiment: Experiment, exposure: Exposure, erasure: str | None = None
    ) -> Exposure:
        """The exposure that is stored: this, or the one that was there.

        One PutObject. Raises StoreUnavailable and UserErased.
        """
        stored = self._add(_pending_key(experiment, exposure.user_id), exposure, erasure)
        if stored is None:
            raise StoreUnavailable("results: an exposure was settled while it was being read")
        return stored

    def records(self, experiment: Experiment, *, limit: int, after: str = "") -> RecordPage:
        """A page of raw and archived records, in the order of the users' hashes.

        ``after``: the hash behind which to go on. Raises StoreUnavailable, and UnknownPosition for
        one that is not among them.
        """
        return self._archive.records(experiment, limit=limit, after=after)

    def tally(self, experiment: Experiment) -> Tally:
        """Reads the manifest and what is not compacted yet. Raises StoreUnavailable."""
        return self._archive.tally(experiment)

    def tally_and_pending(self, experiment: Experiment) -> tuple[Tally, list[Exposure]]:
        """Reads a page of exposures and what the tally does. Raises StoreUnavailable."""
        # In this order: who is settled in between is on the page, and then among the recorded.
        page, _ = self.exposures(experiment)
        exposures = {user_hash(exposure.user_id): exposure for exposure, _ in page}
        tally, recorded = self._archive.tally_and_recorded(experiment, exposures)
        return tally, [it for digest, it in exposures.items() if digest not in recorded]

    def exposures(
        self, experiment: Experiment, *, after: str = ""
    ) -> tuple[list[tuple[Exposure, str]], str | None]:
        """One ListObjectsV2 and up to 1,000 GetObjects. Raises StoreUnavailable."""
        prefix = pending_prefix(experiment)
        entries, more = self._objects.listed(prefix, after=user_key(prefix, after) if after else "")
        found = self._objects.read_all([entry.key for entry in entries])
        # An object that was listed and is gone by now was settled in between.
        exposures = [
            (_decoded(entry.key, body, Exposure), entry.tag)
            for entry, body in zip(entries, found, strict=True)
            if body is not None and not erasure_of(body)
        ]
        return exposures, digest_of(entries[-1]) if more else None

    def drop_exposure(self, experiment: Experiment, user_id: str, tag: str) -> None:
        """One DeleteObjects. Raises StoreUnavailable."""
        self._objects.delete_unchanged([(_pending_key(experiment, user_id), tag)])

    def erase(self, experiment: Experiment, user_id: str) -> None:
        """Replaces objects and rewrites the user's part of the archive. Raises StoreUnavailable."""
        self._archive.erase(experiment, user_id)

    def _add(self, key: str, value: E, erasure: str | None) -> E | None:
        """What is stored: the value, or what was there; None if that was moved before it was read.

        The mark of the erasure that the writer knew of counts as nothing. Raises UserErased.
        """
        body = msgspec.json.encode(value)
        if self._objects.create(key, body, JSON):
            return value
        found = self._objects.read(key)
        if found is None:
            return None
        there, tag = found
        marked = erasure_of(there)
        if marked is None:
            return _decoded(key, there, type(value))
        if marked == erasure and self._objects.swap(key, body, JSON, tag):
            return value
        # Another erasure, or a writer that was faster: both are seen by whoever begins again.
        raise UserErased(marked)

    def _read(self, key: str, kind: type[T]) -> tuple[T, str] | None:
        found = self._objects.read(key)
        if found is None or erasure_of(found[0]):
            return None
        return _decoded(key, found[0], kind), found[1]


def _decoded(key: str, body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise StoreUnavailable(f"results: {key} cannot be read: {error}") from error


def _experiment_key(name: str) -> str:
    return f"ab/{name}/experiment.json"


def _raw_key(experiment: Experiment, user_id: str) -> str:
    return user_key(raw_prefix(experiment), user_hash(user_id))


def _pending_key(experiment: Experiment, user_id: str) -> str:
    return user_key(pending_prefix(experiment), user_hash(user_id))
