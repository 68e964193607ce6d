"""How heavy a beta distribution's tail is beside its density, in logarithms and at any size.

The e-values of a test are ratios of this one function, and taken so they need neither a beta
function nor a tail probability that underflows: at ten million users both do.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]

# Below this probability the continued fraction takes a few dozen steps at any size. Above it,
# SciPy's incomplete beta function is accurate, and the fraction would take thousands.
_FAR_TAIL = 1e-20
_STEPS = 10_000
# Stands in for a denominator of zero (Lentz's algorithm).
_TINY = 1e-300
_STIRLING_FROM = 16.0
_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)


def log_tail_ratio(x: ArrayLike, a: ArrayLike, b: ArrayLike) -> Floats:
    """``log(P(X <= x) / density(x))`` for X ~ Beta(a, b); all three broadcast.

    ``0 < x < 1``; a, b > 0. The upper tail is ``log_tail_ratio(1 - x, b, a)``.
    """
    x, a, b = (np.asarray(v, dtype=np.float64) for v in np.broadcast_arrays(x, a, b))
    probability = np.atleast_1d(special.betainc(a, b, x))
    ratio = np.log(np.maximum(probability, _FAR_TAIL)) - log_density(x, a, b)
    far = probability < _FAR_TAIL
    if far.any():
        ratio[far] = _far_log_ratio(*(np.atleast_1d(v)[far] for v in (x, a, b)))
    return ratio.reshape(x.shape)


def log_density(x: ArrayLike, a: ArrayLike, b: ArrayLike) -> Floats:
    """The logarithm of the density of Beta(a, b) at x; its error stays small at any a and b.

    Loader's saddle-point form (2000): the large terms cancel on paper, not in floating point.
    """
    x, a, b = (np.asarray(v, dtype=np.float64) for v in (x, a, b))
    n = a + b
    misfit = _deviance(a, n * x) + _deviance(b, n * (1 - x))
    of_n, of_a, of_b = _stirling_error(np.stack(np.broadcast_arrays(n, a, b)))
    correction = of_n - of_a - of_b
    density: Floats = (
        correction - misfit + 0.5 * np.log(a * b / (2 * np.pi * n)) - np.log(x) - np.log1p(-x)
    )
    return density


def _deviance(seen: Floats, expected: Floats) -> Floats:
    """``seen log(seen / expected) - seen + expected``, also where the two nearly agree."""
    excess = (seen - expected) / expected
    near = np.abs(excess) < 0.5
    close = expected * ((1 + excess) * np.log1p(np.where(near, excess, 0)) - excess)
    deviance: Floats = np.where(near, close, seen * np.log(seen / expected) - seen + expected)
    return deviance


def _stirling_error(z: Floats) -> Floats:
    """What Stirling's formula leaves out of ``log gamma(z)``."""
    large = np.maximum(z, _STIRLING_FROM)
    series = np.zeros_like(large)
    for term in reversed(_STIRLING):
        series = term + series / large**2
    small = np.minimum(z, _STIRLING_FROM)
    exact = special.gammaln(small) - (small - 0.5) * np.log(small) + small - _HALF_LOG_2PI
    error: Floats = np.where(z >= _STIRLING_FROM, series / large, exact)
    return error


def _far_log_ratio(x: Floats, a: Floats, b: Floats) -> Floats:
    """The same by the incomplete beta function's continued fraction (DLMF 8.17.22).

    Its leading factor is the density times ``x (1 - x) / a``, so that the density cancels.
    """
    fraction = np.ones_like(x)
    above, below = np.ones_like(x), np.zeros_like(x)
    for step in range(1, _STEPS):
        term = _fraction_term(step, x, a, b)
        below = 1 / _nonzero(1 + term * below)
        above = _nonzero(1 + term / above)
        change = above * below
        fraction *= change
        if np.all(np.abs(change - 1) < 1e-15):
            break
    return np.log(x) + np.log1p(-x) - np.log(a) - np.log(fraction)


def _fraction_term(step: int, x: Floats, a: Floats, b: Floats) -> Floats:
    m, odd = divmod(step, 2)
    if odd:
        return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))


def _nonzero(value: Floats) -> Floats:
    return np.where(np.abs(value) < _TINY, _TINY, value)
