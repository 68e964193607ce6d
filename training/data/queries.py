"""Asks a workspace: DuckDB over its Parquet files, with the questions in ``sql/``."""

import glob
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segue.domain.errors import InvalidData
from segue.domain.times import LATEST, Window

MEMORY_LIMIT = "1GB"
THREADS = min(4, os.cpu_count() or 1)
TABLES = ("events", "plays", "users", "tracks")
# Rows of so many are sorted and joined in memory at a time.
BLOCK = 1 << 21
# Written last and removed first: where it stands, the other files belong together.
COMPLETE = "summary.json"
ALL_TIME = Window(0, LATEST)
_ROW_GROUP = 122_880
# As DuckDB calls a database in memory, with the schema of its views.
_DATABASE = "memory.main"


def connect(
    workspace: Path,
    *,
    plays: Path | None = None,
    memory_limit: str = MEMORY_LIMIT,
    threads: int = THREADS,
) -> duckdb.DuckDBPyConnection:
    """Open a workspace that ``ingest`` filled: views ``events``, ``plays``, ``users``, ``tracks``.

    ``plays``: a file to read in the place of its plays. Queries that outgrow ``memory_limit`` spill
    to the workspace. Each thread needs its share of it. Raises InvalidData where there is no
    finished workspace.
    """
    if not (workspace / COMPLETE).is_file():
        raise InvalidData(f"{workspace} holds no finished workspace: read the data folder first")
    connection = open_database(workspace / ".spill", memory_limit=memory_limit, threads=threads)
    for table in TABLES:
        given = plays if table == "plays" else None
        create_view(connection, table, given or workspace / f"{table}.parquet")
    return connection


def draw_listeners(connection: duckdb.DuckDBPyConnection, window: Window, most: int) -> bool:
    """Make the table ``drawn``: the ids of listeners who have at most so many plays of the window
    together; by a hash of their ids, so the same ones are drawn from more of their listening.
    Whether anybody is left out."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE drawn AS"
        " SELECT user_id, SUM(COUNT(*)) OVER (ORDER BY MD5(user_id), user_id) <= $most AS chosen"
        " FROM plays WHERE time >= $start AND time < $end GROUP BY user_id",
        {"most": most, "start": window.start, "end": window.end},
    )
    (left_out,) = connection.execute("SELECT COUNT(*) FROM drawn WHERE NOT chosen").fetchall()[0]
    connection.execute("DELETE FROM drawn WHERE NOT chosen")
    return bool(left_out)


def query(connection: duckdb.DuckDBPyConnection, name: str, window: Window = ALL_TIME) -> pa.Table:
    """The answer of one file of ``sql/``, in its total order, the same on every run.

    ``window`` is what the file reads as ``time_window``, if it does.
    """
    bounds = {"starts_at": [window.start], "ends_at": [window.end]}
    connection.register("time_window", pa.table(bounds))
    return connection.sql(read_sql(name)).to_arrow_table()


def listener_blocks(
    connection: duckdb.DuckDBPyConnection, table: str, *others: str
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connections on which ``table`` and the ``others`` hold the rows of some listeners alone: of
    as many as have BLOCK rows of ``table`` together, in the order of their ids. All other tables
    are as they were. The connection itself where there are no more rows than that.

    What is asked listener by listener is asked of one block after another: then neither memory nor
    what is spilled grows with the number of listeners.
    """
    users = connection.sql(
        f"SELECT user_id, COUNT(*) AS rows FROM {table} GROUP BY user_id ORDER BY user_id"  # noqa: S608
    ).to_arrow_table()
    sizes = users["rows"].to_numpy()
    _, firsts = np.unique((np.cumsum(sizes) - sizes) // BLOCK, return_index=True)
    if len(firsts) < 2:
        yield connection
        return
    lasts = np.append(firsts[1:], len(sizes)) - 1
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        with connection.cursor() as block:
            block.execute("SET VARIABLE first_user = $1", [users["user_id"][first].as_py()])
            block.execute("SET VARIABLE last_user = $1", [users["user_id"][last].as_py()])
            for name in (table, *others):
                block.execute(
                    f"CREATE TEMP VIEW {name} AS SELECT * FROM {_DATABASE}.{name} WHERE user_id"  # noqa: S608
                    " BETWEEN getvariable('first_user') AND getvariable('last_user')"
                )
            yield block


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


def write_blocks(connection: duckdb.DuckDBPyConnection, table: str, text: str, path: Path) -> None:
    """Write the answers of a query to a Parquet file, one ``listener_blocks`` after another."""
    writer: pq.ParquetWriter | None = None
    try:
        for block in listener_blocks(connection, table):
            batches = block.sql(text).to_arrow_reader(_ROW_GROUP)
            writer = writer or pq.ParquetWriter(path, batches.schema, compression="zstd")
            for batch in batches:
                writer.write_batch(batch)
    finally:
        if writer:
            writer.close()
