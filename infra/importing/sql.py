"""Reads listening events from a SQL database: any that SQLAlchemy knows.

The rows are streamed to disk, in the form of a data folder, and from there take the same way as
any other data: what cannot be used is quarantined with its reason, repeats are dropped.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)

from infra.importing.importer import ImportSummary, import_folder
from infra.importing.target import Target
from infra.progress import Report, silent
from segue.domain.errors import InvalidData, StoreUnavailable
from segue.features.schema import POZYTYWKA, load_schema

_SESSION_COLUMNS = ("session_id", "timestamp", "user_id", "track_id", "event_type")
_USER_COLUMNS = ("user_id", "favourite_genres", "premium_user")
_ROWS_AT_ONCE = 10_000
_TRIES = 3
_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class SqlSource:
    """A database, a file with the query for its events, and perhaps one for its users.

    The queries return the columns of ``sessions`` and ``users``.
    """

    url: str
    sessions: Path
    users: Path | None = None


def import_sql(
    source: SqlSource,
    target: Target,
    *,
    schema: Path = POZYTYWKA,
    scratch: Path | None = None,
    progress: Report = silent,
) -> ImportSummary:
    """Import what the queries return; safe to repeat, and resumes where it stopped.

    The query for users returns the further columns that ``schema`` reads, too.
    Raises InvalidData for a query or a URL that cannot be used, StoreUnavailable where the
    database, after some tries, or the target do not answer.
    """
    with (
        TemporaryDirectory(prefix="segue-sql-", dir=scratch) as folder,
        _engine(source.url) as engine,
    ):
        rows = Path(folder)
        if not _dump(engine, source.sessions, _SESSION_COLUMNS, rows / "sessions.jsonl", progress):
            raise InvalidData(f"{source.sessions}: the query returns no row")
        if source.users:
            columns = (*_USER_COLUMNS, *load_schema(schema).attributes)
            _dump(engine, source.users, columns, rows / "users.jsonl", progress)
        return import_folder(rows, target, schema=schema, scratch=scratch, progress=progress)


@contextmanager
def _engine(url: str) -> Iterator[sqlalchemy.Engine]:
    try:
        engine = sqlalchemy.create_engine(url)
    except (ArgumentError, NoSuchModuleError) as error:
        raise InvalidData(f"the database URL cannot be used: {_first_line(error)}") from None
    except ModuleNotFoundError as error:
        raise InvalidData(
            f"the database URL needs a driver that is not installed: {error.name}"
        ) from None
    try:
        yield engine
    finally:
        engine.dispose()


def _dump(
    engine: sqlalchemy.Engine,
    file: Path,
    columns: tuple[str, ...],
    into: Path,
    progress: Report,
) -> int:
    """Write the query's rows as JSON Lines; how many. After a failure the query begins anew."""
    for _ in range(_TRIES - 1):
        with suppress(StoreUnavailable), _translated(file):
            return _stream(engine, file, columns, into, progress)
        time.sleep(_PAUSE_SECONDS)
    with _translated(file):
        return _stream(engine, file, columns, into, progress)


@contextmanager
def _translated(file: Path) -> Iterator[None]:
    """One line in place of what SQLAlchemy says."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise StoreUnavailable(f"the database: {_first_line(error.orig)}") from None
    except DBAPIError as error:
        raise InvalidData(f"{file}: {_first_line(error.orig)}") from None
    except SQLAlchemyError as error:
        raise InvalidData(f"{file}: {_first_line(error)}") from None


def _stream(
    engine: sqlalchemy.Engine,
    file: Path,
    columns: tuple[str, ...],
    into: Path,
    progress: Report,
) -> int:
    query = _read_query(file)
    encoder = msgspec.json.Encoder()
    count = 0
    with engine.connect() as connection, into.open("wb") as out:
        # The query goes to the database as it is: colons and percent signs are its own.
        options = {"no_parameters": True, "stream_results": True, "yield_per": _ROWS_AT_ONCE}
        result = connection.exec_driver_sql(query, execution_options=options)
        if missing := [column for column in columns if column not in set(result.keys())]:
            raise InvalidData(f"{file}: the query returns no column {', '.join(missing)}")
        for rows in result.mappings().partitions():
            out.write(encoder.encode_lines([_record(row, columns) for row in rows]))
            count += len(rows)
            progress(f"reading {into.stem}", count, 0)
    return count


def _record(row: Mapping[Any, Any], columns: tuple[str, ...]) -> dict[str, Any]:
    return {column: _value(column, row[column]) for column in columns}


def _value(column: str, value: Any) -> Any:
    """What the database holds; a list, which one without arrays holds as JSON, as a list."""
    if not isinstance(value, str) or column in _SESSION_COLUMNS:
        return value
    return _parse_list(value) if column == "favourite_genres" or value[:1] == "[" else value


def _parse_list(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _read_query(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip().rstrip(";")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidData(f"{file}: {error}") from None


def _first_line(error: object) -> str:
    return str(error).strip().partition("\n")[0]
