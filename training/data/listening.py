"""Users and their events: who they are, what they heard, and what became of each play."""

from collections.abc import Collection
from functools import partial
from pathlib import Path

import duckdb

from segue.domain.events import Event, parse_event
from segue.domain.users import attributes_to_json, parse_user
from training.data.events import EVENT_COLUMNS, read_plain_columns, read_plain_events
from training.data.intake import Intake
from training.data.parquet import TEXT, TEXTS, TRUTH, TableWriter, count_rows
from training.data.queries import create_view, read_sql, write_blocks, write_query
from training.data.records import decode, first_only
from training.data.sources import Columns, Row

USER_COLUMNS = {"user_id": TEXT, "favourite_genres": TEXTS, "premium": TRUTH, "attributes": TEXT}


def write_users(intake: Intake, attributes: Collection[str], path: Path) -> None:
    """Write ``users.parquet``: ``user_id``, ``favourite_genres``, ``premium``, ``attributes``.

    The last is a JSON object of the further columns that ``attributes`` names, as far as they are
    given; null where none is.
    """
    warnings = intake.tallies["users"].warnings
    parse = first_only(
        partial(parse_user, attributes=attributes), "user_id", lambda user: user.user_id
    )
    with TableWriter(path, USER_COLUMNS) as table:
        for _, user in intake.items("users", parse):
            further = attributes_to_json(user.attributes)
            table.append((user.user_id, user.favourite_genres, user.premium, further))
            for name in attributes:
                warnings[f"{name} missing or unusable"] += name not in user.attributes


def write_events(intake: Intake, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write ``events.parquet``, sorted by user, time, session, type and track, without repeats.

    A session in which several users occur is nobody's: all its events go to the quarantine. Leaves
    the view ``events`` on the connection.
    """
    staged, grouped = path.with_suffix(".staged"), path.with_suffix(".grouped")
    _stage_events(intake, staged)
    create_view(connection, "staged", staged)
    _reject_shared_sessions(intake, connection)
    write_query(
        connection,
        "SELECT user_id, session_id, time, type, track_id"
        " FROM staged ANTI JOIN shared USING (session_id) ORDER BY user_id",
        grouped,
    )
    staged.unlink()
    create_view(connection, "grouped", grouped)
    write_blocks(
        connection,
        "grouped",
        "SELECT DISTINCT * FROM grouped ORDER BY user_id, time, session_id, type, track_id",
        path,
    )
    grouped.unlink()
    create_view(connection, "events", path)
    tally = intake.tallies["sessions"]
    tally.repeats = tally.kept - count_rows(path)


def _stage_events(intake: Intake, path: Path) -> None:
    """Write the events with the numbers of their rows; the order does not matter."""
    with TableWriter(path, EVENT_COLUMNS) as table:
        for block in intake.blocks("sessions"):
            if isinstance(block, Columns):
                events, others = read_plain_columns(block)
            else:
                events, others = read_plain_events(block)
            table.extend(events)
            for line, event in intake.accepted("sessions", others, _read_event):
                table.append((line, *event.identity))


def _read_event(row: Row) -> Event:
    return parse_event(decode(row))


def _reject_shared_sessions(intake: Intake, connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "CREATE TABLE shared AS SELECT session_id FROM staged"
        " GROUP BY session_id HAVING MIN(user_id) <> MAX(user_id)"
    )
    rows = connection.sql(
        "SELECT line FROM staged SEMI JOIN shared USING (session_id) ORDER BY line"
    ).to_arrow_table()
    if rows.num_rows:
        intake.reject("sessions", rows["line"].to_pylist(), "session_id shared by several users")


def write_plays(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write ``plays.parquet``, what ``plays.sql`` says of ``events``; leaves the view ``plays``."""
    write_blocks(connection, "events", read_sql("plays.sql"), path)
    create_view(connection, "plays", path)
