"""What was lost comes back: each item once, nobody who was erased, wherever it was stopped.

Rehearsed on two stand-ins for DynamoDB. Neither goes back in time, nor backs up what is deleted:
so the table beside, or the backup, is made before the loss.
"""

import gzip
import itertools
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep, time
from typing import Any

import msgspec
import pytest
from botocore.client import BaseClient
from typer.testing import CliRunner

from infra.cli import app
from infra.local.environment import local_settings
from infra.restore import items as copying
from infra.restore.archive import restore_archive
from infra.restore.erasures import Erasures
from infra.restore.items import ItemsRestored, restore_items
from infra.restore.names import TableName
from infra.restore.sources import open_source
from infra.restore.stack import Stack, deployed_stack, local_stack
from infra.restore.tables import restore_table
from infra.service import ServiceError
from segue.adapters.digests import Digests
from segue.domain.added import AddedTrack
from segue.domain.errors import InvalidData, StoreUnavailable
from segue.domain.events import Event, EventType
from segue.domain.times import DAY, LATEST, Window, format_time
from segue.domain.users import User
from segue.experiments.epoch import EpochId, Side
from segue.experiments.records import Exposure, Pending, Record, Result
from segue.services.compaction import Compactor
from tests.integration.conftest import Aws, Stores, stores_on

on_moto = pytest.mark.parametrize("aws", ["moto"], indirect=True)

EVER = Window(0, LATEST)
NOW = int(time() * 1_000)
REPLAY, LIVE = EpochId("default", 1, Side.REPLAY), EpochId("radio", 2, Side.LIVE)
USERS = tuple(f"user {number}" for number in range(1, 9))
# Of these users, what was recommended is still open, is settled, and is archived.
OPEN, SETTLED, ARCHIVED = USERS[:2], USERS[2:4], USERS[4:]


def play(user: str, days: float, session: str = "s", track: str = "t") -> Event:
    """So many days before now."""
    return Event(user, session, NOW - int(days * DAY), EventType.PLAY, track)


def exposure(user: str) -> Exposure:
    return Exposure(user, "A", "hybrid", "bundle", ("t1", "t2"), NOW - 40 * DAY, NOW - 40 * DAY)


def pending(user: str) -> Pending:
    return Pending(exposure(user), NOW - 10 * DAY)


def record(user: str) -> Record:
    return Record(exposure(user), True, NOW - 9 * DAY)


