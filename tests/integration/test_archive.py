"""The archive: each record once, whatever dies, races or is erased, and at a cost that stays small.

Most of it on a bucket in memory, which takes the calls of S3's client and is asked often.
"""

import json
import math
import random
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow
import pyarrow.parquet
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from infra.benchmarks.bucket import WRITTEN_AT, Cost, MemoryBucket
from infra.template import load
from segue.adapters.archive import S3Archive
from segue.adapters.objects import Objects
from segue.domain.errors import StoreUnavailable
from segue.domain.times import DAY
from segue.experiments.epoch import EpochId, Side
from segue.experiments.records import Exposure, Record
from segue.experiments.tally import Tally
from segue.ports import Archived
from tests.integration.conftest import ROOT, Aws

EPOCH = EpochId("default", 1, Side.REPLAY)
NOW = 1_662_000_000_000
# What an S3 client is asked to do.
CALLS = ("get_object", "put_object", "list_objects_v2", "delete_objects")


def record(user: int) -> Record:
    error = "gave up" if user % 5 == 0 else None
    exposure = Exposure(str(user), "AB"[user % 2], "m", "b", ("a", "b"), NOW, NOW + user, error)
    return Record(exposure, user % 3 == 0, NOW + DAY + user)


class Killed(BaseException):
    """The process ends here; nothing catches it."""


class Client:
    """An S3 client that numbers its calls from 1, and has ``interrupt`` say what comes of each."""

    def __init__(self, client: Any, interrupt: Callable[[int, Callable[[], Any]], Any]) -> None:
        self._client = client
        self._interrupt = interrupt
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if name not in CALLS:
            return call

        def interrupted(**arguments: Any) -> Any:
            self.calls += 1
            return self._interrupt(self.calls, lambda: call(**arguments))

        return interrupted


class World:
    """An epoch's records in a bucket, and what the store of results knows of them.

    ``noted`` gives the batch of the users who are noted as archived, be they ``sealed`` or not.
    """

    def __init__(self, client: Any = None, name: str = "bucket") -> None:
        self.client = client or MemoryBucket()
        self.name = name
        self.archive = self.archive_through(self.client)
        self.users: set[int] = set()
        self.sealed: set[int] = set()
        self.noted: dict[int, int] = {}

    def archive_through(self, client: Any) -> S3Archive:
        return S3Archive(Objects(client, self.name))

    def interrupted(self, interrupt: Callable[[int, Callable[[], Any]], Any]) -> S3Archive:
        return self.archive_through(Client(self.client, interrupt))

    def compact(self, archive: S3Archive | None = None) -> None:
        """Archive the users that are not noted, as the service does."""
        archive = archive or self.archive
        state: Archived | None = archive.read(EPOCH)
        assert state
        if not state.noted:
            latest = archive.latest(state)
            users = [int(it.exposure.user_id) for it in latest or ()]
            state = None if latest is None else self._note(archive, state, users)
        fresh = sorted(self.users - self.noted.keys())
        if state and fresh:
            state = archive.add(state, [record(user) for user in fresh])
            if state:
                self._note(archive, state, fresh)

    def add(self, *batches: int) -> None:
        """Archive so many new users in each batch."""
        for batch in batches:
            start = max(self.users, default=-1) + 1
            self.users |= set(range(start, start + batch))
            self.compact()

    def erase(self, user: int, archive: S3Archive | None = None) -> None:
        """As the service does: from the first step on, the user is archived no more."""
        archive = archive or self.archive
        self.users.discard(user)
        self.sealed.add(user)
        batch = self.noted.get(user)
        archive.erase(EPOCH, str(user), batch)
        if batch is None and (batch := self.noted.get(user)) is not None:
            archive.erase(EPOCH, str(user), batch)
        self.sealed.discard(user)
        self.noted.pop(user, None)

    def holds(self, users: set[int]) -> None:
        """The records of these once, in files and counts, and of nobody else."""
        rows = [row for it in self.manifest["files"] for row in self.table(it["key"]).to_pylist()]
        assert sorted(int(row["user_id"]) for row in rows) == sorted(users)
        for row in rows:
            found = msgspec.json.decode(row["record"], type=Record)
            assert found == record(int(row["user_id"]))
        tally = self.archive.read(EPOCH).tally
        assert tally.users == len(users)
        counted = {group: n for group, n in tally.outcomes().items() if n != (0, 0)}
        assert counted == Tally.of(map(record, users)).outcomes()

    def holds_no_other_file(self) -> None:
        assert self.files() == sorted(it["key"] for it in self.manifest["files"])

    def table(self, key: str) -> pyarrow.Table:
        return pyarrow.parquet.read_table(BytesIO(self.body(key)))

    def body(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return body

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body("ab/default/epoch=1/manifest.json"))
        return found

    def files(self, prefix: str = "ab/default/epoch=1/archive/") -> list[str]:
        listed = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix, MaxKeys=1_000)
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def _note(self, archive: S3Archive, state: Archived, users: Any) -> Archived | None:
        there = self.users | self.sealed
        self.noted |= dict.fromkeys(there.intersection(users), state.batch)
        return archive.note(state)


