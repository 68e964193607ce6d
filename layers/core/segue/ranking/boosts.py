"""Boosts: some tracks count for more or less, by a factor, without any model knowing of it."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from segue.models.bundle import Bundle
from segue.models.ranked import Forbidden, Ranked
from segue.ranking.filters import matching

# The best of so many tracks for each place of the list are boosted at first, and where that is too
# few to be sure of the list, so many times as many.
_PER_PLACE, _GROWTH = 10, 10

# (tracks,) in double precision, in which no two different scores become one.
Factors = NDArray[np.float64]


def factors_of(boosts: Sequence[tuple[str, float]], bundle: Bundle) -> Factors | None:
    """The product of the factors of all boosts whose expression holds for a track; None for none.

    Raises InvalidFilter naming the boost.
    """
    if not boosts:
        return None
    factors = np.ones(len(bundle.catalogue))
    for place, (where, factor) in enumerate(boosts):
        factors[matching(where, bundle, f"boosts[{place}].where")] *= factor
    return factors


def best_boosted(
    ask: Callable[[int, Forbidden | None], Ranked],
    k: int,
    forbidden: Forbidden | None,
    factors: Factors,
    *,
    logarithmic: bool,
) -> Ranked:
    """The k tracks with the greatest scores, each multiplied by its factor: exactly those.

    ``ask`` answers so many of the best tracks that are not forbidden. A track behind these gets no
    further than the last of them would by the greatest factor; where that is not enough for the
    list, it is sure. logarithmic: the scores are logarithms, to which those of the factors are
    added.
    """
    weights = np.log(factors) if logarithmic else factors
    greatest = weights.max(initial=-np.inf, where=True if forbidden is None else ~forbidden)
    asked = _PER_PLACE * k
    while True:
        found = ask(asked, forbidden)
        scores = _boosted(found.scores, weights[found.tracks], logarithmic=logarithmic)
        order = np.lexsort((found.tracks, -scores))[:k]
        if len(found.tracks) < asked or scores[order[-1]] > _boosted(
            found.scores[-1], greatest, logarithmic=logarithmic
        ):
            return Ranked(found.tracks[order], scores[order].astype(np.float32))
        asked *= _GROWTH


def _boosted(
    scores: NDArray[np.float32], weights: NDArray[np.float64], *, logarithmic: bool
) -> NDArray[np.float64]:
    return scores + weights if logarithmic else scores * weights
