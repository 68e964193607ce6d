"""The lake on S3: every event of the table on its day, whatever was killed, repeated or erased."""

import gzip
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from moto import mock_aws
from typer.testing import CliRunner

from infra.cli import app
from infra.lake import export_events, fetched
from infra.progress import silent
from segue.adapters.aws import s3_client
from segue.adapters.digests import empty_item
from segue.adapters.packing import growing_key, ordered, pack, pack_digest
from segue.domain.errors import InvalidData
from segue.domain.events import Event, EventType
from segue.domain.times import DAY, format_time, parse_time
from training.data import connect, ingest

START = parse_time("2026-11-01T00:00:00Z")
LAKE = "s3://bucket/lake"
Rows = set[tuple[object, ...]]


def event(user: int, day: int, time: int, track: str | None = "t1") -> Event:
    kind = EventType.PLAY if track else EventType.ADVERTISEMENT
    return Event(str(user), f"s{user}", START + day * DAY + time, kind, track)


def midnight(day: int) -> str:
    return format_time(START + day * DAY)


def name(day: int) -> str:
    return midnight(day)[:10]


@dataclass
class Table:
    """The table of sessions, and what DynamoDB would export of it."""

    items: dict[tuple[str, str], list[Event]] = field(default_factory=dict)
    exported: dict[tuple[str, str], list[Event]] = field(default_factory=dict)
    exports: int = 0

    def add(self, *events: Event) -> None:
        for it in events:
            key = it.user_id, growing_key(it.time, it.session_id, 0)
            self.items[key] = ordered([*self.items.get(key, ()), it])

    def erase(self, user: int) -> None:
        self.items = {key: it for key, it in self.items.items() if key[0] != str(user)}

    def rows(self) -> Rows:
        return {it.identity for events in self.items.values() for it in events}

    def export(self, day: int, *, full: bool = False, **changes: Any) -> str:
        """The export of the whole table as of the beginning of a day, or of the day before."""
        before = {} if full else self.exported
        records = []
        for key in sorted({*before, *self.items}):
            old, new = before.get(key), self.items.get(key)
            if full:
                records.append({"Item": _item(key, self.items[key])})
            elif old != new:
                images = {"OldImage": old, "NewImage": new}
                records.append({it: _item(key, has) for it, has in images.items() if has})
        self.exported = dict(self.items)
        records.append({"Item" if full else "NewImage": _digest(self.items)})
        times = (
            {"exportType": "FULL_EXPORT", "exportTime": midnight(day)}
            if full
            else {
                "exportType": "INCREMENTAL_EXPORT",
                "exportFromTime": midnight(day - 1),
                "exportToTime": midnight(day),
                "outputView": "NEW_AND_OLD_IMAGES",
            }
        )
        self.exports += 1
        return self._write(f"AWSDynamoDB/{self.exports:04}", records, times | changes)

    def _write(self, prefix: str, records: list[Any], summary: dict[str, Any]) -> str:
        half = len(records) // 2
        files = []
        for number, part in enumerate((records[:half], records[half:])):
            key = f"AWSDynamoDB/data/{prefix[-4:]}-{number}.json.gz"
            put(key, gzip.compress(b"\n".join(map(msgspec.json.encode, part))))
            files.append({"itemCount": len(part), "dataFileS3Key": key})
        put(f"{prefix}/manifest-files.json", b"\n".join(map(msgspec.json.encode, files)))
        summary |= {
            "s3Bucket": "bucket",
            "manifestFilesS3Key": f"{prefix}/manifest-files.json",
            "outputFormat": "DYNAMODB_JSON",
        }
        put(f"{prefix}/manifest-summary.json", msgspec.json.encode(summary))
        return f"s3://bucket/{prefix}"


def _item(key: tuple[str, str], events: list[Event]) -> dict[str, Any]:
    packed = b64encode(pack(events)).decode()
    return {"user_id": {"S": key[0]}, "start": {"S": key[1]}, "events": {"B": packed}}


