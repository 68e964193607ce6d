"""Imports a data folder: first every event of a user, and last the profile, which says so.

A user's item bears a digest of all that was imported with it, and is written when the rest is in
place. So an import that was killed goes on where it stopped, and a repeat does nothing. Of a user
whose data changed, everything is written again; what the data no longer holds stays in the tables.
Of a user who was erased there is no digest any more: one whom the data still holds comes back.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from infra.importing.target import Target
from infra.progress import Report, silent
from infra.threads import in_threads
from segue.adapters.dynamodb import MAX_BATCH
from segue.domain.events import Event, EventType
from segue.domain.users import User, attributes_from_json
from training.data import Summary, connect, ingest

_WRITERS = 4
_ROWS_AT_ONCE = 20_000
_EVENTS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did. ``skipped_users`` were in place already, with everything of theirs.

    ``data`` says what the folder holds, and what of it was quarantined, and why.
    """

    users: int
    sessions: int
    events: int
    skipped_users: int
    data: Summary

    def to_json(self) -> str:
        """All of it as one JSON object."""
        own = {
            name: getattr(self, name) for name in ("users", "sessions", "events", "skipped_users")
        }
        return msgspec.json.format(
            msgspec.json.encode(own | {"data": msgspec.Raw(self.data.to_json().encode())}), indent=2
        ).decode()


def import_folder(
    folder: Path,
    target: Target,
    *,
    schema: Path | None = None,
    scratch: Path | None = None,
    progress: Report = silent,
) -> ImportSummary:
    """Import the users and events of a data folder; safe to repeat, and resumes where it stopped.

    Of the users, the columns are kept that ``schema`` reads, None being the folder's own.
    Works in bounded memory, with temporary files in ``scratch``. Raises InvalidData for a folder
    that cannot be read, StoreUnavailable where the target does not answer.
    """
    with TemporaryDirectory(prefix="segue-import-", dir=scratch) as temporary:
        workspace = Path(temporary)
        reading = partial(progress, "reading the data")
        data = ingest(folder, workspace, reading, needs=("sessions",), schema=schema)
        with closing(connect(workspace)) as connection:
            _find_changed_users(connection, target)
            return _write(connection, target, data, progress)


# The digest does not depend on the order of events, and is reckoned without sorting any.
_CHANGED_USERS = """
CREATE TABLE changed AS
WITH histories AS (
    SELECT
        user_id,
        COUNT(*) AS events,
        COUNT(DISTINCT session_id) AS sessions,
        BIT_XOR(MD5_NUMBER(CONCAT_WS(CHR(31), session_id, time, type, track_id))) AS digest
    FROM events
    GROUP BY user_id
),
digests AS (
    SELECT
        user_id,
        COALESCE(favourite_genres, []) AS favourite_genres,
        COALESCE(premium, FALSE) AS premium,
        attributes,
        COALESCE(events, 0) AS events,
        COALESCE(sessions, 0) AS sessions,
        MD5(CONCAT_WS(
            CHR(31), TO_JSON(favourite_genres), premium, attributes, events, histories.digest
        )) AS digest
    FROM histories FULL JOIN users USING (user_id)
)
SELECT digests.* FROM digests LEFT JOIN imported USING (user_id)
WHERE digests.digest IS DISTINCT FROM imported.digest
"""


def _find_changed_users(connection: duckdb.DuckDBPyConnection, target: Target) -> None:
    """Fill the table ``changed``: profile, counts and digest of all who are not in place yet."""
    imported = target.imported()
    connection.register(
        "imported",
        pa.table(
            {
                "user_id": pa.array(imported.keys(), pa.string()),
                "digest": pa.array(imported.values(), pa.string()),
            }
        ),
    )
    connection.execute(_CHANGED_USERS)


def _write(
    connection: duckdb.DuckDBPyConnection, target: Target, data: Summary, progress: Report
) -> ImportSummary:
    users, sessions, events = _row(
        connection,
        "SELECT COUNT(*), COALESCE(SUM(sessions), 0), COALESCE(SUM(events), 0) FROM changed",
    )
    (known,) = _row(
        connection,
        "SELECT COUNT(*) FROM (SELECT user_id FROM events UNION SELECT user_id FROM users)",
    )
    done = 0
    progress("writing events", done, int(events))
    for written in _write_users(_histories(connection), target):
        done += written
        progress("writing events", done, int(events))
    return ImportSummary(users, int(sessions), int(events), known - users, data)


@dataclass(frozen=True, slots=True)
class _History:
    """Everything of one user."""

    user: User
    digest: str
    events: list[Event]


def _histories(connection: duckdb.DuckDBPyConnection) -> Iterator[_History]:
    """The changed users one by one, each with all events: two streams in the order of users."""
    events_by_user = groupby(_events(connection.cursor()), key=attrgetter("user_id"))
    profiles = _stream(
        connection.cursor(),
        "SELECT user_id, favourite_genres, premium, attributes, digest, events"
        " FROM changed ORDER BY user_id",
    )
    for user_id, genres, premium, attributes, digest, events in profiles:
        history = list(next(events_by_user)[1]) if events else []
        user = User(user_id, tuple(genres), premium, attributes_from_json(attributes))
        yield _History(user, digest, history)


def _events(connection: duckdb.DuckDBPyConnection) -> Iterator[Event]:
    rows = _stream(
        connection,
        "SELECT user_id, session_id, time, type, track_id FROM events "
        "SEMI JOIN changed USING (user_id) ORDER BY user_id",
    )
    for user_id, session_id, time, kind, track_id in rows:
        yield Event(user_id, session_id, time, EventType(kind), track_id)


def _stream(connection: duckdb.DuckDBPyConnection, sql: str) -> Iterator[tuple[Any, ...]]:
    """Rows, a batch at a time in memory."""
    for batch in connection.sql(sql).to_arrow_reader(_ROWS_AT_ONCE):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _write_users(histories: Iterable[_History], target: Target) -> Iterator[int]:
    """Write in several threads; yields events as they get there."""
    return in_threads(partial(_write_batch, target), _batches(histories), _WRITERS)


def _batches(histories: Iterable[_History]) -> Iterator[list[_History]]:
    """As many users as go into one batch, fewer where they have many events."""
    batch: list[_History] = []
    events = 0
    for history in histories:
        batch.append(history)
        events += len(history.events)
        if len(batch) == MAX_BATCH or events >= _EVENTS_AT_ONCE:
            yield batch
            batch, events = [], 0
    if batch:
        yield batch


def _write_batch(target: Target, batch: list[_History]) -> int:
    events = [event for history in batch for event in history.events]
    target.put_events(events)
    target.put_users({history.user: history.digest for history in batch})
    return len(events)


def _row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return row
