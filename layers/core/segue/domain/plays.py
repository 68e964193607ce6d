"""Labelled plays: what became of each track that a listener started."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

from segue.domain.events import Event, EventType
from segue.domain.times import SECOND

# Looked up once: members of an enumeration are found slowly.
_PLAY, _SKIP, _LIKE = EventType.PLAY, EventType.SKIP, EventType.LIKE
# What ends the play before it.
_ENDS = frozenset({EventType.PLAY, EventType.SKIP, EventType.ADVERTISEMENT})
# Whoever leaves the session open listens no longer than this to one track, in milliseconds.
LONGEST_PLAY = 600 * SECOND


class Play(NamedTuple):
    """One play, labelled. ``time`` is its start in milliseconds since 1970 UTC."""

    session_id: str
    track_id: str
    time: int
    completed: bool
    liked: bool


_TIME_SESSION_TRACK = attrgetter("time", "session_id", "track_id")


def label_plays(events: Iterable[Event]) -> list[Play]:
    """Label the plays among one listener's events, given in any order; the answer is in time order.

    A play is *completed* (fully played) when no SKIP of the same track follows it in its session
    before the next PLAY, and *liked* when its track is liked anywhere in its session.
    ``training/data/sql/plays.sql`` states the same rule for whole data sets; a test holds the two
    together.
    """
    plays = [play for own in _by_session(events).items() for play in _label_session(*own)]
    return sorted(plays, key=_TIME_SESSION_TRACK)


def listening_time(events: Iterable[Event]) -> int:
    """How long one listener listened, in milliseconds, as far as the events tell.

    A play lasts until the next PLAY, SKIP or ADVERTISEMENT of its session, and at most
    ``LONGEST_PLAY``. Nothing tells when the last play of a session ended, unless it was skipped: it
    counts as 0.
    """
    total = 0
    for session in _by_session(events).values():
        marks = sorted((event for event in session if event.type in _ENDS), key=_order)
        total += sum(
            min(end.time - start.time, LONGEST_PLAY)
            for start, end in pairwise(marks)
            if start.type is _PLAY
        )
    return total


def _by_session(events: Iterable[Event]) -> Mapping[str, list[Event]]:
    sessions: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        sessions[event.session_id].append(event)
    return sessions


def _label_session(session_id: str, events: list[Event]) -> list[Play]:
    """A request labels hundreds of events, so they are taken apart in the cheapest way: a tuple is
    unpacked faster than its fields are looked up, and a play is made once it is known."""
    liked = {event.track_id for event in events if event.type is _LIKE}
    started: list[str] = []
    times: list[int] = []
    completed: list[bool] = []
    for _, _, time, kind, track, _ in sorted(events, key=_order):
        if kind is _PLAY and track is not None:
            started.append(track)
            times.append(time)
            completed.append(True)
        elif kind is _SKIP and started and started[-1] == track:
            completed[-1] = False
    return [
        Play(session_id, track, time, whole, track in liked)
        for track, time, whole in zip(started, times, completed, strict=True)
    ]


def _order(event: Event) -> tuple[int, bool, str]:
    """Time order; a skip that bears the time of the next play belongs to the play before it."""
    _, _, time, kind, track, _ = event
    return time, kind is _PLAY, track or ""


def mean_tracks_per_session(plays: Iterable[Play]) -> float:
    """Mean number of plays in a session; 0 where there are none."""
    counts = Counter(play.session_id for play in plays)
    return counts.total() / len(counts) if counts else 0.0
