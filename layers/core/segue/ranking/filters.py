"""From scores to a list: who may be in it, and the best of those in order."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray


def forbid(scores: FloatArray, tracks: Iterable[NDArray[np.integer | np.bool_]]) -> FloatArray:
    """A copy in which every named track scores -inf; each entry is positions or a mask."""
    allowed = scores.copy()
    for selection in tracks:
        allowed[selection] = -np.inf
    return allowed


def top(scores: FloatArray, k: int) -> NDArray[np.intp]:
    """The positions of the ``k`` best, best first; fewer where fewer score above -inf.

    Ties go to the lower position, so the same scores always give the same list.
    """
    k = min(k, len(scores))
    if k == 0:
        return np.empty(0, np.intp)
    bar = np.partition(scores, -k)[-k]
    candidates = np.flatnonzero((scores >= bar) & (scores > -np.inf))
    return candidates[np.argsort(-scores[candidates], kind="stable")][:k]
