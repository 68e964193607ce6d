"""Makes a data folder of MovieLens-100k in RecBole's atomic files.

These are tables divided by TABs, whose first line names each column and its type
(``rating:float``): ``.inter`` holds who rated what, ``.item`` the films, ``.user`` the people.
"""

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from math import isfinite
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import msgspec

from segue.domain.errors import InvalidData
from segue.domain.times import LATEST, SECOND
from training.data.folder import open_gzip, whole_or_nothing
from training.data.forms import MOVIELENS, SCHEMA

# A rating from here on is a film that was seen to the end; below, one that was broken off.
_COMPLETED = 4.0
# So long a silence ends a session.
_SILENCE = 30 * 60 * SECOND

Row = Mapping[str, str]
Record = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class MovieLens:
    """What was written: films, people, and ratings, those included that cannot be used."""

    items: int
    users: int
    ratings: int


def convert_movielens(source: Path, directory: Path) -> MovieLens:
    """Write the atomic files in ``source`` as a data folder, which must not exist yet or be empty.

    A rating is a PLAY; one below 4 is a PLAY and a SKIP. A row that cannot be used keeps its fault:
    whoever reads the folder puts it aside with the reason. The folder appears whole, or not at all.
    Raises InvalidData where a file or a column is missing, FileExistsError where something is there
    already.
    """
    ratings = list(_rows(source, ".inter", "user_id", "item_id", "rating", "timestamp"))
    items = [_track(row) for row in _rows(source, ".item", "item_id")]
    users = [_user(row) for row in _rows(source, ".user", "user_id")]
    with whole_or_nothing(directory) as unfinished:
        _write(unfinished, "tracks", items)
        _write(unfinished, "users", users)
        _write(unfinished, "sessions", _events(ratings))
        shutil.copyfile(MOVIELENS, unfinished / SCHEMA)
    return MovieLens(len(items), len(users), len(ratings))


def _rows(source: Path, suffix: str, *needs: str) -> Iterator[Row]:
    """The rows of the only file that ends so, by the columns' names."""
    paths = sorted(source.glob(f"*{suffix}"))
    if len(paths) != 1:
        raise InvalidData(f"{source} holds {len(paths)} files *{suffix}, not one")
    # Bytes that are no UTF-8 would be in titles, and are no reason to refuse the rest.
    with paths[0].open(encoding="utf-8-sig", errors="backslashreplace") as file:
        header = next(file, "").rstrip("\n").split("\t")
        names = [column.partition(":")[0] for column in header]
        for name in needs:
            if name not in names:
                raise InvalidData(f"{paths[0]}: the first line names no column {name!r}")
        for line in file:
            if not line.isspace():
                yield dict(zip(names, line.rstrip("\n").split("\t"), strict=False))


def _track(row: Row) -> Record:
    classes = row.get("class", "").split()
    return {
        "id": row.get("item_id"),
        "name": row.get("movie_title"),
        "release_year": _whole(row.get("release_year")),
        "genres": [genre for genre in classes if genre != "unknown"],
    }


def _user(row: Row) -> Record:
    return {
        "user_id": row.get("user_id"),
        "age": _whole(row.get("age")),
        "gender": row.get("gender"),
        # A list, so that the words which occur are found from the data.
        "occupation": row.get("occupation", "").split(),
    }


def _whole(text: str | None) -> int | None:
    """The number; None where it is written as no whole number, as some years are."""
    return int(text) if text and re.fullmatch(r"\d{1,9}", text) else None


class _Rating(NamedTuple):
    """A row with a time and a rating; whether its ids can be used is for the reader to say."""

    user_id: str
    track_id: str | None
    time: int
    completed: bool


def _events(rows: Iterable[Row]) -> Iterator[Record]:
    """Everybody's events in the order of time, and the rows that cannot be any."""
    ratings = []
    for row in rows:
        seconds, rating = _number(row.get("timestamp")), _number(row.get("rating"))
        if seconds is None or rating is None or not 0 <= seconds * SECOND < LATEST:
            yield _unusable(row)
        else:
            time = round(seconds * SECOND)
            user_id, track_id = row.get("user_id", ""), row.get("item_id")
            ratings.append(_Rating(user_id, track_id, time, rating >= _COMPLETED))
    ratings.sort(key=attrgetter("user_id", "time"))
    sessions = count(1)
    for _, history in groupby(ratings, key=attrgetter("user_id")):
        yield from _history(list(history), sessions)


def _history(ratings: Sequence[_Rating], sessions: Iterator[int]) -> Iterator[Record]:
    """One user's events. What bears the same second follows one another by milliseconds.

    So a SKIP comes after its own PLAY, and before the next.
    """
    session, seen, clock = next(sessions), ratings[0].time, ratings[0].time - 1
    for rating in ratings:
        if rating.time - seen > _SILENCE:
            session = next(sessions)
        seen, clock = rating.time, max(rating.time, clock + 1)
        yield _event(rating, session, clock, "PLAY")
        if not rating.completed:
            clock += 1
            yield _event(rating, session, clock, "SKIP")


def _event(rating: _Rating, session: int, time: int, kind: str) -> Record:
    return {
        "session_id": session,
        "timestamp": time,
        "user_id": rating.user_id,
        "track_id": rating.track_id,
        "event_type": kind,
    }


def _unusable(row: Row) -> Record:
    """All that the row says, and no kind of event, for which every reader refuses it."""
    return {**row, "session_id": 0, "track_id": row.get("item_id"), "event_type": None}


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if isfinite(number) else None


def _write(directory: Path, table: str, records: Iterable[Record]) -> None:
    encode = msgspec.json.Encoder().encode
    with open_gzip(directory / f"{table}.jsonl.gz") as file:
        for record in records:
            file.write(encode(record) + b"\n")
