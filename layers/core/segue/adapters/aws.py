"""How Segue talks to AWS: clients with short, bounded patience, and errors in its own words."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

import boto3
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from segue.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client

# A user waits behind every call: four tries of at most three seconds, with growing pauses.
CONFIG = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 4},
    max_pool_connections=32,
)

# Why a transaction is given up for another writer; "None" is said of its other parts.
_LOST = frozenset({"None", "ConditionalCheckFailed", "TransactionConflict"})
# Why one was given up that may succeed a moment later.
PASSING = frozenset(
    {"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)
_TRIES = 8

C = TypeVar("C", bound=BaseClient)
T = TypeVar("T")

_clients: WeakSet[BaseClient] = WeakSet()


def dynamodb_client(config: Config = CONFIG) -> "DynamoDBClient":
    """A DynamoDB client of the environment's region, credentials and endpoint."""
    return _noted(boto3.client("dynamodb", config=config))


def s3_client(config: Config = CONFIG) -> "S3Client":
    """An S3 client of the environment's region, credentials and endpoint."""
    return _noted(boto3.client("s3", config=config))


def kms_client(config: Config = CONFIG) -> "KMSClient":
    """A KMS client of the environment's region, credentials and endpoint."""
    return _noted(boto3.client("kms", config=config))


def disconnect() -> None:
    """Close every connection to AWS. A client that is used again opens another one."""
    for client in tuple(_clients):
        client.close()


def _noted(client: C) -> C:
    _clients.add(client)
    return client


def error_code(error: ClientError) -> str:
    """The service's own name for the error, such as ``PreconditionFailed``."""
    return error.response.get("Error", {}).get("Code", "")


@contextmanager
def where_condition_holds() -> Iterator[None]:
    """A conditional write for whose item the condition does not hold writes nothing, and that is
    fine."""
    try:
        yield
    except ClientError as error:
        if error_code(error) != "ConditionalCheckFailedException":
            raise


def is_missing(error: ClientError, client: "S3Client", bucket: str, key: str) -> bool:
    """Whether S3 refused a request for an object because there is none. Raises ClientError.

    It says so (404) only to those who may list the whole bucket. Others are told that access is
    denied (403), whether there is such an object or not. So this lists the key, which a policy for
    its prefix allows: what is there has really been denied.
    """
    if error_code(error) in {"NoSuchKey", "404"}:
        return True
    if error_code(error) not in {"AccessDenied", "403"}:
        return False
    found = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
    # Keys are listed in order: the key itself comes before all that begin with it.
    return not found or found[0]["Key"] != key


def lost_to_another(error: ClientError) -> bool:
    """Whether a conditional write, alone or in a transaction, failed because of another writer."""
    if error_code(error) == "TransactionCanceledException":
        return {reason["Code"] for reason in cancellation_reasons(error)} <= _LOST
    return error_code(error) in ("ConditionalCheckFailedException", "TransactionConflictException")


def cancellation_reasons(error: ClientError) -> list[Any]:
    """Of a transaction that was given up: what DynamoDB says of each of its parts."""
    response: Any = error.response
    reasons: list[Any] = response.get("CancellationReasons", [])
    return reasons


@contextmanager
def translated(store: str) -> Iterator[None]:
    """Turn what boto3 raises into StoreUnavailable naming the store and the cause."""
    try:
        yield
    except ClientError as error:
        raise StoreUnavailable(f"{store}: {error_code(error)}") from error
    except BotoCoreError as error:
        raise StoreUnavailable(f"{store}: {error}") from error


def items_of(store: str, request: Callable[..., Any], **asked: Any) -> Iterator[Any]:
    """The items of all pages that DynamoDB answers a Query or a Scan with. Raises StoreUnavailable.

    Not by boto3's own paginator: it looks for itself among those of every service, which takes a
    cold start as long as two requests.
    """
    while True:
        with translated(store):
            answer = request(**asked)
        yield from answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return
        asked["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def tried(store: str, request: Callable[[], T]) -> T:
    """What the request answers once no other transaction is in its way. Raises StoreUnavailable."""
    for attempt in range(_TRIES):
        with translated(store):
            try:
                return request()
            except ClientError as error:
                if not _passes(error):
                    raise
        time.sleep(random.uniform(0, 0.02 * 2**attempt))
    raise StoreUnavailable(f"{store}: too many writers at once")


def _passes(error: ClientError) -> bool:
    """Whether the request was refused only because another one was under way."""
    if error_code(error) == "TransactionCanceledException":
        return {reason["Code"] for reason in cancellation_reasons(error)} <= PASSING
    return error_code(error) == "TransactionConflictException"
