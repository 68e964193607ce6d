"""A bucket in memory that counts what it is asked for: as much of S3's client as the stores use."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import md5
from io import BytesIO
from typing import Any

from botocore.exceptions import ClientError

WRITTEN_AT = datetime(2022, 10, 1, tzinfo=UTC)


@dataclass
class Cost:
    """Requests, of which ``reads`` got an object and ``writes`` put one, and bytes either way."""

    requests: int = 0
    reads: int = 0
    writes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0


@dataclass
class MemoryBucket:
    """Takes the arguments of boto3's S3 client, and answers like it."""

    cost: Cost = field(default_factory=Cost)
    _bodies: dict[str, bytes] = field(default_factory=dict)
    _keys: list[str] = field(default_factory=list)

    @contextmanager
    def counting(self) -> Iterator[Cost]:
        """What is asked for in here costs this much."""
        self.cost = Cost()
        yield self.cost

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803, ARG002
        self.cost.requests += 1
        if Key not in self._bodies:
            raise _error("NoSuchKey")
        body = self._bodies[Key]
        self.cost.reads += 1
        self.cost.read_bytes += len(body)
        return {"Body": BytesIO(body), "ETag": _tag(body)}

    def put_object(
        self,
        *,
        Bucket: str,  # noqa: N803, ARG002
        Key: str,  # noqa: N803
        Body: bytes,  # noqa: N803
        ContentType: str,  # noqa: N803, ARG002
        IfMatch: str = "",  # noqa: N803
        IfNoneMatch: str = "",  # noqa: N803
    ) -> dict[str, Any]:
        self.cost.requests += 1
        there = self._bodies.get(Key)
        if (IfNoneMatch and there is not None) or (IfMatch and IfMatch != _tag(there or b"")):
            raise _error("PreconditionFailed")
        if there is None:
            insort(self._keys, Key)
        self._bodies[Key] = Body
        self.cost.writes += 1
        self.cost.written_bytes += len(Body)
        return {"ETag": _tag(Body)}

    def list_objects_v2(
        self,
        *,
        Bucket: str,  # noqa: N803, ARG002
        Prefix: str,  # noqa: N803
        MaxKeys: int,  # noqa: N803
        StartAfter: str = "",  # noqa: N803
    ) -> dict[str, Any]:
        self.cost.requests += 1
        start = max(bisect_left(self._keys, Prefix), bisect_right(self._keys, StartAfter))
        found = [key for key in self._keys[start : start + MaxKeys + 1] if key.startswith(Prefix)]
        contents = [
            {"Key": key, "ETag": _tag(self._bodies[key]), "LastModified": WRITTEN_AT}
            for key in found[:MaxKeys]
        ]
        return {"Contents": contents, "IsTruncated": len(found) > MaxKeys}

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:  # noqa: N803, ARG002
        self.cost.requests += 1
        for it in Delete["Objects"]:
            if self._bodies.pop(it["Key"], None) is not None:
                self._keys.remove(it["Key"])
        return {}

    @property
    def stored_bytes(self) -> int:
        """Of all objects together."""
        return sum(map(len, self._bodies.values()))


def _tag(body: bytes) -> str:
    return f'"{md5(body, usedforsecurity=False).hexdigest()}"'


def _error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "S3")
