"""A listener's history: the events of every session, drawn from the truth in ``taste``."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from infra.demo.activity import LONGEST_SESSION_MS
from infra.demo.charts import chart_weights
from infra.demo.randomness import Floats, Ints, Rng, cumulate, draw
from infra.demo.taste import (
    END_MS,
    REMEMBERED_FINISHED,
    REMEMBERED_LIKED,
    REMEMBERED_SKIPPED,
    START_MS,
    Heard,
    Source,
    Taste,
    World,
    like_chances,
    match,
    memory_scale_ms,
    skip_chances,
    source_tables,
)

MEAN_PLAYS = 6.0
LIKE_BEFORE_SKIP = 0.25
ADVERT_CHANCE, BUY_CHANCE = 0.3, 0.0025
SHORTEST_ADVERT_MS, LONGEST_ADVERT_MS = 5_000, 30_000
EARLIEST_SKIP_MS = 2_000
LATEST_SKIP, LATEST_LIKE = 0.9, 0.95
NO_TRACK = -1


class Kind(IntEnum):
    """What an event is; the names are those of the sessions file."""

    PLAY = 0
    SKIP = 1
    LIKE = 2
    ADVERTISEMENT = 3
    BUY_PREMIUM = 4


class Entry(NamedTuple):
    """One event: milliseconds since 1970, kind, track (index or NO_TRACK), session (from 0)."""

    time_ms: int
    kind: Kind
    track: int
    session: int


class Chances(NamedTuple):
    """Numbers in [0, 1) that decide one play; drawn together because that is fast."""

    pick: float
    skip: float
    skip_when: float
    like: float
    like_when: float
    advert: float
    advert_length: float
    buy: float


@dataclass
class Tape:
    """What has happened to a listener so far.

    ``totals`` are running sums of remembered strengths, each grown by exp(time / memory): growing
    the new instead of shrinking the old leaves earlier sums as they are.
    """

    premium: bool
    entries: list[Entry] = field(default_factory=list)
    tracks: list[int] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)
    strengths: list[float] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)

    def heard(self) -> Heard:
        """The plays as arrays."""
        return Heard(
            np.array(self.tracks, dtype=np.int64),
            np.array(self.times_ms, dtype=np.int64),
            np.array(self.strengths, dtype=np.float64),
        )

    def remember(self, track: int, start_ms: int, strength: float, growth: float) -> None:
        """Add a play of the session that began at ``start_ms``."""
        self.tracks.append(track)
        self.times_ms.append(start_ms)
        self.strengths.append(strength)
        self.totals.append((self.totals[-1] if self.totals else 0.0) + strength * growth)

    def recall(self, known: int, number: float) -> int:
        """A track among the first ``known`` plays, by remembered strength."""
        mark = number * self.totals[known - 1]
        return self.tracks[min(bisect_right(self.totals, mark, 0, known), known - 1)]


class Performer:
    """Plays one listener's sessions."""

    def __init__(
        self, world: World, taste: Taste, durations_ms: list[int], *, premium: bool
    ) -> None:
        matches = match(world, taste)
        self._world = world
        self._taste = taste
        self._durations_ms = durations_ms
        self._skip = skip_chances(taste, matches).tolist()
        self._like = like_chances(taste, matches).tolist()
        self._tape = Tape(premium=premium)

    def perform(self, rng: Rng, starts: Ints) -> Tape:
        """Play the sessions that begin at ``starts`` (ms, in order)."""
        lengths = 1 + np.floor(-np.log1p(-rng.random(len(starts))) * (MEAN_PLAYS - 0.5))
        ends = np.cumsum(lengths.astype(np.int64))
        plays = int(ends[-1]) if len(ends) else 0
        session_of = np.searchsorted(ends, np.arange(plays), side="right")
        planned = self._plan(rng, starts[session_of])
        chances = [Chances(*row) for row in rng.random((plays, len(Chances._fields))).tolist()]
        first = 0
        for session, (start, last) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            self._session(session, start, planned[first:last], chances[first:last])
            first = last
        return self._tape

    def _plan(self, rng: Rng, times_ms: Ints) -> list[int]:
        """A track for every play, or NO_TRACK where the listener repeats something."""
        sources = draw(np.cumsum(self._taste.weights), rng.random(len(times_ms)))
        numbers = rng.random(len(times_ms))
        released = np.array([self._world.released(t) for t in times_ms.tolist()], dtype=np.int64)
        tracks = np.floor(numbers * released).astype(np.int64)
        for source, table in source_tables(self._world, self._taste).items():
            at = np.flatnonzero(sources == source)
            tracks[at] = draw(cumulate(table), numbers[at], among=released[at])
        at = np.flatnonzero(sources == Source.CHART)
        tracks[at] = self._from_charts(times_ms[at], numbers[at])
        tracks[sources == Source.REPEAT] = NO_TRACK
        return [int(track) for track in tracks]

    def _from_charts(self, times_ms: Ints, numbers: Floats) -> Ints:
        ranks = draw(cumulate(chart_weights(self._world.charts.shape[1])), numbers)
        pairs = zip(times_ms.tolist(), ranks.tolist(), strict=True)
        return np.array([self._world.chart(time)[rank] for time, rank in pairs], dtype=np.int64)

    def _session(
        self, session: int, start_ms: int, planned: list[int], chances: list[Chances]
    ) -> None:
        known = len(self._tape.tracks)
        growth = float(np.exp((start_ms - START_MS) / memory_scale_ms(self._taste)))
        clock = start_ms
        for number, (plan, chance) in enumerate(zip(planned, chances, strict=True)):
            if number:
                clock = self._between(session, clock, chance)
            if clock >= END_MS or clock > start_ms + LONGEST_SESSION_MS:
                return
            track = plan if plan != NO_TRACK else self._repeat(known, start_ms, chance.pick)
            clock, strength = self._play(session, clock, track, chance)
            self._tape.remember(track, start_ms, strength, growth)

    def _repeat(self, known: int, start_ms: int, number: float) -> int:
        """Something from an earlier session; whoever has none plays anything."""
        if known:
            return self._tape.recall(known, number)
        return int(number * self._world.released(start_ms))

    def _between(self, session: int, clock: int, chance: Chances) -> int:
        """Perhaps an advert, and perhaps enough of them; returns when the next track begins."""
        if self._tape.premium or chance.advert >= ADVERT_CHANCE:
            return clock
        self._note(clock, Kind.ADVERTISEMENT, NO_TRACK, session)
        spread = LONGEST_ADVERT_MS - SHORTEST_ADVERT_MS
        clock += SHORTEST_ADVERT_MS + int(spread * chance.advert_length)
        if chance.buy < BUY_CHANCE and clock < END_MS:
            self._note(clock, Kind.BUY_PREMIUM, NO_TRACK, session)
            self._tape.premium = True
        return clock

    def _play(self, session: int, clock: int, track: int, chance: Chances) -> tuple[int, float]:
        """Note one play; returns when it ends and how strongly it is remembered."""
        duration = self._durations_ms[track]
        skipped = chance.skip < self._skip[track]
        liked = chance.like < self._like[track] * (LIKE_BEFORE_SKIP if skipped else 1.0)
        played = duration
        if skipped:
            played = EARLIEST_SKIP_MS + int(
                (LATEST_SKIP * duration - EARLIEST_SKIP_MS) * chance.skip_when**2
            )
        self._note(clock, Kind.PLAY, track, session)
        if liked:
            self._note(
                clock + int(LATEST_LIKE * played * chance.like_when), Kind.LIKE, track, session
            )
        if skipped:
            self._note(clock + played, Kind.SKIP, track, session)
        forgotten = REMEMBERED_SKIPPED if skipped else REMEMBERED_FINISHED
        return clock + played, REMEMBERED_LIKED if liked else forgotten

    def _note(self, time_ms: int, kind: Kind, track: int, session: int) -> None:
        if time_ms < END_MS:
            self._tape.entries.append(Entry(time_ms, kind, track, session))
