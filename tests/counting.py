"""Counts of plays in memory: what the database's are held against."""

import numpy as np
from numpy.typing import NDArray

from segue.domain.times import DAY
from segue.models.hybrid.statistics import WINDOWS
from training.counts import Counts
from training.plays import Plays


def counts_of(plays: Plays, tracks: int, as_of: int = 0) -> Counts:
    """Of so many tracks, by these plays as they were known at a moment."""

    def count(chosen: Plays) -> NDArray[np.int64]:
        return np.bincount(chosen.track, minlength=tracks)

    past, month = plays.known_at(as_of), plays.known_at(as_of, 30)
    windows = [past.only(past.completed & (past.time >= as_of - days * DAY)) for days in WINDOWS]
    recency = np.exp2(-(as_of - month.time) / DAY / 3)
    return Counts(
        full=np.stack([count(window) for window in windows], axis=1),
        begun=count(month),
        hot=np.bincount(month.track, recency, tracks),
    )
