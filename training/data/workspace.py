"""How a workspace comes about: whole, or as it was before; and what it sums up to."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from training.data.quarantine import Tally
from training.data.queries import COMPLETE, TABLES, listener_blocks, query
from training.data.summary import FileSummary, Summary

QUARANTINE = "quarantine.jsonl"
# Of DuckDB alone; Python and Arrow come on top of it.
MEMORY_LIMIT = "512MB"


@contextmanager
def filling(workspace: Path) -> Iterator[Path]:
    """A folder inside ``workspace`` to write all its files to; they move up when all went well.

    Where the change of files is cut short, ``connect`` refuses the workspace.
    """
    partial = workspace / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        _replace(workspace, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def summarise(
    connection: duckdb.DuckDBPyConnection, folder: str, tallies: Mapping[str, Tally]
) -> Summary:
    """Count what the views ``events``, ``plays`` and ``tracks`` hold."""
    files = {table: tally.summary() for table, tally in tallies.items()}
    blocks = listener_blocks(connection, "events", "plays")
    figures = _together([query(block, "figures.sql").to_pylist()[0] for block in blocks])
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


def _together(blocks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of all listeners, by those of some each: most add up."""
    folds: dict[str, Callable[[list[Any]], Any]] = {
        "tracks": max,
        "first_event": min,
        "last_event": max,
        "longest_session_ms": max,
        "longest_session_events": max,
    }
    found = {name: [block[name] for block in blocks] for name in blocks[0]}
    # Without any event, there is neither a first nor a last one.
    return {
        name: None if None in values else folds.get(name, sum)(values)
        for name, values in found.items()
    }


def _kept(files: Mapping[str, FileSummary], table: str) -> int:
    return files[table].kept if table in files else 0


def complete(partial: Path, summary: Summary) -> None:
    """Write the summary, which makes the files a finished workspace."""
    (partial / COMPLETE).write_text(summary.to_json(), "utf-8")


def _replace(workspace: Path, partial: Path) -> None:
    (workspace / COMPLETE).unlink(missing_ok=True)
    for name in (*(f"{table}.parquet" for table in TABLES), QUARANTINE, COMPLETE):
        (partial / name).replace(workspace / name)
