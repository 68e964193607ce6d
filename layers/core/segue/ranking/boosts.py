"""Boosts: some tracks count for more or less, by a factor, without any model knowing of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.models.bundle import Bundle
from segue.models.ranked import Forbidden, Ranked
from segue.ranking.filters import matching

MAX_BOOSTS = 5
MAX_FACTOR = 100.0


@dataclass(frozen=True, slots=True)
class Boosts:
    """classes: (tracks,) uint8, which factor each track has. factors: by class."""

    classes: NDArray[np.uint8]
    factors: tuple[float, ...]

    @classmethod
    def of(cls, boosts: Sequence[tuple[str, float]], bundle: Bundle) -> "Boosts | None":
        """Multiply the factors of all boosts whose expression holds for a track; None for none.

        Raises InvalidFilter naming the boost.
        """
        if not boosts:
            return None
        which = np.zeros(len(bundle.catalogue), np.uint8)
        products = [1.0]
        for place, (where, factor) in enumerate(boosts):
            which |= matching(where, bundle, f"boosts[{place}].where").astype(np.uint8) << place
            products += [product * factor for product in products]
        # Tracks of the same factor are one class, whatever it is made of.
        factors, class_of = np.unique(products, return_inverse=True)
        return cls(class_of.astype(np.uint8)[which], tuple(factors.tolist()))

    def best(
        self,
        ask: Callable[[Forbidden], Ranked],
        k: int,
        forbidden: Forbidden | None,
        *,
        logarithmic: bool,
    ) -> Ranked:
        """The k tracks with the greatest scores after boosting, exactly.

        ``ask`` answers the k best tracks that are not forbidden. Within a class a factor changes no
        order, so the best of all are among the best of each class. Where scores are logarithms,
        the factor's own is added.
        """
        tracks, scores = [np.empty(0, np.intp)], [np.empty(0)]
        for number in np.unique(self.classes).tolist():
            others = self.classes != number
            found = ask(others if forbidden is None else others | forbidden)
            # In double precision no two scores become one.
            exact = found.scores.astype(np.float64)
            factor = self.factors[number]
            tracks.append(found.tracks)
            scores.append(exact + math.log(factor) if logarithmic else exact * factor)
        return _merged(np.concatenate(tracks), np.concatenate(scores), k)


def _merged(tracks: NDArray[np.intp], scores: NDArray[np.float64], k: int) -> Ranked:
    order = np.lexsort((tracks, -scores))[:k]
    return Ranked(tracks[order], scores[order].astype(np.float32))
