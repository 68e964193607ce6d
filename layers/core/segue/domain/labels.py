"""The labels of tracks: none, one or several for each."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Label = str | int
L = TypeVar("L", bound=Label, covariant=True)


@dataclass(frozen=True, slots=True)
class Labels(Generic[L]):
    """Which labels each track has.

    names: the labels, by number. offsets: (tracks + 1,). numbers: (pairs,) int32; those of the
    track at position t are ``numbers[offsets[t]:offsets[t + 1]]``.
    """

    names: tuple[L, ...]
    offsets: NDArray[np.integer]
    numbers: NDArray[np.int32]

    def of_track(self, track: int) -> tuple[L, ...]:
        """The labels of one track, by name."""
        own = self.numbers[self.offsets[track] : self.offsets[track + 1]]
        return tuple(self.names[number] for number in own)

    def any_of(self, wanted: Collection[int]) -> NDArray[np.bool_]:
        """(tracks,) whether a track has at least one of the labels with these numbers."""
        is_wanted = np.zeros(len(self.names), np.bool_)
        is_wanted[list(wanted)] = True
        hits = np.zeros(len(self.numbers) + 1, np.int32)
        np.cumsum(is_wanted[self.numbers], out=hits[1:])
        found: NDArray[np.bool_] = hits[self.offsets[1:]] > hits[self.offsets[:-1]]
        return found

    def labelled(self) -> NDArray[np.bool_]:
        """(tracks,) whether a track has any label."""
        some: NDArray[np.bool_] = self.offsets[1:] > self.offsets[:-1]
        return some
