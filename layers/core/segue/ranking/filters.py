"""Filters: which tracks an expression holds for, such as ``genre == "jazz" and year >= 1990``.

A comparison with what a track lacks is false, be it by ``!=``; so ``not`` before the comparison
lets the track through. A track without genres is different from every genre. The case of letters
does not matter, but in ids.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from segue.domain.errors import InvalidFilter
from segue.models.bundle import Bundle
from segue.models.ranked import Forbidden


def matching(text: str, bundle: Bundle, field: str = "filter") -> NDArray[np.bool_]:
    """(tracks,) True for the tracks that the expression holds for; not to be written to.

    Raises InvalidFilter, of this ``field`` of the request.
    """
    # A request without an expression does not wait for what reads one.
    from segue.ranking.evaluation import Evaluator

    try:
        return bundle.derived(Evaluator).mask(text)
    except InvalidFilter as error:
        raise InvalidFilter(str(error), error.position, field=field) from None


def forbidden_tracks(
    bundle: Bundle,
    *,
    explicit: bool = True,
    named: Collection[str] = (),
    where: str | None = None,
) -> Forbidden | None:
    """(tracks,) True for the tracks with these ids, for the explicit ones unless ``explicit``, and
    for those that the expression ``where`` does not hold for; None where nothing is asked.

    Raises InvalidFilter.
    """
    if explicit and not named and where is None:
        return None
    catalogue = bundle.catalogue
    forbidden = np.zeros(len(catalogue), np.bool_) if explicit else catalogue.explicit.copy()
    if where is not None:
        forbidden |= ~matching(where, bundle)
    positions = catalogue.positions(list(named))
    forbidden[positions[positions >= 0]] = True
    return forbidden
