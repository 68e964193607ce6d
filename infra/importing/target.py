"""Where an import goes: the two tables."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from botocore.config import Config

from segue.adapters.aws import dynamodb_client, items_of, translated
from segue.adapters.clock import SystemClock
from segue.adapters.dynamodb import user_item
from segue.adapters.sessions import DynamoSessionStore
from segue.domain.events import Event
from segue.domain.users import User

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Nobody waits for an answer here: rather let a throttled table take its time. What is sent is made
# here, and checking it against the service's model would take longer than writing it.
_PATIENT = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"mode": "adaptive", "total_max_attempts": 10},
    max_pool_connections=16,
    parameter_validation=False,
)


class Target(Protocol):
    """What an import needs of the tables. Raises StoreUnavailable. Called from several threads."""

    def imported(self) -> Mapping[str, str]:
        """The digest of what was imported of each user, by user."""
        ...

    def put_events(self, events: Iterable[Event]) -> None:
        """Store whole sessions; storing the same again changes nothing."""
        ...

    def put_users(self, users: Mapping[User, str]) -> None:
        """Store up to MAX_BATCH profiles, each with the digest of all that is there of the user.

        What a user has changed by themselves, through the API, stays as they want it.
        """
        ...


class DynamoTarget:
    """The tables in DynamoDB. The digest is the attribute ``imported`` of the user's item."""

    def __init__(self, client: "DynamoDBClient", sessions_table: str, users_table: str) -> None:
        self._client = client
        self._sessions = DynamoSessionStore(client, sessions_table, SystemClock())
        self._users_table = users_table

    def imported(self) -> Mapping[str, str]:
        """One Scan of the users."""
        scan = {"TableName": self._users_table, "ProjectionExpression": "user_id, imported"}
        return {
            item["user_id"]["S"]: item["imported"]["S"]
            for item in items_of("Users", self._client.scan, **scan)
            if "imported" in item
        }

    def put_events(self, events: Iterable[Event]) -> None:
        self._sessions.put(events)

    def put_users(self, users: Mapping[User, str]) -> None:
        """One PutItem a user: a batch knows no condition."""
        for user, digest in users.items():
            self._put_user(user, {"S": digest})

    def _put_user(self, user: User, digest: Any) -> None:
        """A profile that its user has changed since then stays; only the digest is noted."""
        item = user_item(user)
        with translated("Users"):
            try:
                self._client.put_item(
                    TableName=self._users_table,
                    Item=item | {"imported": digest},
                    ConditionExpression="attribute_not_exists(edited)",
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                self._client.update_item(
                    TableName=self._users_table,
                    Key={"user_id": item["user_id"]},
                    UpdateExpression="SET imported = :digest",
                    ExpressionAttributeValues={":digest": digest},
                )


def patient_client() -> "DynamoDBClient":
    """A DynamoDB client that waits through throttling. Raises StoreUnavailable without a region."""
    with translated("DynamoDB"):
        return dynamodb_client(_PATIENT)
