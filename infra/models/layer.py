"""A bundle as a version of a Lambda layer: what the models layer of the template holds."""

from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from segue.adapters.aws import translated
from segue.adapters.bundles import file_key
from segue.models.bundle import MANIFEST, Bundle

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_RUNTIME, _ARCHITECTURE = "python3.13", "x86_64"


def publish_layer(lambda_client: Any, s3: "S3Client", bucket: str, folder: Path, name: str) -> str:
    """Publish the bundle of a folder as a version of the layer ``name``; the version's ARN.

    Once for each bundle: a version that holds it already is answered. Raises BundleError and
    StoreUnavailable.
    """
    bundle = Bundle.open(folder)
    description = f"Segue bundle {bundle.version}"
    with translated("layers"):
        if published := _published(lambda_client, name, description):
            return published
        key = file_key(bundle.version, "layer.zip")
        with TemporaryFile() as archive:
            _write(bundle, archive)
            archive.seek(0)
            s3.put_object(Bucket=bucket, Key=key, Body=archive)
        # By way of the bucket, since a call takes no more than 50 MB.
        answer = lambda_client.publish_layer_version(
            LayerName=name,
            Description=description,
            Content={"S3Bucket": bucket, "S3Key": key},
            CompatibleRuntimes=[_RUNTIME],
            CompatibleArchitectures=[_ARCHITECTURE],
        )
    return str(answer["LayerVersionArn"])


def _published(lambda_client: Any, name: str, description: str) -> str | None:
    pages = lambda_client.get_paginator("list_layer_versions").paginate(LayerName=name)
    for page in pages:
        for version in page["LayerVersions"]:
            if version.get("Description") == description:
                return str(version["LayerVersionArn"])
    return None


def _write(bundle: Bundle, archive: IO[bytes]) -> None:
    """A layer's folder ``bundle`` is ``/opt/bundle`` to a function."""
    with ZipFile(archive, "w", ZIP_DEFLATED) as layer:
        for name in (MANIFEST, *bundle.manifest.files):
            # Without the time, so that one bundle always makes the same layer.
            entry = ZipInfo(f"bundle/{name}")
            entry.external_attr = 0o644 << 16
            layer.writestr(entry, (bundle.path / name).read_bytes(), ZIP_DEFLATED)
