"""Labelled plays: what became of each track that a listener started."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from segue.domain.events import Event, EventType


class Play(NamedTuple):
    """One play, labelled. ``time`` is its start in milliseconds since 1970 UTC."""

    session_id: str
    track_id: str
    time: int
    completed: bool
    liked: bool


def label_plays(events: Iterable[Event]) -> list[Play]:
    """Label the plays among one listener's events, given in any order; the answer is in time order.

    A play is *completed* (fully played) when no SKIP of the same track follows it in its session
    before the next PLAY, and *liked* when its track is liked anywhere in its session.
    ``training/data/sql/plays.sql`` states the same rule for whole data sets; a test holds the two
    together.
    """
    sessions: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        sessions[event.session_id].append(event)
    plays = [play for session in sessions.values() for play in _label_session(session)]
    return sorted(plays, key=lambda play: (play.time, play.session_id, play.track_id))


def _label_session(events: list[Event]) -> list[Play]:
    liked = {event.track_id for event in events if event.type is EventType.LIKE}
    plays: list[Play] = []
    for event in sorted(events, key=_order):
        if event.type is EventType.PLAY and event.track_id is not None:
            plays.append(
                Play(event.session_id, event.track_id, event.time, True, event.track_id in liked)
            )
        elif event.type is EventType.SKIP and plays and plays[-1].track_id == event.track_id:
            plays[-1] = plays[-1]._replace(completed=False)
    return plays


def _order(event: Event) -> tuple[int, bool, str]:
    """Time order; a skip that bears the time of the next play belongs to the play before it."""
    return event.time, event.type is EventType.PLAY, event.track_id or ""


def mean_tracks_per_session(plays: Iterable[Play]) -> float:
    """Mean number of plays in a session; 0 where there are none."""
    counts: dict[str, int] = defaultdict(int)
    for play in plays:
        counts[play.session_id] += 1
    return sum(counts.values()) / len(counts) if counts else 0.0
