"""Vectors of many tracks, kept in a byte a number."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray

# So many vectors are widened at a time: as many as stay in the processor's cache.
BLOCK = 256


@dataclass(frozen=True)
class Vectors:
    """(n, width) vectors, ``numbers * scale[:, None]``.

    numbers: (n, width) int8. scale: (n,) float32. Single bytes are a quarter of what floats would
    take, and as a product has to fetch all of them from memory, it takes less time for them, too.
    """

    numbers: NDArray[np.int8]
    scale: FloatArray

    @classmethod
    def of(cls, vectors: FloatArray) -> Self:
        """Round (n, width) vectors, each to 1/127 of its greatest number."""
        scale = np.abs(vectors).max(1, initial=1e-30) / 127
        numbers = np.rint(vectors / scale[:, None]).astype(np.int8)
        return cls(numbers, scale.astype(np.float32))

    def __len__(self) -> int:
        return len(self.numbers)

    def at(self, rows: NDArray[np.integer]) -> FloatArray:
        """(rows, width) float32."""
        wide: FloatArray = self.numbers[rows].astype(np.float32)
        wide *= self.scale[rows, None]
        return wide

    def products(self, others: FloatArray, rows: NDArray[np.integer] | None = None) -> FloatArray:
        """(m, n) with each of the (m, width) others: of all vectors, or of those at these rows."""
        if rows is not None:
            return others @ self.at(rows).T
        found = np.empty((len(self), len(others)), np.float32)
        block = np.empty((BLOCK, self.numbers.shape[1]), np.float32)
        columns = np.ascontiguousarray(others.T, np.float32)
        for start in range(0, len(self), BLOCK):
            some = self.numbers[start : start + BLOCK]
            wide = block[: len(some)]
            wide[...] = some
            np.matmul(wide, columns, out=found[start : start + BLOCK])
        found *= self.scale[:, None]
        return found.T