def about_to_merge() -> World:
    """Seven batches of one; when the eighth is noted, all become one file."""
    world = World()
    world.add(*[1] * 7)
    return world


def with_a_batch_that_is_not_noted() -> World:
    world = about_to_merge()
    world.users |= {100, 101}
    added = world.archive.add(world.archive.read(EPOCH), [record(100), record(101)])
    assert added
    assert not added.noted
    return world


def killing(call: int, *, done: bool) -> Callable[[int, Callable[[], Any]], Any]:
    """End the process before this call, or when it is done."""

    def interrupt(number: int, act: Callable[[], Any]) -> Any:
        if number == call and not done:
            raise Killed
        try:
            return act()
        finally:
            if number == call:
                raise Killed

    return interrupt


def before(call: int, act: Callable[[], Any]) -> Callable[[int, Callable[[], Any]], Any]:
    """Do something else before this call."""

    def interrupt(number: int, proceed: Callable[[], Any]) -> Any:
        if number == call:
            act()
        return proceed()

    return interrupt


def calls(begin: Callable[[], World], act: Callable[[World, S3Archive], None]) -> range:
    """The numbers of the calls that this takes."""
    world = begin()
    client = Client(world.client, lambda _, proceed: proceed())
    act(world, world.archive_through(client))
    return range(1, client.calls + 1)


def compacts(world: World, archive: S3Archive) -> None:
    """Archive two users more."""
    world.users |= {200, 201}
    world.compact(archive)


def erases_an_old_one(world: World, archive: S3Archive) -> None:
    """Where there is one."""
    world.erase(3, archive)


def erases_a_new_one(world: World, archive: S3Archive) -> None:
    """Of a batch that is not noted, where there is one."""
    world.erase(101, archive)


def with_one_file() -> World:
    world = World()
    world.add(5)
    return world


BEGINNINGS = [World, with_one_file, about_to_merge, with_a_batch_that_is_not_noted]
ACTS = [compacts, erases_an_old_one, erases_a_new_one]
every_act = pytest.mark.parametrize("act", ACTS, ids=lambda it: it.__name__)
begun = pytest.mark.parametrize("begin", BEGINNINGS, ids=lambda it: it.__name__)


@begun
@every_act
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_what_is_killed_at_any_call_is_finished_when_it_is_repeated(
    begin: Callable[[], World], act: Callable[[World, S3Archive], None], done: bool
) -> None:
    for call in calls(begin, act):
        world = begin()
        with pytest.raises(Killed):
            act(world, world.interrupted(killing(call, done=done)))
        act(world, world.archive)
        world.holds(world.users)
        world.compact()
        world.holds(world.users)
        world.add(3)
        world.holds(world.users)


@begun
def test_two_who_archive_at_once_archive_each_record_once(begin: Callable[[], World]) -> None:
    for call in calls(begin, compacts):
        world = begin()
        archive = world.interrupted(before(call, world.compact))
        compacts(world, archive)
        world.compact()
        world.holds(world.users)
        world.holds_no_other_file()


@begun
@pytest.mark.parametrize("user", [3, 100, 200])
def test_who_is_erased_while_others_are_archived_stays_erased(
    begin: Callable[[], World], user: int
) -> None:
    for call in calls(begin, compacts):
        world = begin()
        compacts(world, world.interrupted(before(call, lambda it=world: it.erase(user))))
        assert user not in world.users
        for _ in range(2):
            world.compact()
            world.holds(world.users)
            world.holds_no_other_file()


@begun
@pytest.mark.parametrize("user", [3, 100, 200])
def test_who_is_archived_while_being_erased_is_erased(
    begin: Callable[[], World], user: int
) -> None:
    def starts() -> World:
        world = begin()
        world.users |= {200, 201}
        return world

    for call in calls(starts, lambda world, archive: world.erase(user, archive)):
        world = starts()
        # Whoever archives has read the record before the erasure began.
        users = set(world.users)
        archive = world.interrupted(before(call, world.compact))
        world.erase(user, archive)
        world.compact()
        world.holds(users - {user})
        world.holds_no_other_file()


