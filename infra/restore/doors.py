"""How items of each table come back into it, so that what is there stays right.

What a table holds is not only what its items say. A digest of events must not outlive what it is a
digest of; a record that the archive holds must not be archived again; whoever watches which tracks
were taken out has to notice.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from infra.exports import Item
from infra.restore.names import TableName
from infra.restore.stack import Stack
from segue.adapters.aws import PASSING, cancellation_reasons, translated
from segue.adapters.digests import KEY, empty_item
from segue.adapters.dynamodb import MAX_BATCH
from segue.adapters.exposures import (
    as_archived,
    as_unarchived,
    epoch_of,
    is_result,
    with_outcome,
)
from segue.adapters.packing import session_id_of, unpack
from segue.adapters.tracks import added_track, taken_out
from segue.domain.events import Event
from segue.experiments.epoch import EpochId
from segue.experiments.records import Record

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Why a transaction was given up: another writer, or as much of that as the table takes.
_PASSING = PASSING | {"ConditionalCheckFailed"}


class Door(ABC):
    """Into one table. ``key``: the attributes that tell its items apart."""

    key: tuple[str, ...]

    def __init__(self, stack: Stack, table: TableName) -> None:
        self.client = stack.dynamodb
        self.table = stack.table(table)

    @abstractmethod
    def prepared(self, item: Item) -> Item | None:
        """The item of an earlier moment as it would be now; None where it has no place now."""

    def lacks(self, item: Item, live: Item | None) -> bool:  # noqa: ARG002
        """Whether anything of the item is missing in the one that there is."""
        return live is None

    @abstractmethod
    def put(self, items: Sequence[Item], live: Mapping[tuple[str, ...], Item]) -> bool:
        """Write what is lacking; false where that, or a part of it, has to be tried again."""

    def key_of(self, item: Item) -> tuple[str, ...]:
        """The texts that tell it apart."""
        return tuple(item[name]["S"] for name in self.key)


class UsersDoor(Door):
    """Profiles: one that is there stays."""

    key = ("user_id",)

    def prepared(self, item: Item) -> Item | None:
        return item

    def put(self, items: Sequence[Item], live: Mapping[tuple[str, ...], Item]) -> bool:  # noqa: ARG002
        return _put_absent(self.client, self.table, items)


class TracksDoor(Door):
    """Tracks that were taken out or added: through the store, whose readers look for changes."""

    key = ("key",)

    def __init__(self, stack: Stack, table: TableName) -> None:
        super().__init__(stack, table)
        self._track_store = stack.track_store

    def prepared(self, item: Item) -> Item | None:
        return item if taken_out(item) or added_track(item) else None

    def put(self, items: Sequence[Item], live: Mapping[tuple[str, ...], Item]) -> bool:  # noqa: ARG002
        for item in items:
            if track := added_track(item):
                self._track_store.add(track)
            elif track_id := taken_out(item):
                self._track_store.set_available(track_id, available=False)
        return True


class SessionsDoor(Door):
    """Sessions. A user's digest is emptied in the transaction that brings something back; events
    are added to a session that has gone on since."""

    key = ("user_id", "start")

    def __init__(self, stack: Stack, table: TableName) -> None:
        super().__init__(stack, table)
        self._sessions = stack.sessions

    def prepared(self, item: Item) -> Item | None:
        return None if item["start"]["S"] == KEY else item

    def lacks(self, item: Item, live: Item | None) -> bool:
        if live is None:
            return True
        if live["events"] == item["events"]:
            return False
        there = {event.identity for event in _events(live)}
        return any(event.identity not in there for event in _events(item))

    def put(self, items: Sequence[Item], live: Mapping[tuple[str, ...], Item]) -> bool:
        self._sessions.append(
            event for it in items if self.key_of(it) in live for event in _events(it)
        )
        absent = (it for it in items if self.key_of(it) not in live)
        done = True
        for user_id, theirs in groupby(absent, key=lambda it: str(it["user_id"]["S"])):
            emptying = {"Put": {"TableName": self.table, "Item": empty_item(user_id)}}
            done &= _put_absent(self.client, self.table, [*theirs], [emptying])
        return done


class ExposuresDoor(Door):
    """Results of experiments. What the archive holds is noted as archived; what it held, and holds
    no more, is of a user who was erased. Where an epoch has no archive at all, that was lost."""

    key = ("user_id", "epoch")

    def __init__(self, stack: Stack, table: TableName) -> None:
        super().__init__(stack, table)
        self._archive = stack.archive
        self._archived: dict[EpochId, Mapping[str, int] | None] = {}
        self._records: dict[tuple[EpochId, int], Mapping[str, Record]] = {}

    def prepared(self, item: Item) -> Item | None:
        if not is_result(item):
            return None
        epoch, user_id = epoch_of(item), item["user_id"]["S"]
        archived = self._users(epoch)
        if archived and user_id in archived:
            return as_archived(item, archived[user_id])
        if "archived_in" not in item:
            return item
        return as_unarchived(item) if archived is None else None

    def put(self, items: Sequence[Item], live: Mapping[tuple[str, ...], Item]) -> bool:  # noqa: ARG002
        completed = filter(None, map(self._completed, items))
        return _put_absent(self.client, self.table, completed)

    def _completed(self, item: Item) -> Item | None:
        """With the archive's outcome, where it was settled and archived since; None where it was
        erased meanwhile."""
        if "outcome" in item or "archived_in" not in item:
            return item
        key = epoch_of(item), int(item["archived_in"]["N"])
        records = self._records.get(key)
        if records is None:
            records = {it.exposure.user_id: it for it in self._archive.records(*key)}
            # One file's at a time: they are large.
            self._records = {key: records}
        record = records.get(item["user_id"]["S"])
        return with_outcome(item, record) if record else None

    def _users(self, epoch: EpochId) -> Mapping[str, int] | None:
        """Whom the archive holds, as of when it is asked first: what is lacking in the table
        cannot be archived meanwhile."""
        if epoch not in self._archived:
            self._archived[epoch] = self._archive.users(epoch)
        return self._archived[epoch]


DOORS: Mapping[TableName, type[Door]] = {
    TableName.SESSIONS: SessionsDoor,
    TableName.USERS: UsersDoor,
    TableName.TRACKS: TracksDoor,
    TableName.EXPOSURES: ExposuresDoor,
}


def _events(item: Item) -> list[Event]:
    session_id = session_id_of(item["start"]["S"])
    return unpack(item["user_id"]["S"], session_id, item["events"]["B"])


def _put_absent(
    client: "DynamoDBClient", table: str, items: Iterable[Item], also: Sequence[Any] = ()
) -> bool:
    """Write items where there are none, MAX_BATCH a transaction; false where one was given up."""
    rest, done = [*items], True
    while rest:
        some, rest = rest[:MAX_BATCH], rest[MAX_BATCH:]
        done &= _transact(client, table, [*(_put(table, it) for it in some), *also])
    return done


def _put(table: str, item: Item) -> Any:
    absent = "attribute_not_exists(user_id)"
    return {"Put": {"TableName": table, "Item": item, "ConditionExpression": absent}}


def _transact(client: "DynamoDBClient", table: str, puts: Sequence[Any]) -> bool:
    with translated(table):
        try:
            client.transact_write_items(TransactItems=puts)
        except client.exceptions.TransactionCanceledException as error:
            if not {it["Code"] for it in cancellation_reasons(error)} <= _PASSING:
                raise
            return False
    return True
