"""The SQL says what the Python says, on any events; and windows end where they should."""

from collections.abc import Iterator
from itertools import groupby

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.domain.events import Event, EventType
from segue.domain.plays import label_plays
from segue.domain.times import DAY, Window
from training.data import query, set_cutoffs
from training.data.queries import read_sql

Row = tuple[object, ...]

AS_OF = 100 * DAY
START = AS_OF - 30 * DAY
COLUMNS = {
    "user_id": pa.string(),
    "session_id": pa.string(),
    "time": pa.int64(),
    "type": pa.string(),
    "track_id": pa.string(),
}
PLAYS = ["user_id", "session_id", "track_id", "time", "completed", "liked"]


def histories(times: st.SearchStrategy[int]) -> st.SearchStrategy[list[Event]]:
    """Different events of a few users, sessions and tracks, so that these and times coincide."""
    event = st.builds(
        Event,
        st.sampled_from(["101", "102"]),
        st.sampled_from(["1", "2"]),
        times,
        st.sampled_from(list(EventType)),
        st.sampled_from(["a", "b", "é", None]),
    )
    return st.lists(event, max_size=25, unique=True)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


def load(connection: duckdb.DuckDBPyConnection, events: list[Event]) -> None:
    """Make ``events`` and, by plays.sql, ``plays`` of them."""
    rows = [dict(zip(COLUMNS, event, strict=True)) for event in events]
    connection.register("events", pa.Table.from_pylist(rows, pa.schema(list(COLUMNS.items()))))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE plays AS {read_sql('plays.sql')}")


def answer(connection: duckdb.DuckDBPyConnection, name: str, columns: list[str]) -> list[Row]:
    table = query(connection, name).select(columns)
    return [tuple(row.values()) for row in table.to_pylist()]


def labelled(events: list[Event], window: Window | None = None) -> list[Row]:
    """What Python says of the events in the window, listener by listener, as serving does."""
    rows: list[Row] = []
    for user_id, group in groupby(sorted(events, key=lambda e: e.user_id), lambda e: e.user_id):
        known = [event for event in group if window is None or event.time in window]
        rows += [
            (user_id, play.session_id, play.track_id, play.time, play.completed, play.liked)
            for play in label_plays(known)
        ]
    return rows


@settings(deadline=None)
@given(events=histories(st.integers(0, 6)))
def test_plays_are_labelled_by_one_rule(
    connection: duckdb.DuckDBPyConnection, events: list[Event]
) -> None:
    load(connection, events)
    assert answer(connection, "plays.sql", PLAYS) == labelled(events)


@settings(deadline=None)
@given(events=histories(st.integers(0, 6)))
def test_plays_know_from_when_on_their_labels_hold(
    connection: duckdb.DuckDBPyConnection, events: list[Event]
) -> None:
    load(connection, events)
    times = ["completed", "skipped_at", "liked", "liked_at", "time"]
    for completed, skipped_at, liked, liked_at, time in answer(connection, "plays.sql", times):
        assert completed == (skipped_at is None)
        assert liked == (liked_at is not None)
        assert completed or skipped_at >= time  # type: ignore[operator]


@settings(deadline=None)
@given(events=histories(st.integers(AS_OF - 4, AS_OF + 4)))
def test_a_window_shows_what_serving_would_have_seen(
    connection: duckdb.DuckDBPyConnection, events: list[Event]
) -> None:
    """Sessions go on beyond the cut-off here: nothing of that may be seen."""
    load(connection, events)
    set_cutoffs(connection, [AS_OF])
    seen = answer(connection, "windows.sql", ["as_of", *PLAYS])
    assert seen == [(AS_OF, *row) for row in labelled(events, Window.before(AS_OF, 30))]


@settings(deadline=None)
@given(events=histories(st.integers(START - 3, START + 3)))
def test_a_window_begins_thirty_days_before(
    connection: duckdb.DuckDBPyConnection, events: list[Event]
) -> None:
    """A like of before the window may count for a play in it; nothing else reaches in."""
    load(connection, events)
    set_cutoffs(connection, [AS_OF])
    seen = answer(connection, "windows.sql", PLAYS[:-1])
    assert seen == [row[:-1] for row in labelled(events, Window.before(AS_OF, 30))]


@settings(deadline=None)
@given(
    events=histories(
        st.integers(AS_OF - 3, AS_OF + 3) | st.integers(AS_OF + 30 * DAY - 3, AS_OF + 30 * DAY + 3)
    )
)
def test_outcomes_are_what_was_fully_played_in_the_month_after(
    connection: duckdb.DuckDBPyConnection, events: list[Event]
) -> None:
    load(connection, events)
    set_cutoffs(connection, [AS_OF])
    before = {(row[0], row[2]) for row in labelled(events, Window(0, AS_OF))}
    month = labelled(events, Window.after(AS_OF, 30))
    played = sorted({(row[0], row[2]) for row in month if row[4]})
    expected = [(AS_OF, *pair, pair in before) for pair in played]
    assert answer(connection, "outcomes.sql", ["as_of", "user_id", "track_id", "heard"]) == expected


def test_each_cutoff_has_its_own_window(connection: duckdb.DuckDBPyConnection) -> None:
    load(connection, [Event("101", "1", AS_OF, EventType.PLAY, "a")])
    set_cutoffs(connection, [AS_OF, AS_OF + DAY, AS_OF + DAY, AS_OF + 31 * DAY])
    assert answer(connection, "windows.sql", ["as_of", "track_id"]) == [(AS_OF + DAY, "a")]
    assert answer(connection, "outcomes.sql", ["as_of", "track_id"]) == [(AS_OF, "a")]


def test_a_skip_behind_the_month_comes_too_late(connection: duckdb.DuckDBPyConnection) -> None:
    end = AS_OF + 30 * DAY
    play = Event("101", "1", end - 2, EventType.PLAY, "a")
    set_cutoffs(connection, [AS_OF])
    for skipped_at, outcome in ((end - 1, []), (end, [("a",)])):
        skip = Event("101", "1", skipped_at, EventType.SKIP, "a")
        load(connection, [play, skip])
        assert answer(connection, "outcomes.sql", ["track_id"]) == outcome
