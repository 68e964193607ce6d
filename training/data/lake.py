"""A lake: events in Parquet files by day, and a list of the files of each day that is complete.

::

    events/day=2026-11-30/*.parquet    user_id, session_id, time, type, track_id
    days/2026-11-30.json               {"day": "2026-11-30", "events": 3, "files": ["events/..."]}

``time`` is in milliseconds since 1970 UTC, and ``day`` its day. A day is complete when it has a
list, which is written after the files that it names; files that no list names are not read.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec

from segue.domain.errors import InvalidData
from training.data.parquet import DAMAGE, count_rows

DAYS = "days"


class Day(msgspec.Struct, frozen=True, omit_defaults=True):
    """A complete day: how many rows its files have together, and their paths in the lake.

    ``format``: for a later version of Segue.
    """

    day: date
    events: int
    files: tuple[str, ...]
    format: int = 1


def parse_day(body: bytes, name: str) -> Day:
    """Read a day's list. Raises InvalidData naming it where it is none."""
    try:
        day = msgspec.json.decode(body, type=Day)
    except msgspec.MsgspecError as error:
        raise InvalidData(f"{name} does not list the files of a day: {error}") from None
    if day.format != 1:
        raise InvalidData(
            f"{name} is of format {day.format}, which a later version of Segue has written: read "
            "the lake with that version"
        )
    return day


def check_gapless(days: Sequence[Day], lake: str) -> None:
    """Raises InvalidData naming a day that is missing among ``days``, which ascend."""
    for day, following in pairwise(days):
        missing = day.day + timedelta(1)
        if following.day != missing:
            raise InvalidData(
                f"{lake}: the events of {missing} are not complete: {DAYS}/{missing}.json is "
                "missing; export that day"
            )


def complete_files(lake: Path) -> Iterator[Path]:
    """The files of the complete days, day by day. Raises InvalidData where a day is missing among
    them, or a file, or rows."""
    lists = sorted((lake / DAYS).glob("*.json"))
    days = [parse_day(path.read_bytes(), str(path)) for path in lists]
    check_gapless(days, str(lake))
    for day in days:
        files = [lake / file for file in day.files]
        try:
            rows = sum(map(count_rows, files))
        except DAMAGE as error:
            raise InvalidData(f"{lake}: the events of {day.day} cannot be read: {error}") from None
        if rows != day.events:
            raise InvalidData(
                f"{lake}: the files of {day.day} have {rows} events, not {day.events}: export that "
                "day again"
            )
        yield from files
