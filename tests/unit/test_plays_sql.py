"""Training knows of any events what serving does, and no more; months end where they should."""

from collections.abc import Iterator
from itertools import groupby

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.domain.catalogue import Catalogue
from segue.domain.events import Event, EventType
from segue.domain.plays import label_plays
from segue.domain.times import DAY, Window
from segue.models.hybrid.statistics import WINDOWS
from tests.counting import counts_of
from training.counts import count_at
from training.data import query
from training.data.queries import read_sql
from training.histories import read_plays

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
CATALOGUE = Catalogue(
    ids=np.array([b"a", b"b", "é".encode()]),
    explicit=np.zeros(3, np.bool_),
    popularity=np.zeros(3, np.float32),
    artists=np.full(3, -1, np.int32),
    genres={},
)
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
    rows = [dict(zip(COLUMNS, event.identity, strict=True)) for event in events]
    connection.register("events", pa.Table.from_pylist(rows, pa.schema(list(COLUMNS.items()))))
    connection.execute(f"CREATE OR REPLACE TABLE plays AS {read_sql('plays.sql')}")


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


def known(connection: duckdb.DuckDBPyConnection) -> list[Row]:
    """Users, tracks, times, completed and liked of the 30 days before AS_OF, as training has them,
    sorted: simultaneous plays of two sessions have no order of their own."""
    users, plays = read_plays(connection, CATALOGUE)
    month = plays.known_at(AS_OF, 30)
    columns = (users[month.user], CATALOGUE.track_ids(month.track), month.time)
    return sorted(zip(*columns, month.completed, month.liked, strict=True))


def expected(events: list[Event]) -> list[Row]:
    rows = labelled(events, Window.before(AS_OF, 30))
    return sorted((user, *play) for user, _, *play in rows)


@settings(deadline=None)
@given(events=histories(st.integers(AS_OF - 4, AS_OF + 4)))
def test_training_knows_what_serving_would_have_seen(
    connection: duckdb.DuckDBPyConnection, events: list[Event]
) -> None:
    """Sessions go on beyond the cut-off here: nothing of that may be seen."""
    load(connection, events)
    assert known(connection) == expected(events)


@settings(deadline=None)
@given(events=histories(st.integers(START - 3, START + 3)))
def test_a_month_begins_thirty_days_before(
    connection: duckdb.DuckDBPyConnection, events: list[Event]
) -> None:
    """A like of before the month may count for a play in it; nothing else reaches in."""
    load(connection, events)
    assert [row[:-1] for row in known(connection)] == [row[:-1] for row in expected(events)]


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
    month = labelled(events, Window.after(AS_OF, 30))
    assert outcomes(connection) == sorted({(row[0], row[2]) for row in month if row[4]})


def outcomes(connection: duckdb.DuckDBPyConnection) -> list[Row]:
    users, plays = read_plays(connection, CATALOGUE)
    user, track = plays.completed_in(AS_OF, AS_OF + 30 * DAY)
    return list(zip(users[user].tolist(), CATALOGUE.track_ids(track), strict=True))


def test_a_skip_behind_the_month_comes_too_late(connection: duckdb.DuckDBPyConnection) -> None:
    end = AS_OF + 30 * DAY
    play = Event("101", "1", end - 2, EventType.PLAY, "a")
    for skipped_at, outcome in ((end - 1, []), (end, [("101", "a")])):
        skip = Event("101", "1", skipped_at, EventType.SKIP, "a")
        load(connection, [play, skip])
        assert outcomes(connection) == outcome


LATER = 400 * DAY
# About where the windows before LATER begin, and where they end.
ABOUT = [LATER - days * DAY + more for days in (0, *WINDOWS, 29.5) for more in (-1, 0, 1)]


@settings(deadline=None)
@given(events=histories(st.sampled_from([int(time) for time in ABOUT])))
def test_the_database_counts_what_plays_in_memory_come_to(
    connection: duckdb.DuckDBPyConnection, events: list[Event]
) -> None:
    load(connection, events)
    _, plays = read_plays(connection, CATALOGUE)
    found, expected = (
        count_at(connection, CATALOGUE, LATER),
        counts_of(plays, len(CATALOGUE), LATER),
    )
    assert np.array_equal(found.full, expected.full)
    assert np.array_equal(found.begun, expected.begun)
    assert np.allclose(found.hot, expected.hot, rtol=0, atol=1e-8)


def test_counts_are_a_row_a_track_however_much_is_played(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    load(connection, [Event("101", "1", n, EventType.PLAY, "ab"[n % 2]) for n in range(100)])
    assert len(query(connection, "counts.sql", Window.before(DAY, 365))) == 2
