"""A lake in place of sessions: the same events, and no day in part."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from infra.template import load
from segue.domain.errors import InvalidData
from segue.domain.times import DAY, parse_time
from tests.lakes import write_lake
from training.data import connect, ingest, query

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def workspace(data_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("workspace")
    ingest(data_path, workspace)
    return workspace


@pytest.fixture
def lake(data_path: Path, workspace: Path, tmp_path: Path) -> Path:
    """The data folder with a lake in place of its sessions."""
    lake = tmp_path / "lake"
    shutil.copytree(data_path, lake, ignore=shutil.ignore_patterns("sessions.*"))
    write_lake(workspace, lake)
    return lake


def lists(lake: Path) -> list[Path]:
    return sorted((lake / "days").glob("*"))


def first_file(lake: Path) -> Path:
    return lake / json.loads(lists(lake)[0].read_text())["files"][0]


def refused(lake: Path, workspace: Path) -> str:
    with pytest.raises(InvalidData) as raised:
        ingest(lake, workspace)
    assert not (workspace / "events.parquet").exists()
    return str(raised.value)


def test_a_lake_has_the_events_of_its_files(lake: Path, workspace: Path, tmp_path: Path) -> None:
    # What no list names is not there yet, or no longer.
    shutil.copy(workspace / "events.parquet", first_file(lake).with_name("unlisted.parquet"))
    summary = ingest(lake, tmp_path / "read")
    assert (tmp_path / "read/events.parquet").read_bytes() == (
        workspace / "events.parquet"
    ).read_bytes()
    assert (summary.files["sessions"].file, summary.files["sessions"].quarantined) == ("days", 0)


def test_a_day_that_is_missing_is_named(lake: Path, tmp_path: Path) -> None:
    missing = lists(lake)[1]
    missing.unlink()
    assert f"{missing.name} is missing" in refused(lake, tmp_path)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"day": "today", "events": 1, "files": []}'])
def test_a_list_that_is_none_is_named(lake: Path, tmp_path: Path, body: bytes) -> None:
    lists(lake)[1].write_bytes(body)
    assert str(lists(lake)[1]) in refused(lake, tmp_path)


def test_a_day_with_other_rows_than_its_list_says_is_named(lake: Path, tmp_path: Path) -> None:
    day: dict[str, Any] = json.loads(lists(lake)[0].read_text())
    lists(lake)[0].write_text(json.dumps(day | {"events": day["events"] + 1}))
    assert f"the files of {day['day']} have {day['events']} events" in refused(lake, tmp_path)


@pytest.mark.parametrize("damage", ["missing", "cut", "garbled"])
def test_a_file_that_is_not_whole_is_named(lake: Path, tmp_path: Path, damage: str) -> None:
    file = first_file(lake)
    body = file.read_bytes()
    file.unlink()
    if damage == "cut":
        file.write_bytes(body[: len(body) // 2])
    if damage == "garbled":
        file.write_bytes(body[:4] + bytes(len(body) // 2) + body[4 + len(body) // 2 :])
    assert file.parent.name.removeprefix("day=") in refused(lake, tmp_path)


def test_a_folder_has_sessions_or_a_lake(lake: Path, tmp_path: Path) -> None:
    (lake / "sessions.jsonl").write_text("")
    assert "holds sessions.jsonl and days: keep one of them" in refused(lake, tmp_path)


def question(table: str) -> str:
    """The question of docs/tables.md to a table of Athena's."""
    text = (ROOT / "docs/tables.md").read_text(encoding="utf-8")
    (asked,) = [it for it in re.findall(r"```sql\n(.*?)```", text, re.DOTALL) if table in it]
    return str(asked)


def glue_columns(table: str) -> list[tuple[str, str]]:
    """The columns that the template tells Athena, those of partitions last."""
    told = load(ROOT / "stacks/lake.yaml").resources("AWS::Glue::Table")[table]["Properties"]
    kinds = {"string": "VARCHAR", "bigint": "BIGINT", "date": "DATE"}
    columns = [
        *told["TableInput"]["StorageDescriptor"]["Columns"],
        *told["TableInput"].get("PartitionKeys", ()),
    ]
    return [(it["Name"], kinds[it["Type"]]) for it in columns]


class TestAthena:
    """DuckDB in its place, over the same files: the emulator's makes up its answers."""

    @pytest.fixture
    def athena(self, lake: Path, workspace: Path) -> Iterator[duckdb.DuckDBPyConnection]:
        with connect(workspace) as connection, duckdb.connect() as athena:
            athena.register("weeks", query(connection, "weeks.sql"))
            athena.read_parquet(f"{lake}/events/*/*.parquet", hive_partitioning=True).create_view(
                "events"
            )
            yield athena

    @pytest.mark.parametrize(
        ("table", "name"), [("EventsTable", "events"), ("WeeksTable", "weeks")]
    )
    def test_its_tables_have_the_columns_of_the_files(
        self, athena: duckdb.DuckDBPyConnection, table: str, name: str
    ) -> None:
        found = athena.table(name)
        assert glue_columns(table) == [*zip(found.columns, map(str, found.types), strict=True)]

    def test_events_of_a_month_by_day_and_type(
        self, athena: duckdb.DuckDBPyConnection, workspace: Path
    ) -> None:
        rows = athena.sql(question("FROM events")).fetchall()
        with connect(workspace) as connection:
            start, end = parse_time("2022-08-01"), parse_time("2022-09-01")
            asked = "SELECT COUNT(*) FROM events WHERE time >= $1 AND time < $2"
            ((events,),) = connection.execute(asked, [start, end]).fetchall()
        assert sum(row[2] for row in rows) == events > 0
        assert {row[0].month for row in rows} == {8}

    def test_what_was_skipped_most_last_week(
        self, athena: duckdb.DuckDBPyConnection, workspace: Path
    ) -> None:
        rows = athena.sql(question("FROM weeks")).fetchall()
        with connect(workspace) as connection:
            plays = query(connection, "plays.sql").to_pylist()
        # Of the week of the last play.
        monday = max(it["time"] for it in plays) // DAY
        monday -= (monday + 3) % 7
        expected = {}
        for track, count, _, skipped in rows:
            week = [it for it in plays if it["track_id"] == track and it["time"] >= monday * DAY]
            expected[track] = (len(week), sum(not it["completed"] for it in week) / len(week))
            assert (count, pytest.approx(skipped)) == expected[track]
            assert count >= 10
        assert [row[3] for row in rows] == sorted((row[3] for row in rows), reverse=True) != []
