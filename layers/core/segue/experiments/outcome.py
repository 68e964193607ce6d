"""What came of an exposure, going by what was played in its window."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from segue.domain.events import Event, EventType
from segue.domain.plays import Play, label_plays, listening_time
from segue.domain.times import DAY, SECOND
from segue.experiments.epoch import EpochId
from segue.experiments.experiment import Figure
from segue.experiments.records import Impression, Pending, Record

# Session, time and track of a play, and the id of the list that it came from.
_Sources = Mapping[tuple[str, int, str | None], str]

# A success with a track that the listener has not played for so long was added by the
# recommendation; in milliseconds.
PAST = 90 * DAY
_MINUTE = 60 * SECOND


class Hit(NamedTuple):
    """A recommended track that was fully played after it was shown.

    ``position``: its place in the list that the play is counted for, from 1 on. ``is_reported``:
    the play was sent with that list's ``recommendation_id``. ``owner``: of an interleaved list.
    """

    track_id: str
    position: int
    is_reported: bool
    owner: str | None


def judge(epoch: EpochId, pending: Pending, events: Iterable[Event], settled_at: int) -> Record:
    """The record. ``events``: the user's from ``PAST`` before the exposure to its window's end."""
    past, window = _split(events, pending.exposure.as_of)
    plays = label_plays(window)
    hits = _hits(epoch, pending, plays, _sources(window))
    completed = {play.track_id for play in plays if play.completed}
    owned = Counter(hit.owner for hit in hits)
    return Record(
        pending.exposure,
        bool(hits),
        settled_at,
        credits={group: owned[group] for group in _groups(pending.impressions)},
        figures={
            Figure.FULL_PLAYS: float(sum(play.completed for play in plays)),
            # No more digits than the store of results has room for.
            Figure.LISTENING_TIME: round(listening_time(window) / _MINUTE, 3),
            Figure.ADDED_SUCCESS: float(bool({hit.track_id for hit in hits} - _played(past))),
            **_skip_rate(plays),
        },
        later=pending.later,
        positions=tuple(sorted(hit.position for hit in hits)),
        reported=tuple(sorted(hit.position for hit in hits if hit.is_reported)),
        successes={
            group: not completed.isdisjoint(tracks)
            for group, tracks in pending.exposure.lists.items()
        },
    )


def _sources(events: Iterable[Event]) -> _Sources:
    return {
        (event.session_id, event.time, event.track_id): event.recommendation_id
        for event in events
        if event.recommendation_id
    }


def _hits(epoch: EpochId, pending: Pending, plays: Iterable[Play], sources: _Sources) -> list[Hit]:
    """For each recommended track, its first full play after it was shown."""
    lists = sorted(pending.impressions, key=lambda it: it.shown_at)
    user_id = pending.exposure.user_id
    ids = [it.id(epoch.salt, user_id) for it in lists] if sources else [""] * len(lists)
    hits: dict[str, Hit] = {}
    for play in plays:
        if not play.completed or play.track_id in hits:
            continue
        shown = [
            (impression, named)
            for impression, named in zip(lists, ids, strict=True)
            if impression.shown_at <= play.time and play.track_id in impression.tracks
        ]
        if shown:
            source = sources.get((play.session_id, play.time, play.track_id))
            hits[play.track_id] = _hit(play.track_id, shown, source)
    return [*hits.values()]


def _hit(track: str, shown: Sequence[tuple[Impression, str]], source: str | None) -> Hit:
    """Counted for the list that the play named or, where it named none of these, the latest."""
    reported = [impression for impression, named in shown if named == source]
    impression = reported[0] if reported else shown[-1][0]
    place = impression.tracks.index(track)
    owner = impression.owners[place] if impression.owners else None
    return Hit(track, place + 1, bool(reported), owner)


def _groups(impressions: Iterable[Impression]) -> list[str]:
    return [*dict.fromkeys(owner for it in impressions for owner in it.owners)]


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


def _skip_rate(plays: Collection[Play]) -> dict[str, float]:
    """Who has played nothing has none."""
    if not plays:
        return {}
    skipped = sum(not play.completed for play in plays)
    return {Figure.SKIP_RATE: skipped / len(plays)}
