"""A made-up log of listening as large as one likes, written in blocks of listeners.

Artists and tracks are the demo's. Its listeners take a hundredth of a second each, which is too
much for a million of them; these are drawn by the thousand, and simpler: each play repeats an
earlier one, or comes from three favourite genres, from the charts of its week, or from all tracks.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infra.demo.catalogue import Catalogue, make_catalogue
from infra.demo.generate import write_catalogue
from infra.demo.genres import GENRES
from infra.demo.history import Kind
from infra.demo.randomness import Floats, Ints, Rng, cumulate, draw, stream
from infra.demo.taste import DAY_MS, END_MS, START_MS
from infra.progress import Report
from training.data.queries import open_database

# 100 million events are of a million listeners and 100,000 tracks.
EVENTS_OF_LISTENER, LISTENERS_OF_TRACK, FEWEST_TRACKS = 100, 10, 1_000
BLOCK = 10_000

_MEDIAN_PLAYS, _SPREAD, _FEWEST, _MOST = 54, 0.8, 5, 1_500
_SESSION_ENDS = 1 / 6
_GENRES = 3
# How often a play repeats an earlier one, is of a favourite genre, of the charts; else of anything.
_REPEATED, _OF_GENRE, _OF_CHARTS = 0.4, 0.35, 0.15
_CHART, _NEW_A_WEEK = 50, 10
_WEEK_MS = 7 * DAY_MS
# Chances to be skipped and liked, of a track outside and within the favourite genres.
_SKIPPED, _LIKED = np.array([0.4, 0.2]), np.array([0.03, 0.12])
_TRACK_MS = 200_000


@dataclass(frozen=True)
class Charts:
    """What all listeners draw from. genres: (tracks, genres) bool."""

    appeal: Floats
    genres: NDArray[np.bool_]
    order: Ints

    @classmethod
    def of(cls, catalogue: Catalogue, random: Rng) -> "Charts":
        """Hits are drawn by appeal, and stay for some weeks."""
        waits = random.exponential(size=len(catalogue.ids)) / catalogue.appeal
        return cls(catalogue.appeal, catalogue.artists.genres[catalogue.artist], np.argsort(waits))

    @cached_property
    def of_all(self) -> Ints:
        return cumulate(self.appeal)

    @cached_property
    def of_genres(self) -> list[tuple[Ints, Ints]]:
        """For each genre its tracks, or all where it has none, and their running appeal."""
        members = [np.flatnonzero(column) for column in self.genres.T]
        everything = np.arange(len(self.appeal))
        members = [own if len(own) else everything for own in members]
        return [(own, cumulate(self.appeal[own])) for own in members]

    def at(self, times: Ints, numbers: Floats) -> Ints:
        """A track of the charts for each time; the first places are played most."""
        week = (times - START_MS) // _WEEK_MS
        place = week * _NEW_A_WEEK + np.floor(_CHART * numbers**2).astype(np.int64)
        return self.order[place % len(self.order)]


def write_listening(folder: Path, events: int, seed: int, report: Report) -> int:
    """Write a data folder of about so many events; how many there are. The log is in the order of
    time, as a service would write it. The same seed makes the same."""
    listeners = max(events // EVENTS_OF_LISTENER, 10)
    tracks = max(listeners // LISTENERS_OF_TRACK, FEWEST_TRACKS)
    folder.mkdir(parents=True, exist_ok=True)
    catalogue = make_catalogue(seed, tracks)
    write_catalogue(folder, catalogue, seed)
    charts = Charts.of(catalogue, stream(seed, 1))
    ids = pa.array(catalogue.ids)
    unsorted = folder / "unsorted.parquet"
    with (
        pq.ParquetWriter(unsorted, _SESSIONS) as sessions,
        pq.ParquetWriter(folder / "users.parquet", _USERS) as users,
    ):
        for first in range(0, listeners, BLOCK):
            numbers = np.arange(first, min(first + BLOCK, listeners))
            random = stream(seed, 2, first)
            taste = random.integers(0, len(GENRES), (len(numbers), _GENRES))
            users.write_table(_users(numbers, taste, random))
            sessions.write_table(_block(numbers, taste, charts, random, ids))
            report("listeners", int(numbers[-1]) + 1, listeners)
    with open_database(folder / "spill", memory_limit="2GB") as connection:
        connection.execute(
            f"COPY (SELECT * FROM '{unsorted}' ORDER BY timestamp) "  # noqa: S608
            f"TO '{folder / 'sessions.parquet'}' (FORMAT parquet, COMPRESSION zstd)"
        )
    unsorted.unlink()
    return int(pq.read_metadata(folder / "sessions.parquet").num_rows)


_SESSIONS = pa.schema(
    {
        "timestamp": pa.int64(),
        "user_id": pa.int64(),
        "track_id": pa.string(),
        "event_type": pa.string(),
        "session_id": pa.int64(),
    }
)
_USERS = pa.schema(
    {
        "user_id": pa.int64(),
        "favourite_genres": pa.list_(pa.string()),
        "premium_user": pa.bool_(),
    }
)


def _users(numbers: Ints, taste: Ints, random: Rng) -> pa.Table:
    genres = pa.array(GENRES).take(pa.array(taste.ravel()))
    offsets = pa.array(np.arange(0, taste.size + 1, _GENRES, dtype=np.int32))
    columns = [
        pa.array(numbers),
        pa.ListArray.from_arrays(offsets, genres),
        pa.array(random.random(len(numbers)) < 1 / 3),
    ]
    return pa.Table.from_arrays(columns, schema=_USERS)


def _block(numbers: Ints, taste: Ints, charts: Charts, random: Rng, ids: pa.Array) -> pa.Table:
    """The events of some listeners."""
    plays = random.lognormal(np.log(_MEDIAN_PLAYS), _SPREAD, len(numbers))
    sizes: Ints = np.clip(plays, _FEWEST, _MOST).astype(np.int64)
    owner = np.repeat(np.arange(len(numbers)), sizes)
    session, time = _times(owner, random)
    track = _tracks(owner, time, taste, charts, random)
    fits = charts.genres[track[:, None], taste[owner]].any(1).astype(np.int64)
    skipped = random.random(len(track)) < _SKIPPED[fits]
    liked = random.random(len(track)) < _LIKED[fits]
    early = (random.random((2, len(track))) * (_TRACK_MS - 2_000)).astype(np.int64) + 1_000
    parts: list[tuple[Kind, Ints, Ints]] = [
        (Kind.PLAY, np.arange(len(track)), time),
        (Kind.SKIP, np.flatnonzero(skipped), (time + early[0])[skipped]),
        (Kind.LIKE, np.flatnonzero(liked), (time + early[1])[liked]),
    ]
    play = np.concatenate([places for _, places, _ in parts])
    kinds = np.repeat([kind.name for kind, _, _ in parts], [len(it) for _, it, _ in parts])
    columns = [
        pa.array(np.concatenate([times for _, _, times in parts])),
        pa.array(numbers[owner[play]]),
        ids.take(pa.array(track[play])),
        pa.array(kinds),
        pa.array(numbers[owner[play]] * (_MOST + 1) + session[play]),
    ]
    return pa.Table.from_arrays(columns, schema=_SESSIONS)


def _times(owner: Ints, random: Rng) -> tuple[Ints, Ints]:
    """The plays' sessions, numbered for each listener, and their times, ascending."""
    first = np.concatenate([[True], owner[1:] != owner[:-1]])
    begins = first | (random.random(len(owner)) < _SESSION_ENDS)
    starts = np.flatnonzero(begins)
    of_play = np.cumsum(begins) - 1
    when = random.integers(START_MS // 1_000, END_MS // 1_000, len(starts)) * 1_000
    when = when[np.lexsort((when, owner[starts]))]
    place = np.arange(len(owner)) - starts[of_play]
    session = of_play - of_play[np.flatnonzero(first)][owner]
    return session, when[of_play] + place * _TRACK_MS


def _tracks(owner: Ints, time: Ints, taste: Ints, charts: Charts, random: Rng) -> Ints:
    numbers = random.random(len(owner))
    track = draw(charts.of_all, numbers)
    of_chart = random.random(len(owner)) < _OF_CHARTS / (1 - _REPEATED)
    track[of_chart] = charts.at(time[of_chart], numbers[of_chart])
    of_genre = ~of_chart & (random.random(len(owner)) < _OF_GENRE / (1 - _REPEATED - _OF_CHARTS))
    genre = np.where(of_genre, taste[owner, random.integers(0, _GENRES, len(owner))], -1)
    for number, (members, totals) in enumerate(charts.of_genres):
        own = np.flatnonzero(genre == number)
        track[own] = members[draw(totals, numbers[own])]
    return track[_originals(owner, random)]


def _originals(owner: Ints, random: Rng) -> Ints:
    """(plays,) which play each one repeats in the end: itself, or an earlier one of its owner."""
    plays = np.arange(len(owner))
    place = plays - np.searchsorted(owner, owner)
    repeated = random.random(len(owner)) < _REPEATED
    back = 1 + np.floor(random.random(len(owner)) * place).astype(np.int64)
    source = np.where(repeated & (place > 0), plays - back, plays)
    while not np.array_equal(source, source[source]):
        source = source[source]
    return source
