"""Reads a data folder once, from its raw rows to a workspace of Parquet files."""

from collections.abc import Collection, Mapping
from pathlib import Path

from segue.domain.errors import InvalidData
from segue.features.schema import load_schema
from training.data.catalogue import read_artists, write_tracks
from training.data.forms import folder_schema, seen
from training.data.intake import Intake, Progress
from training.data.listening import write_events, write_plays, write_users
from training.data.quarantine import Quarantine
from training.data.queries import create_view, open_database
from training.data.sources import SUFFIXES, Source, find_sources
from training.data.summary import Summary
from training.data.workspace import MEMORY_LIMIT, QUARANTINE, complete, filling, summarise


def ingest(
    folder: Path,
    workspace: Path,
    progress: Progress | None = None,
    *,
    needs: Collection[str] = ("tracks", "sessions"),
    schema: Path | None = None,
) -> Summary:
    """Read the data in ``folder`` into ``workspace``, which is made where it is missing.

    Writes ``events``, ``plays``, ``users`` and ``tracks`` (.parquet), ``quarantine.jsonl`` and
    ``summary.json``. A workspace that was there before stays as it was until all are written; where
    the change of files is cut short, ``connect`` refuses the workspace until this is run again.
    Of the users, the columns are kept that ``schema`` reads, None being the folder's own.
    ``progress`` is told how many bytes were read, and how many there are.

    Raises InvalidData where a file cannot be read, or a table that it ``needs`` has no usable row.
    """
    sources = find_sources(folder)
    for table in needs:
        if table not in sources:
            suffixes = ", ".join(SUFFIXES)
            raise InvalidData(f"{folder} holds no {table} ({suffixes}); {seen(folder)}")
    attributes = load_schema(schema or folder_schema(folder)).attributes
    with filling(workspace) as partial:
        summary = _read(folder, sources, attributes, partial, progress)
        _require_rows(summary, needs)
        complete(partial, summary)
    return summary


def _read(
    folder: Path,
    sources: Mapping[str, Source],
    attributes: Collection[str],
    into: Path,
    progress: Progress | None,
) -> Summary:
    with (
        Quarantine(into / QUARANTINE) as quarantine,
        open_database(into / "spill", memory_limit=MEMORY_LIMIT) as connection,
    ):
        intake = Intake(sources, quarantine, progress)
        write_tracks(intake, read_artists(intake), into / "tracks.parquet")
        create_view(connection, "tracks", into / "tracks.parquet")
        write_users(intake, attributes, into / "users.parquet")
        write_events(intake, connection, into / "events.parquet")
        write_plays(connection, into / "plays.parquet")
        return summarise(connection, str(folder), intake.tallies)


def _require_rows(summary: Summary, needs: Collection[str]) -> None:
    for table in needs:
        file = summary.files[table]
        if file.kept == 0:
            why = f"; most often: {next(iter(file.reasons))}" if file.reasons else ""
            raise InvalidData(f"{summary.folder}/{file.file}: {file.read} rows, none usable{why}")
