"""What a model sees of a listener: the plays of a window, and the vector that sums them up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.plays import Play
from segue.domain.times import DAY
from segue.domain.users import User
from segue.features.encoder import Columns, FloatArray
from segue.features.schema import Schema

# After so many days a play tells half as much: one rate for what a listener stands for, one for
# the mood they are in.
SLOW_HALF_LIFE = 14.0
FAST_HALF_LIFE = 1.0

# What sums up a listener's plays of one track.
OWN_WIDTH = 6

# Four shares and counts follow the tastes in a listener's vector.
_HABITS = 4


@dataclass(frozen=True, slots=True)
class History:
    """One listener's plays in a window, as arrays over the plays.

    tracks: (plays,) int32, positions in the catalogue. completed, liked: (plays,) bool.
    age: (plays,) float32, days from the play to the moment of the recommendation.
    """

    tracks: NDArray[np.int32]
    completed: NDArray[np.bool_]
    liked: NDArray[np.bool_]
    age: FloatArray

    def __len__(self) -> int:
        return len(self.tracks)

    def only(self, chosen: NDArray[np.bool_] | slice) -> "History":
        """The plays that are chosen, by a mask, (plays,), or by their places."""
        return History(
            self.tracks[chosen], self.completed[chosen], self.liked[chosen], self.age[chosen]
        )

    @property
    def strength(self) -> FloatArray:
        """(plays,) how much a play speaks for its track: 1 if fully played, 1 more if liked."""
        return self.completed.astype(np.float32) + self.liked.astype(np.float32)

    def recency(self, half_life: float) -> FloatArray:
        """(plays,) 1 for a play of this moment, 1/2 for one ``half_life`` days old."""
        recency: FloatArray = np.exp2(-self.age / np.float32(half_life))
        return recency


def history_of(plays: Sequence[Play], catalogue: Catalogue, as_of: int) -> History:
    """The plays as arrays; tracks that the catalogue does not know are left out."""
    positions = catalogue.positions([play.track_id for play in plays])
    known = positions >= 0
    times = np.array([play.time for play in plays], np.int64)
    return History(
        tracks=positions[known],
        completed=np.array([play.completed for play in plays], np.bool_)[known],
        liked=np.array([play.liked for play in plays], np.bool_)[known],
        age=((as_of - times[known]) / DAY).astype(np.float32),
    )


def user_columns(users: Sequence[User], schema: Schema) -> Columns:
    """Profiles as the columns that the schema's encoder reads; None where a user has no value."""
    further = {name: [user.attributes.get(name) for user in users] for name in schema.attributes}
    return {
        "favourite_genres": [user.favourite_genres for user in users],
        "premium": [user.premium for user in users],
        **further,
    }


def listener_width(track_width: int, user_width: int) -> int:
    """Inputs of a listener: profile, three tastes, habits."""
    return user_width + 3 * track_width + _HABITS


def encode_listener(
    profile: FloatArray, history: History, features: NDArray[np.floating]
) -> FloatArray:
    """A listener's vector, shape (listener_width,).

    profile: (user_width,), from the encoder. features: (tracks, track_width), the catalogue's.
    The vector is the profile, the mean features of what the listener enjoyed (once with slow, once
    with fast forgetting) and of what they skipped, and their habits: how much they play (log),
    which share of it to the end, how many different tracks, how often they like.
    """
    if len(history) == 0:
        silence = np.zeros(3 * features.shape[1] + _HABITS, np.float32)
        return np.concatenate([profile, silence])
    rows = features[history.tracks].astype(np.float32)
    tastes = [_mean(rows, weights) for weights in _taste_weights(history)]
    return np.concatenate([profile, *tastes, _habits(history)])


def _taste_weights(history: History) -> Iterator[FloatArray]:
    slow = history.recency(SLOW_HALF_LIFE)
    yield history.strength * slow
    yield history.strength * history.recency(FAST_HALF_LIFE)
    yield np.where(history.completed, np.float32(0), slow)


def _mean(rows: FloatArray, weights: FloatArray) -> FloatArray:
    total = weights.sum()
    # Underflow of the fast rate counts as silence, not as a division by nearly nothing.
    return (weights @ rows) / total if total > 1e-12 else np.zeros(rows.shape[1], np.float32)


def _habits(history: History) -> FloatArray:
    plays = len(history)
    return np.array(
        [
            np.log1p(plays) / 5.0,
            history.completed.mean(),
            len(set(history.tracks.tolist())) / plays,
            history.liked.mean(),
        ],
        np.float32,
    )


def encode_heard(history: History) -> tuple[NDArray[np.int64], FloatArray]:
    """The different tracks of a history, (n,) positions, and what the listener's plays of each come
    to, (n, OWN_WIDTH): how often fully played (with slow, with fast, and without forgetting) and
    skipped (with slow forgetting), as logarithms; whether liked; how recent the last play is.
    """
    heard, plays = np.unique(history.tracks, return_inverse=True)
    slow, fast = history.recency(SLOW_HALF_LIFE), history.recency(FAST_HALF_LIFE)
    counted = [history.strength * slow, history.strength * fast, history.completed]
    counted.append(np.where(history.completed, np.float32(0), slow))
    columns = [np.log1p(np.bincount(plays, weights, len(heard))) for weights in counted]
    last = np.zeros(len(heard))
    np.maximum.at(last, plays, slow)
    columns += [np.bincount(plays, history.liked, len(heard)) > 0, last]
    return heard.astype(np.int64), np.stack(columns, 1).astype(np.float32)
