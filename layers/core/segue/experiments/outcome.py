"""What came of an exposure, going by what was played in its window."""

from collections.abc import Collection, Iterable

from segue.domain.events import Event
from segue.domain.plays import Play, label_plays
from segue.experiments.experiment import Figure
from segue.experiments.records import Exposure, Record, is_success


def judge(exposure: Exposure, events: Iterable[Event], settled_at: int) -> Record:
    """The record. ``events``: the user's in the exposure's window, all of them."""
    plays = label_plays(events)
    completed = {play.track_id for play in plays if play.completed}
    return Record(
        exposure,
        is_success(exposure, completed),
        settled_at,
        credits=_credits(exposure, completed),
        figures=_figures(plays),
    )


def _credits(exposure: Exposure, completed: Collection[str]) -> dict[str, int]:
    credit = dict.fromkeys(exposure.owners, 0)
    for track, group in zip(exposure.tracks, exposure.owners, strict=bool(exposure.owners)):
        credit[group] += track in completed
    return credit


def _figures(plays: Collection[Play]) -> dict[str, float]:
    if not plays:
        return {}
    skipped = sum(not play.completed for play in plays)
    return {Figure.SKIP_RATE: skipped / len(plays)}
