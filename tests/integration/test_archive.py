"""The archive: every record once, whatever dies, races or is erased, and at a constant cost."""

import json
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from infra.template import load
from segue.adapters.archive import S3Archive
from segue.adapters.objects import Objects
from segue.adapters.s3 import S3ResultStore
from segue.domain.errors import StoreUnavailable, UnknownPosition
from segue.domain.times import DAY, SECOND
from segue.experiments import manifest
from segue.experiments.experiment import default_experiment
from segue.experiments.manifest import user_hash
from segue.experiments.records import Exposure, Record
from tests.integration.conftest import ROOT, Aws

pytestmark = pytest.mark.parametrize("aws", ["moto"], indirect=True)

EXPERIMENT = default_experiment("bundle")
NOW = 1_662_000_000_000
# What an S3 client is asked to do.
CALLS = ("get_object", "put_object", "list_objects_v2", "delete_objects")


def record(user: int, *, successful: bool | None = None) -> Record:
    group = "AB"[user % 2]
    exposure = Exposure(str(user), group, "model", "bundle", ("a", "b"), NOW, NOW + user)
    outcome = user % 3 == 0 if successful is None else successful
    return Record(exposure, outcome, NOW + DAY + user)


class Killed(BaseException):
    """The process ends here; nothing catches it."""


class Client:
    """An S3 client that counts its calls, and dies before or after one of them."""

    def __init__(self, client: Any, *, dies_at: int = 0, done: bool = False) -> None:
        self._client = client
        self._dies_at = dies_at
        self._done = done
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if name not in CALLS:
            return call

        def counted(**arguments: Any) -> Any:
            self.calls[name] += 1
            dying = self.calls.total() == self._dies_at
            if dying and not self._done:
                raise Killed
            answer = call(**arguments)
            if dying:
                raise Killed
            return answer

        return counted


class World:
    """An epoch's records in a bucket."""

    def __init__(self, aws: Aws) -> None:
        self.client = aws.s3
        self.bucket = aws.names["Bucket"]
        self.store = S3ResultStore(aws.s3, self.bucket)
        self.archive = self.archive_through(aws.s3)

    def archive_through(self, client: Any) -> S3Archive:
        return S3Archive(Objects(client, self.bucket))

    def add(self, *users: int) -> None:
        for user in users:
            self.store.add_record(EXPERIMENT, record(user))

    def compact(self) -> int:
        """All there is; how many were archived."""
        archived, after = 0, ""
        while True:
            batch = self.archive.compact(EXPERIMENT, after)
            archived += batch.archived
            if batch.next is None:
                return archived
            after = batch.next

    def users(self, limit: int = 7) -> list[int]:
        """The users of all pages, in their order."""
        return [int(it.exposure.user_id) for it in self.records(limit)]

    def records(self, limit: int = 7) -> Iterator[Record]:
        after = ""
        while True:
            page = self.archive.records(EXPERIMENT, limit=limit, after=after)
            yield from page.records
            if page.next is None:
                return
            after = page.next

    def keys(self, part: str) -> list[str]:
        listed = self.client.list_objects_v2(
            Bucket=self.bucket, Prefix="ab/default/epoch=1/" + part
        )
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def holds(self, users: set[int]) -> None:
        """Each of these once in every answer, and nobody else."""
        assert sorted(self.users()) == sorted(users)
        assert set(self.records()) == {record(user) for user in users}
        tally = self.archive.tally(EXPERIMENT)
        assert tally.users == len(users)
        groups = {"AB"[user % 2] for user in users}
        arms = {g: [user for user in users if "AB"[user % 2] == g] for g in groups}
        assert {g: n for g, n in tally.outcomes().items() if n[1]} == {
            group: (sum(user % 3 == 0 for user in arm), len(arm)) for group, arm in arms.items()
        }


