"""The lake on S3: filled from exports of the table of sessions, and brought here to train on.

What a lake is, ``training.data.lake`` says. DynamoDB itself writes the exports, out of its backups:
they cost the table no read, and a day's export holds the items that changed on that day alone. What
is left to do is to unpack items into events, which one process does.
"""

from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from infra.exports import ExportFile, Prefix, TableExport, open_export
from infra.progress import Report
from segue.adapters.digests import KEY
from segue.adapters.objects import JSON
from segue.adapters.packing import session_id_of, unpack
from segue.domain.errors import InvalidData
from segue.domain.times import DAY
from training.data.lake import DAYS, Day, check_gapless, parse_day
from training.data.parquet import INTEGER, TEXT, TableWriter, count_rows
from training.data.queries import create_view, open_database, write_query

_COLUMNS = {
    "user_id": TEXT,
    "session_id": TEXT,
    "time": INTEGER,
    "type": TEXT,
    "track_id": TEXT,
}
_NAMES = ", ".join(_COLUMNS)
# Of DuckDB, which sorts the events of a day.
_MEMORY_LIMIT = "2GB"
_EPOCH = date(1970, 1, 1)

Row = tuple[object, ...]


@contextmanager
def fetched(data: str) -> Iterator[Path]:
    """A data folder: of ``s3://...`` a copy that is here as long as the context lasts.

    Raises InvalidData where the days of a lake are not complete, StoreUnavailable.
    """
    if not data.startswith("s3://"):
        yield Path(data)
        return
    source = Prefix.at(data)
    with TemporaryDirectory(prefix="segue-lake-") as name:
        days = list(_days(source).values())
        check_gapless(days, data)
        tables = [entry for entry in source.names() if "/" not in entry]
        lists = [f"{DAYS}/{day.day}.json" for day in days]
        for file in [*tables, *lists, *(file for day in days for file in day.files)]:
            source.download(file, Path(name) / file)
        yield Path(name)


def _days(lake: Prefix) -> dict[date, Day]:
    """The complete days of a lake, ascending. Raises InvalidData for a list that is none."""
    lists = (parse_day(lake.read(name) or b"", f"{lake}/{name}") for name in lake.names(f"{DAYS}/"))
    return {day.day: day for day in lists}


@dataclass(frozen=True)
class Export:
    """An export of the table of sessions, and the days of whose ends it knows.

    first: None where it is of the whole table. end: the day after the last.
    """

    table: TableExport
    first: date | None
    end: date


@dataclass(frozen=True, slots=True)
class Exported:
    """What came into a lake: events of so many days, and how many were taken out again."""

    days: int
    added: int
    removed: int


def export_events(export_url: str, lake_url: str, report: Report) -> Exported:
    """Bring the events of an export into the lake, where each day that it completes gets its list.

    Safe to repeat, and to be killed: lists are replaced when the files that they name are there. A
    day to which an event came late, or of which one was erased, is written anew.

    Raises InvalidData where the export is not finished, does not end with a day, or leaves a gap to
    the lake's days; StoreUnavailable.
    """
    lake = Prefix.at(lake_url)
    export, days = _opened(export_url), _days(lake)
    _check_follows(export, days, lake_url)
    with TemporaryDirectory(prefix="segue-export-") as name:
        folder = Path(name)
        _stage(export.table, folder, report)
        with open_database(folder / "spill", memory_limit=_MEMORY_LIMIT, threads=1) as connection:
            for table in ("added", "removed"):
                create_view(connection, table, folder / f"{table}.parquet")
            return _Filling(lake, export, days, connection, folder).run(report)


def _opened(url: str) -> Export:
    export = open_export(url)
    summary = export.summary
    until = summary.export_time if summary.is_full else summary.export_to_time
    return Export(
        table=export,
        first=None if summary.is_full else _midnight(summary.export_from_time, export.source),
        end=_midnight(until, export.source),
    )


def _midnight(time: datetime | None, source: Prefix) -> date:
    at = time and time.astimezone(UTC)
    if at is None or at != datetime(at.year, at.month, at.day, tzinfo=UTC):
        raise InvalidData(
            f"{source}: {time} is not a midnight UTC: a day would be counted in part; export whole "
            "days"
        )
    return at.date()


def _check_follows(export: Export, days: Mapping[date, Day], lake: str) -> None:
    last = max(days, default=None)
    # Who was erased since then would come back.
    if last is not None and last >= export.end:
        raise InvalidData(f"{lake} goes to {last}, and the export ends before: take the latest one")
    if export.first is not None and (last is None or last + timedelta(1) < export.first):
        raise InvalidData(
            f"{lake} {f'goes to {last}' if last else 'is empty'}, and the export begins with "
            f"{export.first}: export what lies before first"
        )


