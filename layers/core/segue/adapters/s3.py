"""Experiments and records in S3, every write conditional.

::

    ab/{experiment}/experiment.json                              changed by compare-and-swap
    ab/{experiment}/epoch={e}/raw/{hh}/{sha256(user)}.json       one record a user, written once
    ab/{experiment}/epoch={e}/pending/{hh}/{sha256(user)}.json   exposures that await their outcome

No key holds a time, so a retry finds the object that its first try may have written. Raw records
move into the archive as time goes by; ``segue.adapters.archive`` has the rest of an epoch's keys.
"""

from typing import TYPE_CHECKING, TypeVar

import msgspec

from segue.adapters.archive import S3Archive, digest_of, pending_prefix, raw_prefix, user_key
from segue.adapters.objects import JSON, Objects
from segue.domain.errors import StoreUnavailable
from segue.experiments.experiment import Experiment, is_live
from segue.experiments.manifest import user_hash
from segue.experiments.records import Exposure, Record, RecordPage
from segue.experiments.tally import Tally

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T", Experiment, Exposure, Record)


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
        """One GetObject; up to three more if there is no raw record. Raises StoreUnavailable."""
        found = self._read(_raw_key(experiment, user_id), Record)
        return found[0] if found else self._archive.find(experiment, user_id)

    def add_record(self, experiment: Experiment, record: Record) -> Record:
        """The record that is stored: this, or the one that was there. Raises StoreUnavailable."""
        user_id = record.exposure.user_id
        if self._add(_raw_key(experiment, user_id), record):
            return record
        stored = self.record(experiment, user_id)
        if stored is None:
            raise StoreUnavailable("results: a record was erased while it was being read")
        return stored

    def exposure(self, experiment: Experiment, user_id: str) -> Exposure | None:
        """One GetObject. Raises StoreUnavailable."""
        found = self._read(_pending_key(experiment, user_id), Exposure)
        return found[0] if found else None

    def add_exposure(self, experiment: Experiment, exposure: Exposure) -> Exposure:
        """The exposure that is stored: this, or the one that was there. Raises StoreUnavailable."""
        if self._add(_pending_key(experiment, exposure.user_id), exposure):
            return exposure
        stored = self.exposure(experiment, exposure.user_id)
        if stored is None:
            raise StoreUnavailable("results: an exposure was settled while it was being read")
        return stored

    def records(self, experiment: Experiment, *, limit: int, after: str = "") -> RecordPage:
        """A page of raw and archived records, in the order of the users' hashes.

        ``after``: the hash behind which to go on. Raises StoreUnavailable, and InvalidRequest for
        an ``after`` that is no such hash.
        """
        return self._archive.records(experiment, limit=limit, after=after)

    def tally(self, experiment: Experiment) -> Tally:
        """Reads the manifest and what is not compacted yet. Raises StoreUnavailable."""
        return self._archive.tally(experiment)

    def exposures(
        self, experiment: Experiment, *, after: str = ""
    ) -> tuple[tuple[Exposure, ...], str | None]:
        """One ListObjectsV2 and up to 1,000 GetObjects. Raises StoreUnavailable."""
        prefix = pending_prefix(experiment)
        entries, more = self._objects.listed(prefix, after=user_key(prefix, after) if after else "")
        found = self._objects.read_all([entry.key for entry in entries])
        # An object that was listed and is gone by now was settled or erased in between.
        exposures = tuple(
            _decoded(entry.key, body, Exposure)
            for entry, body in zip(entries, found, strict=True)
            if body is not None
        )
        return exposures, digest_of(entries[-1]) if more else None

    def drop_exposure(self, experiment: Experiment, user_id: str) -> None:
        """One DeleteObjects. Raises StoreUnavailable."""
        self._objects.delete([_pending_key(experiment, user_id)])

    def erase(self, experiment: Experiment, user_id: str) -> None:
        """Deletes objects and rewrites the user's part of the archive. Raises StoreUnavailable."""
        self._archive.erase(experiment, user_id)

    def _add(self, key: str, value: Exposure | Record) -> bool:
        return self._objects.create(key, msgspec.json.encode(value), JSON)

    def _read(self, key: str, kind: type[T]) -> tuple[T, str] | None:
        found = self._objects.read(key)
        if found is None:
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
