"""Times: text and numbers in, milliseconds since 1970 UTC out, and back."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.domain.times import DAY, LATEST, Window, format_time, parse_time

TIMES = st.integers(0, LATEST - 1)


@given(TIMES)
def test_what_is_written_reads_back(time: int) -> None:
    assert parse_time(format_time(time)) == time


@given(TIMES, TIMES)
def test_texts_sort_as_their_times_do(one: int, other: int) -> None:
    assert (format_time(one) < format_time(other)) == (one < other)


@given(TIMES)
def test_milliseconds_are_taken_as_they_are(time: int) -> None:
    assert parse_time(time) == time


@given(TIMES, st.integers(-23, 23))
def test_a_zone_moves_the_clock_and_not_the_time(time: int, hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    try:
        moment = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time)).astimezone(zone)
    except OverflowError:
        return  # the year 0 or 10000 on that clock
    assert parse_time(moment.isoformat()) == time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1970-01-01", 0),
        ("2022-09-01T00:00:00", 1_661_990_400_000),
        ("2022-09-01 00:00:00", 1_661_990_400_000),
        ("2022-09-01T00:00:00Z", 1_661_990_400_000),
        ("2022-09-01T02:00:00+02:00", 1_661_990_400_000),
        ("2023-01-03T05:14:02.707000", 1_672_722_842_707),
        ("2023-01-03T05:14:02.707999", 1_672_722_842_707),
        ("9999-12-31T23:59:59.999Z", LATEST - 1),
    ],
)
def test_iso_texts_are_utc_unless_they_say_otherwise(text: str, time: int) -> None:
    assert parse_time(text) == time


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        1.5,
        b"2022-09-01",
        "",
        "yesterday",
        "2022-13-01",
        "1661990400000",
        -1,
        LATEST,
        10**400,
        "1969-12-31T23:59:59.999Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        [2022],
    ],
)
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_time(value)


@pytest.mark.parametrize(
    "value", [-1, LATEST, "0001-01-01", "1969-12-31", "9999-12-31T23:59:59-14:00"]
)
def test_a_time_that_is_too_early_or_too_late_is_told_so(value: object) -> None:
    with pytest.raises(ValueError, match="not between the years 1970 and 9999"):
        parse_time(value)


def test_what_is_refused_is_not_repeated() -> None:
    """It may be nested deeper than the interpreter can follow."""
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(ValueError, match="not a time"):
        parse_time(nested)


def test_a_window_holds_its_start_and_not_its_end() -> None:
    before, after = Window.before(31 * DAY, 30), Window.after(31 * DAY, 30)
    assert (DAY in before, 31 * DAY - 1 in before, 31 * DAY in before) == (True, True, False)
    assert (31 * DAY - 1 in after, 31 * DAY in after, 61 * DAY in after) == (False, True, False)