def _stage(export: TableExport, folder: Path, report: Report) -> None:
    """Write all rows that the export adds, and all that it takes away, as they come."""
    with (
        TableWriter(folder / "added.parquet", _COLUMNS) as added,
        TableWriter(folder / "removed.parquet", _COLUMNS) as removed,
    ):
        for done, file in enumerate(export.files, 1):
            for old, new in _changes(export, file):
                for row in new - old:
                    added.append(row)
                for row in old - new:
                    removed.append(row)
            report("items", done, len(export.files))


def _changes(export: TableExport, file: ExportFile) -> Iterator[tuple[set[Row], set[Row]]]:
    """The events of each item before and after."""
    try:
        for record in export.records(file):
            yield _rows(record.get("OldImage")), _rows(record.get("NewImage", record.get("Item")))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidData(
            f"{file.data_file_s3_key} is no file of an export of sessions: {error!r}"
        ) from None


def _rows(item: Any) -> set[Row]:
    # A digest is a copy of events that have items of their own.
    if item is None or item["start"]["S"] == KEY:
        return set()
    session_id, packed = session_id_of(item["start"]["S"]), b64decode(item["events"]["B"])
    return {event.identity for event in unpack(item["user_id"]["S"], session_id, packed)}


@dataclass(frozen=True)
class _Filling:
    """Brings the staged rows into the lake, day by day."""

    lake: Prefix
    export: Export
    days: Mapping[date, Day]
    connection: duckdb.DuckDBPyConnection
    folder: Path

    def run(self, report: Report) -> Exported:
        """Write files, then lists, then remove the files that no list names any more."""
        added, removed = self._counts("added"), self._counts("removed")
        changed = self._changed(added, removed)
        written = []
        for done, day in enumerate(changed, 1):
            written.append(self._write(day))
            report("days", done, len(changed))
        # The last is the day that the export completes. What goes on after that has no list yet.
        for it in written:
            if it.day < self.export.end:
                name = f"{self.lake.prefix}{DAYS}/{it.day}.json"
                self.lake.objects.put(name, msgspec.json.encode(it), JSON)
        for it in written:
            unlisted = {*self.lake.names(_folder(it.day))} - {*it.files}
            self.lake.objects.delete([self.lake.prefix + name for name in sorted(unlisted)])
        return Exported(len(written), added.total(), removed.total())

    def _counts(self, table: str) -> Counter[date]:
        query = f"SELECT time // {DAY} AS day, COUNT(*) FROM {table} GROUP BY day"  # noqa: S608
        rows = self.connection.execute(query).fetchall()
        return Counter({_EPOCH + timedelta(day): count for day, count in rows})

    def _changed(self, added: Counter[date], removed: Counter[date]) -> list[date]:
        """The days that have other events than before or are complete now, ascending."""
        first = self.export.first or min(added, default=self.export.end)
        complete = {first + timedelta(day) for day in range((self.export.end - first).days)}
        return sorted({*added, *removed, *complete})

    def _write(self, day: date) -> Day:
        """Write the day anew: what is there and what is added, without what is removed."""
        start = (day - _EPOCH).days * DAY
        rows = f"SELECT {_NAMES} FROM {{}} WHERE time >= {start} AND time < {start + DAY}"  # noqa: S608
        self._bring(day)
        path = self.folder / "day.parquet"
        write_query(
            self.connection,
            f"({rows.format('before')} UNION {rows.format('added')})"
            f" EXCEPT {rows.format('removed')} ORDER BY {_NAMES}",
            path,
        )
        events, name = count_rows(path), f"{_folder(day)}{self.export.table.name}.parquet"
        if not events:
            return Day(day, 0, ())
        self.lake.upload(path, name)
        return Day(day, events, (name,))

    def _bring(self, day: date) -> None:
        """Make the table ``before`` of the events that are there. An export of the whole table says
        by itself all that there is."""
        names: Sequence[str] = ()
        if self.export.first:
            listed = self.days.get(day)
            names = listed.files if listed else self.lake.names(_folder(day))
        paths = [self.folder / f"before-{number}.parquet" for number in range(len(names))]
        for name, path in zip(names, paths, strict=True):
            self.lake.download(name, path)
        if paths:
            self.connection.read_parquet(list(map(str, paths))).create_view("before")
        else:
            self.connection.register("before", pa.schema(_COLUMNS).empty_table())


def _folder(day: date) -> str:
    return f"events/day={day}/"
