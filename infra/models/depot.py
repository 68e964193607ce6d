"""Bundles in the bucket, as those who release them see it; ``segue.adapters.bundles`` has the keys.

A version stands for the very bytes of a bundle, so that whatever is there with the right checksum
need not be sent again. The manifest is written when all it names is in place, and its signature.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.progress import Report, silent
from segue.adapters.aws import is_missing, s3_client, translated
from segue.adapters.bundles import POINTER_KEY, PREFIX, S3Bundles, file_key, read_pointer
from segue.adapters.clock import SystemClock
from segue.adapters.directory import rehearse
from segue.adapters.objects import JSON, Objects
from segue.adapters.signatures import SIGNATURE, BundleKey
from segue.domain.errors import BundleCorrupt, BundleError, InvalidData, StaleVersion
from segue.models.bundle import MANIFEST, Bundle, Manifest, parse_manifest
from segue.models.pointer import Pointer, is_version

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Nobody waits for an answer here.
PATIENT = Config(
    connect_timeout=5, read_timeout=60, retries={"mode": "adaptive", "total_max_attempts": 10}
)


@dataclass(frozen=True, slots=True)
class Released:
    """A bundle in the bucket. ``fault`` says why it cannot be activated, and is empty if it can.

    ``uploaded``: in milliseconds since 1970 UTC; None where its manifest is missing.
    """

    version: str
    uploaded: int | None
    manifest: Manifest | None
    fault: str


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What an upload did: how many files were sent, how many were there already, and whether the
    bundle is signed."""

    version: str
    sent: int
    there: int
    signed: bool


