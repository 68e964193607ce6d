"""From scores to the best tracks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray

# (tracks,) of the catalogue: True for those that must not be on a list.
Forbidden = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ranked:
    """tracks: (n,) positions, best first. scores: (n,) float32."""

    tracks: NDArray[np.intp]
    scores: FloatArray


def best(
    scores: FloatArray,
    k: int,
    forbidden: Forbidden | None = None,
    tracks: NDArray[np.integer] | None = None,
) -> Ranked:
    """The ``k`` with the greatest scores; fewer where fewer score above -inf.

    tracks: (n,) the positions that the scores are of; None: of all, in order. Ties go to the lower
    position, so the same scores always give the same list.
    """
    if forbidden is not None:
        scores = np.where(forbidden if tracks is None else forbidden[tracks], -np.inf, scores)
    k = min(k, len(scores))
    bar = np.partition(scores, -k)[-k] if k else np.inf
    places = np.flatnonzero((scores >= bar) & (scores > -np.inf))
    positions = places if tracks is None else tracks[places]
    order = np.lexsort((positions, -scores[places]))[:k]
    return Ranked(positions[order].astype(np.intp), scores[places[order]])
