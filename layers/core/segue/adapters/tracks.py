"""What is said of tracks beside the models, in DynamoDB."""

import json
import random
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from segue.adapters.aws import items_of, translated, tried
from segue.domain.added import AddedTrack, TrackChanges, ordered
from segue.domain.errors import LaterFormat

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Keys of the items: a track that was taken out, one that was added, and a change.
_TAKEN_OUT = "track/"
_ADDED = "added/"
_CHANGES = "changes/"
# One item gives no more than 3,000 consistent reads a second, and every request reads one of these.
_COPIES = 16


class DynamoTrackStore:
    """Each track that must not be recommended has an item, and so has each that was added.

    Further items name the latest change: copies, of which a request reads one. The tracks are read
    anew only after a change that was not known yet, so that a request costs one small GetItem.
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table
        self._known: set[str] = set()
        self._changes = TrackChanges()
        # Of two that read the tracks, the later one must have the last word.
        self._reading = Lock()

    def changes(self) -> TrackChanges:
        """One GetItem; one Scan after a change. Raises StoreUnavailable."""
        key = {"key": {"S": f"{_CHANGES}{random.randrange(_COPIES)}"}}
        with translated("Tracks"):
            answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
            change = answer["Item"]["change"]["S"] if "Item" in answer else ""
            with self._reading:
                if change not in self._known:
                    # The change was read before the tracks: what comes meanwhile is read once more.
                    self._changes = self._read()
                    self._known.add(change)
                return self._changes

    def set_available(self, track_id: str, *, available: bool) -> None:
        """The track's item, then a new change, by which others notice. Raises StoreUnavailable."""
        self._write_available(track_id, available)
        self._note_change()

    def add(self, track: AddedTrack, *, available: bool | None = None) -> None:
        """At most two items, then one change. Raises StoreUnavailable."""
        # First, so that what must not be recommended is not for a moment.
        if available is not None:
            self._write_available(track.track_id, available)
        # As JSON: DynamoDB's own numbers are decimals, and would not come back as they went.
        columns = json.dumps(dict(track.columns), sort_keys=True)
        item = {"key": {"S": f"{_ADDED}{track.track_id}"}, "columns": {"S": columns}}
        with translated("Tracks"):
            self._client.put_item(TableName=self._table, Item=item)
        self._note_change()

    def _write_available(self, track_id: str, available: bool) -> None:
        key = {"key": {"S": f"{_TAKEN_OUT}{track_id}"}}
        with translated("Tracks"):
            if available:
                self._client.delete_item(TableName=self._table, Key=key)
            else:
                self._client.put_item(TableName=self._table, Item=key)

    def _note_change(self) -> None:
        """Name it in all copies at once: else two changes might each hide the other in some."""
        change = {"S": uuid4().hex}
        items = [{"key": {"S": f"{_CHANGES}{copy}"}, "change": change} for copy in range(_COPIES)]
        puts: Any = [{"Put": {"TableName": self._table, "Item": item}} for item in items]
        tried("Tracks", lambda: self._client.transact_write_items(TransactItems=puts))

    def _read(self) -> TrackChanges:
        scan = {"TableName": self._table, "ConsistentRead": True}
        items = list(items_of("Tracks", self._client.scan, **scan))
        unavailable = frozenset(filter(None, map(taken_out, items)))
        return TrackChanges(unavailable, ordered(filter(None, map(added_track, items))))


def taken_out(item: Any) -> str | None:
    """The track that an item takes out; None for any other item."""
    key: str = item["key"]["S"]
    return key.removeprefix(_TAKEN_OUT) if key.startswith(_TAKEN_OUT) else None


def added_track(item: Any) -> AddedTrack | None:
    """The track that an item adds; None for any other item. Raises LaterFormat."""
    key: str = item["key"]["S"]
    if not key.startswith(_ADDED):
        return None
    if "format" in item:
        raise LaterFormat.of("Tracks: an item", item["format"]["N"])
    return AddedTrack(key.removeprefix(_ADDED), json.loads(item["columns"]["S"]))
