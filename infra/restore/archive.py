"""The archive of results as of an earlier moment, and the table of exposures in step with it.

The bucket keeps what was replaced or deleted for 30 days. Of each epoch the manifest is put back to
its version of that moment, after the files that it names: they were written once, under names that
never recur, and are known by their checksums.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from infra.progress import Report, silent
from infra.restore.erasures import Erasures
from infra.restore.stack import Stack
from segue.adapters.archive import FOLDER, epoch_of_manifest
from segue.adapters.archive.manifest import File, Manifest
from segue.adapters.archive.parquet import PARQUET
from segue.adapters.aws import translated
from segue.adapters.objects import JSON
from segue.domain.errors import InvalidData, StoreUnavailable
from segue.experiments.epoch import EpochId


@dataclass(frozen=True, slots=True)
class ArchiveRestored:
    """How many epochs there were; manifests and files that were put back; records that are to be
    archived anew, and those of erased users that were taken out again."""

    epochs: int
    manifests: int
    files: int
    unarchived: int
    erased_again: int


def restore_archive(
    stack: Stack, moment: int, erasures: Erasures, report: Report = silent
) -> ArchiveRestored:
    """Put the archive back to ``moment``, in milliseconds; then have what the table of exposures
    takes for archived, and is not, archived anew, and who was erased since erased again.

    Safe to repeat, and while the service runs. Raises InvalidData where a version is gone,
    StoreUnavailable.
    """
    versions = _versions(stack)
    manifests = {
        epoch: manifest
        for key in sorted(versions)
        if (epoch := epoch_of_manifest(key)) and (manifest := _as_of(versions[key], moment))
    }
    files = put_back = 0
    for done, version in enumerate(manifests.values(), 1):
        body = _body(stack, version)
        for file in msgspec.json.decode(body, type=Manifest).files:
            files += _put_back_file(stack, file, versions[file.key])
        put_back += _put_back_manifest(stack, version.key, body)
        report("epochs", done, len(manifests))
    unarchived = _unarchive(stack)
    erased = _erase(stack, manifests, erasures, moment)
    return ArchiveRestored(len(manifests), put_back, files, unarchived, erased)


@dataclass(frozen=True, slots=True)
class _Version:
    """Of an object. ``id``: None where it was deleted then."""

    key: str
    id: str | None
    modified: datetime


def _versions(stack: Stack) -> Mapping[str, list[_Version]]:
    """All that the bucket keeps of each object of the archive, the latest first."""
    versions: dict[str, list[_Version]] = defaultdict(list)
    pages = stack.s3.get_paginator("list_object_versions").paginate(
        Bucket=stack.bucket, Prefix=FOLDER
    )
    with translated("results"):
        for page in pages:
            for it in page.get("Versions", []):
                version = _Version(it["Key"], it["VersionId"], it["LastModified"])
                versions[version.key].append(version)
            for deleted in page.get("DeleteMarkers", []):
                version = _Version(deleted["Key"], None, deleted["LastModified"])
                versions[version.key].append(version)
    for each in versions.values():
        # Of one second, what was there comes before its deletion.
        each.sort(key=lambda it: (it.modified, it.id is None), reverse=True)
    return versions


def _as_of(versions: list[_Version], moment: int) -> _Version | None:
    """What there was then."""
    then = datetime.fromtimestamp(moment / 1_000, UTC)
    latest = next((it for it in versions if it.modified <= then), None)
    return latest if latest and latest.id else None


def _body(stack: Stack, version: _Version) -> bytes:
    with translated("results"):
        answer = stack.s3.get_object(
            Bucket=stack.bucket, Key=version.key, VersionId=version.id or ""
        )
        return answer["Body"].read()


def _put_back_file(stack: Stack, file: File, versions: list[_Version]) -> bool:
    """Whether it had to be; what is there as a whole stays."""
    there = stack.objects.read(file.key)
    if there and sha256(there[0]).hexdigest() == file.sha256:
        return False
    for body in (_body(stack, version) for version in versions if version.id):
        if sha256(body).hexdigest() == file.sha256:
            stack.objects.put(file.key, body, PARQUET)
            return True
    raise InvalidData(
        f"the bucket has no version of {file.key} as the manifest names it any more: versions "
        "last 30 days. Choose a later moment"
    )


def _put_back_manifest(stack: Stack, key: str, body: bytes) -> bool:
    there = stack.objects.read(key)
    if there and there[0] == body:
        return False
    if stack.objects.swap(key, body, JSON, there[1] if there else None) is None:
        raise StoreUnavailable(f"results: {key} was changed meanwhile: repeat it")
    return True


def _unarchive(stack: Stack) -> int:
    """Have records archived anew that no archive holds. Those that the table takes for archived
    are looked up before the archive is: what it holds then is not missing."""
    noted: dict[EpochId, dict[str, int]] = defaultdict(dict)
    for epoch, user_id, batch in stack.results.archived():
        noted[epoch][user_id] = batch
    missing = 0
    for epoch, batches in noted.items():
        held = stack.archive.users(epoch) or {}
        for user_id in batches.keys() - held.keys():
            stack.results.note_unarchived(epoch, user_id, batches[user_id])
            missing += 1
    return missing


def _erase(stack: Stack, epochs: Mapping[EpochId, object], erasures: Erasures, moment: int) -> int:
    erased = erasures.since(moment)
    again = 0
    for epoch in epochs if erased else ():
        held = stack.archive.users(epoch) or {}
        for user_id in held.keys() & erased:
            stack.archive.erase(epoch, user_id, held[user_id])
            again += 1
    return again
