"""The truth on disk, and the oracle that ranks with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from infra.demo.randomness import Floats, Ints
from infra.demo.taste import Heard, Taste, World, like_chances, match, next_play, skip_chances

TRUTH_FILE = "truth.npz"
# A missing second audio point has weight 0.
MOST_POINTS = 2

Columns = dict[str, npt.NDArray[np.generic]]


def save_truth(
    directory: Path,
    world: World,
    track_ids: Sequence[str],
    tastes: Mapping[int, Taste],
    heard: Mapping[int, Heard],
) -> None:
    """Write TRUTH_FILE; ``tastes`` and ``heard`` go by user id, ``track_ids`` as the world's."""
    columns: Columns = {
        "track_ids": np.array(track_ids, dtype="S22"),
        "appeal": world.appeal,
        "artist": world.artist.astype(np.int32),
        "release_day": world.release_day.astype(np.int32),
        "sound": world.sound,
        "artist_genres": world.artist_genres,
        "charts": world.charts.astype(np.int32),
        "user_ids": np.array(list(tastes), dtype=np.int64),
    }
    columns |= _taste_columns(list(tastes.values()))
    columns |= _heard_columns([heard[user_id] for user_id in tastes])
    with (directory / TRUTH_FILE).open("wb") as file:
        np.savez(file, **columns)  # type: ignore[arg-type]


def _taste_columns(tastes: list[Taste]) -> Columns:
    points = np.zeros((len(tastes), MOST_POINTS, tastes[0].points.shape[1]))
    point_weights = np.zeros((len(tastes), MOST_POINTS))
    for row, taste in enumerate(tastes):
        points[row, : len(taste.points)] = taste.points
        point_weights[row, : len(taste.points)] = taste.point_weights
    return {
        "weights": np.stack([taste.weights for taste in tastes]).astype(np.int16),
        "genres": np.stack([taste.genres for taste in tastes]).astype(np.int16),
        "genre_weights": np.stack([taste.genre_weights for taste in tastes]),
        "artists": np.stack([taste.artists for taste in tastes]).astype(np.int32),
        "artist_weights": np.stack([taste.artist_weights for taste in tastes]),
        "points": points,
        "point_weights": point_weights,
        "memory_days": np.array([taste.memory_days for taste in tastes]),
        "skip_habit": np.array([taste.skip_habit for taste in tastes]),
        "like_habit": np.array([taste.like_habit for taste in tastes]),
    }


def _heard_columns(heard: list[Heard]) -> Columns:
    """All listeners' plays end to end; those of listener i lie at heard_ends[i-1]:heard_ends[i]."""
    seconds = np.concatenate([one.times_ms for one in heard]) // 1_000
    return {
        "heard_ends": np.cumsum([len(one.tracks) for one in heard]),
        "heard_tracks": np.concatenate([one.tracks for one in heard]).astype(np.int32),
        "heard_seconds": seconds.astype(np.int64),
        "heard_strengths": np.concatenate([one.strengths for one in heard]).astype(np.float32),
    }


class Oracle:
    """Knows what every listener truly likes.

    It knows the truth of the present, not the randomness of the future: for the time after
    ``as_of_ms`` it takes the chart, the released tracks and the listener's memory as they are
    then. So it is a ceiling for what any model can know, and luck lies above it.
    """

    def __init__(self, directory: Path) -> None:
        with np.load(directory / TRUTH_FILE) as file:
            self._columns = {name: _widen(file[name]) for name in file.files}
        self.track_ids: list[str] = [str(i) for i in self._columns["track_ids"].astype(str)]
        self.user_ids: list[int] = self._ints("user_ids").tolist()
        self._row = {user_id: row for row, user_id in enumerate(self.user_ids)}
        self.world = World(
            appeal=self._floats("appeal"),
            artist=self._ints("artist"),
            release_day=self._ints("release_day"),
            sound=self._floats("sound"),
            artist_genres=self._columns["artist_genres"].astype(np.bool_),
            charts=self._ints("charts"),
        )

    def taste(self, user_id: int) -> Taste:
        """The truth of one listener. Raises KeyError for an unknown one."""
        row = self._row[user_id]
        present = self._floats("point_weights")[row] > 0
        return Taste(
            weights=self._ints("weights")[row],
            genres=self._ints("genres")[row],
            genre_weights=self._floats("genre_weights")[row],
            artists=self._ints("artists")[row],
            artist_weights=self._floats("artist_weights")[row],
            points=self._floats("points")[row][present],
            point_weights=self._floats("point_weights")[row][present],
            memory_days=float(self._floats("memory_days")[row]),
            skip_habit=float(self._floats("skip_habit")[row]),
            like_habit=float(self._floats("like_habit")[row]),
        )

    def heard(self, user_id: int) -> Heard:
        """All that the listener plays in the demo data."""
        row = self._row[user_id]
        ends = self._ints("heard_ends")
        part = slice(int(ends[row - 1]) if row else 0, int(ends[row]))
        return Heard(
            self._ints("heard_tracks")[part],
            self._ints("heard_seconds")[part] * 1_000,
            self._floats("heard_strengths")[part],
        )

    def finish_chances(self, user_id: int) -> Floats:
        """P(played to the end | it plays) of every track, shape (tracks,)."""
        taste = self.taste(user_id)
        return 1 - skip_chances(taste, match(self.world, taste))

    def like_chances(self, user_id: int) -> Floats:
        """P(liked | played to the end) of every track, shape (tracks,)."""
        taste = self.taste(user_id)
        return like_chances(taste, match(self.world, taste))

    def scores(self, user_id: int, as_of_ms: int, history: Heard | None = None) -> Floats:
        """P(the listener's next fully played track is this one) for every track.

        Shape (tracks,), in the order of ``track_ids``, summing to one. ``history`` is what was
        played so far; left out, it is what the demo data has before ``as_of_ms``.
        """
        taste = self.taste(user_id)
        heard = self.heard(user_id) if history is None else history
        plays = next_play(self.world, taste, as_of_ms, heard)
        finished = plays * (1 - skip_chances(taste, match(self.world, taste)))
        return np.asarray(finished / finished.sum(), dtype=np.float64)

    def _ints(self, name: str) -> Ints:
        return self._columns[name].astype(np.int64, copy=False)

    def _floats(self, name: str) -> Floats:
        return self._columns[name].astype(np.float64, copy=False)


def _widen(column: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Undo the narrow types of the file once, not at every look."""
    if column.dtype.kind == "i":
        return column.astype(np.int64)
    return column.astype(np.float64) if column.dtype.kind == "f" else column