@dataclass
class World:
    """A stack in use: histories with digests, profiles, tracks, experiments at every stage."""

    stack: Stack
    stores: Stores

    def fill(self) -> None:
        self.stores.sessions.put(
            play(user, 300 - day, f"old {day}") for user in USERS for day in range(0, 290, 40)
        )
        for user in USERS:
            self.stores.users.put(User(user, ("rock",), True, {"city": "Gdańsk"}))
            self.stores.sessions.append([play(user, 2), play(user, 1.9, track="u")])
            self.fold(user)
            self.stores.results.add(LIVE, pending(user))
        for user in ARCHIVED:
            self.stores.results.add(REPLAY, record(user))
        self.archive()
        for user in OPEN:
            self.stores.results.add(REPLAY, pending(user))
        for user in SETTLED:
            self.stores.results.add(REPLAY, record(user))
        for track in ("t7", "t8", "t9"):
            self.stores.track_store.set_available(track, available=False)
            self.stores.track_store.add(AddedTrack(f"new {track}", {"name": track, "energy": 0.1}))

    def fold(self, user: str) -> None:
        """Bring the user's digest up to date."""
        digests = Digests(self.stack.dynamodb, self.stack.table(TableName.SESSIONS))
        digest, window = digests.open(user), Window(NOW - 400 * DAY, NOW - 8 * DAY)
        events = self.stores.sessions.events(user, window)
        digests.replace(user, type(digest)(digest.version, window, events))

    def archive(self) -> int:
        """Archive what is settled."""
        compactor = Compactor(self.stores.results, self.stores.archive)
        epochs = self.stores.results.epochs_to_archive()
        return sum(compactor.compact(epoch) for epoch in epochs)

    def raw(self, table: TableName) -> dict[tuple[str, ...], dict[str, Any]]:
        """The table's items by key."""
        keys = self.stack.dynamodb.describe_table(TableName=self.stack.table(table))
        names = [it["AttributeName"] for it in keys["Table"]["KeySchema"]]
        items = self.stack.dynamodb.scan(TableName=self.stack.table(table))["Items"]
        return {tuple(item[name]["S"] for name in names): dict(item) for item in items}

    def lose(self, table: TableName, *, every: int = 1) -> int:
        """Delete every so manieth item; how many."""
        lost = sorted(self.raw(table).items())[::every]
        for _, item in lost:
            key = {name: item[name] for name in KEYS[table]}
            self.stack.dynamodb.delete_item(TableName=self.stack.table(table), Key=key)
        return len(lost)

    def state(self) -> dict[str, Any]:
        """All that anybody can ask for."""
        users = {user: self.user(user) for user in USERS}
        tallies = {
            str(epoch): (
                self.stores.archive.read(epoch).tally,
                sorted(it.exposure.user_id for it in self.stores.results.unarchived(epoch)),
            )
            for epoch in (REPLAY, LIVE)
        }
        return users | tallies | {"tracks": self.stack.track_store.changes()}

    def user(self, user: str) -> Any:
        history = self.stores.sessions.history(user, EVER)
        assert len(history) == len(set(history)), "an event is counted twice"
        assert set(history) == set(self.stores.sessions.events(user, EVER)), "a digest is stale"
        return set(history), self.stores.users.get(user), self.results(user)

    def results(self, user: str) -> dict[EpochId, Result]:
        return dict(self.stores.results.of_user(user))

    def is_erased(self, user: str) -> bool:
        archived = self.stack.archive.users(REPLAY) or {}
        return self.user(user) == (set(), None, {}) and user not in archived

    def restore(self, table: TableName, source: str, *erased: str) -> ItemsRestored:
        return restore_items(self.stack, table, source, Erasures(self.stack, erased))

    def backup(self, table: TableName) -> str:
        answer = self.stack.dynamodb.create_backup(
            TableName=self.stack.table(table), BackupName="before"
        )
        return answer["BackupDetails"]["BackupArn"]

    def tables(self) -> set[str]:
        pages = self.stack.dynamodb.get_paginator("list_tables").paginate()
        return {name for page in pages for name in page["TableNames"]}


KEYS: dict[TableName, tuple[str, ...]] = {
    TableName.SESSIONS: ("user_id", "start"),
    TableName.USERS: ("user_id",),
    TableName.TRACKS: ("key",),
    TableName.EXPOSURES: ("user_id", "epoch"),
}


@pytest.fixture
def world(aws: Aws) -> World:
    world = World(Stack(aws.dynamodb, aws.s3, aws.names), stores_on(aws))
    world.fill()
    return world


def export(world: World, table: TableName) -> str:
    """The table as DynamoDB exports it."""
    root = f"exports/AWSDynamoDB/{table}"
    files = []
    items = list(world.raw(table).values())
    for number, part in enumerate((items[:3], items[3:])):
        lines = b"\n".join(msgspec.json.encode({"Item": _exported(item)}) for item in part)
        files.append({"itemCount": len(part), "dataFileS3Key": f"{root}/data/{number}.json.gz"})
        put(world, f"{root}/data/{number}.json.gz", gzip.compress(lines))
    put(world, f"{root}/manifest-files.json", b"\n".join(map(msgspec.json.encode, files)))
    summary = {
        "s3Bucket": world.stack.bucket,
        "manifestFilesS3Key": f"{root}/manifest-files.json",
        "outputFormat": "DYNAMODB_JSON",
        "exportType": "FULL_EXPORT",
        "exportTime": format_time(NOW),
    }
    put(world, f"{root}/manifest-summary.json", msgspec.json.encode(summary))
    return f"s3://{world.stack.bucket}/{root}"


def put(world: World, key: str, body: bytes) -> None:
    world.stack.s3.put_object(Bucket=world.stack.bucket, Key=key, Body=body)


def _exported(value: Any) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, list):
        return [_exported(it) for it in value]
    return {name: _exported(it) for name, it in value.items()} if isinstance(value, dict) else value


