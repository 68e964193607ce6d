"""Reads a data folder once, from its raw rows to a workspace of Parquet files."""

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from segue.domain.errors import InvalidData
from training.data.catalogue import read_artists, write_tracks
from training.data.figures import summarise
from training.data.intake import Intake, Progress
from training.data.listening import write_events, write_plays, write_users
from training.data.quarantine import Quarantine
from training.data.queries import COMPLETE, TABLES, create_view, open_database
from training.data.sources import SUFFIXES, Source, find_sources
from training.data.summary import Summary

QUARANTINE = "quarantine.jsonl"
# Of DuckDB alone; Python and Arrow come on top of it.
MEMORY_LIMIT = "512MB"


def ingest(
    folder: Path,
    workspace: Path,
    progress: Progress | None = None,
    *,
    needs: Collection[str] = ("tracks", "sessions"),
) -> Summary:
    """Read the data in ``folder`` into ``workspace``, which is made where it is missing.

    Writes ``events``, ``plays``, ``users`` and ``tracks`` (.parquet), ``quarantine.jsonl`` and
    ``summary.json``. A workspace that was there before stays as it was until all are written; where
    the change of files is cut short, ``connect`` refuses the workspace until this is run again.
    ``progress`` is told how many bytes were read, and how many there are.

    Raises InvalidData where a file cannot be read, or a table that it ``needs`` has no usable row.
    """
    sources = find_sources(folder)
    for table in needs:
        if table not in sources:
            raise InvalidData(f"{folder} holds no {table} ({', '.join(SUFFIXES)})")
    partial = workspace / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        summary = _read(folder, sources, partial, progress)
        _require_rows(summary, needs)
        (partial / COMPLETE).write_text(summary.to_json(), "utf-8")
        _replace(workspace, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return summary


def check(
    folder: Path, *, quarantine: Path | None = None, progress: Progress | None = None
) -> Summary:
    """Say what ``folder`` holds; what cannot be used is written to the file ``quarantine``.

    Unlike ``ingest`` it is content with any one of the four files. Raises InvalidData where the
    folder has none, or a file cannot be read.
    """
    sources = find_sources(folder)
    with TemporaryDirectory(prefix="segue-check-") as name:
        summary = _read(folder, sources, Path(name), progress)
        if quarantine is not None:
            quarantine.parent.mkdir(parents=True, exist_ok=True)
            partial = quarantine.with_name(f"{quarantine.name}.partial")
            shutil.copyfile(Path(name) / QUARANTINE, partial)
            partial.replace(quarantine)
    return summary


def _read(
    folder: Path, sources: Mapping[str, Source], into: Path, progress: Progress | None
) -> Summary:
    with (
        Quarantine(into / QUARANTINE) as quarantine,
        open_database(into / "spill", memory_limit=MEMORY_LIMIT) as connection,
    ):
        intake = Intake(sources, quarantine, progress)
        write_tracks(intake, read_artists(intake), into / "tracks.parquet")
        create_view(connection, "tracks", into / "tracks.parquet")
        write_users(intake, into / "users.parquet")
        write_events(intake, connection, into / "events.parquet")
        write_plays(connection, into / "plays.parquet")
        return summarise(connection, str(folder), intake.tallies)


def _require_rows(summary: Summary, needs: Collection[str]) -> None:
    for table in needs:
        file = summary.files[table]
        if file.kept == 0:
            why = f"; most often: {next(iter(file.reasons))}" if file.reasons else ""
            raise InvalidData(f"{summary.folder}/{file.file}: {file.read} rows, none usable{why}")


def _replace(workspace: Path, partial: Path) -> None:
    (workspace / COMPLETE).unlink(missing_ok=True)
    for name in (*(f"{table}.parquet" for table in TABLES), QUARANTINE, COMPLETE):
        (partial / name).replace(workspace / name)
