"""Sums a finished workspace up."""

from collections.abc import Mapping

import duckdb

from training.data.quarantine import Tally
from training.data.queries import query
from training.data.summary import FileSummary, Summary


def summarise(
    connection: duckdb.DuckDBPyConnection, folder: str, tallies: Mapping[str, Tally]
) -> Summary:
    """Count what the views ``events``, ``plays`` and ``tracks`` hold."""
    files = {table: tally.summary() for table, tally in tallies.items()}
    figures = query(connection, "figures.sql").to_pylist()[0]
    by_type = connection.execute(
        "SELECT type, COUNT(*) FROM events GROUP BY type ORDER BY COUNT(*) DESC, type"
    ).fetchall()
    if "tracks" in files and files["tracks"].file is None:
        figures["unknown_plays"] = None
    return Summary(
        folder=folder,
        files=files,
        artists=_kept(files, "artists"),
        users=_kept(files, "users"),
        events_by_type=dict(by_type),
        **figures,
    )


def _kept(files: Mapping[str, FileSummary], table: str) -> int:
    return files[table].kept if table in files else 0
