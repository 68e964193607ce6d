"""Sessions and users in DynamoDB."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from segue.adapters import packing
from segue.adapters.aws import translated
from segue.domain.errors import StoreUnavailable
from segue.domain.events import Event
from segue.domain.times import Window, format_time
from segue.domain.users import User

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# DynamoDB takes no more items in one batch.
MAX_BATCH = 25
_BATCH_TRIES = 8


class DynamoSessionStore:
    """Listening events, one item a session; see ``packing``."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def events(self, user_id: str, window: Window) -> list[Event]:
        """One Query with BETWEEN; further pages only beyond a megabyte. Raises StoreUnavailable."""
        events: set[Event] = set()
        for item in self._items(user_id, window):
            session_id = packing.session_id_of(item["start"]["S"])
            # A session that was stored again with an earlier start stands in two items.
            events.update(packing.unpack(user_id, session_id, item["events"]["B"]))
        return [event for event in events if event.time in window]

    def has_events(self, user_id: str) -> bool:
        """Whether there is any item of the user. Raises StoreUnavailable."""
        with translated("Sessions"):
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression="user_id = :user",
                ExpressionAttributeValues={":user": {"S": user_id}},
                ProjectionExpression="user_id",
                Limit=1,
            )
        return bool(answer["Items"])

    def put(self, events: Iterable[Event]) -> None:
        """Write whole sessions. Raises StoreUnavailable; what was written then stays written."""
        requests = map(_put_request, packing.items(events))
        while batch := list(islice(requests, MAX_BATCH)):
            write_batch(self._client, self._table, batch)

    def _items(self, user_id: str, window: Window) -> Iterator[Any]:
        query = {
            "TableName": self._table,
            "KeyConditionExpression": "user_id = :user AND #start BETWEEN :from AND :to",
            "ExpressionAttributeNames": {"#start": "start", "#events": "events"},
            "ExpressionAttributeValues": {
                ":user": {"S": user_id},
                # A session that began before the window may reach into it.
                ":from": {"S": format_time(max(0, window.start - packing.MAX_SPAN))},
                ":to": {"S": format_time(window.end)},
            },
            "ProjectionExpression": "#start, #events",
        }
        while True:
            with translated("Sessions"):
                answer = self._client.query(**query)  # type: ignore[arg-type]
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


class DynamoUserStore:
    """Profiles, one item a user."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def get(self, user_id: str) -> User | None:
        """One GetItem. Raises StoreUnavailable."""
        with translated("Users"):
            answer = self._client.get_item(TableName=self._table, Key={"user_id": {"S": user_id}})
        item = answer.get("Item")
        if item is None:
            return None
        genres = tuple(genre["S"] for genre in item["favourite_genres"]["L"])
        return User(user_id, genres, item["premium"]["BOOL"])

    def put(self, user: User) -> None:
        """One PutItem. Raises StoreUnavailable."""
        with translated("Users"):
            self._client.put_item(TableName=self._table, Item=user_item(user))


def write_batch(client: "DynamoDBClient", table: str, batch: list[Any]) -> None:
    """Write up to MAX_BATCH items; what a throttled table leaves over is sent again, with pauses.

    Raises StoreUnavailable.
    """
    for attempt in range(_BATCH_TRIES):
        with translated(table):
            answer = client.batch_write_item(RequestItems={table: batch})
        batch = answer.get("UnprocessedItems", {}).get(table, [])
        if not batch:
            return
        time.sleep(0.05 * 2**attempt)
    raise StoreUnavailable(f"{table}: {len(batch)} items still refused after throttling")


def user_item(user: User) -> dict[str, Any]:
    """A profile as a DynamoDB item."""
    return {
        "user_id": {"S": user.user_id},
        "favourite_genres": {"L": [{"S": genre} for genre in user.favourite_genres]},
        "premium": {"BOOL": user.premium},
    }


def _put_request(item: list[Event]) -> Any:
    first = item[0]
    return {
        "PutRequest": {
            "Item": {
                "user_id": {"S": first.user_id},
                "start": {"S": packing.sort_key(first.time, first.session_id)},
                "events": {"B": packing.pack(item)},
            }
        }
    }