class Depot:
    """The bundles of one bucket. Everything raises StoreUnavailable.

    Where there is a key, it signs what is uploaded, and what it has not signed is not activated.
    """

    def __init__(self, client: "S3Client", bucket: str, key: BundleKey | None = None) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._objects = Objects(client, bucket, "bundles")
        self._bundles = S3Bundles(client, bucket, key)
        self._clock = SystemClock()

    def pointer(self) -> Pointer:
        """Which bundle is active, and which were before."""
        return self._pointer()[0]

    def released(self) -> list[Released]:
        """Every bundle, the latest first."""
        versions = (folder.split("/")[1] for folder in self._objects.folders(PREFIX))
        found = [self._released(version) for version in versions if is_version(version)]
        return sorted(found, key=lambda it: it.uploaded or 0, reverse=True)

    def upload(self, folder: Path, progress: Report = silent) -> Uploaded:
        """Bring the bundle of a folder into the bucket. Safe to repeat; goes on where it stopped.

        Raises BundleError for what the functions would refuse.
        """
        bundle = Bundle.open(folder)
        rehearse(bundle)
        manifest = bundle.manifest
        missing = self._missing(manifest, progress)
        total = sum(manifest.files[name]["bytes"] for name in missing)
        done = 0
        for name in missing:
            progress("uploading", done, total)
            self._send(manifest, name, folder / name)
            done += manifest.files[name]["bytes"]
        progress("uploading", done, total)
        self._send_manifest(manifest.version, (folder / MANIFEST).read_bytes())
        there = len(manifest.files) - len(missing)
        return Uploaded(manifest.version, len(missing), there, self._key is not None)

    def activate(self, version: str | None, progress: Report = silent) -> Pointer:
        """Make a bundle the active one; None: the one that the functions were deployed with.

        Raises BundleError for one that is not whole or cannot be served, and StaleVersion where
        somebody else was faster. Activating the active one changes nothing.
        """
        self._check(version, progress)
        pointer, tag = self._pointer()
        if pointer.active.version == version:
            return pointer
        return self._move(pointer.moved(version, self._clock.now()), tag)

    def roll_back(self, progress: Report = silent) -> Pointer:
        """Make the one before the active one; once more, and it is the one before that.

        Raises as ``activate`` does, and InvalidData where nothing was active before.
        """
        pointer, tag = self._pointer()
        back = pointer.moved_back(self._clock.now())
        if back is None:
            raise InvalidData("there is nothing to roll back to")
        self._check(back.active.version, progress)
        return self._move(back, tag)

    def _pointer(self) -> tuple[Pointer, str | None]:
        found = self._objects.read(POINTER_KEY)
        return (read_pointer(found[0]), found[1]) if found else (Pointer(), None)

    def _move(self, pointer: Pointer, tag: str | None) -> Pointer:
        moved = self._objects.swap(POINTER_KEY, msgspec.json.encode(pointer), JSON, tag)
        # A swap that failed may have been ours, its answer lost.
        if not moved and (stored := self.pointer()) != pointer:
            raise StaleVersion(
                "somebody else changed the active bundle at the same time; it is "
                f"{stored.active.version or 'the deployed one'} now"
            )
        return pointer

    def _check(self, version: str | None, progress: Report) -> None:
        """Raises BundleError for a bundle that the functions could not serve."""
        if version is None:
            return
        if not is_version(version):
            raise InvalidData(f"{version!r} is no version of a bundle: 12 hexadecimal digits")
        with TemporaryDirectory(prefix="segue-") as folder:
            manifest = self._bundles.manifest(version, Path(folder))
        if missing := self._missing(manifest, progress):
            raise BundleCorrupt(
                f"bundle {version}: {missing[0]} is missing or damaged in the bucket, and "
                f"{len(missing) - 1} others of its files; upload it again"
            )

    def _missing(self, manifest: Manifest, progress: Report) -> list[str]:
        """The files of the bundle that are not in the bucket as the manifest has them."""
        missing = []
        for done, (name, entry) in enumerate(manifest.files.items()):
            progress("verifying", done, len(manifest.files))
            if not self._has(file_key(manifest.version, name), entry):
                missing.append(name)
        progress("verifying", len(manifest.files), len(manifest.files))
        return missing

    def _has(self, key: str, entry: Mapping[str, Any]) -> bool:
        with translated("bundles"):
            try:
                head = self._client.head_object(
                    Bucket=self._bucket, Key=key, ChecksumMode="ENABLED"
                )
            except ClientError as error:
                if is_missing(error, self._client, self._bucket, key):
                    return False
                raise
        if head["ContentLength"] != entry["bytes"]:
            return False
        if checksum := head.get("ChecksumSHA256"):
            return b64decode(checksum).hex() == str(entry["sha256"])
        # Whoever put it there did not let S3 verify it.
        found = self._objects.read(key)
        return found is not None and sha256(found[0]).hexdigest() == entry["sha256"]

    def _send(self, manifest: Manifest, name: str, file: Path) -> None:
        checksum = b64encode(bytes.fromhex(manifest.files[name]["sha256"])).decode()
        with file.open("rb") as body, translated("bundles"):
            self._client.put_object(
                Bucket=self._bucket,
                Key=file_key(manifest.version, name),
                Body=body,
                ChecksumSHA256=checksum,
            )

    def _send_manifest(self, version: str, body: bytes) -> None:
        self._sign(version, body)
        key = file_key(version, MANIFEST)
        found = self._objects.read(key)
        if found and found[0] == body:
            return
        with translated("bundles"):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=JSON)

    def _sign(self, version: str, manifest: bytes) -> None:
        if self._key is None:
            return
        key = file_key(version, SIGNATURE)
        found = self._objects.read(key)
        if not (found and self._key.has_signed(manifest, found[0])):
            self._objects.put(key, self._key.sign(manifest), "application/octet-stream")

    def _released(self, version: str) -> Released:
        key = file_key(version, MANIFEST)
        found, (entries, _) = self._objects.read(key), self._objects.listed(key, limit=1)
        if not (found and entries):
            return Released(version, None, None, "was not uploaded to its end")
        try:
            self._bundles.refuse_unsigned(version, found[0])
            manifest = parse_manifest(found[0], key)
        except BundleError as error:
            return Released(version, entries[0].modified, None, str(error))
        return Released(version, entries[0].modified, manifest, "")


def patient_key(key_id: str) -> BundleKey:
    """The key that signs, with a client that waits through throttling."""
    return BundleKey(key_id, PATIENT)


def patient_client() -> "S3Client":
    """An S3 client that waits through throttling. Raises StoreUnavailable without a region."""
    with translated("S3"):
        return s3_client(PATIENT)
