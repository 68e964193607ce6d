"""Exports of DynamoDB: what it writes to S3 out of its backups, which costs the table no read.

The format: "DynamoDB table export output format" in the DynamoDB Developer Guide.
"""

import gzip
import zlib
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import msgspec
from boto3.exceptions import S3UploadFailedError

from infra.models.depot import PATIENT
from segue.adapters.aws import s3_client, translated
from segue.adapters.objects import Objects
from segue.domain.errors import InvalidData, StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# An item, or a part of it, as boto3 has it.
Item = dict[str, Any]

_BOTH_IMAGES = "NEW_AND_OLD_IMAGES"


@dataclass(frozen=True)
class Prefix:
    """All objects of a bucket whose keys begin alike; names are what follows."""

    client: "S3Client"
    bucket: str
    prefix: str

    @classmethod
    def at(cls, url: str) -> Self:
        """Of ``s3://bucket/prefix``. Raises InvalidData for anything else."""
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc:
            raise InvalidData(f"{url} is not an address on S3, such as s3://bucket/prefix")
        prefix = parts.path.strip("/")
        return cls(s3_client(PATIENT), parts.netloc, f"{prefix}/" if prefix else "")

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def objects(self) -> Objects:
        """The bucket."""
        return Objects(self.client, self.bucket, str(self))

    def names(self, folder: str = "") -> list[str]:
        """What is there, in the order of the names."""
        entries = self.objects.all_listed(self.prefix + folder)
        return [entry.key.removeprefix(self.prefix) for entry in entries]

    def read(self, name: str) -> bytes | None:
        """The bytes of an object, if it is there."""
        found = self.objects.read(self.prefix + name)
        return found and found[0]

    def download(self, name: str, path: Path) -> None:
        """Write an object to a file. Raises StoreUnavailable."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with translated(f"{self}/{name}"):
            self.client.download_file(self.bucket, self.prefix + name, str(path))

    def upload(self, path: Path, name: str) -> None:
        """Write a file to an object. Raises StoreUnavailable."""
        try:
            self.client.upload_file(str(path), self.bucket, self.prefix + name)
        except S3UploadFailedError as error:
            raise StoreUnavailable(str(error)) from error


class Summary(msgspec.Struct, rename="camel"):
    """What DynamoDB says of an export, in ``manifest-summary.json``."""

    s3_bucket: str
    manifest_files_s3_key: str
    output_format: str
    export_type: str = "FULL_EXPORT"
    export_time: datetime | None = None
    export_from_time: datetime | None = None
    export_to_time: datetime | None = None
    output_view: str | None = None

    @property
    def is_full(self) -> bool:
        """Whether it is of the whole table, and not of changes alone."""
        return self.export_type == "FULL_EXPORT"


class ExportFile(msgspec.Struct, rename="camel"):
    """A line of the list of an export's files."""

    item_count: int
    data_file_s3_key: str


@dataclass(frozen=True)
class TableExport:
    """A finished export of DynamoDB."""

    source: Prefix
    summary: Summary
    files: Sequence[ExportFile]

    @property
    def name(self) -> str:
        """The id that DynamoDB has given it."""
        return self.source.prefix.rstrip("/").rpartition("/")[2]

    def records(self, file: ExportFile) -> Iterator[dict[str, Any]]:
        """The lines of a file, each an item, or the images of one that changed.

        Raises InvalidData where there are others than the export says, StoreUnavailable.
        """
        key, lines = file.data_file_s3_key, 0
        found = Objects(self.source.client, self.summary.s3_bucket, self.name).read(key)
        if found is None:
            raise InvalidData(f"{key} is missing in the bucket of the export")
        try:
            for line in gzip.GzipFile(fileobj=BytesIO(found[0])):
                lines += 1
                yield msgspec.json.decode(line, type=dict[str, Any])
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise InvalidData(f"{key} is no file of an export: {error!r}") from None
        if lines != file.item_count:
            raise InvalidData(f"{key} has {lines} items, not {file.item_count}")


def open_export(url: str) -> TableExport:
    """The export at ``s3://bucket/prefix/AWSDynamoDB/ID``.

    Raises InvalidData where it is not finished, or of another format; StoreUnavailable.
    """
    source = Prefix.at(url)
    body = source.read("manifest-summary.json")
    if body is None:
        raise InvalidData(f"{source} is no finished export: it has no manifest-summary.json")
    try:
        summary = msgspec.json.decode(body, type=Summary)
        found = Objects(source.client, summary.s3_bucket, str(source)).read(
            summary.manifest_files_s3_key
        )
        files = msgspec.json.Decoder(ExportFile).decode_lines(found[0] if found else b"")
    except msgspec.MsgspecError as error:
        raise InvalidData(f"{source} is no export of DynamoDB: {error}") from None
    images = summary.is_full or summary.output_view == _BOTH_IMAGES
    if summary.output_format != "DYNAMODB_JSON" or not images or not files:
        raise InvalidData(f"{source} is not an export in DYNAMODB_JSON with {_BOTH_IMAGES}")
    return TableExport(source, summary, files)


def item_of(exported: Mapping[str, Any]) -> Item:
    """An item of an export as boto3 has it."""
    return {name: _value(value) for name, value in exported.items()}


def _value(exported: Any) -> Any:
    """A value as boto3 has it: in an export, bytes are in base 64."""
    ((kind, value),) = exported.items()
    if kind == "B":
        return {kind: b64decode(value)}
    if kind == "BS":
        return {kind: [b64decode(it) for it in value]}
    if kind == "L":
        return {kind: [_value(it) for it in value]}
    if kind == "M":
        return {kind: item_of(value)}
    return exported
