"""New rows between those of an ordered axis, and what becomes of the arrays over it."""

from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

V = TypeVar("V", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Insertion:
    """Where new rows go: each before the old row at its place.

    places: (new,) ascending, from 0 to the number of old rows.
    """

    places: NDArray[np.intp]

    @classmethod
    def between(cls, old: NDArray[np.bytes_], new: NDArray[np.bytes_]) -> Self:
        """So that both together are in order. Both are ascending, and have nothing in common."""
        return cls(np.searchsorted(old, new))

    @property
    def new(self) -> NDArray[np.intp]:
        """(new,) the numbers of the new rows."""
        return self.places + np.arange(len(self.places))

    def numbers(self, old: NDArray[np.int32]) -> NDArray[np.int32]:
        """What old rows are numbered now; -1, which is none, stays."""
        return old + np.searchsorted(self.places, old, "right").astype(np.int32)

    def rows(self, old: NDArray[V], new: ArrayLike) -> NDArray[V]:
        """(old + new, ...), from an array over the old rows; ``new``: (new, ...), or what all new
        rows have."""
        values = np.asarray(new)
        # Texts are as wide as the longest.
        wide = np.promote_types(old.dtype, values.dtype) if old.dtype.kind == "S" else old.dtype
        return np.insert(old.astype(wide, copy=False), self.places, values, 0)

    def ragged(
        self,
        offsets: NDArray[np.integer],
        content: NDArray[V],
        new_offsets: NDArray[np.integer],
        new_content: NDArray[V],
    ) -> tuple[NDArray[np.int32], NDArray[V]]:
        """Offsets and content of rows of different lengths; see ``segue.domain.ragged``."""
        new_lengths = np.diff(new_offsets)
        lengths = np.insert(np.diff(offsets), self.places, new_lengths)
        places = np.repeat(offsets[self.places], new_lengths) - offsets[0]
        whole = np.cumsum([0, *lengths], dtype=np.int32)
        return whole, np.insert(content[offsets[0] : offsets[-1]], places, new_content)
