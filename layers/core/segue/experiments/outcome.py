"""What came of an exposure, going by what was played in its window."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from segue.domain.events import Event
from segue.domain.plays import Play, label_plays
from segue.experiments.epoch import EpochId
from segue.experiments.experiment import Figure
from segue.experiments.records import Impression, Pending, Record

# Session, time and track of a play, and the id of the list that it came from.
_Sources = Mapping[tuple[str, int, str | None], str]


class Hit(NamedTuple):
    """A recommended track that was fully played after it was shown.

    ``position``: its place in the list that the play is counted for, from 1 on. ``is_reported``:
    the play was sent with that list's ``recommendation_id``. ``owner``: of an interleaved list.
    """

    position: int
    is_reported: bool
    owner: str | None


def judge(epoch: EpochId, pending: Pending, events: Iterable[Event], settled_at: int) -> Record:
    """The record. ``events``: the user's in the exposure's window, all of them."""
    events = list(events)
    plays = label_plays(events)
    hits = _hits(epoch, pending, plays, _sources(events))
    exposure = pending.exposure
    completed = {play.track_id for play in plays if play.completed}
    owned = Counter(hit.owner for hit in hits)
    return Record(
        exposure,
        bool(hits),
        settled_at,
        credits={group: owned[group] for group in _groups(pending.impressions)},
        figures=_figures(plays),
        later=pending.later,
        positions=tuple(sorted(hit.position for hit in hits)),
        reported=tuple(sorted(hit.position for hit in hits if hit.is_reported)),
        successes={
            group: not completed.isdisjoint(tracks) for group, tracks in exposure.lists.items()
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
    return Hit(place + 1, bool(reported), impression.owners[place] if impression.owners else None)


def _groups(impressions: Iterable[Impression]) -> list[str]:
    return [*dict.fromkeys(owner for it in impressions for owner in it.owners)]


def _figures(plays: Collection[Play]) -> dict[str, float]:
    if not plays:
        return {}
    skipped = sum(not play.completed for play in plays)
    return {Figure.SKIP_RATE: skipped / len(plays)}