class TestItems:
    @pytest.mark.parametrize("table", TableName)
    @pytest.mark.parametrize("every", [1, 3])
    def test_that_are_missing_come_back_from_a_backup(
        self, world: World, table: TableName, every: int
    ) -> None:
        before, backup = world.state(), world.backup(table)
        there = world.tables()
        lost = world.lose(table, every=every)
        restored = world.restore(table, backup)
        assert world.state() == before
        assert 0 < restored.written <= lost
        assert restored.items == restored.there + restored.written + restored.left_out
        again = world.restore(table, backup)
        assert (again.there, again.written) == (restored.there + restored.written, 0)
        assert world.tables() == there

    @pytest.mark.parametrize("table", TableName)
    def test_come_back_from_an_export(self, world: World, table: TableName) -> None:
        before, source = world.state(), export(world, table)
        world.lose(table)
        world.restore(table, source)
        assert world.state() == before

    def test_come_back_as_of_a_time(self, world: World) -> None:
        before, moment = world.state(), format_time(NOW - DAY)
        live = world.stack.table(TableName.SESSIONS)
        beside = open_source(world.stack.dynamodb, live, moment)
        world.lose(TableName.SESSIONS, every=2)
        world.restore(TableName.SESSIONS, moment)
        assert world.state() == before
        assert beside.as_of == NOW // 1_000 * 1_000 - DAY or beside.as_of == NOW - DAY
        assert not [it for it in world.tables() if "as-of" in it]

    def test_come_back_from_another_table_which_stays(self, world: World) -> None:
        before, live = world.state(), world.stack.table(TableName.USERS)
        world.stack.dynamodb.restore_table_from_backup(
            BackupArn=world.backup(TableName.USERS), TargetTableName=f"{live}-kept"
        )
        world.lose(TableName.USERS)
        world.restore(TableName.USERS, f"{live}-kept")
        assert world.state() == before
        assert f"{live}-kept" in world.tables()

    def test_that_went_on_since_keep_what_is_newer(self, world: World) -> None:
        backup, users = world.backup(TableName.SESSIONS), world.backup(TableName.USERS)
        before = world.user(USERS[0])[0]
        world.lose(TableName.SESSIONS)
        later = play(USERS[0], 1.8, track="later")
        world.stores.sessions.append([later])
        world.stores.users.put(User(USERS[0], ("jazz",), False))
        world.restore(TableName.SESSIONS, backup)
        world.restore(TableName.USERS, users)
        assert world.user(USERS[0])[0] == before | {later}
        assert world.stores.users.get(USERS[0]) == User(USERS[0], ("jazz",), False)

    def test_come_back_into_digests_that_were_made_without_them(self, world: World) -> None:
        before, backup = world.state(), world.backup(TableName.SESSIONS)
        world.lose(TableName.SESSIONS, every=2)
        for user in USERS:
            world.fold(user)
        world.restore(TableName.SESSIONS, backup)
        assert world.state() == before

    def test_that_are_lost_again_and_again_end_it_with_a_line(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backup = world.backup(TableName.USERS)
        world.lose(TableName.USERS)
        monkeypatch.setattr("infra.restore.doors._transact", lambda *_: True)
        with pytest.raises(StoreUnavailable, match="loses items while they come back"):
            world.restore(TableName.USERS, backup)

    def test_that_were_archived_since_are_not_archived_again(self, world: World) -> None:
        backup = world.backup(TableName.EXPOSURES)
        for user in OPEN:
            world.stores.results.settle(REPLAY, record(user))
        while world.archive():
            pass
        before = world.state()
        world.lose(TableName.EXPOSURES)
        world.restore(TableName.EXPOSURES, backup)
        assert world.archive() == 0
        assert world.state() == before

    def test_whose_archive_is_gone_are_archived_anew(self, world: World) -> None:
        while world.archive():
            pass
        before, backup = world.state(), world.backup(TableName.EXPOSURES)
        world.lose(TableName.EXPOSURES)
        world.stack.objects.delete([it.key for it in world.stack.objects.all_listed("ab/")])
        world.restore(TableName.EXPOSURES, backup)
        while world.archive():
            pass
        assert world.state() == before

    @on_moto
    def test_are_copied_whatever_is_throttled_or_lost_to_another(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, backup = world.state(), world.backup(TableName.SESSIONS)
        world.lose(TableName.SESSIONS)
        monkeypatch.setattr(copying, "_pause", lambda _: None)
        reasons = itertools.cycle(["ThrottlingError", "TransactionConflict", None])

        def refuse(name: str, arguments: Any, proceed: Callable[[], Any]) -> Any:
            if name == "TransactWriteItems" and (reason := next(reasons)):
                error = {"Error": {"Code": "TransactionCanceledException", "Message": ""}}
                raise world.stack.dynamodb.exceptions.TransactionCanceledException(
                    error | {"CancellationReasons": [{"Code": reason}]},  # type: ignore[arg-type]
                    name,
                )
            if name != "BatchGetItem" or len((keys := _keys(arguments))["Keys"]) == 1:
                return proceed()
            half = len(keys["Keys"]) // 2
            left, keys["Keys"] = keys["Keys"][half:], keys["Keys"][:half]
            (table,) = arguments["RequestItems"]
            return proceed() | {"UnprocessedKeys": {table: {"Keys": left}}}

        with calls(monkeypatch, refuse):
            world.restore(TableName.SESSIONS, backup)
        assert world.state() == before

    @on_moto
    def test_that_a_table_never_takes_end_it_with_a_line(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backup = world.backup(TableName.USERS)
        world.lose(TableName.USERS)
        monkeypatch.setattr(copying, "_pause", lambda _: None)
        monkeypatch.setattr("infra.restore.doors._transact", lambda *_: False)
        with pytest.raises(StoreUnavailable, match="throttled: repeat it"):
            world.restore(TableName.USERS, backup)

    def test_of_changes_alone_are_refused(self, world: World) -> None:
        source = export(world, TableName.USERS)
        key = f"exports/AWSDynamoDB/{TableName.USERS}/manifest-summary.json"
        body = world.stack.s3.get_object(Bucket=world.stack.bucket, Key=key)["Body"].read()
        changes = {"exportType": "INCREMENTAL_EXPORT", "outputView": "NEW_AND_OLD_IMAGES"}
        put(world, key, msgspec.json.encode(msgspec.json.decode(body) | changes))
        with pytest.raises(InvalidData, match="changes alone"):
            world.restore(TableName.USERS, source)


def _keys(arguments: Any) -> Any:
    (request,) = arguments["RequestItems"].values()
    return request


@contextmanager
def calls(
    monkeypatch: pytest.MonkeyPatch, interrupt: Callable[[str, Any, Callable[[], Any]], Any]
) -> Iterator[None]:
    """Every call to AWS goes through ``interrupt``."""
    client_class: Any = BaseClient
    original = client_class._make_api_call

    def call(client: BaseClient, name: str, arguments: Any) -> Any:
        return interrupt(name, arguments, lambda: original(client, name, arguments))

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", call)
        yield


class Killed(BaseException):
    """The process ends here; nothing catches it."""


def killing_after(calls: int) -> Callable[[str, Any, Callable[[], Any]], Any]:
    """So many calls, from whatever thread, still get through."""
    numbers, lock = itertools.count(), threading.Lock()

    def interrupt(_name: str, _arguments: Any, proceed: Callable[[], Any]) -> Any:
        with lock:
            if next(numbers) >= calls:
                raise Killed
        return proceed()

    return interrupt


@on_moto
class TestKilled:
    """At every call to AWS in turn, and repeated."""

    def run(
        self,
        monkeypatch: pytest.MonkeyPatch,
        restore: Callable[[], object],
        check: Callable[[], bool] = lambda: True,
    ) -> int:
        """Repeat it, killed at one call later each time, until it ends; how many were killed."""
        for allowed in itertools.count():
            with calls(monkeypatch, killing_after(allowed)):
                try:
                    restore()
                except Killed:
                    pass
                else:
                    return allowed
            assert check()
        raise AssertionError

    @pytest.mark.parametrize("table", TableName)
    def test_a_copy_goes_on_when_repeated(
        self, world: World, monkeypatch: pytest.MonkeyPatch, table: TableName
    ) -> None:
        world.stack.privacy.erase(USERS[0])
        before, backup = world.state(), world.backup(table)
        world.lose(table, every=2)

        def stays_erased() -> bool:
            return world.is_erased(USERS[0])

        killed = self.run(monkeypatch, lambda: world.restore(table, backup), stays_erased)
        assert killed > 4
        assert world.state() == before

    def test_a_table_comes_back_when_repeated(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.backup(TableName.SESSIONS)
        world.stack.privacy.erase(USERS[0])
        before, erasures = world.state(), Erasures(world.stack)
        world.stack.dynamodb.delete_table(TableName=world.stack.table(TableName.SESSIONS))

        def restore() -> None:
            restore_table(world.stack, TableName.SESSIONS, None, erasures)

        assert self.run(monkeypatch, restore) > 4
        assert world.state() == before


class TestErased:
    def test_users_stay_so_that_were_erased_since(self, world: World) -> None:
        sources = {table: world.backup(table) for table in TableName}
        gone, listed = (USERS[0], ARCHIVED[0]), (USERS[2],)
        for user in (*gone, *listed):
            world.stack.privacy.erase(user)
        for table in (TableName.EXPOSURES, TableName.SESSIONS, TableName.USERS):
            kept = [it for it in world.raw(table).values() if "at" in it]
            world.lose(table)
            for mark in kept:
                if mark["user_id"]["S"] in gone:
                    world.stack.dynamodb.put_item(TableName=world.stack.table(table), Item=mark)
        for table, source in sources.items():
            world.restore(table, source, *listed)
        assert all(world.is_erased(user) for user in (*gone, *listed))
        assert len(world.user(USERS[1])[0]) == 10

    def test_users_who_came_back_have_only_what_is_new(self, world: World) -> None:
        backup = world.backup(TableName.SESSIONS)
        world.stack.privacy.erase(USERS[0])
        new = play(USERS[0], 0.1, "new")
        world.stores.sessions.append([new])
        world.lose(TableName.SESSIONS, every=2)
        world.stores.sessions.append([new])
        world.restore(TableName.SESSIONS, backup)
        assert world.user(USERS[0])[0] == {new}

    def test_users_who_were_erased_before_and_came_back_are_restored(self, world: World) -> None:
        world.stack.privacy.erase(USERS[0])
        world.stack.dynamodb.update_item(
            TableName=world.stack.table(TableName.EXPOSURES),
            Key={"user_id": {"S": USERS[0]}, "epoch": {"S": "erasure"}},
            UpdateExpression="SET #at = :at",
            ExpressionAttributeNames={"#at": "at"},
            ExpressionAttributeValues={":at": {"N": str(NOW - DAY)}},
        )
        world.stores.sessions.append([play(USERS[0], 0.1, "new")])
        before, source = world.state(), export(world, TableName.SESSIONS)
        world.lose(TableName.SESSIONS)
        world.restore(TableName.SESSIONS, source)
        assert world.state() == before

    @pytest.mark.parametrize("table", [TableName.SESSIONS, TableName.USERS, TableName.EXPOSURES])
    def test_users_stay_so_that_are_erased_meanwhile(
        self, world: World, monkeypatch: pytest.MonkeyPatch, table: TableName
    ) -> None:
        backup = world.backup(table)
        world.lose(table)
        original, erased = copying._copy_batch, list[str]()

        def erase_first(*arguments: Any) -> Any:
            """Erase before the batch is written, which then brings the user back."""
            if not erased:
                erased.append(USERS[0])
                world.stack.privacy.erase(USERS[0])
            return original(*arguments)

        monkeypatch.setattr(copying, "_copy_batch", erase_first)
        restored = world.restore(table, backup)
        assert restored.erased_again == 1
        assert world.is_erased(USERS[0])
        assert world.user(USERS[1]) != (set(), None, {})


# The local stack forgets the keys of a table that is deleted, its backups' too.
@on_moto
class TestTable:
    @pytest.mark.parametrize("table", TableName)
    def test_that_was_deleted_comes_back_under_its_name(
        self, world: World, table: TableName
    ) -> None:
        world.backup(table)
        before, items = world.state(), world.raw(table)
        world.stack.dynamodb.delete_table(TableName=world.stack.table(table))
        restored = restore_table(world.stack, table, None, Erasures(world.stack))
        assert world.raw(table) == items
        assert world.state() == before
        assert restored.items == len(items)

    def test_has_the_settings_of_the_template(self, world: World) -> None:
        prod = Stack(world.stack.dynamodb, world.stack.s3, world.stack.names, "prod", {"a": "b"})
        name = prod.table(TableName.EXPOSURES)
        world.backup(TableName.EXPOSURES)
        prod.dynamodb.delete_table(TableName=name)
        for _ in range(2):
            restore_table(prod, TableName.EXPOSURES, None, Erasures(prod))
        described = prod.dynamodb.describe_table(TableName=name)["Table"]
        expiry = prod.dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        recovery = prod.dynamodb.describe_continuous_backups(TableName=name)
        tags = prod.dynamodb.list_tags_of_resource(ResourceArn=described["TableArn"])["Tags"]
        description = recovery["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
        assert expiry["AttributeName"] == "expires_at"
        assert description["PointInTimeRecoveryStatus"] == "ENABLED"
        assert described["DeletionProtectionEnabled"]
        assert {"Key": "a", "Value": "b"} in tags
        indexes = {it["IndexName"] for it in described["GlobalSecondaryIndexes"]}
        assert indexes == {"work", "epochs"}

    def test_comes_back_without_who_was_erased_since(self, world: World) -> None:
        backup = world.backup(TableName.SESSIONS)
        world.stack.privacy.erase(USERS[0])
        world.stack.dynamodb.delete_table(TableName=world.stack.table(TableName.SESSIONS))
        erasures = Erasures(world.stack, [USERS[1]])
        restored = restore_table(world.stack, TableName.SESSIONS, backup, erasures)
        assert restored.erased_again == 2
        assert world.is_erased(USERS[0])
        assert world.is_erased(USERS[1])
        assert len(world.user(USERS[2])[0]) == 10

    def test_that_is_there_is_left_alone(self, world: World) -> None:
        backup = world.backup(TableName.USERS)
        world.stack.privacy.erase(USERS[0])
        world.stores.users.put(User(USERS[0]))
        with pytest.raises(InvalidData, match="segue restore items"):
            restore_table(world.stack, TableName.USERS, backup, Erasures(world.stack))
        assert world.stores.users.get(USERS[0]) == User(USERS[0])

    def test_without_a_backup_is_named_in_a_line(self, world: World) -> None:
        world.stack.dynamodb.delete_table(TableName=world.stack.table(TableName.USERS))
        with pytest.raises(InvalidData, match="has no backup of a table"):
            restore_table(world.stack, TableName.USERS, None, Erasures(world.stack))


def moment() -> int:
    """Now, once the bucket's clock, which counts seconds, has gone on."""
    sleep(1.1)
    now = int(time() * 1_000)
    sleep(1.1)
    return now


class TestArchive:
    def test_that_was_deleted_comes_back(self, world: World) -> None:
        before, then = world.state(), moment()
        world.stack.objects.delete([it.key for it in world.stack.objects.all_listed("ab/")])
        restored = restore_archive(world.stack, then, Erasures(world.stack))
        assert (restored.manifests, restored.files, restored.unarchived) == (1, 1, 0)
        assert world.state() == before
        again = restore_archive(world.stack, then, Erasures(world.stack))
        assert (again.manifests, again.files, again.unarchived) == (0, 0, 0)

    def test_has_what_came_since_archived_anew(self, world: World) -> None:
        then = moment()
        for user in OPEN:
            world.stores.results.settle(REPLAY, record(user))
        while world.archive():
            pass
        before = world.state()
        restored = restore_archive(world.stack, then, Erasures(world.stack))
        assert restored.unarchived == len(OPEN) + len(SETTLED)
        while world.archive():
            pass
        assert world.state() == before

    def test_whose_versions_are_gone_is_made_anew_of_the_table(self, world: World) -> None:
        while world.archive():
            pass
        before = world.state()
        world.stack.objects.delete([it.key for it in world.stack.objects.all_listed("ab/")])
        restored = restore_archive(world.stack, moment(), Erasures(world.stack))
        assert (restored.epochs, restored.unarchived) == (0, len(SETTLED) + len(ARCHIVED))
        while world.archive():
            pass
        assert world.state() == before

    def test_comes_back_without_who_was_erased_since(self, world: World) -> None:
        then = moment()
        world.stack.privacy.erase(ARCHIVED[0])
        before = world.state()
        restored = restore_archive(world.stack, then, Erasures(world.stack))
        assert restored.erased_again == 1
        assert world.is_erased(ARCHIVED[0])
        assert world.state() == before

    def test_whose_versions_are_gone_names_the_file(self, world: World) -> None:
        then = moment()
        (file,) = [
            it.key for it in world.stack.objects.all_listed("ab/") if it.key.endswith(".parquet")
        ]
        found = world.stack.s3.list_object_versions(Bucket=world.stack.bucket, Prefix=file)
        for version in found["Versions"]:
            world.stack.s3.delete_object(
                Bucket=world.stack.bucket, Key=file, VersionId=version["VersionId"]
            )
        with pytest.raises(InvalidData, match=file):
            restore_archive(world.stack, then, Erasures(world.stack))


@on_moto
class TestCommand:
    @pytest.fixture(autouse=True)
    def stack(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The world, as CloudFormation would describe it."""
        outputs = [{"OutputKey": key, "OutputValue": it} for key, it in world.stack.names.items()]
        parameters = [{"ParameterKey": "Stage", "ParameterValue": "prod"}]
        described = {"Outputs": outputs, "Parameters": parameters}
        monkeypatch.setattr("infra.restore.stack.describe_stack", lambda _: described)

    def run(self, *arguments: object) -> str:
        result = CliRunner().invoke(app, ["restore", *map(str, arguments)])
        assert result.exit_code == 0, result.stderr
        return result.stdout.splitlines()[-1]

    def test_rehearses_export_loss_and_restore_of_every_table(
        self, world: World, tmp_path: Path
    ) -> None:
        before, listed = world.state(), tmp_path / "erased.txt"
        sources = {table: export(world, table) for table in TableName}
        counts = {table: world.lose(table) for table in TableName}
        listed.write_text(f"{USERS[0]}\n")
        said = {
            table: self.run("items", table, "--stack", "s", "--from", source, "--erased", listed)
            for table, source in sources.items()
        }
        assert world.is_erased(USERS[0])
        assert {key: it for key, it in world.state().items() if key in USERS[1:]} == {
            user: before[user] for user in USERS[1:]
        }
        for table, line in said.items():
            assert f"{table}: of {counts[table]} items, 0 were there" in line
            assert "nothing is missing" in line
        assert "7 were written, 1 have no place" in said[TableName.USERS]

    def test_brings_a_table_back(self, world: World) -> None:
        world.backup(TableName.USERS)
        world.stack.dynamodb.delete_table(TableName=world.stack.table(TableName.USERS))
        said = self.run("table", "users", "--stack", "s")
        assert said.startswith("users: 8 items, of the backup")
        described = world.stack.dynamodb.describe_table(
            TableName=world.stack.table(TableName.USERS)
        )
        assert described["Table"]["DeletionProtectionEnabled"]

    def test_puts_the_archive_back(self, world: World) -> None:
        then = format_time(moment())
        world.stack.objects.delete([it.key for it in world.stack.objects.all_listed("ab/")])
        assert self.run("archive", "--stack", "s", "--as-of", then) == (
            "archive: 1 epoch; 1 manifest and 1 file put back; 0 records to be archived anew; "
            "0 records of erased users taken out again"
        )

    @pytest.mark.parametrize(
        "arguments",
        [
            ("items", "users", "--from", "t"),
            ("items", "users", "--from", "t", "--stack", "s", "--endpoint-url", "http://127.0.0.1"),
            ("items", "users", "--from", "no-such-table", "--stack", "s"),
            ("items", "users", "--from", "t", "--stack", "s", "--erased", "no-such-file"),
        ],
    )
    def test_says_in_a_line_what_is_wrong(self, arguments: tuple[str, ...]) -> None:
        refused = CliRunner().invoke(app, ["restore", *arguments])
        assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1), refused.stderr


def test_a_local_stack_is_found_by_its_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in local_settings("http://127.0.0.1:4566").items():
        monkeypatch.setenv(name, value)
    stack = local_stack("http://127.0.0.1:4566")
    assert stack.table(TableName.SESSIONS) == "segue-local-sessionstable"
    assert stack.bucket == "segue-local-bucket"


def test_a_stack_of_something_else_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.restore.stack.describe_stack", lambda _: {})
    with pytest.raises(ServiceError, match="no output SessionsTable"):
        deployed_stack("other")
