"""What the tests of the evaluation share: splits of a few listeners and tracks, made by hand."""

from collections.abc import Mapping, Sequence

import numpy as np

from segue.domain.times import DAY
from training.plays import NEVER, Plays
from training.protocol.split import Split

CUTOFF = 100 * DAY


def split_of(
    heard: Sequence[Sequence[int]],
    outcomes: Mapping[int, Sequence[int]],
    *,
    tracks: int,
    same_time: bool = False,
) -> Split:
    """heard: each listener's tracks in the order played, one a day. outcomes: by listener."""
    user = np.repeat(np.arange(len(heard)), [len(played) for played in heard])
    times = [CUTOFF - (1 if same_time else n + 1) for played in heard for n in range(len(played))]
    judged = sorted(user for user, found in outcomes.items() if found)
    counts = [len(outcomes[user]) for user in judged]
    return Split(
        cutoff=np.array(CUTOFF),
        users=np.array([f"user {n:04}".encode() for n in range(len(heard))]),
        plays=Plays(
            user=user.astype(np.int32),
            track=np.array([track for played in heard for track in played], np.int32),
            time=np.array(times, np.int64),
            skipped_at=np.full(len(user), NEVER),
            liked_at=np.full(len(user), NEVER),
        ),
        features=np.zeros((tracks, 0), np.float16),
        popularity=np.full(tracks, np.nan, np.float32),
        artists=np.full(tracks, -1, np.int32),
        genres=np.empty((0, 2), np.int32),
        profiles=np.zeros((len(heard), 0), np.float32),
        judged=np.array(judged, np.int32),
        offsets=np.cumsum([0, *counts]),
        outcomes=np.array([t for user in judged for t in sorted(outcomes[user])], np.int32),
    )
