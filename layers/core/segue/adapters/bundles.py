"""Bundles in S3, as the functions read them.

::

    bundles/active.json        which version is active, and which were before
    bundles/{version}/{file}   the files of a bundle, and manifest.json.sig, the signature of its
                               manifest; the manifest is written last
"""

import hashlib
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.config import Config
from botocore.exceptions import ClientError

from segue.adapters.aws import error_code, is_missing, translated
from segue.adapters.objects import decoded
from segue.adapters.signatures import SIGNATURE, BundleKey
from segue.domain.errors import BundleCorrupt, BundleMissing, StoreUnavailable
from segue.models.bundle import MANIFEST, SCHEMA, Bundle, Manifest, parse_manifest
from segue.models.pointer import Pointer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PREFIX = "bundles/"
POINTER_KEY = f"{PREFIX}active.json"

# A user may wait behind it, and there is a bundle to serve without it.
BRISK = Config(
    connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2}
)

# Far below the timeout of a function. What has arrived by then is kept for the next attempt.
FETCH_SECONDS = 8
# Files come in ranges of so many bytes, so many at a time: one stream is a fraction of what an
# instance can take. All of these may be in memory at once, and for a moment twice.
RANGE_BYTES = 8 << 20
STREAMS = 8
_CHUNK = 1 << 20


class _Range(NamedTuple):
    """The bytes of a file from ``start`` on and before ``end``; ``size``: of the whole file."""

    name: str
    start: int
    end: int
    size: int


class S3Bundles:
    """The bundles of one bucket; those alone that the key has signed, where there is one."""

    def __init__(self, client: "S3Client", bucket: str, key: BundleKey | None = None) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._pointer = Pointer()
        self._tag: str | None = None

    def active(self) -> str | None:
        """The version that is active; None: the one that the functions were deployed with.

        One GetObject, without a body where nothing has changed. Raises StoreUnavailable.
        """
        known: Any = {"IfNoneMatch": self._tag} if self._tag else {}
        with translated("bundles"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=POINTER_KEY, **known)
                self._pointer, self._tag = read_pointer(answer["Body"].read()), answer["ETag"]
            except ClientError as error:
                if is_missing(error, self._client, self._bucket, POINTER_KEY):
                    self._pointer, self._tag = Pointer(), None
                elif error_code(error) != "304":
                    raise
        return self._pointer.active.version

    def manifest(self, version: str, folder: Path) -> Manifest:
        """Bring a bundle's manifest and schema into the folder, which say whether this version of
        Segue can serve it.

        Raises BundleMissing, BundleCorrupt, also for one that is not signed, StoreUnavailable, and
        OSError.
        """
        key = file_key(version, MANIFEST)
        raw = self._read(key)
        if raw is None:
            raise BundleMissing(f"there is no bundle {version} in the bucket")
        self.refuse_unsigned(version, raw)
        manifest = parse_manifest(raw, key)
        if manifest.version != version:
            raise BundleCorrupt(f"{key}: is that of bundle {manifest.version}")
        self._fetch(manifest, [SCHEMA], folder, math.inf)
        Bundle(folder, manifest).refuse_other_schema()
        (folder / MANIFEST).write_bytes(raw)
        return manifest

    def refuse_unsigned(self, version: str, manifest: bytes) -> None:
        """Raises BundleCorrupt where the key has not signed this manifest, and StoreUnavailable."""
        if self._key is None:
            return
        key = file_key(version, SIGNATURE)
        signature = self._read(key)
        if signature is None:
            raise BundleCorrupt(f"{key}: is missing, and bundles must be signed; upload it again")
        if not self._key.has_signed(manifest, signature):
            raise BundleCorrupt(f"{key}: is no signature of this manifest by the stack's key")

    def fetch(self, version: str, folder: Path) -> None:
        """Bring a bundle into the folder, every checksum being right. What is there of it stays,
        so that a fetch which was cut short goes on.

        Raises BundleMissing, BundleCorrupt naming the file, StoreUnavailable, and OSError.
        """
        deadline = time.monotonic() + FETCH_SECONDS
        manifest = self.manifest(version, folder)
        self._fetch(manifest, manifest.files, folder, deadline)

    def _fetch(
        self, manifest: Manifest, names: Iterable[str], folder: Path, deadline: float
    ) -> None:
        ranges = _missing(manifest, names, folder)
        with ThreadPoolExecutor(STREAMS) as streams:
            for found, content in self._arriving(manifest.version, ranges, streams, deadline):
                part = _part(folder, found.name)
                part.parent.mkdir(parents=True, exist_ok=True)
                with part.open("ab") as file:
                    file.write(content)
                if found.end == found.size:
                    _complete(manifest, found.name, folder)

    def _arriving(
        self, version: str, ranges: Iterable[_Range], streams: Executor, deadline: float
    ) -> Iterator[tuple[_Range, bytes]]:
        """Each range and its content, in the order asked for, while those after it arrive."""
        asked: deque[tuple[_Range, Future[bytes]]] = deque()
        for wanted in ranges:
            key = file_key(version, wanted.name)
            asked.append((wanted, streams.submit(self._read_range, key, wanted, deadline)))
            if len(asked) == STREAMS:
                first, content = asked.popleft()
                yield first, content.result()
        for first, content in asked:
            yield first, content.result()

    def _read_range(self, key: str, wanted: _Range, deadline: float) -> bytes:
        part = {"Range": f"bytes={wanted.start}-{wanted.end - 1}"} if wanted.size else {}
        chunks = []
        for chunk in self._chunks(key, part):
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"bundles: {key} does not arrive in time")
            chunks.append(chunk)
        return b"".join(chunks)

    def _read(self, key: str) -> bytes | None:
        with translated("bundles"):
            try:
                return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            except ClientError as error:
                if is_missing(error, self._client, self._bucket, key):
                    return None
                raise

    def _chunks(self, key: str, part: Any) -> Iterator[bytes]:
        with translated("bundles"):
            try:
                body = self._client.get_object(Bucket=self._bucket, Key=key, **part)["Body"]
                yield from body.iter_chunks(_CHUNK)
            except ClientError as error:
                # The object is shorter than the manifest says, as the checksum will show.
                if error_code(error) == "InvalidRange":
                    return
                if is_missing(error, self._client, self._bucket, key):
                    raise BundleCorrupt(f"{key}: is missing") from None
                raise


