"""Spark answers every file of SQL with the rows of DuckDB, and its job those of training.

Spark runs on this machine, in an environment of its own: see ``make spark``.
"""

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.demo import generate
from segue.domain.events import EventType
from segue.domain.times import DAY, Window
from tests.lakes import write_lake
from training.data import ingest
from training.data.queries import create_view, query, read_sql

pytest.importorskip("pyspark", reason="Spark is not installed here: see make spark")
from pyspark.sql import SparkSession

from training.spark import run

# Spark's driver leaves sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT.parent / "shared" / "data"
SQL = ROOT / "training" / "data" / "sql"
EVENTS = {
    "user_id": pa.string(),
    "session_id": pa.string(),
    "time": pa.int64(),
    "type": pa.string(),
    "track_id": pa.string(),
}
# Plays as an export of another service says them, which is what listening.sql reads.
HEARD = """
    SELECT user_id, time, skipped_at - time AS played_ms, skipped_at IS NULL AS completed, track_id
    FROM plays
"""


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master("local[2]").config(map=settings)
    with builder.getOrCreate() as session:
        session.sparkContext.setLogLevel("ERROR")
        yield session


class Compared(NamedTuple):
    """How many rows both engines have of a file, and the seconds that each of them took."""

    rows: int
    duckdb: float
    spark: float


def compare(spark: SparkSession, workspace: Path, window: Window) -> dict[str, Compared]:
    """Whether Spark and DuckDB answer each file with the same rows, each as often.

    ``workspace`` holds events and tracks (.parquet).
    """
    connection = duckdb.connect(config={"threads": 2})
    for table in ("events", "tracks"):
        create_view(connection, table, workspace / f"{table}.parquet")
        spark.read.parquet(str(workspace / f"{table}.parquet")).createOrReplaceTempView(table)
    bounds = f"SELECT {window.start} AS starts_at, {window.end} AS ends_at"
    spark.sql(bounds).createOrReplaceTempView("time_window")
    # What other files read comes first.
    first = ["plays", "heard"]
    names = first + sorted({path.stem for path in SQL.glob("*.sql")} - {*first})
    return {name: _compare(spark, connection, workspace, name, window) for name in names}


def _compare(
    spark: SparkSession,
    connection: duckdb.DuckDBPyConnection,
    workspace: Path,
    name: str,
    window: Window,
) -> Compared:
    text = HEARD if name == "heard" else read_sql(f"{name}.sql")
    target = workspace / "spark" / name
    times = [perf_counter()]
    spark.sql(text).write.mode("overwrite").parquet(str(target))
    times.append(perf_counter())
    if name == "heard":
        connection.execute(f"CREATE TABLE heard AS {text}")
    else:
        connection.register(name, query(connection, f"{name}.sql", window))
    times.append(perf_counter())
    spark.read.parquet(str(target)).createOrReplaceTempView(name)
    theirs = f"read_parquet('{target}/*.parquet')"
    ((ours, more, less),) = connection.sql(
        f"""
        SELECT (SELECT COUNT(*) FROM {name}),
            (SELECT COUNT(*) FROM (FROM {theirs} EXCEPT ALL FROM {name})),
            (SELECT COUNT(*) FROM (FROM {name} EXCEPT ALL FROM {theirs}))
        """
    ).fetchall()
    columns = [connection.table(name).columns, connection.sql(f"FROM {theirs}").columns]
    assert columns[0] == columns[1], name
    assert (more, less) == (0, 0), name
    return Compared(ours, times[2] - times[1], times[1] - times[0])


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[object, ...]]:
    """Different events of many users, whose times, sessions and tracks coincide."""
    event = st.tuples(
        st.integers(0, 40).map(str),
        st.sampled_from(["1", "2"]),
        st.integers(0, 6) | st.integers(30 * DAY - 3, 30 * DAY + 3),
        st.sampled_from([kind.value for kind in EventType]),
        st.sampled_from(["a", "b", "é", "𝄞", None]),
    )
    return draw(st.lists(event, max_size=600, unique=True))


@settings(max_examples=5)
@given(events=histories())
def test_of_any_events_the_rows_are_the_same(
    spark: SparkSession,
    tmp_path_factory: pytest.TempPathFactory,
    events: list[tuple[object, ...]],
) -> None:
    workspace = tmp_path_factory.mktemp("events")
    rows = [dict(zip(EVENTS, event, strict=True)) for event in events]
    pq.write_table(
        pa.Table.from_pylist(rows, pa.schema(list(EVENTS.items()))), workspace / "events.parquet"
    )
    pq.write_table(pa.table({"id": ["a", "é"]}), workspace / "tracks.parquet")
    compare(spark, workspace, Window.before(30 * DAY, 30))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of some demo data."""
    folder = tmp_path_factory.mktemp("demo")
    generate(folder / "data", seed=7, listeners=60, tracks=800)
    ingest(folder / "data", folder / "workspace")
    return folder / "workspace"


def test_of_the_demo_the_rows_are_the_same(spark: SparkSession, demo: Path) -> None:
    compare(spark, demo, Window.before(last_midnight(demo), 30))


def test_of_real_data_the_rows_are_the_same(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = SAMPLES / "pozytywka-1000"
    if not data.is_dir():
        pytest.skip(f"the real data samples are not at {SAMPLES}")
    ingest(data, tmp_path)
    compared = compare(spark, tmp_path, Window.before(last_midnight(tmp_path), 365))
    with capsys.disabled():
        print("\npozytywka-1000: rows, and seconds of DuckDB and of Spark")
        for name, it in compared.items():
            print(f"{name:12}{it.rows:10,}{it.duckdb:8.1f}{it.spark:8.1f}")


def last_midnight(workspace: Path) -> int:
    times = pq.read_table(workspace / "events.parquet", columns=["time"])["time"].to_numpy()
    return int(times.max()) // DAY * DAY


class TestJob:
    @pytest.fixture
    def lake(self, demo: Path, tmp_path: Path) -> Path:
        write_lake(demo, tmp_path)
        return tmp_path

    def answers(self, lake: Path, name: str) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = pq.read_table(lake / name).to_pylist()
        return sorted(rows, key=str)

    def expected(self, workspace: Path, name: str) -> list[dict[str, object]]:
        connection = duckdb.connect()
        for table in ("events", "plays"):
            create_view(connection, table, workspace / f"{table}.parquet")
        return sorted(query(connection, f"{name}.sql").to_pylist(), key=str)

    def test_writes_the_plays_and_the_weeks_of_all_complete_days(
        self, spark: SparkSession, demo: Path, lake: Path
    ) -> None:
        # What is not on a list of a day is not there yet, or no longer.
        (folder,) = list((lake / "events").glob("*"))[:1]
        (folder / "unlisted.parquet").write_bytes((demo / "events.parquet").read_bytes())
        for _ in range(2):
            run(spark, str(lake), str(lake), SQL.as_uri())
            for name in ("plays", "weeks"):
                assert self.answers(lake, name) == self.expected(demo, name)

    def test_refuses_a_lake_with_a_day_missing(self, spark: SparkSession, lake: Path) -> None:
        _, missing, *_ = sorted((lake / "days").glob("*"))
        missing.unlink()
        with pytest.raises(SystemExit, match=f"day {missing.stem} is not complete"):
            run(spark, str(lake), str(lake), SQL.as_uri())
        assert not (lake / "plays").exists()

    def test_refuses_what_is_no_lake(self, spark: SparkSession, tmp_path: Path) -> None:
        with pytest.raises(SystemExit, match="no day is complete"):
            run(spark, str(tmp_path), str(tmp_path), SQL.as_uri())