def test_a_record_read_before_an_erasure_is_not_added_after_it() -> None:
    world = about_to_merge()
    read = world.archive.read(EPOCH)
    world.erase(200)
    assert world.archive.add(read, [record(200)]) is None
    world.holds(set(range(7)))
    world.holds_no_other_file()


def test_two_erasures_at_once_erase_both() -> None:
    begin = with_a_batch_that_is_not_noted
    for one, other in [(3, 4), (3, 100), (100, 101), (100, 3), (3, 300)]:
        for call in calls(begin, lambda world, archive, it=one: world.erase(it, archive)):
            world = begin()
            world.erase(one, world.interrupted(before(call, lambda w=world, o=other: w.erase(o))))
            world.holds(({*range(7)} | {100, 101}) - {one, other})
            world.holds_no_other_file()


@every_act
@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_write_whose_answer_is_lost_is_known_for_ones_own(
    act: Callable[[World, S3Archive], None], meanwhile: bool
) -> None:
    """The client tries again by itself, and finds what it wrote: as it was, or changed since."""
    begin = about_to_merge
    for call in calls(begin, act):
        world = begin()

        def loses(number: int, proceed: Callable[[], Any], it: Any = (world, call)) -> Any:
            if number == it[1]:
                proceed()
                if meanwhile:
                    it[0].erase(1)
            return proceed()

        act(world, world.interrupted(loses))
        if not meanwhile:
            world.holds(world.users)
            world.holds_no_other_file()
        world.compact()
        world.holds(world.users)


@given(st.lists(st.integers(1, 12) | st.just(0), max_size=40), st.randoms())
def test_whatever_is_added_and_erased_the_rest_is_there(
    batches: list[int], chance: random.Random
) -> None:
    world = World()
    ever = 0
    for batch in batches:
        if batch:
            world.users |= set(range(ever, ever + batch))
            ever += batch
            world.compact()
        else:
            world.erase(chance.randrange(ever + 1))
    world.compact()
    if ever:
        world.holds(world.users)
        world.holds_no_other_file()


def test_a_batch_of_which_nothing_is_left_leaves_no_file_and_a_number() -> None:
    world = World()
    world.add(1, 1)
    world.erase(0)
    world.erase(1)
    world.holds_no_other_file()
    assert world.files() == []
    state = world.archive.read(EPOCH)
    assert (state.batch, state.noted, state.tally.users) == (2, True, 0)
    world.users = {7}
    world.compact()
    world.holds({7})
    assert world.archive.read(EPOCH).batch == 3


def test_the_latest_batch_says_which_records_it_holds_until_it_has_changed() -> None:
    world = with_a_batch_that_is_not_noted()
    state = world.archive.read(EPOCH)
    assert (state.batch, state.noted) == (8, False)
    assert world.archive.latest(state) == [record(100), record(101)]
    world.erase(100)
    assert world.archive.latest(state) is None
    assert world.archive.latest(world.archive.read(EPOCH)) == [record(101)]
    world.erase(101)
    assert world.archive.latest(world.archive.read(EPOCH)) == []


def test_a_batch_on_top_of_one_that_is_not_noted_is_refused() -> None:
    world = with_a_batch_that_is_not_noted()
    state = world.archive.read(EPOCH)
    with pytest.raises(ValueError, match="noted"):
        world.archive.add(state, [record(7)])
    noted = world.archive.note(state)
    assert noted
    assert world.archive.add(noted, []) == noted == world.archive.read(EPOCH)


def test_what_was_read_before_a_change_changes_nothing() -> None:
    world = World()
    empty = world.archive.read(EPOCH)
    assert empty == Archived(EPOCH, None, Tally(), 0, noted=True)
    world.add(1)
    assert world.archive.add(empty, [record(7)]) is None
    assert world.archive.note(empty) is None
    assert world.archive.latest(empty) is None
    world.holds({0})
    world.holds_no_other_file()


def test_an_erasure_that_is_always_disturbed_is_given_up() -> None:
    world = about_to_merge()
    others = iter(range(1_000, 2_000))

    def disturbs(_: int, proceed: Callable[[], Any]) -> Any:
        answer = proceed()
        world.archive.erase(EPOCH, str(next(others)), None)
        return answer

    with pytest.raises(StoreUnavailable, match="faster"):
        world.erase(3, world.interrupted(disturbs))
    world.erase(3)
    world.holds({0, 1, 2, 4, 5, 6})
    world.holds_no_other_file()


