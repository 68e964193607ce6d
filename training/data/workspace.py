"""How a workspace comes about: whole, or as it was before."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.data.queries import COMPLETE, TABLES
from training.data.summary import Summary

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


def complete(partial: Path, summary: Summary) -> None:
    """Write the summary, which makes the files a finished workspace."""
    (partial / COMPLETE).write_text(summary.to_json(), "utf-8")


def _replace(workspace: Path, partial: Path) -> None:
    (workspace / COMPLETE).unlink(missing_ok=True)
    for name in (*(f"{table}.parquet" for table in TABLES), QUARANTINE, COMPLETE):
        (partial / name).replace(workspace / name)