def _missing(manifest: Manifest, names: Iterable[str], folder: Path) -> Iterator[_Range]:
    """What of the files is not in the folder, file by file. Raises BundleCorrupt for what is."""
    for name in names:
        # Only a whole file ever bears its name.
        if (folder / name).is_file():
            continue
        part, size = _part(folder, name), manifest.files[name]["bytes"]
        start = part.stat().st_size if part.exists() else 0
        # All of it, but it was stopped before the checksum was looked at.
        if start >= size and part.exists():
            _complete(manifest, name, folder)
            continue
        for begin in range(start, max(size, 1), RANGE_BYTES):
            yield _Range(name, begin, min(begin + RANGE_BYTES, size), size)


def _part(folder: Path, name: str) -> Path:
    """Where the file grows until it is whole."""
    return folder / f"{name}.part"


def _complete(manifest: Manifest, name: str, folder: Path) -> None:
    """Raises BundleCorrupt where the file is not the manifest's; it is fetched anew then."""
    part = _part(folder, name)
    with part.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    if checksum != manifest.files[name]["sha256"]:
        part.unlink()
        key = file_key(manifest.version, name)
        raise BundleCorrupt(f"{key}: its checksum is not the manifest's")
    part.rename(folder / name)


def file_key(version: str, name: str) -> str:
    """The key of a bundle's file. Raises BundleCorrupt for what would lead out of the bundle."""
    path = PurePosixPath(version, name)
    if ".." in path.parts or len(path.parts) < 2 or path.is_absolute():
        raise BundleCorrupt(f"{name!r} is no file of a bundle")
    return f"{PREFIX}{path}"


def read_pointer(raw: bytes) -> Pointer:
    """Raises StoreUnavailable for what is no pointer, LaterFormat."""
    return decoded(raw, Pointer, f"bundles: {POINTER_KEY}")
