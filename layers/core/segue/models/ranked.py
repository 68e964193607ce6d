"""From scores to the best tracks."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray

# (tracks,) of the catalogue: True for those that must not be on a list.
Forbidden = NDArray[np.bool_]

# Scores are laid out in so many columns for each place of the list. The more there are, the fewer
# tracks are left to be sorted.
_COLUMNS_PER_PLACE = 16
# No score but -inf is less.
_LEAST = np.finfo(np.float32).min


class Ranked(NamedTuple):
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
    bar = max(_bar(scores, k), _LEAST) if k else np.inf
    places = np.flatnonzero(scores >= bar)
    positions = places if tracks is None else tracks[places]
    order = np.lexsort((positions, -scores[places]))[:k]
    return Ranked(positions[order].astype(np.intp), scores[places[order]])


def contenders(
    most: FloatArray,
    score: Callable[[NDArray[np.intp]], FloatArray],
    k: int,
    tried: int,
    forbidden: Forbidden | None = None,
    inexact: float = 0.0,
) -> NDArray[np.intp]:
    """The tracks that can be among the ``k`` best, ascending.

    most: (tracks,), the most that each can score. score: of some tracks, what they do. So many are
    tried, those that can score most: they tell what it takes. inexact: as much as a score may be
    off.
    """
    reached = np.sort(score(best(most, tried, forbidden).tracks))[::-1]
    bar = reached[k - 1] - inexact if len(reached) >= k else -np.inf
    possible = most >= bar
    return np.flatnonzero(possible if forbidden is None else possible & ~forbidden)


def _bar(scores: FloatArray, k: int) -> np.float32:
    """A score that at least ``k`` tracks reach, and hardly more.

    Of many scores, it is the k-th greatest of the columns' maxima. Each maximum is the score of
    another track, so k tracks reach it. To find the k-th greatest of all scores takes longer.
    """
    columns = _COLUMNS_PER_PLACE * k
    rows = len(scores) // columns
    if rows > 1:
        scores = scores[: rows * columns].reshape(rows, columns).max(0)
    bar: np.float32 = np.partition(scores, -k)[-k]
    return bar
