"""Sessions, users, and which tracks are available, in DynamoDB."""

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from botocore.exceptions import ClientError

from segue.adapters import packing
from segue.adapters.aws import error_code, translated
from segue.domain.errors import StoreUnavailable
from segue.domain.events import Event, distinct
from segue.domain.times import LATEST, Window, format_time
from segue.domain.users import User, attributes_from_json, attributes_to_json

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# The index of the users by their ids.
IDS = "ids"
# Keys of the table of tracks.
_TRACK = "track/"
_CHANGES: Any = {"key": {"S": "changes"}}
# DynamoDB takes no more items in one batch.
MAX_BATCH = 25
_BATCH_TRIES = 8
# With every round of tries at least one writer of an item succeeds.
_APPEND_TRIES = 20


class DynamoSessionStore:
    """Listening events, one item a session; see ``packing``."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def events(self, user_id: str, window: Window, *, fresh: bool = True) -> list[Event]:
        """One Query with BETWEEN; further pages only beyond a megabyte. Raises StoreUnavailable."""
        # A session may stand in several items, and an event of it in more than one.
        stored = (
            event
            for item in self._items(user_id, window, fresh)
            for event in _unpack(user_id, item)
        )
        return distinct(event for event in stored if event.time in window)

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

    def append(self, events: Iterable[Event]) -> int:
        """One Query a user, one conditional PutItem an item that grows. Raises StoreUnavailable.

        What was written then stays written, and is no obstacle to a second try.
        """
        by_user: dict[str, list[Event]] = defaultdict(list)
        for event in distinct(events):
            by_user[event.user_id].append(event)
        return sum(self._append(user_id, theirs) for user_id, theirs in by_user.items())

    def delete(self, user_id: str) -> None:
        """Query the keys, then delete in batches. Raises StoreUnavailable."""
        keys = self._pages(
            ConsistentRead=True,
            KeyConditionExpression="user_id = :user",
            ExpressionAttributeNames={"#start": "start"},
            ExpressionAttributeValues={":user": {"S": user_id}},
            ProjectionExpression="user_id, #start",
        )
        requests = ({"DeleteRequest": {"Key": key}} for key in keys)
        while batch := list(islice(requests, MAX_BATCH)):
            write_batch(self._client, self._table, batch)

    def _append(self, user_id: str, events: Sequence[Event]) -> int:
        added = 0
        for attempt in range(_APPEND_TRIES):
            growing, known = self._stored(user_id, events)
            missing = {it.identity: it for it in events if it.identity not in known}
            for item in packing.grow(missing.values(), growing):
                if self._replace(user_id, item):
                    written = [missing.pop(it.identity, None) for it in item.events]
                    added += len(written) - written.count(None)
            if not missing:
                return added
            time.sleep(random.uniform(0, 0.02 * 2 ** min(attempt, 4)))
        raise StoreUnavailable("Sessions: too many writers at once")

    def _stored(
        self, user_id: str, events: Sequence[Event]
    ) -> tuple[dict[str, packing.Growing], set[tuple[object, ...]]]:
        """The growing items around the events, by key, and the identity of all that is there."""
        times = [event.time for event in events]
        growing: dict[str, packing.Growing] = {}
        known: set[tuple[object, ...]] = set()
        for item in self._items(user_id, Window(min(times), max(times))):
            found = tuple(_unpack(user_id, item))
            known.update(event.identity for event in found)
            if "version" in item:
                key = item["start"]["S"]
                growing[key] = packing.Growing(key, item["version"]["S"], found)
        return growing, known

    def _replace(self, user_id: str, item: packing.Growing) -> bool:
        """Whether the item still had its version, and so was replaced."""
        unchanged = "#version = :version" if item.version else "attribute_not_exists(#version)"
        condition: dict[str, Any] = {
            "ConditionExpression": unchanged,
            "ExpressionAttributeNames": {"#version": "version"},
        }
        if item.version:
            condition["ExpressionAttributeValues"] = {":version": {"S": item.version}}
        content = _item(user_id, item.key, packing.ordered(item.events))
        # Not a number: an item that was erased and made anew must not have an old one's version.
        content["version"] = {"S": uuid4().hex}
        with translated("Sessions"):
            try:
                self._client.put_item(TableName=self._table, Item=content, **condition)
            except ClientError as error:
                if error_code(error) == "ConditionalCheckFailedException":
                    return False
                raise
        return True

    def _items(self, user_id: str, window: Window, fresh: bool = True) -> Iterator[Any]:
        return self._pages(
            # What was appended a moment ago has to be seen: by a recommendation, and by a retry.
            ConsistentRead=fresh,
            KeyConditionExpression="user_id = :user AND #start BETWEEN :from AND :to",
            ExpressionAttributeNames={
                "#start": "start",
                "#events": "events",
                "#version": "version",
            },
            ExpressionAttributeValues={
                ":user": {"S": user_id},
                # A session that began before the window may reach into it.
                ":from": {"S": format_time(max(0, window.start - packing.MAX_SPAN))},
                # "~~" comes behind every key of that moment.
                ":to": {"S": f"{format_time(min(window.end, LATEST - 1))}~~"},
            },
            ProjectionExpression="#start, #events, #version",
        )

    def _pages(self, **query: Any) -> Iterator[Any]:
        query["TableName"] = self._table
        while True:
            with translated("Sessions"):
                answer = self._client.query(**query)
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
        return _user(answer["Item"]) if "Item" in answer else None

    def put(self, user: User) -> None:
        """One UpdateItem: what an import noted in the item stays. Raises StoreUnavailable."""
        self._update(user_item(user), () if user.attributes else ("attributes",))

    def amend(self, user: User) -> User:
        """One UpdateItem, too. Raises StoreUnavailable."""
        return _user(self._update(user_item(replace(user, attributes={})), ()))

    def _update(self, item: dict[str, Any], removed: Sequence[str]) -> Any:
        """Set what is in the item, and remove something; the whole item as it is then."""
        # An import that comes later leaves a profile alone that was edited.
        item |= {"edited": {"BOOL": True}}
        key = {"user_id": item.pop("user_id")}
        # "attributes" is a word that DynamoDB keeps for itself: hence the number signs.
        change = "SET " + ", ".join(f"#{name} = :{name}" for name in item)
        change += "".join(f" REMOVE #{name}" for name in removed)
        with translated("Users"):
            answer = self._client.update_item(
                TableName=self._table,
                Key=key,
                UpdateExpression=change,
                ExpressionAttributeNames={f"#{name}": name for name in (*removed, *item)},
                ExpressionAttributeValues={f":{name}": value for name, value in item.items()},
                ReturnValues="ALL_NEW",
            )
        return answer["Attributes"]

    def delete(self, user_id: str) -> None:
        """One DeleteItem. Raises StoreUnavailable."""
        with translated("Users"):
            self._client.delete_item(TableName=self._table, Key={"user_id": {"S": user_id}})

    def search(self, prefix: str, limit: int) -> list[User]:
        """One Query of the index; one Scan without a prefix. Raises StoreUnavailable."""
        with translated("Users"):
            if not prefix:
                items = self._client.scan(TableName=self._table, Limit=limit)["Items"]
                return sorted(map(_user, items), key=lambda user: user.user_id)
            answer = self._client.query(
                TableName=self._table,
                IndexName=IDS,
                KeyConditionExpression="initial = :initial AND begins_with(user_id, :prefix)",
                ExpressionAttributeValues={
                    ":initial": {"S": prefix[0]},
                    ":prefix": {"S": prefix},
                },
                Limit=limit,
            )
        return [_user(item) for item in answer["Items"]]

    def part(self, number: int, of: int) -> Iterator[User]:
        """One Scan a megabyte of a segment of the table. Raises StoreUnavailable."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table, Segment=number, TotalSegments=of
        )
        with translated("Users"):
            for page in pages:
                yield from map(_user, page["Items"])


