"""The cut-offs at which the data can be judged."""

from collections.abc import Sequence

import duckdb

from segue.domain.errors import InvalidData
from segue.domain.times import DAY, format_time

# So much data must lie on either side of a cut-off.
SPAN = 30 * DAY
WEEK = 7 * DAY


def weekly_cutoffs(first_event: int, last_event: int) -> list[int]:
    """The midnights (UTC) a week apart with 30 days of events before and after; may be none."""
    first = -(-(first_event + SPAN) // DAY) * DAY
    return list(range(first, last_event - SPAN + 1, WEEK))


def temporal_cutoffs(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """The weekly cut-offs of a workspace. Raises InvalidData where its events are too short."""
    first, last = connection.execute("SELECT MIN(time), MAX(time) FROM events").fetchall()[0]
    cutoffs = [] if first is None else weekly_cutoffs(first, last)
    if not cutoffs:
        span = 0 if first is None else (last - first) / DAY
        raise InvalidData(
            f"the events span {span:.1f} days, and weekly cut-offs need 30 before and 30 after: "
            "name a --cutoff yourself"
        )
    return cutoffs


def check_cutoffs(connection: duckdb.DuckDBPyConnection, cutoffs: Sequence[int]) -> list[int]:
    """The same, sorted. Raises InvalidData naming one that has nothing before or after it."""
    first, last = connection.execute("SELECT MIN(time), MAX(time) FROM plays").fetchall()[0]
    for cutoff in cutoffs:
        if first is None or not first < cutoff <= last:
            raise InvalidData(
                f"nothing was played on both sides of the cut-off {format_time(cutoff)}"
            )
    return sorted(set(cutoffs))
