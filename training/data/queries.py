"""Asks a workspace: DuckDB over its Parquet files, with the questions in ``sql/``."""

import glob
import os
from importlib import resources
from pathlib import Path

import duckdb
import pyarrow as pa

from segue.domain.errors import InvalidData
from segue.domain.times import LATEST, Window

MEMORY_LIMIT = "1GB"
THREADS = min(4, os.cpu_count() or 1)
TABLES = ("events", "plays", "users", "tracks")
# Written last and removed first: where it stands, the other files belong together.
COMPLETE = "summary.json"
ALL_TIME = Window(0, LATEST)


def connect(
    workspace: Path, *, memory_limit: str = MEMORY_LIMIT, threads: int = THREADS
) -> duckdb.DuckDBPyConnection:
    """Open a workspace that ``ingest`` filled: views ``events``, ``plays``, ``users``, ``tracks``.

    Queries that outgrow ``memory_limit`` spill to the workspace. Each thread needs its share of it.
    Raises InvalidData where there is no finished workspace.
    """
    if not (workspace / COMPLETE).is_file():
        raise InvalidData(f"{workspace} holds no finished workspace: read the data folder first")
    connection = open_database(workspace / ".spill", memory_limit=memory_limit, threads=threads)
    for table in TABLES:
        create_view(connection, table, workspace / f"{table}.parquet")
    return connection


def query(connection: duckdb.DuckDBPyConnection, name: str, window: Window = ALL_TIME) -> pa.Table:
    """The answer of one file of ``sql/``, in its total order, the same on every run.

    ``window`` is what the file reads as ``time_window``, if it does.
    """
    bounds = {"starts_at": [window.start], "ends_at": [window.end]}
    connection.register("time_window", pa.table(bounds))
    return connection.sql(read_sql(name)).to_arrow_table()


def read_sql(name: str) -> str:
    """The text of one file of ``sql/``."""
    return resources.files("training.data").joinpath("sql", name).read_text("utf-8")


def open_database(
    spill: Path, *, memory_limit: str = MEMORY_LIMIT, threads: int = THREADS
) -> duckdb.DuckDBPyConnection:
    """An empty database in memory that spills to the folder ``spill`` beyond its limit."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory_limit,
        "temp_directory": str(spill),
        "threads": threads,
    }
    return duckdb.connect(config=settings)


def create_view(connection: duckdb.DuckDBPyConnection, name: str, path: Path) -> None:
    """Make a Parquet file readable under ``name``."""
    source = glob.escape(str(path)).replace("'", "''")
    text = f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{source}')"  # noqa: S608
    connection.execute(text)


def write_query(connection: duckdb.DuckDBPyConnection, text: str, path: Path) -> None:
    """Write the answer of a query to a Parquet file, its rows in the query's order."""
    target = str(path).replace("'", "''")
    connection.execute(f"COPY ({text}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