def _digest(items: Mapping[tuple[str, str], list[Event]]) -> dict[str, Any]:
    """A copy of somebody's events, as the table holds it beside them."""
    packed = b64encode(pack_digest(event for events in items.values() for event in events))
    return empty_item("1") | {"events": {"B": packed.decode()}}


def put(key: str, body: bytes) -> None:
    s3_client().put_object(Bucket="bucket", Key=key, Body=body)


def keys(prefix: str) -> list[str]:
    found = s3_client().list_objects_v2(Bucket="bucket", Prefix=prefix)
    return [it["Key"] for it in found.get("Contents", [])]


def export(url: str) -> None:
    export_events(url, LAKE, silent)


def lake_rows() -> dict[str, list[tuple[object, ...]]]:
    """The rows of each complete day, read as training reads them."""
    with fetched(LAKE) as folder:
        days = {path.stem: msgspec.json.decode(path.read_bytes()) for path in folder.glob("days/*")}
        return {day: _rows(folder / file for file in it["files"]) for day, it in days.items()}


def _rows(files: Iterable[Path]) -> list[tuple[object, ...]]:
    tables = [pq.ParquetFile(file).read() for file in files]
    return [tuple(row.values()) for table in tables for row in table.to_pylist()]


def holds(rows: Rows, days: range) -> None:
    """Whether the lake has these rows, each once and on its day, in files that all are listed."""
    found = lake_rows()
    assert sorted(found) == [name(day) for day in days]
    for day in days:
        start = START + day * DAY
        expected = [row for row in rows if start <= row[2] < start + DAY]  # type: ignore[operator]
        assert sorted(found[name(day)], key=str) == sorted(expected, key=str)
        assert len(keys(f"lake/events/day={name(day)}/")) == bool(expected)


@pytest.fixture(autouse=True)
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        s3_client().create_bucket(Bucket="bucket")
        yield


@pytest.fixture
def table() -> Table:
    """Three days of events, in the lake."""
    table = Table()
    for user in (1, 2, 3):
        table.add(event(user, 0, user), event(user, 2, 0), event(user, 2, DAY - 1, None))
    export(table.export(3, full=True))
    return table


def test_an_export_of_the_table_fills_every_day_to_the_last(table: Table) -> None:
    holds(table.rows(), range(3))


def test_each_days_export_adds_the_day(table: Table) -> None:
    table.add(event(1, 3, 7), event(2, 3, 8))
    export(table.export(4))
    export(table.export(5))
    holds(table.rows(), range(5))


def test_what_comes_late_or_early_is_on_its_day(table: Table) -> None:
    table.add(event(1, 3, 7), event(1, 0, 9), event(9, 1, 0), event(2, 4, 1))
    export(table.export(4))
    early = {event(2, 4, 1).identity}
    holds(table.rows() - early, range(4))
    table.add(event(1, 4, 5))
    export(table.export(5))
    holds(table.rows(), range(5))


def test_who_is_erased_is_taken_out_of_every_day(table: Table) -> None:
    table.add(event(1, 3, 7))
    table.erase(2)
    export(table.export(4))
    holds(table.rows(), range(4))
    assert not any(row[0] == "2" for rows in lake_rows().values() for row in rows)


