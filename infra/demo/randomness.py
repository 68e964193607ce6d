"""Random streams and draws that come out the same on every machine.

Floating-point functions may differ in the last digit between processors, so weights that decide an
outcome are turned into whole numbers before they are summed, and nothing goes through BLAS.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Rng = np.random.Generator

# The heaviest entry of a table of whole-number weights; every other one has at least weight 1.
RESOLUTION = 1 << 20


def stream(seed: int, *path: int) -> Rng:
    """The random stream of one part of the data, independent of how much the others drew."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *path])))


def whole(weights: Floats) -> Ints:
    """``weights``, shape (n,), none of them negative, as whole numbers from 1 to RESOLUTION."""
    scaled = np.rint(weights / weights.max() * RESOLUTION)
    return np.asarray(np.maximum(scaled, 1), dtype=np.int64)


def cumulate(weights: Floats) -> Ints:
    """Running totals of the ``whole`` weights, shape (n,)."""
    return np.cumsum(whole(weights))


def draw(totals: Ints, numbers: Floats, among: Ints | None = None) -> Ints:
    """Indices drawn by running ``totals`` for ``numbers`` in [0, 1).

    ``among`` restricts draw *i* to the first ``among[i]`` entries.
    """
    ends = totals[-1] if among is None else totals[among - 1]
    marks = np.floor(numbers * ends).astype(np.int64)
    return np.searchsorted(totals, marks, side="right")


def draw_distinct(rng: Rng, weights: Floats, count: int) -> Ints:
    """``count`` different indices, drawn without replacement in proportion to ``weights``."""
    waits = np.round(-np.log1p(-rng.random(len(weights))) / np.maximum(weights, 1e-12), 9)
    return np.argsort(waits, kind="stable")[:count].astype(np.int64)
