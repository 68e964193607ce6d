"""What came of an exposure, going by what was played in its window."""

from collections.abc import Collection, Iterable

from segue.domain.events import Event, EventType
from segue.domain.plays import Play, label_plays, listening_time
from segue.domain.times import DAY, SECOND
from segue.experiments.experiment import Figure
from segue.experiments.records import Exposure, Record, is_success

# A success with a track that the listener has not played for so long was added by the
# recommendation; in milliseconds.
PAST = 90 * DAY
_MINUTE = 60 * SECOND


def judge(exposure: Exposure, events: Iterable[Event], settled_at: int) -> Record:
    """The record. ``events``: the user's from ``PAST`` before the exposure to its window's end."""
    past, window = _split(events, exposure.as_of)
    plays = label_plays(window)
    completed = {play.track_id for play in plays if play.completed}
    return Record(
        exposure,
        is_success(exposure, completed),
        settled_at,
        credits=_credits(exposure, completed),
        figures={
            Figure.FULL_PLAYS: float(sum(play.completed for play in plays)),
            # No more digits than the store of results has room for.
            Figure.LISTENING_TIME: round(listening_time(window) / _MINUTE, 3),
            Figure.ADDED_SUCCESS: float(is_success(exposure, completed - _played(past))),
            **_skip_rate(plays),
        },
    )


def _split(events: Iterable[Event], time: int) -> tuple[list[Event], list[Event]]:
    """The events before the time, and those from it on."""
    before: list[Event] = []
    after: list[Event] = []
    for event in events:
        (before if event.time < time else after).append(event)
    return before, after


def _played(events: Iterable[Event]) -> set[str]:
    """The tracks that were started, played fully or not."""
    return {event.track_id for event in events if event.type is EventType.PLAY and event.track_id}


def _credits(exposure: Exposure, completed: Collection[str]) -> dict[str, int]:
    credit = dict.fromkeys(exposure.owners, 0)
    for track, group in zip(exposure.tracks, exposure.owners, strict=bool(exposure.owners)):
        credit[group] += track in completed
    return credit


def _skip_rate(plays: Collection[Play]) -> dict[str, float]:
    """Who has played nothing has none."""
    if not plays:
        return {}
    skipped = sum(not play.completed for play in plays)
    return {Figure.SKIP_RATE: skipped / len(plays)}