def test_an_export_that_is_killed_anywhere_is_completed_by_its_repetition(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = table.rows()
    table.add(event(1, 3, 7), event(1, 0, 9))
    table.erase(2)
    url = table.export(4)
    for writes in range(20):
        left = writes

        def write(proceed: Any, *arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return proceed(*arguments, **named)

        with monkeypatch.context() as patch:
            for target in ("infra.exports.Prefix.upload", "segue.adapters.objects.Objects._write"):
                original = resolve_name(target)
                patch.setattr(
                    target, lambda *it, original=original, **named: write(original, *it, **named)
                )
            try:
                export(url)
            except KeyboardInterrupt:
                # Each day is as it was or as it will be.
                for day, rows in lake_rows().items():
                    assert len(rows) == len({*rows}), day
                    assert {*rows} <= known | table.rows()
            else:
                break
    assert writes > 4
    holds(table.rows(), range(4))


@pytest.mark.parametrize(
    ("day", "changes", "fault"),
    [
        (5, {}, "export what lies before first"),
        (4, {"exportToTime": "2026-11-04T12:00:00Z"}, "not a midnight UTC"),
        (4, {"outputView": "NEW_IMAGE"}, "NEW_AND_OLD_IMAGES"),
        (4, {"outputFormat": None}, "is no export of DynamoDB"),
        (4, {"s3Bucket": 3}, "is no export of DynamoDB"),
    ],
)
def test_what_would_count_a_day_in_part_is_refused(
    table: Table, day: int, changes: dict[str, Any], fault: str
) -> None:
    before = keys("lake/")
    url = table.export(day)
    summary = f"{url.removeprefix('s3://bucket/')}/manifest-summary.json"
    body = s3_client().get_object(Bucket="bucket", Key=summary)["Body"].read()
    put(summary, msgspec.json.encode(msgspec.json.decode(body) | changes))
    with pytest.raises(InvalidData, match=fault):
        export(url)
    assert keys("lake/") == before


@pytest.mark.parametrize("full", [False, True])
def test_an_export_of_before_the_lakes_end_brings_nobody_back(table: Table, full: bool) -> None:
    table.add(event(1, 3, 7), event(2, 3, 7))
    earlier = table.export(4, full=full)
    export(earlier)
    table.erase(2)
    export(table.export(5))
    with pytest.raises(InvalidData, match=f"{LAKE} goes to {name(4)}"):
        export(earlier)
    holds(table.rows(), range(5))


def test_an_export_with_less_than_it_says_is_refused(table: Table) -> None:
    table.add(event(1, 3, 7), event(2, 3, 7))
    url = table.export(4)
    data = f"AWSDynamoDB/data/{url[-4:]}-1.json.gz"
    whole = gzip.compress(b"{}" * 999)
    garbled = whole[:12] + b"?" + whole[13:]
    for body in (gzip.compress(b""), whole[:-9], garbled, gzip.compress(b'{"Item": {}}')):
        put(data, body)
        with pytest.raises(InvalidData, match=data):
            export(url)
    s3_client().delete_object(Bucket="bucket", Key=data)
    with pytest.raises(InvalidData, match=data):
        export(url)
    with pytest.raises(InvalidData, match="no finished export"):
        export("s3://bucket/AWSDynamoDB/none")
    holds(table.rows() - {event(1, 3, 7).identity, event(2, 3, 7).identity}, range(3))


def test_a_day_that_is_missing_in_a_lake_is_named(table: Table) -> None:
    s3_client().delete_object(Bucket="bucket", Key=f"lake/days/{name(1)}.json")
    with pytest.raises(InvalidData, match=f"{LAKE}.*{name(1)}"), fetched(LAKE):
        pass


def test_the_command_says_what_it_did(table: Table) -> None:
    table.add(event(1, 3, 7))
    table.erase(2)
    url = table.export(4)
    result = CliRunner().invoke(app, ["export", "--events", url, "--lake", LAKE])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == (f"{LAKE}: 1 events added and 3 taken out, in 3 days")
    refused = CliRunner().invoke(app, ["export", "--events", "here", "--lake", LAKE])
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)


def test_a_lake_is_read_as_a_data_folder(table: Table, tmp_path: Path) -> None:
    put("lake/tracks.jsonl", b'{"id": "t1"}')
    with fetched(LAKE) as folder:
        summary = ingest(folder, tmp_path)
    assert summary.events == len(table.rows())
    with connect(tmp_path) as connection:
        rows = connection.sql("SELECT * FROM events").fetchall()
    assert {*rows} == table.rows()