def test_what_a_writer_left_behind_is_swept_after_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    world = about_to_merge()
    with pytest.raises(Killed):
        compacts(world, world.interrupted(killing(3, done=True)))
    named = [it["key"] for it in world.manifest["files"]]
    (orphan,) = set(world.files()) - set(named)
    written = int(WRITTEN_AT.timestamp() * 1_000)
    assert world.archive.sweep(EPOCH, written + DAY) == 0
    assert orphan in world.files()
    assert world.archive.sweep(EPOCH, written + DAY + 1) == 1
    world.holds_no_other_file()
    world.compact()
    world.holds(world.users)


def cost(world: World, act: Callable[[], Any]) -> Cost:
    with world.client.counting() as counted:
        act()
    return counted


def test_costs_follow_what_is_new_however_much_is_there() -> None:
    """Up to 100,000 records, a thousand a batch."""
    world = World()
    requests, written = 0, 0
    for batches in range(1, 101):
        compaction = cost(world, lambda: world.add(1_000))
        requests += compaction.requests
        written += compaction.written_bytes
        users = len(world.users)
        if batches in {1, 10, 100}:
            stored = sum(len(world.body(key)) for key in world.files())
            manifest = len(world.body("ab/default/epoch=1/manifest.json"))
            assert len(world.files()) <= users / 32_768 + 7 * 4
            assert requests <= 8 * batches
            assert written <= (math.log(users, 8) + 1) * stored + 2 * batches * manifest
            assert_cheap(deepcopy(world), stored / users)


def assert_cheap(world: World, record_bytes: float) -> None:
    """To read the archive, to add a thousand records, and to erase one of these and an old one."""
    state = world.archive.read(EPOCH)
    manifest = len(world.body("ab/default/epoch=1/manifest.json"))
    read = cost(world, lambda: world.archive.read(EPOCH))
    assert (read.requests, read.read_bytes) == (1, manifest)
    new = [record(user) for user in range(10**6, 10**6 + 1_000)]
    add = cost(world, lambda: world.archive.add(state, new))
    assert (add.requests, add.reads, add.writes) == (3, 1, 2)
    assert add.written_bytes <= 1.2 * (1_000 * record_bytes + manifest)
    for user, batch in ((str(10**6), None), ("7", 1)):
        erasure = cost(world, lambda it=(user, batch): world.archive.erase(EPOCH, *it))
        assert (erasure.requests, erasure.reads, erasure.writes) == (5, 2, 2)
        assert erasure.written_bytes <= 1.2 * (40_000 * record_bytes + manifest)
    assert world.archive.read(EPOCH).tally.users == state.tally.users + 1_000 - 2


def test_many_small_batches_take_no_more_room_than_a_large_one() -> None:
    small, large = World(), World()
    small.add(*[1] * 64)
    large.add(64)
    sizes = [len(world.body(*world.files())) for world in (small, large)]
    assert sizes[0] == sizes[1]


def test_other_libraries_read_all_files_as_one_table(tmp_path: Path) -> None:
    world = World()
    world.add(3_000, 2_000, 8, 1, 2, 1)
    world.erase(3)
    assert len(world.files()) > 3
    for key in world.files():
        (tmp_path / key.rpartition("/")[2]).write_bytes(world.body(key))
    rows = pyarrow.parquet.read_table(tmp_path).to_pylist()
    assert {int(row["user_id"]): row["error"] for row in rows} == {
        user: "gave up" if user % 5 == 0 else None for user in world.users
    }
    for row in rows:
        assert row["created_at"] == datetime.fromtimestamp(
            (NOW + int(row["user_id"])) / 1_000, tz=UTC
        )
    query = 'SELECT "group", COUNT(*), SUM(recomm_successful::INT) FROM read_parquet(?) GROUP BY 1'
    counted = duckdb.execute(query, [f"{tmp_path}/*.parquet"]).fetchall()
    outcomes = Tally.of(map(record, world.users)).outcomes()
    assert {group: (successes, n) for group, n, successes in counted} == outcomes


