"""Objects of one bucket: read whole or in part, listed, and written, mostly on a condition."""

import random
import time
from collections.abc import Callable, Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from segue.adapters.aws import error_code, translated
from segue.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# What one request lists or deletes at most.
MOST_KEYS = 1_000
JSON = "application/json"

_CONFLICT_TRIES = 6
# Why a deletion on a condition was not carried out: there is another version, or none any more.
_CHANGED = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"})
_READERS = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """An object as a listing has it; ``modified`` is in milliseconds since 1970 UTC."""

    key: str
    tag: str
    modified: int


class Objects:
    """The bucket. Everything raises StoreUnavailable, naming the ``store`` that is kept there,
    where S3 does not answer or refuses."""

    def __init__(self, client: "S3Client", bucket: str, store: str = "results") -> None:
        self._client = client
        self._bucket = bucket
        self._store = store

    def read(self, key: str, span: tuple[int, int] | None = None) -> tuple[bytes, str] | None:
        """The bytes and the tag of their version; of ``span``, offset and length, where given."""
        part: Any = {"Range": f"bytes={span[0]}-{span[0] + span[1] - 1}"} if span else {}
        with translated(self._store):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=key, **part)
                return answer["Body"].read(), answer["ETag"]
            except ClientError as error:
                if error_code(error) == "NoSuchKey":
                    return None
                raise

    def read_all(self, keys: Sequence[str]) -> list[bytes | None]:
        """Many objects at once, in the order of the keys; None for what is not there."""
        with ThreadPoolExecutor(_READERS) as pool:
            return [found[0] if found else None for found in pool.map(self.read, keys)]

    def create(self, key: str, body: bytes, content_type: str) -> bool:
        """Write what is not there yet. False, and nothing is changed, where it is."""
        return self._write(key, body, content_type, {"IfNoneMatch": "*"})

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """Write, whatever is there."""
        self._write(key, body, content_type, {})

    def swap(self, key: str, body: bytes, content_type: str, tag: str) -> bool:
        """Replace the version with this tag. False, and nothing is changed, if it is another."""
        return self._write(key, body, content_type, {"IfMatch": tag})

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

    def folders(self, prefix: str) -> list[str]:
        """What there is of ``{prefix}{name}/``, in order."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, Delimiter="/"
        )
        with translated(self._store):
            return [it["Prefix"] for page in pages for it in page.get("CommonPrefixes", [])]

    def delete(self, keys: Sequence[str]) -> None:
        """Delete what there is of these, at most MOST_KEYS."""
        self._delete([{"Key": key} for key in keys], frozenset())

    def delete_unchanged(self, versions: Sequence[tuple[str, str]]) -> None:
        """Delete what still bears this tag of these keys and tags, at most MOST_KEYS."""
        self._delete([{"Key": key, "ETag": tag} for key, tag in versions], _CHANGED)

    def _delete(self, wanted: Sequence[dict[str, str]], ignored: Container[str]) -> None:
        if not wanted:
            return
        request: Any = {"Objects": wanted, "Quiet": True}
        with translated(self._store):
            answer = self._client.delete_objects(Bucket=self._bucket, Delete=request)
        for refused in answer.get("Errors", []):
            key, code = refused.get("Key"), refused.get("Code")
            if code not in ignored:
                raise StoreUnavailable(f"{self._store}: {key}: {code}")

    def _write(self, key: str, body: bytes, content_type: str, condition: dict[str, str]) -> bool:
        return written(
            lambda: self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,
                ContentType=content_type,
                **condition,  # type: ignore[arg-type]
            ),
            self._store,
        )


def written(put: Callable[[], object], store: str) -> bool:
    """Whether the condition of a write held. A conflict with a write in flight is tried again."""
    for attempt in range(_CONFLICT_TRIES):
        with translated(store):
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
    raise StoreUnavailable(f"{store}: too many writers at once")
