"""A listener's plays, summed up by track."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray
from segue.features.listeners import History

# After so many days a play tells half as much: one's stock, one's current taste, one's mood.
_STOCK, _TASTE, _MOOD = 60.0, 14.0, 1.0
# A heard track is fresh for about a week.
_FRESH = 7.0
# What may be followed: so many plays, each by so much more than the one before it.
_LAST, _FADING = 12, 0.7


@dataclass(frozen=True)
class Summary:
    """A listener's different tracks, (n,) ascending positions, and for each of them, (n,) float32:
    full plays in all, with slow, middling and fast forgetting; starts and likes, with slow
    forgetting; skips likewise; how fresh the last play is; and how much it is of the last plays of
    all."""

    tracks: NDArray[np.intp]
    plays: FloatArray
    stock: FloatArray
    taste: FloatArray
    mood: FloatArray
    starts: FloatArray
    likes: FloatArray
    skips: FloatArray
    fresh: FloatArray
    last: FloatArray

    @property
    def counts(self) -> FloatArray:
        """(6, n): plays in all and with slow, middling and fast forgetting; starts; likes."""
        return np.stack([self.plays, self.stock, self.taste, self.mood, self.starts, self.likes])

    def __len__(self) -> int:
        return len(self.tracks)


def summarise(history: History) -> Summary:
    """Sum a history up by track."""
    tracks, of_play = np.unique(history.tracks, return_inverse=True)

    def total(weights: NDArray[np.generic]) -> FloatArray:
        return np.bincount(of_play, weights, len(tracks)).astype(np.float32)

    completed = history.completed.astype(np.float32)
    slow = history.recency(_STOCK)
    fresh = np.zeros(len(tracks), np.float32)
    np.maximum.at(fresh, of_play, history.recency(_FRESH))
    back = np.arange(len(of_play))[::-1]
    last = np.where(back < _LAST, _FADING**back, 0)
    return Summary(
        tracks=tracks.astype(np.intp),
        plays=total(completed),
        stock=total(completed * slow),
        taste=total(completed * history.recency(_TASTE)),
        mood=total(completed * history.recency(_MOOD)),
        starts=total(slow),
        likes=total(history.liked * slow),
        skips=total((1 - completed) * slow),
        fresh=fresh,
        last=total(last),
    )
