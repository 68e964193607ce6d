"""Vectors of many tracks, kept and multiplied in a byte a number."""

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from segue.features.encoder import FloatArray

# A product of two 8-bit numbers, added to another, has to fit into 16 bits on processors that do it
# that way, so one side goes from -127 to 127, and the other from -63 to 63.
KEPT, ASKED = 127, 63
# The side that is asked is shifted by so much, for the processor wants it unsigned.
ZERO = 64
# Bytes that a processor fetches at once.
CACHE_LINE = 64


@dataclass(frozen=True)
class Vectors:
    """n vectors, ``numbers.T * scale[:, None]``.

    numbers: (width, n) int8. scale: (n,) float32. network: multiplies (m, width) uint8 by them; see
    ``training/models/products.py``. Single bytes are a quarter of what floats would take,
    and as a product has to fetch all of them from memory, it takes a fraction of the time, too.
    """

    numbers: NDArray[np.int8]
    scale: FloatArray
    network: ort.InferenceSession

    def __len__(self) -> int:
        return len(self.scale)

    def at(self, rows: NDArray[np.integer] | slice) -> FloatArray:
        """(rows, width) float32."""
        wide: FloatArray = self.numbers[:, rows].T.astype(np.float32)
        wide *= self.scale[rows, None]
        return wide

    def products(self, others: FloatArray, rows: NDArray[np.integer] | None = None) -> FloatArray:
        """(m, n) with each of the (m, width) others: of all vectors, or of those at these rows.

        The others are rounded to 1/63 of the greatest number of each; the sums are of integers, so
        that they are the same on every machine.
        """
        asked, steps = in_steps(others, ASKED)
        if rows is None:
            # The network goes from row to row, and would wait for memory at each. What was read in
            # order before is in the cache by then.
            self.numbers.reshape(-1)[::CACHE_LINE].max(initial=0)
            feeds = {"others": (asked + ZERO).astype(np.uint8), "numbers": self.numbers}
            (whole,) = self.network.run(["products"], feeds)
            # Sums of so many bytes are exact in a float.
            sums, scale = whole.astype(np.float32), self.scale
        else:
            sums, scale = asked @ self.numbers[:, rows].astype(np.float32), self.scale[rows]
        products: FloatArray = sums * scale * steps[:, None]
        return products


def rounded(vectors: FloatArray) -> tuple[NDArray[np.int8], FloatArray]:
    """``numbers`` and ``scale`` of (n, width) vectors, each rounded to 1/127 of its greatest
    number."""
    numbers, scale = in_steps(vectors, KEPT)
    return np.ascontiguousarray(numbers.T.astype(np.int8)), scale


def in_steps(vectors: FloatArray, most: int) -> tuple[FloatArray, FloatArray]:
    """(n, width) whole numbers from -most to most, and (n,) what they are multiples of."""
    steps = np.maximum(np.abs(vectors).max(1, initial=0), np.float32(1e-30)) / most
    return np.rint(vectors / steps[:, None]), steps.astype(np.float32)
