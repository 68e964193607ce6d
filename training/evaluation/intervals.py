"""Means with intervals: a bootstrap that resamples listeners and training draws.

One listener is judged at several cut-offs, and those judgements resemble each other: counted as if
they were independent, they would make every interval too narrow. So listeners are resampled, each
with all of their evaluations.

A model that is trained with another seed recommends otherwise, to all listeners at once. So where
models were trained several times, once a seed, each resample also draws seeds, each with all
cut-offs and models that were trained with it: that holds whether or not models of one seed resemble
each other. Of n seeds n - 1 are drawn with replacement, because the variance between so few of n
drawn ones would come out too small by (n - 1) / n (McCarthy and Snowden, "The Bootstrap and Finite
Population Sampling", 1985). One seed says nothing of how much the seed matters.
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
    """Column means of ``values``, and their percentile intervals.

    values: (draws, evaluations, columns), a draw for each seed. listeners: (evaluations,), whose
    evaluation it is, numbered from 0. NaN is left out of its column. All columns see the same
    resamples, so that a column of differences is a paired comparison. The cluster bootstrap: Field
    and Welsh, "Bootstrapping clustered data", JRSS B 69 (2007).
    """
    present = ~np.isnan(values)
    size = int(listeners.max(initial=-1)) + 1
    sums = _by_listener(np.where(present, values, 0.0), listeners, size)
    counts = _by_listener(present.astype(np.float64), listeners, size)
    drawn = _resample(sums, counts, np.random.default_rng(seed))
    low, high = _percentiles(drawn)
    return Means(_divide(sums.sum((0, 1)), counts.sum((0, 1))), low, high)


def _by_listener(values: Floats, listeners: NDArray[np.integer], size: int) -> Floats:
    total = np.zeros((len(values), size, values.shape[2]))
    for draw, one in zip(total, values, strict=True):
        np.add.at(draw, listeners, one)
    return total


def _resample(sums: Floats, counts: Floats, random: np.random.Generator) -> Floats:
    """(RESAMPLES, columns): means over listeners and draws, both drawn with replacement."""
    draws, size, _ = sums.shape
    at_once = max(1, _WEIGHTS // max(size, 1))
    parts = []
    for start in range(0, RESAMPLES, at_once):
        rows = min(at_once, RESAMPLES - start)
        weights = _weights(random, size, size, rows)
        of_draws = _weights(random, max(draws - 1, 1), draws, rows)
        top, bottom = (
            sum(of_draws[:, draw, None] * (weights @ part[draw]) for draw in range(draws))
            for part in (sums, counts)
        )
        parts.append(_divide(top, bottom))
    return np.concatenate(parts)


def _weights(random: np.random.Generator, number: int, size: int, rows: int) -> Floats:
    """(rows, size): how often each of ``size`` is among ``number`` drawn with replacement."""
    drawn = random.multinomial(number, np.full(size, 1 / max(size, 1)), rows)
    return drawn.astype(np.float64)


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