@pytest.fixture
def world(aws: Aws) -> World:
    return World(aws)


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of few records, so that few records make many files."""
    monkeypatch.setattr(manifest, "MOST_RECORDS", 8)


def test_compaction_moves_every_record_and_answers_stay_the_same(world: World) -> None:
    world.add(*range(30))
    before = list(world.records())
    world.holds(set(range(30)))
    assert world.compact() == 30
    assert list(world.records()) == before
    world.holds(set(range(30)))
    assert not world.keys("raw/")
    assert len(world.keys("archive/")) == 1
    assert world.compact() == 0


@pytest.mark.usefixtures("small_files")
def test_records_before_and_after_a_compaction_are_one_set(world: World) -> None:
    world.add(*range(30))
    world.compact()
    world.add(*range(30, 60))
    world.holds(set(range(60)))
    assert world.compact() == 30
    world.holds(set(range(60)))
    assert len(world.keys("archive/")) > 5


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_compaction_killed_at_any_call_loses_nothing_and_counts_nothing_twice(
    world: World, done: bool
) -> None:
    world.add(*range(12))
    world.compact()
    users = set(range(12))
    for call in range(1, 1_000):
        new = 100 + call
        world.add(new)
        users.add(new)
        client = Client(world.client, dies_at=call, done=done)
        try:
            world.archive_through(client).compact(EXPERIMENT)
        except Killed:
            world.holds(users)
            world.compact()
            world.holds(users)
        else:
            break
    # Manifest, listing, record, a file read and one or two written, commit, two deletions.
    assert call > 8
    assert world.archive.sweep(EXPERIMENT, 10 * NOW) > 0
    world.holds(users)


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_an_erasure_killed_at_any_call_is_finished_by_the_next(world: World, done: bool) -> None:
    users = set(range(40))
    world.add(*users)
    world.compact()
    for call in range(1, 40):
        client = Client(world.client, dies_at=call, done=done)
        try:
            world.archive_through(client).erase(EXPERIMENT, str(call))
        except Killed:
            world.archive.erase(EXPERIMENT, str(call))
            users.remove(call)
            world.holds(users)
        else:
            break
    assert call > 5


def test_a_record_that_a_late_retry_brings_back_counts_once(world: World) -> None:
    world.add(*range(10))
    world.compact()
    world.store.add_record(EXPERIMENT, record(3, successful=False))
    world.holds(set(range(10)))
    assert world.compact() == 0
    world.holds(set(range(10)))
    assert not world.keys("raw/")


def meanwhile(client: Any, name: str, act: Any) -> Any:
    """The client, with something else happening before its next call of this name."""
    pending = [act]

    class Interrupted:
        def __getattr__(self, called: str) -> Any:
            if called == name and pending:
                pending.pop()()
            return getattr(client, called)

    return Interrupted()


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("name", CALLS)
def test_two_compactions_at_once_archive_each_record_once(world: World, name: str) -> None:
    world.add(*range(30))
    world.compact()
    world.add(*range(30, 60))
    client = meanwhile(world.client, name, world.compact)
    world.archive_through(client).compact(EXPERIMENT)
    world.holds(set(range(60)))
    body = world.client.get_object(Bucket=world.bucket, Key=world.keys("manifest")[0])[
        "Body"
    ].read()
    # The files of the one that lost are gone, too.
    assert world.keys("archive/") == sorted(it["key"] for it in json.loads(body)["files"])


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_who_is_erased_during_a_compaction_stays_erased(
    world: World, name: str, archived: bool
) -> None:
    world.add(*range(10))
    if archived:
        world.compact()
        world.add(*range(10, 20))
    users = set(range(20 if archived else 10))
    client = meanwhile(world.client, name, lambda: world.archive.erase(EXPERIMENT, "3"))
    world.archive_through(client).compact(EXPERIMENT)
    world.compact()
    world.holds(users - {3})


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("name", ["get_object", "list_objects_v2"])
def test_a_reader_sees_each_record_once_while_they_are_compacted(world: World, name: str) -> None:
    world.add(*range(30))
    world.compact()
    world.add(*range(30, 60))
    archive = world.archive_through(meanwhile(world.client, name, world.compact))
    page = archive.records(EXPERIMENT, limit=100)
    assert sorted(int(it.exposure.user_id) for it in page.records) == list(range(60))
    world.add(*range(60, 90))
    archive = world.archive_through(meanwhile(world.client, name, world.compact))
    assert archive.tally(EXPERIMENT).users == 90


def test_a_commit_whose_answer_was_lost_is_recognised(world: World) -> None:
    world.add(*range(10))
    put = world.client.put_object
    lost: list[Any] = []

    def loses_its_answer(**arguments: Any) -> Any:
        answer = put(**arguments)
        if "manifest" in arguments["Key"] and not lost:
            lost.append(arguments)
            # The client tries again, and finds its own write there.
            put(**arguments)
        return answer

    client: Any = Client(world.client)
    client.put_object = loses_its_answer
    assert world.archive_through(client).compact(EXPERIMENT).archived == 10
    assert lost
    world.holds(set(range(10)))
    assert not world.keys("raw/")


def test_an_erased_user_is_in_no_answer_and_no_count(world: World) -> None:
    world.add(*range(10))
    world.compact()
    world.add(*range(10, 20))
    for user in (3, 13, 999):
        world.archive.erase(EXPERIMENT, str(user))
        assert world.archive.find(EXPERIMENT, str(user)) is None
    world.holds(set(range(20)) - {3, 13})
    (key,) = world.keys("archive/")
    body = world.client.get_object(Bucket=world.bucket, Key=key)["Body"].read()
    assert "3" not in pyarrow.parquet.read_table(BytesIO(body))["user_id"].to_pylist()


def test_only_an_erasures_mark_expires_and_not_before_every_call_has_ended(world: World) -> None:
    world.add(1)
    world.store.add_exposure(EXPERIMENT, record(2).exposure)
    world.store.save_experiment(EXPERIMENT, None)
    world.archive.erase(EXPERIMENT, "3")
    template = load(ROOT / "template.yaml")
    (bucket,) = template.resources("AWS::S3::Bucket").values()
    rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
    (rule,) = [rule for rule in rules if "ExpirationInDays" in rule]
    listed = world.client.list_objects_v2(Bucket=world.bucket, Prefix=rule["Prefix"])["Contents"]
    small = {it["Key"] for it in listed if it["Size"] < int(rule["ObjectSizeLessThan"])}
    assert small == {
        f"ab/default/epoch=1/{part}/{user_hash('3')[:2]}/{user_hash('3')}.json"
        for part in ("pending", "raw")
    }
    assert len(listed) == 2 + 4  # the raw record, the exposure, the experiment, the manifest
    longest = max(template.timeout(name) for name in template.functions())
    assert rule["ExpirationInDays"] * DAY > 2 * longest * SECOND


def test_an_archived_record_is_found(world: World) -> None:
    assert world.archive.find(EXPERIMENT, "3") is None
    world.add(*range(10))
    world.compact()
    assert world.archive.find(EXPERIMENT, "3") == record(3)
    assert world.archive.find(EXPERIMENT, "30") is None


def test_who_is_in_the_archive_is_no_longer_pending(world: World) -> None:
    world.add(*range(10))
    world.compact()
    world.add(10, 11)
    for user in range(13):
        world.store.add_exposure(EXPERIMENT, record(user).exposure)
    tally, left = world.store.tally_and_pending(EXPERIMENT)
    assert tally.users == 12
    assert [it.user_id for it in left] == ["12"]


@pytest.mark.usefixtures("small_files")
def test_reading_costs_the_same_for_ten_times_the_records(world: World) -> None:
    def cost(read: Any) -> int:
        client = Client(world.client)
        read(world.archive_through(client))
        return client.calls.total()

    def costs() -> list[int]:
        return [
            cost(lambda archive: archive.records(EXPERIMENT, limit=5)),
            cost(lambda archive: archive.tally(EXPERIMENT)),
            cost(lambda archive: archive.find(EXPERIMENT, "1")),
        ]

    world.add(*range(20))
    world.compact()
    few = costs()
    world.add(*range(20, 200))
    world.compact()
    many = costs()
    # A page may end in the next file.
    assert all(now <= before + 1 for now, before in zip(many, few, strict=True))
    assert max(many) <= 5


def test_other_libraries_read_the_files(world: World, tmp_path: Path) -> None:
    failed = Record(Exposure("ł", "A", "m", "b", (), NOW, NOW, "gave up"), False, NOW)
    world.add(*range(5))
    world.store.add_record(EXPERIMENT, failed)
    world.compact()
    (key,) = world.keys("archive/")
    path = tmp_path / "file.parquet"
    path.write_bytes(world.client.get_object(Bucket=world.bucket, Key=key)["Body"].read())
    rows = pyarrow.parquet.read_table(path).to_pylist()
    assert [row["user_id"] for row in rows] == sorted(["ł", *"01234"], key=user_hash)
    assert {row["user_id"]: row["error"] for row in rows} == dict.fromkeys("01234") | {
        "ł": "gave up"
    }
    counted = duckdb.execute(
        'SELECT "group", COUNT(*), SUM(recomm_successful::INT)'
        f" FROM '{path}' GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert counted == [("A", 4, 1), ("B", 2, 1)]


def test_the_files_have_the_columns_that_the_template_tells_athena(world: World) -> None:
    world.add(1)
    world.compact()
    (key,) = world.keys("archive/")
    body = world.client.get_object(Bucket=world.bucket, Key=key)["Body"].read()
    (table,) = load(ROOT / "template.yaml").resources("AWS::Glue::Table").values()
    told = table["Properties"]["TableInput"]["StorageDescriptor"]["Columns"]
    kinds = {"string": "string", "bool": "boolean", "timestamp[ms, tz=UTC]": "timestamp"}
    schema = pyarrow.parquet.read_table(BytesIO(body)).schema
    assert [(it["Name"], it["Type"]) for it in told] == [
        (field.name, kinds[str(field.type)]) for field in schema
    ]


def test_a_file_that_is_not_what_the_manifest_says_is_named(world: World) -> None:
    world.add(*range(5))
    world.compact()
    (key,) = world.keys("archive/")
    size = world.client.head_object(Bucket=world.bucket, Key=key)["ContentLength"]
    world.client.put_object(Bucket=world.bucket, Key=key, Body=b"x" * size)
    with pytest.raises(StoreUnavailable, match=key):
        world.archive.records(EXPERIMENT, limit=9)
    with pytest.raises(StoreUnavailable, match=key):
        world.archive.find(EXPERIMENT, "1")


def test_what_is_no_record_stays_and_holds_up_nobody_else(world: World) -> None:
    world.add(*range(5))
    broken = world.keys("raw/")[2]
    world.client.put_object(Bucket=world.bucket, Key=broken, Body=b"no record")
    batch = world.archive.compact(EXPERIMENT)
    assert (batch.archived, batch.unreadable) == (4, (broken,))
    assert world.keys("raw/") == [broken]
    with pytest.raises(StoreUnavailable, match=broken):
        world.archive.records(EXPERIMENT, limit=9)


@pytest.mark.parametrize("after", ["x", "../../secret", "0" * 63, "G" * 64, "f" * 64])
@pytest.mark.parametrize("compacted", [False, True])
def test_a_made_up_position_is_refused(world: World, after: str, compacted: bool) -> None:
    world.add(*range(5))
    if compacted:
        world.compact()
    with pytest.raises(UnknownPosition):
        world.archive.records(EXPERIMENT, limit=10, after=after)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("compacted", [False, True])
def test_a_position_stays_good_whatever_becomes_of_its_record(
    world: World, compacted: bool
) -> None:
    world.add(*range(30))
    if compacted:
        world.compact()
    everybody = [int(it.exposure.user_id) for it in world.records(limit=30)]
    page = world.archive.records(EXPERIMENT, limit=10)
    assert page.next is not None

    def rest() -> list[int]:
        after = world.archive.records(EXPERIMENT, limit=30, after=str(page.next))
        return [int(it.exposure.user_id) for it in after.records]

    assert rest() == everybody[10:]
    world.compact()
    assert rest() == everybody[10:]
    world.archive.erase(EXPERIMENT, str(everybody[9]))
    assert rest() == everybody[10:]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "fault",
    [
        ClientError({"Error": {"Code": "SlowDown", "Message": "no"}}, "call"),
        ReadTimeoutError(endpoint_url="s3"),
    ],
    ids=["refused", "timed out"],
)
def test_a_bucket_that_fails_is_unavailable_and_nothing_is_lost(
    world: World, call: str, fault: Exception
) -> None:
    world.add(*range(5))

    def fails(**_: Any) -> Any:
        raise fault

    client = Client(world.client)
    setattr(client, call, fails)
    with pytest.raises(StoreUnavailable):
        world.archive_through(client).compact(EXPERIMENT)
    world.compact()
    world.holds(set(range(5)))
