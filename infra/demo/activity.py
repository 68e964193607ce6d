"""When listeners listen: the starts of their sessions."""

from __future__ import annotations

from enum import Enum

import numpy as np

from infra.demo.listeners import FIRST_USER_ID
from infra.demo.randomness import Floats, Ints, Rng, draw_distinct, stream
from infra.demo.taste import DAY_MS, END_MS, START_MS

DAYS = (END_MS - START_MS) // DAY_MS
FIRST_OF_AUGUST = 212
# A session begins at least this long after the one before, and plays nothing new after the limit,
# so that the sessions of a listener never overlap (no track is longer than 15 minutes).
GAP_MS, LONGEST_SESSION_MS = 3 * 3_600_000, int(2.7 * 3_600_000)

TYPICAL_SESSIONS, SESSIONS_SPREAD, MOST_SESSIONS = 96, 0.75, 600
SHARE_SILENT, SHARE_GONE_BY_AUGUST = 0.004, 0.01
SHARE_NEWCOMERS, SHARE_LEAVERS = 0.12, 0.06
SHARE_OF_MORNINGS = 0.3
# Listeners that examples may rely on: they have sessions in every week of August and September.
STEADY_USER_IDS = (
    *(141, 167, 200, 206, 237, 281, 287, 297, 301, 324),
    *(362, 386, 394, 418, 429, 433, 434, 442, 486, 505),
)
STEADY_EVERY_DAYS = 3


class Presence(Enum):
    """In which part of the year a listener can be heard at all."""

    USUAL = "usual"
    STEADY = "steady"
    GONE_BY_AUGUST = "gone by August"
    SILENT = "silent"


def assign_presence(seed: int, count: int) -> list[Presence]:
    """The presence of each of ``count`` listeners: a handful are silent or gone early."""
    rng = stream(seed, 5)
    steady = np.isin(np.arange(count) + FIRST_USER_ID, STEADY_USER_IDS)
    silent, gone = max(1, round(SHARE_SILENT * count)), max(1, round(SHARE_GONE_BY_AUGUST * count))
    chosen = draw_distinct(rng, np.where(steady, 0.0, 1.0), silent + gone).tolist()
    presence = [Presence.STEADY if one else Presence.USUAL for one in steady]
    for place, listener in enumerate(chosen):
        presence[listener] = Presence.SILENT if place < silent else Presence.GONE_BY_AUGUST
    return presence


def session_starts(rng: Rng, presence: Presence) -> Ints:
    """Starts of a listener's sessions in milliseconds, whole seconds, in order, GAP_MS apart."""
    if presence is Presence.SILENT:
        return np.zeros(0, dtype=np.int64)
    first, last = _active_days(rng, presence)
    wanted = TYPICAL_SESSIONS * float(np.exp(SESSIONS_SPREAD * rng.standard_normal()))
    wanted = min(max(wanted, 5.0), MOST_SESSIONS) * (last - first) / DAYS
    days = np.floor(first + (last - first) * rng.random(1 + int(wanted)))
    if presence is Presence.STEADY:
        days = np.concatenate([days, np.arange(FIRST_OF_AUGUST, DAYS, STEADY_EVERY_DAYS)])
    seconds = np.floor(days * 86_400 + _seconds_of_day(rng, len(days))).astype(np.int64)
    return _apart(START_MS + 1_000 * np.sort(seconds))


def _active_days(rng: Rng, presence: Presence) -> tuple[float, float]:
    joins, leaves, when = rng.random(3).tolist()
    if presence is Presence.GONE_BY_AUGUST:
        return 0.0, FIRST_OF_AUGUST * (0.3 + 0.7 * when)
    if presence is Presence.STEADY:
        return 0.0, float(DAYS)
    first = 0.9 * when * DAYS if joins < SHARE_NEWCOMERS else 0.0
    last = (0.4 + 0.6 * when) * DAYS if leaves < SHARE_LEAVERS else float(DAYS)
    return first, max(last, first + 7)


def _seconds_of_day(rng: Rng, count: int) -> Floats:
    """Most in the evening, some in the morning, around hours of the listener's own."""
    evening, morning = 19 + 2 * rng.standard_normal(), 8 + rng.standard_normal()
    is_morning = rng.random(count) < SHARE_OF_MORNINGS
    hours = np.where(is_morning, morning, evening) + 1.8 * rng.standard_normal(count)
    return np.asarray((hours % 24) * 3_600, dtype=np.float64)


def _apart(starts: Ints) -> Ints:
    kept: list[int] = []
    for start in starts.tolist():
        if start < END_MS and (not kept or start >= kept[-1] + GAP_MS):
            kept.append(start)
    return np.array(kept, dtype=np.int64)
