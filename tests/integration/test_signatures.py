"""Signed bundles: what the stack's key has not signed is neither activated nor served."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
from typer.testing import CliRunner

from infra.cli import app
from infra.models import Depot
from segue.adapters.bundles import POINTER_KEY, S3Bundles
from segue.adapters.model_store import ActiveModelStore
from segue.adapters.signatures import SIGNATURE, BundleKey
from segue.domain.errors import BundleCorrupt
from segue.models.bundle import MANIFEST, Bundle
from segue.ports import Refused
from tests.integration.conftest import Aws, new_key
from tests.integration.test_models import key as key_of
from tests.integration.test_models import put
from tests.variants import variant

pytestmark = pytest.mark.parametrize("aws", ["moto"], indirect=True)

QUICK = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1})


@pytest.fixture
def arn(aws: Aws) -> str:
    return new_key()


@pytest.fixture
def depot(aws: Aws, arn: str) -> Depot:
    """The bucket, for whoever may sign."""
    return depot_with(aws, arn)


def depot_with(aws: Aws, arn: str | None) -> Depot:
    return Depot(aws.s3, aws.names["Bucket"], BundleKey(arn, QUICK) if arn else None)


@pytest.fixture
def new(bundle_path: Path, tmp_path: Path) -> Bundle:
    """A bundle that is not the deployed one."""
    return variant(bundle_path, tmp_path / "new", 1)


def serving(aws: Aws, arn: str, deployed: Bundle) -> ActiveModelStore:
    """What a function serves from; it looks at the pointer at every request."""
    bundles = S3Bundles(aws.s3, aws.names["Bucket"], BundleKey(arn, QUICK))
    return ActiveModelStore(bundles, deployed.path, 0, lambda _: None)


def refusal(store: ActiveModelStore, version: str) -> str:
    """Why the version is not served."""
    refused = store.refused()
    assert isinstance(refused, Refused)
    assert refused.version == version
    return refused.reason


def point_at(aws: Aws, version: str) -> None:
    """Move the pointer as somebody does who does not ask first."""
    pointer = {"active": {"version": version, "since": 1}, "before": []}
    put(aws, POINTER_KEY, json.dumps(pointer).encode())


class TestSigned:
    def test_is_served(self, aws: Aws, arn: str, depot: Depot, bundle: Bundle, new: Bundle) -> None:
        assert depot.upload(new.path).signed
        depot.activate(new.version)
        store = serving(aws, arn, bundle)
        assert store.current().version == new.version
        assert store.refused() is None

    def test_is_signed_once(self, aws: Aws, depot: Depot, new: Bundle) -> None:
        def signature() -> bytes:
            found = aws.s3.get_object(Bucket=aws.names["Bucket"], Key=key_of(new, SIGNATURE))
            with closing(found["Body"]) as body:
                return body.read()

        depot.upload(new.path)
        first = signature()
        depot.upload(new.path)
        assert signature() == first

    def test_an_older_one_can_be_gone_back_to(
        self, aws: Aws, arn: str, depot: Depot, bundle: Bundle, new: Bundle, tmp_path: Path
    ) -> None:
        newer = variant(bundle.path, tmp_path / "newer", 2)
        store = serving(aws, arn, bundle)
        for each in (new, newer):
            depot.upload(each.path)
            depot.activate(each.version)
            assert store.current().version == each.version
        assert depot.roll_back().active.version == new.version
        # Another instance, which has to fetch it.
        assert serving(aws, arn, bundle).current().version == new.version

    def test_without_a_key_nothing_is_demanded(self, aws: Aws, bundle: Bundle, new: Bundle) -> None:
        depot = depot_with(aws, None)
        assert not depot.upload(new.path).signed
        depot.activate(new.version)
        store = ActiveModelStore(
            S3Bundles(aws.s3, aws.names["Bucket"]), bundle.path, 0, lambda _: None
        )
        assert store.current().version == new.version


Tampering = Callable[[Aws, Bundle, Bundle], None]


def without_a_signature(aws: Aws, new: Bundle, other: Bundle) -> None:
    aws.s3.delete_object(Bucket=aws.names["Bucket"], Key=key_of(new, SIGNATURE))


def signed_by_another_key(aws: Aws, new: Bundle, other: Bundle) -> None:
    manifest = (new.path / MANIFEST).read_bytes()
    put(aws, key_of(new, SIGNATURE), BundleKey(new_key(), QUICK).sign(manifest))


def with_a_signature_of_another_bundle(aws: Aws, new: Bundle, other: Bundle) -> None:
    kept = aws.s3.get_object(Bucket=aws.names["Bucket"], Key=key_of(other, SIGNATURE))
    put(aws, key_of(new, SIGNATURE), kept["Body"].read())


def with_a_signature_that_is_none(aws: Aws, new: Bundle, other: Bundle) -> None:
    put(aws, key_of(new, SIGNATURE), b"signed, honestly")


def with_another_manifest(aws: Aws, new: Bundle, other: Bundle) -> None:
    """The manifest and all files of another bundle: each checksum is right."""
    for name in (MANIFEST, *other.manifest.files):
        put(aws, key_of(new, name), (other.path / name).read_bytes())


class TestTampered:
    @pytest.mark.parametrize(
        ("tamper", "reason"),
        [
            (without_a_signature, "is missing, and bundles must be signed"),
            (signed_by_another_key, "is no signature of this manifest"),
            (with_a_signature_of_another_bundle, "is no signature of this manifest"),
            (with_a_signature_that_is_none, "is no signature of this manifest"),
            (with_another_manifest, "is no signature of this manifest"),
        ],
    )
    def test_is_neither_activated_nor_served_nor_listed_as_sound(
        self,
        aws: Aws,
        arn: str,
        depot: Depot,
        bundle: Bundle,
        new: Bundle,
        tmp_path: Path,
        tamper: Tampering,
        reason: str,
    ) -> None:
        other = variant(bundle.path, tmp_path / "other", 2)
        depot.upload(other.path)
        depot.upload(new.path)
        tamper(aws, new, other)
        with pytest.raises(BundleCorrupt, match=reason):
            depot.activate(new.version)
        point_at(aws, new.version)
        store = serving(aws, arn, bundle)
        assert store.current().version == bundle.version
        assert f"bundles/{new.version}/{SIGNATURE}: {reason}" in refusal(store, new.version)
        faults = {each.version: each.fault for each in depot.released()}
        assert reason in faults[new.version]
        assert faults[other.version] == ""

    def test_a_file_that_was_altered_is_refused_by_the_signed_checksum(
        self, aws: Aws, arn: str, depot: Depot, bundle: Bundle, new: Bundle
    ) -> None:
        depot.upload(new.path)
        put(aws, key_of(new, "encoder.json"), b"{}")
        point_at(aws, new.version)
        store = serving(aws, arn, bundle)
        assert store.current().version == bundle.version
        assert "encoder.json: its checksum is not the manifest's" in refusal(store, new.version)

    def test_uploaded_again_it_is_sound(
        self, aws: Aws, depot: Depot, bundle: Bundle, new: Bundle
    ) -> None:
        depot_with(aws, None).upload(new.path)
        with pytest.raises(BundleCorrupt, match="must be signed"):
            depot.activate(new.version)
        again = depot.upload(new.path)
        assert (again.sent, again.signed) == (0, True)
        assert depot.activate(new.version).active.version == new.version


def said(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "Verify")


class TestWithoutAnAnswerOfTheKey:
    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (said("ThrottlingException"), "ThrottlingException"),
            (said("AccessDeniedException"), "AccessDeniedException"),
            (said("KMSInvalidStateException"), "KMSInvalidStateException"),
            (EndpointConnectionError(endpoint_url="kms"), "Could not connect to the endpoint URL"),
        ],
    )
    def test_what_is_served_goes_on_and_the_next_look_tries_again(
        self,
        aws: Aws,
        arn: str,
        depot: Depot,
        bundle: Bundle,
        new: Bundle,
        error: Exception,
        reason: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        depot.upload(new.path)
        depot.activate(new.version)
        key = BundleKey(arn, QUICK)
        store = ActiveModelStore(
            S3Bundles(aws.s3, aws.names["Bucket"], key), bundle.path, 0, lambda _: None
        )

        def refuse(**_: Any) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(key._client, "verify", refuse)
            assert store.current().version == bundle.version
            assert refusal(store, new.version).startswith(f"bundle key: {reason}")
        assert store.current().version == new.version


class TestCommands:
    def test_upload_says_whether_it_signed(self, aws: Aws, arn: str, new: Bundle) -> None:
        words = ["models", "upload", str(new.path), "--bucket", aws.names["Bucket"]]
        unsigned = CliRunner().invoke(app, words)
        assert "not signed, since there is no --key" in unsigned.stdout
        signed = CliRunner().invoke(app, [*words, "--key", arn, "--json", "-"])
        assert json.loads(signed.stdout)["signed"] is True
        activate = ["models", "activate", new.version, "--bucket", aws.names["Bucket"]]
        assert CliRunner().invoke(app, [*activate, "--key", new_key()]).exit_code == 1
        assert CliRunner().invoke(app, [*activate, "--key", arn]).exit_code == 0
