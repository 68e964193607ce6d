"""Means with intervals: a bootstrap that resamples listeners, not their evaluations.

One listener is judged at several cut-offs, and those judgements resemble each other: counted as if
they were independent, they would make every interval too narrow.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.metrics import Floats

RESAMPLES = 2_000
LEVEL = 0.95

# Weights of resampled listeners that are held at once.
_WEIGHTS = 4_000_000


@dataclass(frozen=True)
class Means:
    """mean, low and high, each (columns,); NaN where a column holds nothing."""

    mean: Floats
    low: Floats
    high: Floats


def bootstrap(values: Floats, listeners: NDArray[np.integer], seed: int) -> Means:
    """Column means of ``values``, (evaluations, columns), and their percentile intervals.

    listeners: (evaluations,), whose evaluation it is, numbered from 0. NaN is left out of its
    column. All columns see the same resamples, so that a column of differences is a paired
    comparison. The cluster bootstrap: Field and Welsh, "Bootstrapping clustered data", JRSS B 69
    (2007).
    """
    present = ~np.isnan(values)
    size = int(listeners.max(initial=-1)) + 1
    sums = _by_listener(np.where(present, values, 0.0), listeners, size)
    counts = _by_listener(present.astype(np.float64), listeners, size)
    drawn = _resample(sums, counts, np.random.default_rng(seed))
    low, high = _percentiles(drawn)
    return Means(_divide(sums.sum(0), counts.sum(0)), low, high)


def _by_listener(values: Floats, listeners: NDArray[np.integer], size: int) -> Floats:
    total = np.zeros((size, values.shape[1]))
    np.add.at(total, listeners, values)
    return total


def _resample(sums: Floats, counts: Floats, random: np.random.Generator) -> Floats:
    """(RESAMPLES, columns): the means over as many listeners, drawn with replacement."""
    size = len(sums)
    at_once = max(1, _WEIGHTS // max(size, 1))
    parts = []
    for start in range(0, RESAMPLES, at_once):
        rows = min(at_once, RESAMPLES - start)
        weights = random.multinomial(size, np.full(size, 1 / max(size, 1)), rows).astype(np.float64)
        parts.append(_divide(weights @ sums, weights @ counts))
    return np.concatenate(parts)


def _percentiles(drawn: Floats) -> Floats:
    """(2, columns). A resample that holds nothing of a column says nothing of it."""
    bounds = np.full((2, drawn.shape[1]), np.nan)
    told = ~np.isnan(drawn).all(0)
    tail = (1 - LEVEL) / 2
    bounds[:, told] = np.nanquantile(drawn[:, told], [tail, 1 - tail], axis=0)
    return bounds


def _divide(top: Floats, bottom: Floats) -> Floats:
    quotient: Floats = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
    return quotient
