"""Objects of one bucket: read whole or in part, listed, and written, mostly on a condition."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from botocore.exceptions import ClientError

from segue.adapters.aws import error_code, is_missing, translated
from segue.domain.errors import LaterFormat, StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# What one request lists or deletes at most.
MOST_KEYS = 1_000
JSON = "application/json"

_CONFLICT_TRIES = 6

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """An object as a listing has it; ``modified`` is in milliseconds since 1970 UTC."""

    key: str
    tag: str
    modified: int


class _Format(msgspec.Struct):
    """What every JSON object may say: a format that there was not yet when this was written."""

    format: int = 1


class Objects:
    """The bucket. Everything raises StoreUnavailable, naming the ``store`` that is kept there,
    where S3 does not answer or refuses."""

    def __init__(self, client: "S3Client", bucket: str, store: str = "results") -> None:
        self._client = client
        self._bucket = bucket
        self._store = store

    def read(self, key: str) -> tuple[bytes, str] | None:
        """The bytes and the tag of their version."""
        with translated(self._store):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=key)
                return answer["Body"].read(), answer["ETag"]
            except ClientError as error:
                if is_missing(error, self._client, self._bucket, key):
                    return None
                raise

    def read_as(self, key: str, kind: type[T]) -> tuple[T, str] | None:
        """What the object says, as JSON, and the tag of its version. Raises LaterFormat."""
        found = self.read(key)
        if found is None:
            return None
        body, tag = found
        return decoded(body, kind, f"{self._store}: {key}"), tag

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """Write, whatever is there."""
        self._write(key, body, content_type, {})

    def swap(self, key: str, body: bytes, content_type: str, tag: str | None) -> str | None:
        """Replace the version with this tag (None: there must be none); the new one's tag.

        None, and nothing is changed, where there is another version.
        """
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        return self._write(key, body, content_type, condition)

    def listed(
        self, prefix: str, *, after: str = "", limit: int = MOST_KEYS
    ) -> tuple[list[Entry], bool]:
        """At most ``limit`` objects in the order of their keys, and whether there are more."""
        with translated(self._store):
            answer = self._client.list_objects_v2(
                Bucket=self._bucket, Prefix=prefix, MaxKeys=limit, StartAfter=after
            )
        entries = [
            Entry(it["Key"], it["ETag"], int(it["LastModified"].timestamp() * 1_000))
            for it in answer.get("Contents", [])
        ]
        return entries, answer["IsTruncated"]

    def all_listed(self, prefix: str) -> list[Entry]:
        """All of them, in the order of their keys; a request for a thousand."""
        entries, more = self.listed(prefix)
        while more:
            page, more = self.listed(prefix, after=entries[-1].key)
            entries += page
        return entries

    def folders(self, prefix: str) -> list[str]:
        """What there is of ``{prefix}{name}/``, in order."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, Delimiter="/"
        )
        with translated(self._store):
            return [it["Prefix"] for page in pages for it in page.get("CommonPrefixes", [])]

    def delete(self, keys: Sequence[str]) -> None:
        """Delete what there is of these."""
        for start in range(0, len(keys), MOST_KEYS):
            self._delete(keys[start : start + MOST_KEYS])

    def _delete(self, keys: Sequence[str]) -> None:
        request: Any = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        with translated(self._store):
            answer = self._client.delete_objects(Bucket=self._bucket, Delete=request)
        for refused in answer.get("Errors", []):
            raise StoreUnavailable(f"{self._store}: {refused.get('Key')}: {refused.get('Code')}")

    def _write(self, key: str, body: bytes, kind: str, condition: Any) -> str | None:
        """The tag of what was written; None where the condition does not hold.

        A conflict with a write in flight is tried again.
        """
        for attempt in range(_CONFLICT_TRIES):
            with translated(self._store):
                try:
                    answer = self._client.put_object(
                        Bucket=self._bucket, Key=key, Body=body, ContentType=kind, **condition
                    )
                    return answer["ETag"]
                except ClientError as error:
                    code = error_code(error)
                    if code == "PreconditionFailed" or self._is_gone(error, key, condition):
                        return None
                    if code != "ConditionalRequestConflict":
                        raise
            time.sleep(random.uniform(0, 0.05 * 2**attempt))
        raise StoreUnavailable(f"{self._store}: too many writers at once")

    def _is_gone(self, error: ClientError, key: str, condition: Any) -> bool:
        """Whether the object that was to be replaced is not there any more."""
        return "IfMatch" in condition and is_missing(error, self._client, self._bucket, key)


def decoded(body: bytes, kind: type[T], name: str) -> T:
    """What JSON says. Raises StoreUnavailable with its name where it cannot be read, LaterFormat.

    What says no format is of format 1.
    """
    try:
        number = msgspec.json.decode(body, type=_Format).format
        if number != 1:
            raise LaterFormat.of(name, number)
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise StoreUnavailable(f"{name} cannot be read: {error}") from error
