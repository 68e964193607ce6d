"""Experiments and records in S3, every write conditional.

::

    ab/{experiment}/experiment.json                              changed by compare-and-swap
    ab/{experiment}/epoch={e}/raw/{hh}/{sha256(user)}.json       one record a user, written once
    ab/{experiment}/epoch={e}/pending/{hh}/{sha256(user)}.json   exposures that await their outcome

No key holds a time, so a retry finds the object that its first try may have written.
"""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

import msgspec
from botocore.exceptions import ClientError

from segue.adapters.aws import error_code, translated
from segue.domain.errors import InvalidRequest, StoreUnavailable
from segue.experiments.experiment import Experiment
from segue.experiments.records import Exposure, Record, RecordPage

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CONFLICT_TRIES = 6
_READERS = 16
_DIGITS = frozenset("0123456789abcdef")

T = TypeVar("T", Experiment, Exposure, Record)


class S3ResultStore:
    """Results as objects of one bucket."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def experiment(self, name: str) -> tuple[Experiment, str] | None:
        """One GetObject. Raises StoreUnavailable."""
        return self._read(_experiment_key(name), Experiment)

    def save_experiment(self, experiment: Experiment, replaces: str | None) -> bool:
        """One PutObject with If-Match or If-None-Match. Raises StoreUnavailable."""
        key, body = _experiment_key(experiment.name), msgspec.json.encode(experiment)
        if replaces is None:
            return self._write(lambda: self._put(key, body, IfNoneMatch="*"))
        return self._write(lambda: self._put(key, body, IfMatch=replaces))

    def record(self, experiment: Experiment, user_id: str) -> Record | None:
        """One GetObject. Raises StoreUnavailable."""
        found = self._read(_key(experiment, "raw", user_id), Record)
        return found[0] if found else None

    def add_record(self, experiment: Experiment, record: Record) -> Record:
        """The record that is stored: this, or the one that was there. Raises StoreUnavailable."""
        return self._add(_key(experiment, "raw", record.exposure.user_id), record)

    def exposure(self, experiment: Experiment, user_id: str) -> Exposure | None:
        """One GetObject. Raises StoreUnavailable."""
        found = self._read(_key(experiment, "pending", user_id), Exposure)
        return found[0] if found else None

    def add_exposure(self, experiment: Experiment, exposure: Exposure) -> Exposure:
        """The exposure that is stored: this, or the one that was there. Raises StoreUnavailable."""
        return self._add(_key(experiment, "pending", exposure.user_id), exposure)

    def records(self, experiment: Experiment, *, limit: int, after: str = "") -> RecordPage:
        """One ListObjectsV2 and ``limit`` GetObjects, in the order of the users' hashes.

        ``after``: the hash behind which to go on. Raises StoreUnavailable, and InvalidRequest for
        an ``after`` that is no such hash.
        """
        prefix = f"{_epoch(experiment)}/raw/"
        with translated("results"):
            answer = self._client.list_objects_v2(
                Bucket=self._bucket,
                Prefix=prefix,
                MaxKeys=limit,
                StartAfter=_object_key(prefix, after) if after else "",
            )
        keys = [entry["Key"] for entry in answer.get("Contents", [])]
        with ThreadPoolExecutor(_READERS) as pool:
            found = list(pool.map(lambda key: self._read(key, Record), keys))
        # An object that was listed and is gone by now was erased in between.
        records = tuple(entry[0] for entry in found if entry)
        return RecordPage(records, _hash_of(keys[-1]) if answer["IsTruncated"] else None)

    def _add(self, key: str, value: T) -> T:
        body = msgspec.json.encode(value)
        if self._write(lambda: self._put(key, body, IfNoneMatch="*")):
            return value
        found = self._read(key, type(value))
        if found is None:
            raise StoreUnavailable("results: a record was erased while it was being read")
        return found[0]

    def _put(self, key: str, body: bytes, **condition: str) -> None:
        self._client.put_object(
            Bucket=self._bucket,
            Key=key,
            Body=body,
            ContentType="application/json",
            **condition,  # type: ignore[arg-type]
        )

    def _write(self, put: Callable[[], None]) -> bool:
        """Whether the condition held. A conflict with a write in flight is tried again."""
        for attempt in range(_CONFLICT_TRIES):
            with translated("results"):
                try:
                    put()
                    return True
                except ClientError as error:
                    code = error_code(error)
                    # A compare-and-swap of an object that is gone answers NoSuchKey.
                    if code in {"PreconditionFailed", "NoSuchKey"}:
                        return False
                    if code != "ConditionalRequestConflict":
                        raise
            time.sleep(random.uniform(0, 0.05 * 2**attempt))
        raise StoreUnavailable("results: too many writers at once")

    def _read(self, key: str, kind: type[T]) -> tuple[T, str] | None:
        with translated("results"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=key)
                body = answer["Body"].read()
            except ClientError as error:
                if error_code(error) == "NoSuchKey":
                    return None
                raise
        try:
            return msgspec.json.decode(body, type=kind), answer["ETag"]
        except msgspec.DecodeError as error:
            raise StoreUnavailable(f"results: {key} cannot be read: {error}") from error


def _experiment_key(name: str) -> str:
    return f"ab/{name}/experiment.json"


def _epoch(experiment: Experiment) -> str:
    return f"ab/{experiment.name}/epoch={experiment.epoch}"


def _key(experiment: Experiment, state: str, user_id: str) -> str:
    return _object_key(f"{_epoch(experiment)}/{state}/", sha256(user_id.encode()).hexdigest())


def _object_key(prefix: str, digest: str) -> str:
    if len(digest) != 64 or not _DIGITS.issuperset(digest):
        raise InvalidRequest("not a position that an earlier page gave", field="next")
    return f"{prefix}{digest[:2]}/{digest}.json"


def _hash_of(key: str) -> str:
    return key.rsplit("/", 1)[1].removesuffix(".json")
