"""Reads interactions without times that come divided: a list to train on, a list to judge by.

A line holds a user and an item, perhaps how often they met, divided by TABs or by commas; or else
a user and all their items, divided by blanks.
"""

from collections.abc import Callable
from functools import partial
from math import frexp, inf
from pathlib import Path
from typing import NamedTuple

import duckdb

from segue.domain.errors import InvalidData, InvalidRecord
from segue.domain.events import parse_id
from training.data.forms import GIVEN, given_lists
from training.data.intake import Intake, Progress
from training.data.listening import USER_COLUMNS, write_plays
from training.data.parquet import INTEGER, TEXT, TableWriter
from training.data.quarantine import Quarantine
from training.data.queries import create_view, open_database, write_query
from training.data.sources import Row, Source, Unreadable
from training.data.summary import Summary
from training.data.workspace import MEMORY_LIMIT, QUARANTINE, complete, filling, summarise

# 2000-01-01, a day like any other, but so late that no model's window reaches back beyond 1970.
CUTOFF = 946_684_800_000
# What is learnt from lies a millisecond before it, and what is judged by begins with it: so it is
# in the window of every model, and in the month from the cut-off on.
_TIMES = {"train": CUTOFF - 1, "test": CUTOFF}

_STAGED_COLUMNS = {"time": INTEGER, "user_id": TEXT, "track_id": TEXT, "plays": INTEGER}
_PEEK = 1 << 16


class Pair(NamedTuple):
    """A user, an item, and the number of plays that the two count as."""

    user_id: str
    track_id: str
    plays: int = 1


def ingest_given(
    folder: Path, workspace: Path, progress: Progress | None = None
) -> tuple[Summary, int]:
    """Read the two lists into ``workspace`` as ``ingest`` does; answers the only cut-off, too.

    A pair becomes 1 + floor(log2 c) completed plays where they met c > 1 times, else one. A pair
    that a list holds several times is there once, by its greatest c. An item has no features, and
    a user no profile. The summary counts pairs as rows, and lines that cannot be used.

    Raises InvalidData where there are no two lists, a file cannot be read, or there is no pair to
    learn from.
    """
    lists = given_lists(folder)
    if lists is None:
        pairs = " nor ".join(" and ".join(names) for names in GIVEN)
        raise InvalidData(f"{folder} has no given split: it holds neither {pairs}")
    sources = {part: Source(part, path) for part, path in zip(_TIMES, lists, strict=True)}
    with filling(workspace) as unfinished:
        summary = _read(folder, sources, unfinished, progress)
        if not summary.files["train"].kept:
            raise InvalidData(f"{lists[0]}: no usable pair of a user and an item")
        complete(unfinished, summary)
    return summary, CUTOFF


def _read(
    folder: Path, sources: dict[str, Source], into: Path, progress: Progress | None
) -> Summary:
    with (
        Quarantine(into / QUARANTINE) as quarantine,
        open_database(into / "spill", memory_limit=MEMORY_LIMIT) as connection,
    ):
        intake = Intake(sources, quarantine, progress, tables=sources)
        _stage(intake, sources, into / "pairs.staged")
        create_view(connection, "staged", into / "pairs.staged")
        _merge_repeats(connection, intake)
        _write_tables(connection, into)
        return summarise(connection, str(folder), intake.tallies)


def _stage(intake: Intake, sources: dict[str, Source], path: Path) -> None:
    """Write the pairs as they come, repeats included."""
    with TableWriter(path, _STAGED_COLUMNS) as table:
        for part, source in sources.items():
            tally, time = intake.tallies[part], _TIMES[part]
            for _, pairs in intake.parsed(part, _parser(source.path)):
                tally.read += len(pairs) - 1
                for pair in pairs:
                    table.append((time, *pair))


def _merge_repeats(connection: duckdb.DuckDBPyConnection, intake: Intake) -> None:
    """Fill the table ``pairs`` from ``staged``."""
    connection.execute(
        "CREATE TABLE pairs AS SELECT time, user_id, track_id, MAX(plays) AS plays"
        " FROM staged GROUP BY time, user_id, track_id"
    )
    kept = dict(connection.execute("SELECT time, COUNT(*) FROM pairs GROUP BY time").fetchall())
    for part, tally in intake.tallies.items():
        tally.repeats = tally.kept - kept.get(_TIMES[part], 0)


def _write_tables(connection: duckdb.DuckDBPyConnection, into: Path) -> None:
    """Write all tables of a workspace; leaves the views of them on the connection."""
    write_query(
        connection,
        "SELECT user_id, user_id AS session_id, time, 'PLAY' AS type, track_id"
        " FROM pairs, RANGE(plays) ORDER BY user_id, time, track_id",
        into / "events.parquet",
    )
    create_view(connection, "events", into / "events.parquet")
    write_plays(connection, into / "plays.parquet")
    query = "SELECT DISTINCT track_id AS id FROM pairs ORDER BY id"
    write_query(connection, query, into / "tracks.parquet")
    create_view(connection, "tracks", into / "tracks.parquet")
    with TableWriter(into / "users.parquet", USER_COLUMNS):
        pass


def _parser(path: Path) -> Callable[[Row], list[Pair]]:
    """How the file's lines are read. A TAB anywhere divides columns, or else a comma."""
    with path.open("rb") as file:
        start = file.read(_PEEK)
    for separator in ("\t", ","):
        if separator.encode() in start:
            return partial(_columns, separator=separator)
    return _items


def _columns(row: Row, *, separator: str) -> list[Pair]:
    """The pair in a line of two or three columns. Raises InvalidRecord with every reason."""
    fields = [field.strip() for field in _text(row).split(separator)]
    if len(fields) not in (2, 3):
        raise InvalidRecord(["neither two nor three columns"])
    user, item, *count = fields
    reasons = _not_ids("user", [user]) + _not_ids("item", [item])
    plays = _plays(count[0]) if count else 1
    if plays is None:
        reasons.append("count not a number above zero")
    if plays is None or reasons:
        raise InvalidRecord(reasons)
    return [Pair(user, item, plays)]


def _items(row: Row) -> list[Pair]:
    """The pairs in a line of a user and their items. Raises InvalidRecord with every reason."""
    user, *items = _text(row).split() or [""]
    if reasons := _not_ids("user", [user]) + _not_ids("item", items):
        raise InvalidRecord(reasons)
    return [Pair(user, item) for item in items]


def _text(row: Row) -> str:
    if isinstance(row, Unreadable):
        raise InvalidRecord([row.reason])
    assert isinstance(row, bytes)
    try:
        return row.decode()
    except UnicodeDecodeError:
        raise InvalidRecord(["not UTF-8"]) from None


def _not_ids(what: str, texts: list[str]) -> list[str]:
    return [] if all(map(parse_id, texts)) else [f"{what} not an id"]


def _plays(count: str) -> int | None:
    """1 + floor(log2 count), and at least 1; None for what is no number above zero."""
    try:
        number = float(count)
    except ValueError:
        return None
    # The binary exponent is the logarithm without its rounding errors.
    return max(1, frexp(number)[1]) if 0 < number < inf else None
