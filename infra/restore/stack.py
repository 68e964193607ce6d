"""Where a stack keeps what is to be restored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.config import Config

from infra.local.environment import PREFIX, point_aws_at
from infra.restore.names import TableName
from infra.service import ServiceError, describe_stack
from infra.template import physical_name
from segue.adapters.archive import S3Archive
from segue.adapters.aws import dynamodb_client, s3_client, translated
from segue.adapters.clock import SystemClock
from segue.adapters.dynamodb import DynamoUserStore
from segue.adapters.exposures import DynamoResultStore
from segue.adapters.objects import Objects
from segue.adapters.sessions import DynamoSessionStore
from segue.adapters.tracks import DynamoTrackStore
from segue.services.privacy import Privacy

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

# Nobody waits for an answer here: rather let a throttled table take its time.
_PATIENT = Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"mode": "adaptive", "total_max_attempts": 10},
    max_pool_connections=32,
)


@dataclass(frozen=True)
class Stack:
    """The tables and the bucket of a stack. ``names``: by their logical ids."""

    dynamodb: "DynamoDBClient"
    s3: "S3Client"
    names: Mapping[str, str]
    stage: str = "dev"
    tags: Mapping[str, str] = field(default_factory=dict)

    def table(self, table: TableName) -> str:
        """The name of the table in DynamoDB."""
        return self.names[table.logical_id]

    @property
    def bucket(self) -> str:
        """The name of the bucket."""
        return self.names["Bucket"]

    @property
    def objects(self) -> Objects:
        """Of the bucket."""
        return Objects(self.s3, self.bucket)

    @property
    def archive(self) -> S3Archive:
        """The archive of results."""
        return S3Archive(self.objects)

    @property
    def sessions(self) -> DynamoSessionStore:
        """Listening events."""
        return DynamoSessionStore(self.dynamodb, self.table(TableName.SESSIONS), SystemClock())

    @property
    def results(self) -> DynamoResultStore:
        """Results of experiments."""
        return DynamoResultStore(self.dynamodb, self.table(TableName.EXPOSURES))

    @property
    def track_store(self) -> DynamoTrackStore:
        """What was said of tracks since the models were trained."""
        return DynamoTrackStore(self.dynamodb, self.table(TableName.TRACKS))

    @property
    def privacy(self) -> Privacy:
        """What erases users."""
        users = DynamoUserStore(self.dynamodb, self.table(TableName.USERS))
        return Privacy(self.sessions, users, self.results, self.archive)


def deployed_stack(name: str) -> Stack:
    """A stack on AWS, by the environment's credentials. Raises ServiceError, StoreUnavailable."""
    described = describe_stack(name)
    names = {it["OutputKey"]: it["OutputValue"] for it in described.get("Outputs", [])}
    missing = [it for it in _logical_ids() if it not in names]
    if missing:
        raise ServiceError(f"stack {name} has no output {missing[0]}; is it a stack of Segue's?")
    parameters = {
        it["ParameterKey"]: it["ParameterValue"] for it in described.get("Parameters", [])
    }
    tags = {it["Key"]: it["Value"] for it in described.get("Tags", [])}
    return _stack(names, parameters.get("Stage", "dev"), tags)


def local_stack(endpoint: str) -> Stack:
    """A local stack that runs, such as at http://127.0.0.1:4566. Nothing is created there."""
    point_aws_at(endpoint)
    return _stack({it: physical_name(PREFIX, it) for it in _logical_ids()}, "dev", {})


def _stack(names: Mapping[str, str], stage: str, tags: Mapping[str, str]) -> Stack:
    with translated("AWS"):
        return Stack(dynamodb_client(_PATIENT), s3_client(_PATIENT), names, stage, tags)


def _logical_ids() -> list[str]:
    return [*(table.logical_id for table in TableName), "Bucket"]