class DynamoAvailability:
    """One item for each track that must not be recommended, and one that counts the changes.

    The tracks are read anew only where the count is another than before, so that a request costs
    one small GetItem.
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table
        self._read: tuple[str | None, frozenset[str]] = (None, frozenset())

    def unavailable(self) -> frozenset[str]:
        """One GetItem; one Scan after a change. Raises StoreUnavailable."""
        with translated("Tracks"):
            answer = self._client.get_item(TableName=self._table, Key=_CHANGES, ConsistentRead=True)
            changes = answer["Item"]["changes"]["N"] if "Item" in answer else None
            if changes != self._read[0]:
                # The count was read before the tracks: what changes meanwhile is read once more.
                self._read = changes, self._tracks()
        return self._read[1]

    def save(self, track_id: str, *, available: bool) -> None:
        """The track's item, then the count, by which others notice. Raises StoreUnavailable."""
        key = {"key": {"S": f"{_TRACK}{track_id}"}}
        with translated("Tracks"):
            if available:
                self._client.delete_item(TableName=self._table, Key=key)
            else:
                self._client.put_item(TableName=self._table, Item=key)
            self._client.update_item(
                TableName=self._table,
                Key=_CHANGES,
                UpdateExpression="ADD changes :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
            )

    def _tracks(self) -> frozenset[str]:
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table, ConsistentRead=True
        )
        keys = (item["key"]["S"] for page in pages for item in page["Items"])
        return frozenset(key.removeprefix(_TRACK) for key in keys if key.startswith(_TRACK))


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
    item: dict[str, Any] = {
        "user_id": {"S": user.user_id},
        "initial": {"S": user.user_id[0]},
        "favourite_genres": {"L": [{"S": genre} for genre in user.favourite_genres]},
        "premium": {"BOOL": user.premium},
    }
    # As JSON: DynamoDB's own numbers are decimals, and would not come back as they went.
    attributes = attributes_to_json(user.attributes)
    return item | ({"attributes": {"S": attributes}} if attributes else {})


def _user(item: Any) -> User:
    """The profile in a DynamoDB item."""
    genres = tuple(genre["S"] for genre in item["favourite_genres"]["L"])
    attributes = attributes_from_json(item.get("attributes", {}).get("S"))
    return User(item["user_id"]["S"], genres, item["premium"]["BOOL"], attributes)


def _put_request(session: list[Event]) -> Any:
    first = session[0]
    key = packing.sort_key(first.time, first.session_id)
    return {"PutRequest": {"Item": _item(first.user_id, key, session)}}


def _item(user_id: str, key: str, events: list[Event]) -> dict[str, Any]:
    return {
        "user_id": {"S": user_id},
        "start": {"S": key},
        "events": {"B": packing.pack(events)},
    }


def _unpack(user_id: str, item: Any) -> list[Event]:
    session_id = packing.session_id_of(item["start"]["S"])
    return packing.unpack(user_id, session_id, item["events"]["B"])
