"""Signatures of bundles, by an asymmetric key of KMS whose private half nobody ever sees."""

from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from botocore.config import Config

from segue.adapters.aws import kms_client, translated

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

# Beside the manifest, which names the checksum of every other file: it vouches for them all.
SIGNATURE = "manifest.json.sig"

_ALGORITHM: Literal["ECDSA_SHA_256"] = "ECDSA_SHA_256"


class BundleKey:
    """The key that a stack's bundles are signed by. Its client is made when it is first needed.

    ``key_id``: its ARN. Everything raises StoreUnavailable where KMS does not answer or refuses.
    """

    def __init__(self, key_id: str, config: Config) -> None:
        self._key_id = key_id
        self._config = config

    def sign(self, manifest: bytes) -> bytes:
        """The signature of the manifest, another one each time."""
        with translated("bundle key"):
            return self._client.sign(
                KeyId=self._key_id,
                Message=sha256(manifest).digest(),
                MessageType="DIGEST",
                SigningAlgorithm=_ALGORITHM,
            )["Signature"]

    def has_signed(self, manifest: bytes, signature: bytes) -> bool:
        """Whether this is a signature of this very manifest by this very key."""
        with translated("bundle key"):
            try:
                return self._client.verify(
                    KeyId=self._key_id,
                    Message=sha256(manifest).digest(),
                    MessageType="DIGEST",
                    Signature=signature,
                    SigningAlgorithm=_ALGORITHM,
                )["SignatureValid"]
            except self._client.exceptions.KMSInvalidSignatureException:
                return False

    @cached_property
    def _client(self) -> "KMSClient":
        return kms_client(self._config)
