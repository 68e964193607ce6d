"""A user's older events in one item: a year of listening is read at a tenth of the cost.

A digest is a copy, and the sessions are the truth. It holds all events of a stretch of time. An
event that comes into that stretch later empties the digest, in the same transaction. A digest is
filled in three steps: its version is read, then the sessions, then it is written if its version is
still the same. So no digest misses an event, whoever else writes. And none comes into being again
while its user is erased.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from segue.adapters import packing
from segue.adapters.aws import translated, where_condition_holds
from segue.domain.events import Event
from segue.domain.times import DAY, Window

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Its sort key, behind every session's.
KEY = "digest"
# It holds what is older than a week: of that, hardly anything is written any more.
RECENT = 7 * DAY
# Two clocks, and the moments at which a writer looks at one and writes, lie less than this apart.
_MARGIN = DAY
# Longer than a year, so that what a model sees of a year is in it as of some earlier moment, too.
KEPT = 400 * DAY
# DynamoDB takes 400 KB. A listener of so many events has no digest.
_MOST_BYTES = 300_000


@dataclass(frozen=True, slots=True)
class Digest:
    """All of a user's events in ``window``. ``version`` is another one after every change."""

    version: str
    window: Window
    events: list[Event]


EMPTY = Digest("", Window(0, 0), [])


class Digests:
    """In the table of sessions."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def read(self, user_id: str, *, fresh: bool = False) -> Digest:
        """One GetItem; not ``fresh``: as it was within the last second. Raises StoreUnavailable."""
        key = {"user_id": {"S": user_id}, "start": {"S": KEY}}
        with translated("Sessions"):
            answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=fresh)
        if "Item" not in answer:
            return EMPTY
        item = answer["Item"]
        if "events" not in item:
            return Digest(item["version"]["S"], Window(0, 0), [])
        window = Window(int(item["from"]["N"]), int(item["to"]["N"]))
        events = packing.unpack_digest(user_id, item["events"]["B"])
        return Digest(item["version"]["S"], window, events)

    def open(self, user_id: str) -> Digest:
        """As of now, for ``replace``. Where there is none, an empty one is stored first: an erasure
        that deletes it is then noticed. Raises StoreUnavailable."""
        digest = self.read(user_id, fresh=True)
        if digest is not EMPTY:
            return digest
        item = empty_item(user_id)
        with translated("Sessions"):
            self._client.put_item(TableName=self._table, Item=item)
        return replace(EMPTY, version=item["version"]["S"])

    def replace(self, user_id: str, digest: Digest) -> None:
        """Store the digest where its version is still there; else nothing. Raises
        StoreUnavailable."""
        packed = packing.pack_digest(digest.events)
        if len(packed) > _MOST_BYTES:
            return
        item = empty_item(user_id) | {
            "from": {"N": str(digest.window.start)},
            "to": {"N": str(digest.window.end)},
            "events": {"B": packed},
        }
        with translated("Sessions"), where_condition_holds():
            self._client.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression="version = :version",
                ExpressionAttributeValues={":version": {"S": digest.version}},
            )


def empty_item(user_id: str) -> dict[str, Any]:
    """A digest that holds nothing, of a version of its own."""
    return {"user_id": {"S": user_id}, "start": {"S": KEY}, "version": {"S": uuid4().hex}}


def may_hold(events: Iterable[Event], now: int) -> bool:
    """Whether any digest that was made until now, or is being made, may hold such events."""
    return min(event.time for event in events) < now - RECENT + _MARGIN


def foldable(now: int) -> Window:
    """What a digest that is made now should hold."""
    return Window(now - KEPT, now - RECENT)
