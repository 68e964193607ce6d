"""The stores, three times: in memory, on moto, on the local stack. Their promises are the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from infra.local import stack
from infra.local.environment import local_settings
from infra.memory import (
    MemoryArchive,
    MemoryExperimentStore,
    MemoryLists,
    MemoryResultStore,
    MemorySessionStore,
    MemoryTrackStore,
    MemoryUserStore,
)
from infra.process import listen
from infra.template import create_resources, load
from segue.adapters.archive import S3Archive
from segue.adapters.aws import dynamodb_client, s3_client
from segue.adapters.clock import SystemClock
from segue.adapters.dynamodb import DynamoUserStore
from segue.adapters.experiments import S3ExperimentStore
from segue.adapters.exposures import DynamoResultStore
from segue.adapters.lists import S3Lists
from segue.adapters.objects import Objects
from segue.adapters.sessions import DynamoSessionStore
from segue.adapters.tracks import DynamoTrackStore
from segue.ports import (
    Clock,
    ExperimentStore,
    ListStore,
    ResultArchive,
    ResultStore,
    SessionStore,
    TrackStore,
    UserStore,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[2]
TEMPLATE = load(ROOT / "template.yaml")


@dataclass(frozen=True)
class Stores:
    """What fulfils the ports."""

    sessions: SessionStore
    users: UserStore
    track_store: TrackStore
    experiments: ExperimentStore
    results: ResultStore
    archive: ResultArchive
    lists: ListStore


@dataclass(frozen=True)
class Aws:
    """Clients, and the names of the created resources by logical id."""

    dynamodb: "DynamoDBClient"
    s3: "S3Client"
    names: dict[str, str]


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The local stack's DynamoDB and S3."""
    with (
        listen(0, "--stack-port") as listener,
        stack.running(tmp_path_factory.mktemp("stack"), listener) as url,
    ):
        yield url


@contextmanager
def resources(request: pytest.FixtureRequest, patch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """Empty tables and an empty bucket, made from the template, where the parameter says."""
    for name, value in local_settings("unused").items():
        patch.setenv(name, value)
    if request.param == "moto":
        patch.delenv("AWS_ENDPOINT_URL")
        _answer_one_at_a_time(patch)
        # A session anew would read the descriptions of all of AWS's services anew.
        with mock_aws(config={"core": {"reset_boto3_session": False}}):
            yield _created()
    else:
        patch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("endpoint"))
        yield _created()


def _answer_one_at_a_time(patch: pytest.MonkeyPatch) -> None:
    """moto looks at a condition and then writes: between the two another thread may have written,
    which never happens on AWS."""
    lock, answer = RLock(), BotocoreStubber.__call__

    def answer_alone(*arguments: Any, **named: Any) -> Any:
        with lock:
            return answer(*arguments, **named)

    patch.setattr(BotocoreStubber, "__call__", answer_alone)


def _created() -> Aws:
    dynamodb, s3 = dynamodb_client(), s3_client()
    names = create_resources(TEMPLATE, dynamodb, s3, f"test-{uuid4().hex[:8]}")
    return Aws(dynamodb, s3, names)


def new_key() -> str:
    """The ARN of a key that signs bundles, as the template makes it."""
    key = boto3.client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    return key["KeyMetadata"]["Arn"]


def stores_on(aws: Aws, clock: Clock | None = None) -> Stores:
    """The stores as the functions wire them."""
    objects = Objects(aws.s3, aws.names["Bucket"])
    return Stores(
        DynamoSessionStore(aws.dynamodb, aws.names["SessionsTable"], clock or SystemClock()),
        DynamoUserStore(aws.dynamodb, aws.names["UsersTable"]),
        DynamoTrackStore(aws.dynamodb, aws.names["TracksTable"]),
        S3ExperimentStore(objects),
        DynamoResultStore(aws.dynamodb, aws.names["ExposuresTable"]),
        S3Archive(objects),
        S3Lists(objects),
    )


@pytest.fixture(params=["memory", "moto", "local stack"])
def stores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stores]:
    """Each implementation of the ports in turn."""
    if request.param == "memory":
        yield Stores(
            MemorySessionStore(),
            MemoryUserStore(),
            MemoryTrackStore(),
            MemoryExperimentStore(),
            MemoryResultStore(),
            MemoryArchive(),
            MemoryLists(),
        )
        return
    with resources(request, monkeypatch) as aws:
        yield stores_on(aws)


@pytest.fixture(params=["moto", "local stack"])
def aws(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """Each stand-in for AWS in turn."""
    with resources(request, monkeypatch) as created:
        yield created
