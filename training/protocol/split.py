"""A split: what is known at a cut-off, and what came of it; the same for our models and all peers.

Only NumPy is needed here, so that peers can read it from an environment of their own.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.plays import Plays


@dataclass(frozen=True)
class Split:
    """One cut-off.

    cutoff: milliseconds since 1970 UTC. users: (users,) bytes, their ids, sorted. plays: all before
    the cut-off, as known then. features: (tracks, width) float16, the numeric and categorical
    inputs of the encoder, without genres. popularity: (tracks,) float32, what the catalogue says of
    itself, NaN where it says nothing. artists: (tracks,) int32, numbers of their artists, -1 for
    none. genres: (pairs, 2) int32, a track and a genre of it each. profiles: (users, width)
    float32, encoded.

    judged: (judged,) int32, ascending: the users with a play before the cut-off who fully played
    something after it. Those tracks of ``judged[i]`` are ``outcomes[offsets[i]:offsets[i + 1]]``,
    int32, ascending. Whoever fits a model looks at neither of the three last.
    """

    cutoff: NDArray[np.int64]
    users: NDArray[np.bytes_]
    plays: Plays
    features: NDArray[np.float16]
    popularity: NDArray[np.float32]
    artists: NDArray[np.int32]
    genres: NDArray[np.int32]
    profiles: NDArray[np.float32]
    judged: NDArray[np.int32]
    offsets: NDArray[np.int64]
    outcomes: NDArray[np.int32]

    @property
    def tracks(self) -> int:
        """Number of tracks."""
        return len(self.popularity)

    @cached_property
    def heard_pairs(self) -> NDArray[np.int64]:
        """(pairs,) ``row * tracks + track``, ascending, of all that judged users ever started; a
        judged user's row is their place among the judged."""
        row = np.full(len(self.users), -1, np.int64)
        row[self.judged] = np.arange(len(self.judged))
        rows = row[self.plays.user]
        return np.unique(rows[rows >= 0] * self.tracks + self.plays.track[rows >= 0])

    def save(self, folder: Path) -> None:
        """Write the arrays, one .npy each."""
        folder.mkdir(parents=True)
        for name, array in (_arrays(self) | _arrays(self.plays)).items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)


def load_split(folder: Path) -> Split:
    """Read what ``Split.save`` wrote, mapped read-only."""
    plays = Plays(**{field.name: _load(folder, field.name) for field in fields(Plays)})
    rest = {
        field.name: _load(folder, field.name) for field in fields(Split) if field.name != "plays"
    }
    return Split(plays=plays, **rest)


def _arrays(part: Split | Plays) -> dict[str, NDArray[Any]]:
    named = ((field.name, getattr(part, field.name)) for field in fields(part))
    return {name: value for name, value in named if isinstance(value, np.ndarray)}


def _load(folder: Path, name: str) -> Any:
    return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
