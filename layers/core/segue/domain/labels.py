"""The labels of tracks: none, one or several for each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from segue.domain.insertion import Insertion

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

    def inserted(
        self: "Labels[Label]", insertion: Insertion, new: Sequence[Sequence[Label]]
    ) -> "Labels[Label]":
        """These and new tracks between them; ``new``: the labels of each. Those that no track had
        get the next numbers."""
        numbers = {name: number for number, name in enumerate(self.names)}
        for label in (label for labels in new for label in labels):
            numbers.setdefault(label, len(numbers))
        new_offsets = np.cumsum([0, *map(len, new)], dtype=np.int32)
        new_numbers = np.array([numbers[label] for labels in new for label in labels], np.int32)
        offsets, content = insertion.ragged(self.offsets, self.numbers, new_offsets, new_numbers)
        return Labels(tuple(numbers), offsets, content)

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
