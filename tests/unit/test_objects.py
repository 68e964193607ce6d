"""Objects of a bucket of which the caller may list a prefix, and not all of it."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.benchmarks.bucket import MemoryBucket
from segue.adapters.objects import JSON, Objects
from segue.domain.errors import StoreUnavailable

DENIED = ClientError({"Error": {"Code": "AccessDenied"}}, "S3")


class GuardedBucket(MemoryBucket):
    """Answers as S3 does where only ``ab/`` may be listed: what is missing is denied, too.

    ``denied``: keys that may not be read although they are there.
    """

    denied: frozenset[str] = frozenset()

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        if Key in self.denied:
            raise DENIED
        try:
            return super().get_object(Bucket=Bucket, Key=Key)
        except ClientError:
            raise DENIED from None

    def put_object(self, **asked: Any) -> dict[str, Any]:
        if "IfMatch" in asked:
            self.get_object(Bucket=asked["Bucket"], Key=asked["Key"])
        return super().put_object(**asked)

    def list_objects_v2(self, **asked: Any) -> dict[str, Any]:
        if not asked["Prefix"].startswith("ab/"):
            raise DENIED
        return super().list_objects_v2(**asked)


@pytest.fixture
def bucket() -> GuardedBucket:
    return GuardedBucket()


@pytest.fixture
def objects(bucket: GuardedBucket) -> Objects:
    client: Any = bucket
    return Objects(client, "bucket")


def test_an_object_that_is_missing_is_none(objects: Objects) -> None:
    assert objects.read("ab/manifest.json") is None


def test_an_object_is_missing_though_its_key_begins_another_one(objects: Objects) -> None:
    objects.put("ab/manifest.json", b"{}", JSON)
    assert objects.read("ab/manifest") is None


def test_an_object_that_is_there_and_denied_is_not_taken_for_missing(
    objects: Objects, bucket: GuardedBucket
) -> None:
    objects.put("ab/manifest.json", b"{}", JSON)
    bucket.denied = frozenset({"ab/manifest.json"})
    with pytest.raises(StoreUnavailable, match="AccessDenied"):
        objects.read("ab/manifest.json")


def test_what_may_not_be_listed_is_not_taken_for_missing(objects: Objects) -> None:
    with pytest.raises(StoreUnavailable, match="AccessDenied"):
        objects.read("lake/manifest.json")


def test_an_object_that_is_gone_is_not_replaced(objects: Objects) -> None:
    tag = objects.swap("ab/manifest.json", b"{}", JSON, None)
    assert tag is not None
    objects.delete(["ab/manifest.json"])
    assert objects.swap("ab/manifest.json", b"[]", JSON, tag) is None
