"""The truth: what decides which track a listener plays next, finishes, and likes.

This file alone defines it; the history is drawn from it and the oracle computes with it. The
package's docstring states it in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from infra.demo.charts import chart_weights
from infra.demo.randomness import Bools, Floats, Ints, whole

DAY_MS = 86_400_000
START_MS = int(np.datetime64("2022-01-01", "ms").astype(np.int64))
END_MS = int(np.datetime64("2022-10-02", "ms").astype(np.int64))

# Weights of the sources are whole ten-thousandths, so that they sum to one exactly.
WHOLE = 10_000

# How strongly a play is remembered when the listener repeats something.
REMEMBERED_SKIPPED, REMEMBERED_FINISHED, REMEMBERED_LIKED = 0.15, 1.0, 2.0

# Width of an audio taste in sound space, for choosing a track and for enjoying one.
CHOICE_WIDTH, ENJOYMENT_WIDTH = 0.5, 1.2

# What a match adds to the log-odds of finishing and of liking a track.
MATCH_GENRE, MATCH_ARTIST, MATCH_SOUND = 0.9, 1.0, 1.3
SKIP_LEVEL, LIKE_LEVEL = 0.2, -2.5
LIKE_PER_MATCH = 0.8


class Source(IntEnum):
    """Where a play comes from."""

    CHART = 0
    GENRE = 1
    ARTIST = 2
    SOUND = 3
    REPEAT = 4
    CHANCE = 5


@dataclass(frozen=True)
class World:
    """What is the same for every listener: columns over tracks in order of release, and charts.

    ``artist_genres`` is bool (artists, genres); ``sound`` (tracks, 8); ``charts`` (weeks, size)
    holds track indices; ``release_day`` counts days from 2022-01-01.
    """

    appeal: Floats
    artist: Ints
    release_day: Ints
    sound: Floats
    artist_genres: Bools
    charts: Ints

    def released(self, time_ms: int) -> int:
        """How many tracks are out at ``time_ms``; they are the first so many."""
        day = (time_ms - START_MS) // DAY_MS
        return int(np.searchsorted(self.release_day, day, side="right"))

    def chart(self, time_ms: int) -> Ints:
        """The tracks of the chart at ``time_ms``, best first; outside the year the nearest one."""
        week = (time_ms - START_MS) // (7 * DAY_MS)
        return np.asarray(self.charts[min(max(week, 0), len(self.charts) - 1)], dtype=np.int64)


@dataclass(frozen=True)
class Taste:
    """One listener's truth.

    ``weights`` (6,) whole ten-thousandths by Source; ``genres`` and ``artists`` are indices with
    ``genre_weights`` and ``artist_weights``; ``points`` (n, 8) in sound space with
    ``point_weights``; ``memory_days`` is the mean age of what gets repeated; ``skip_habit`` and
    ``like_habit`` are log-odds.
    """

    weights: Ints
    genres: Ints
    genre_weights: Floats
    artists: Ints
    artist_weights: Floats
    points: Floats
    point_weights: Floats
    memory_days: float
    skip_habit: float
    like_habit: float


@dataclass(frozen=True)
class Heard:
    """What a listener has played, in time order: track indices, session starts in ms, strengths."""

    tracks: Ints
    times_ms: Ints
    strengths: Floats

    def before(self, time_ms: int) -> Heard:
        """The part that lies before ``time_ms``."""
        keep = self.times_ms < time_ms
        return Heard(self.tracks[keep], self.times_ms[keep], self.strengths[keep])


def genre_table(world: World, taste: Taste) -> Floats:
    """Weight of every track as one of a favourite genre, shape (tracks,)."""
    by_artist = np.zeros(len(world.artist_genres))
    for genre, weight in zip(taste.genres.tolist(), taste.genre_weights.tolist(), strict=True):
        by_artist += weight * world.artist_genres[:, genre]
    return np.asarray(by_artist[world.artist] * world.appeal, dtype=np.float64)


def artist_table(world: World, taste: Taste) -> Floats:
    """Weight of every track as one by a favourite artist, shape (tracks,)."""
    by_artist = np.zeros(len(world.artist_genres))
    by_artist[taste.artists] = taste.artist_weights
    output = np.bincount(world.artist, weights=world.appeal, minlength=len(by_artist))
    share = by_artist / np.maximum(output, 1e-9)
    return share[world.artist] * world.appeal


def sound_table(world: World, taste: Taste) -> Floats:
    """Weight of every track as one near an audio taste, shape (tracks,)."""
    return _closeness(world, taste, CHOICE_WIDTH) * np.sqrt(world.appeal)


def _closeness(world: World, taste: Taste, width: float) -> Floats:
    total = np.zeros(len(world.appeal))
    for point, weight in zip(taste.points, taste.point_weights.tolist(), strict=True):
        # Axis by axis, not as a matrix product: BLAS sums in another order on another machine.
        squares = np.zeros(len(total))
        for axis, place in enumerate(point.tolist()):
            squares += (world.sound[:, axis] - place) ** 2
        total += weight * np.exp(-squares / (2 * width * width))
    return total


def has_any(artist_genres: Bools, genres: Ints) -> Bools:
    """Which artists have one of ``genres``, shape (artists,)."""
    return np.asarray(artist_genres[:, genres].sum(axis=1) > 0, dtype=np.bool_)


def match(world: World, taste: Taste) -> Floats:
    """How well each track suits the listener, in log-odds of finishing it, shape (tracks,)."""
    genre = has_any(world.artist_genres, taste.genres)[world.artist]
    artist = np.isin(world.artist, taste.artists)
    sound = _closeness(world, taste, ENJOYMENT_WIDTH) / taste.point_weights.max()
    total = MATCH_GENRE * genre + MATCH_ARTIST * artist + MATCH_SOUND * np.minimum(sound, 1.0)
    return np.asarray(total, dtype=np.float64)


def skip_chances(taste: Taste, matches: Floats) -> Floats:
    """P(skip) of every track once it plays, shape (tracks,)."""
    return _logistic(taste.skip_habit + SKIP_LEVEL - matches)


def like_chances(taste: Taste, matches: Floats) -> Floats:
    """P(like) of every track once it is played to the end, shape (tracks,)."""
    return _logistic(taste.like_habit + LIKE_LEVEL + LIKE_PER_MATCH * matches)


def next_play(world: World, taste: Taste, time_ms: int, heard: Heard) -> Floats:
    """P(the next play is of this track) for every track at ``time_ms``, shape (tracks,)."""
    released = world.released(time_ms)
    shares = (taste.weights / WHOLE).tolist()
    memory = _memory(len(world.appeal), taste, time_ms, heard)
    chance = np.zeros(len(world.appeal))
    chance[:released] = 1 / released
    result: Floats = shares[Source.CHANCE] * chance
    # Who has nothing to repeat plays anything.
    result += shares[Source.REPEAT] * (chance if memory is None else memory)
    for source, table in source_tables(world, taste).items():
        weights = whole(table)[:released]
        result[:released] += shares[source] * weights / weights.sum()
    chart = world.chart(time_ms)
    result[chart] += shares[Source.CHART] * chart_weights(len(chart))
    return result


def source_tables(world: World, taste: Taste) -> dict[Source, Floats]:
    """The tables of the three sources that don't change with time."""
    return {
        Source.GENRE: genre_table(world, taste),
        Source.ARTIST: artist_table(world, taste),
        Source.SOUND: sound_table(world, taste),
    }


def memory_scale_ms(taste: Taste) -> float:
    """The time in which a remembered play loses all but 1/e of its weight."""
    return taste.memory_days * DAY_MS


def _memory(tracks: int, taste: Taste, time_ms: int, heard: Heard) -> Floats | None:
    heard = heard.before(time_ms)
    if len(heard.tracks) == 0:
        return None
    ages = (time_ms - heard.times_ms) / memory_scale_ms(taste)
    weights = heard.strengths * np.exp(-(ages - ages.min()))
    counts = np.bincount(heard.tracks, weights=weights, minlength=tracks)
    return np.asarray(counts / counts.sum(), dtype=np.float64)


def _logistic(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)), dtype=np.float64)
