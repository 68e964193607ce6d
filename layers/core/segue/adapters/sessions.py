"""Listening events in DynamoDB, one item a session; see ``packing`` and ``digests``."""

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from zlib import crc32

from botocore.exceptions import ClientError

from segue.adapters import packing
from segue.adapters.aws import items_of, lost_to_another, translated
from segue.adapters.digests import (
    KEY,
    RECENT,
    Digest,
    Digests,
    empty_item,
    foldable,
    may_hold,
)
from segue.adapters.dynamodb import MAX_BATCH, write_batch
from segue.domain.errors import StoreUnavailable
from segue.domain.events import Event, distinct
from segue.domain.times import DAY, LATEST, Window, format_time
from segue.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# With every round of tries at least one writer of an item succeeds.
_APPEND_TRIES = 20
# Of so many sessions that begin, one brings the digest up to date. To write it takes as much as
# some 10 predictions save; a listener of 20 sessions a month has it written every 48 days.
_FOLD_EVERY = 32
# For a window no longer than this a digest is more to read than the sessions.
_SHORT = 60 * DAY


class DynamoSessionStore:
    """Listening events, one item a session; see ``packing``."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._digests = Digests(client, table)

    def events(self, user_id: str, window: Window, *, fresh: bool = True) -> list[Event]:
        """One Query with BETWEEN; further pages only beyond a megabyte. Raises StoreUnavailable."""
        # A session may stand in several items, and an event of it in more than one.
        stored = (
            event
            for item in self._items(user_id, window, fresh)
            for event in _unpack(user_id, item)
        )
        return distinct(event for event in stored if event.time in window)

    def history(self, user_id: str, window: Window, *, fresh: bool = True) -> list[Event]:
        """One Query as ``events``; where the window is long, the digest by one GetItem, and
        Queries of what is before and after that alone. Raises StoreUnavailable."""
        if window.end - window.start <= _SHORT:
            return self.events(user_id, window, fresh=fresh)
        digest = self._digests.read(user_id)
        held = digest.window
        found = [event for event in digest.events if event.time in window]
        before = Window(window.start, min(held.start, window.end))
        after = Window(max(held.end, window.start), window.end)
        for rest in (before, after):
            if rest.start < rest.end:
                found += self.events(user_id, rest, fresh=fresh)
        return found

    def has_events(self, user_id: str) -> bool:
        """Whether there is any item of the user. Raises StoreUnavailable."""
        with translated("Sessions"):
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression="user_id = :user AND #start < :digest",
                ExpressionAttributeNames={"#start": "start"},
                ExpressionAttributeValues={":user": {"S": user_id}, ":digest": {"S": KEY}},
                ProjectionExpression="user_id",
                Limit=1,
            )
        return bool(answer["Items"])

    def put(self, events: Iterable[Event]) -> None:
        """Write whole sessions, then empty their users' digests. Raises StoreUnavailable; what was
        written then stays written, and has to be put again."""
        sessions = list(packing.items(events))
        self._write(map(_put_request, sessions))
        users = dict.fromkeys(session[0].user_id for session in sessions)
        self._write({"PutRequest": {"Item": empty_item(user_id)}} for user_id in users)

    def append(self, events: Iterable[Event]) -> int:
        """One Query a user, one conditional write an item that grows. Raises StoreUnavailable.

        What was written then stays written, and is no obstacle to a second try. With the first
        events of some sessions the user's digest is brought up to date: one Query more, one
        GetItem, one PutItem.
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
        self._write({"DeleteRequest": {"Key": key}} for key in keys)

    def _write(self, requests: Iterable[Any]) -> None:
        left = iter(requests)
        while batch := list(islice(left, MAX_BATCH)):
            write_batch(self._client, self._table, batch)

    def _append(self, user_id: str, events: Sequence[Event]) -> int:
        added = 0
        fold = False
        for attempt in range(_APPEND_TRIES):
            growing, known = self._stored(user_id, events)
            missing = {it.identity: it for it in events if it.identity not in known}
            for item in packing.grow(missing.values(), growing):
                if self._replace(user_id, item):
                    written = [missing.pop(it.identity, None) for it in item.events]
                    added += len(written) - written.count(None)
                    fold |= item.version is None and crc32(item.key.encode()) % _FOLD_EVERY == 0
            if not missing:
                if fold:
                    # The events are stored; a digest that could not be is written another time.
                    with suppress(StoreUnavailable):
                        self._fold(user_id)
                return added
            time.sleep(random.uniform(0, 0.02 * 2 ** min(attempt, 4)))
        raise StoreUnavailable("Sessions: too many writers at once")

    def _fold(self, user_id: str) -> None:
        """Bring the user's digest up to date."""
        digest = self._digests.open(user_id)
        window = foldable(self._clock.now())
        known = digest.window.start <= window.start <= digest.window.end
        start = digest.window.end if known else window.start
        if window.end - start < RECENT:
            return
        kept = Window(window.start, start)
        events = [event for event in digest.events if event.time in kept]
        events += self.events(user_id, Window(start, window.end))
        self._digests.replace(user_id, Digest(digest.version, window, events))

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
        content = _item(user_id, item.key, packing.ordered(item.events))
        # Not a number: an item that was erased and made anew must not have an old one's version.
        content["version"] = {"S": uuid4().hex}
        put: Any = {
            "TableName": self._table,
            "Item": content,
            "ConditionExpression": unchanged,
            "ExpressionAttributeNames": {"#version": "version"},
        }
        if item.version:
            put["ExpressionAttributeValues"] = {":version": {"S": item.version}}
        with translated("Sessions"):
            try:
                self._put(user_id, item, put)
            except ClientError as error:
                if lost_to_another(error):
                    return False
                raise
        return True

    def _put(self, user_id: str, item: packing.Growing, put: Any) -> None:
        if not may_hold(item.events, self._clock.now()):
            self._client.put_item(**put)
            return
        emptying: Any = {"TableName": self._table, "Item": empty_item(user_id)}
        self._client.transact_write_items(TransactItems=[{"Put": put}, {"Put": emptying}])

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
        return items_of("Sessions", self._client.query, TableName=self._table, **query)


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