def test_the_files_have_the_columns_and_the_place_that_the_template_tells_athena() -> None:
    world = World()
    live = replace(EPOCH, side=Side.LIVE)
    for epoch in (EPOCH, live):
        world.archive.add(world.archive.read(epoch), [record(1)])
    table = load(ROOT / "stacks/lake.yaml").resources("AWS::Glue::Table")["ResultsTable"]
    told = table["Properties"]["TableInput"]
    for experiment in ("default", "default.live"):
        assert "ab/${!experiment}/epoch=${!epoch}/archive/" in str(told["Parameters"])
        (key,) = world.files(f"ab/{experiment}/epoch=1/archive/")
        kinds = {"string": "string", "bool": "boolean", "timestamp[ms, tz=UTC]": "timestamp"}
        assert [(it["Name"], it["Type"]) for it in told["StorageDescriptor"]["Columns"]] == [
            (field.name, kinds[str(field.type)]) for field in world.table(key).schema
        ]
    assert len(world.files("ab/")) == 4


def test_the_documented_question_to_athena_counts_the_arms(tmp_path: Path) -> None:
    world = World()
    world.add(30)
    for key in world.files():
        (tmp_path / key.rpartition("/")[2]).write_bytes(world.body(key))
    page = (ROOT / "docs/tables.md").read_text(encoding="utf-8")
    (asked,) = [it for it in re.findall(r"```sql\n(.*?)```", page, re.DOTALL) if "ab_results" in it]
    partition = "'default' AS experiment, 1 AS epoch"
    view = f"SELECT *, {partition} FROM read_parquet('{tmp_path}/*.parquet')"
    with duckdb.connect() as athena:
        athena.execute(f"CREATE VIEW ab_results AS {view}")
        rows = athena.sql(asked).fetchall()
    outcomes = Tally.of(map(record, world.users)).outcomes()
    assert rows == [
        (group, users, pytest.approx(successes / users))
        for group, (successes, users) in sorted(outcomes.items())
    ]


def test_sides_and_epochs_have_archives_of_their_own() -> None:
    world = World()
    world.add(2)
    for other in (replace(EPOCH, side=Side.LIVE), replace(EPOCH, number=2)):
        assert world.archive.read(other).tag is None
        world.archive.erase(other, "1", None)
    world.holds({0, 1})


def test_a_file_that_is_not_what_the_manifest_says_is_named() -> None:
    world = with_a_batch_that_is_not_noted()
    key = world.manifest["files"][-1]["key"]
    body = bytearray(world.body(key))
    body[60] ^= 1
    world.client.put_object(Bucket="bucket", Key=key, Body=bytes(body), ContentType="")
    state = world.archive.read(EPOCH)
    for act in (
        lambda: world.archive.latest(state),
        lambda: world.archive.note(state),
        lambda: world.archive.erase(EPOCH, "100", 8),
    ):
        with pytest.raises(StoreUnavailable, match=key):
            act()


def test_a_manifest_that_cannot_be_read_is_named() -> None:
    world = about_to_merge()
    key = "ab/default/epoch=1/manifest.json"
    world.client.put_object(Bucket="bucket", Key=key, Body=b"{", ContentType="")
    with pytest.raises(StoreUnavailable, match=key):
        world.archive.read(EPOCH)


@pytest.fixture
def on_s3(aws: Aws) -> Iterator[World]:
    """The same on a stand-in for AWS that answers S3's protocol."""
    return World(aws.s3, aws.names["Bucket"])


def test_batches_are_merged_and_users_erased_in_s3(on_s3: World) -> None:
    on_s3.add(*[1] * 9)
    on_s3.erase(3)
    on_s3.erase(8)
    on_s3.holds({0, 1, 2, 4, 5, 6, 7})
    on_s3.holds_no_other_file()
    read = on_s3.archive.read(EPOCH)
    on_s3.add(1)
    assert on_s3.archive.add(read, [record(10)]) is None
    assert on_s3.archive.sweep(EPOCH, NOW) == 0
    on_s3.holds({0, 1, 2, 4, 5, 6, 7, 8})


@pytest.mark.parametrize("aws", ["moto"], indirect=True)
@pytest.mark.parametrize(
    "fault",
    [
        ClientError({"Error": {"Code": "SlowDown", "Message": "no"}}, "call"),
        ReadTimeoutError(endpoint_url="s3"),
    ],
    ids=["refused", "timed out"],
)
def test_a_bucket_that_fails_is_unavailable_and_nothing_is_lost(
    on_s3: World, fault: Exception
) -> None:
    on_s3.add(*[1] * 7)
    for call in range(1, 100):

        def fails(number: int, proceed: Callable[[], Any], it: int = call) -> Any:
            if number == it:
                raise fault
            return proceed()

        client = Client(on_s3.client, fails)
        on_s3.users.add(100 + call)
        try:
            on_s3.compact(on_s3.archive_through(client))
        except StoreUnavailable:
            on_s3.compact()
            on_s3.holds(on_s3.users)
        else:
            break
    assert call > 5
