"""The textbook figures. They hold for one look at a size that was set beforehand, and no other."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from segue.statistics.counts import Counts

Interval = tuple[float, float]

# Boschloo's test goes through all tables of the two sizes: 0.2 s at this many users, and rising.
BOSCHLOO_USERS = 400
# Of a 95 % interval.
_Z = float(stats.norm.isf(0.025))


def fisher(a: Counts, b: Counts) -> float:
    """Fisher's exact two-sided p-value: exact at any size, and cautious at small ones."""
    return float(stats.fisher_exact(_table(a, b)).pvalue) if _can_differ(a, b) else 1.0


def boschloo(a: Counts, b: Counts) -> float | None:
    """Boschloo's exact two-sided p-value, sharper than Fisher's; None over BOSCHLOO_USERS."""
    if a.users + b.users > BOSCHLOO_USERS:
        return None
    return float(stats.boschloo_exact(_table(a, b)).pvalue) if _can_differ(a, b) else 1.0


def pooled_z(a: Counts, b: Counts) -> float:
    """The two-sided p-value of the z-test with pooled variance: for large samples."""
    if not _can_differ(a, b):
        return 1.0
    pooled = (a.successes + b.successes) / (a.users + b.users)
    error = math.sqrt(pooled * (1 - pooled) * (1 / a.users + 1 / b.users))
    difference = b.successes / b.users - a.successes / a.users
    return float(2 * stats.norm.sf(abs(difference) / error))


def wilson(arm: Counts) -> Interval:
    """Wilson's 95 % interval of one arm's rate; [0, 1] without users."""
    if not arm.users:
        return 0.0, 1.0
    n, rate = arm.users, arm.successes / arm.users
    shrunk = (rate + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    reach = _Z * math.sqrt(rate * (1 - rate) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    # At the borders the sum cancels but for rounding.
    low = 0.0 if arm.successes == 0 else shrunk - reach
    high = 1.0 if arm.failures == 0 else shrunk + reach
    return low, high


def newcombe(a: Counts, b: Counts) -> Interval:
    """Newcombe's 95 % interval of ``rate B - rate A`` (1998, method 10); [-1, 1] without users."""
    if not (a.users and b.users):
        return -1.0, 1.0
    rate_a, rate_b = a.successes / a.users, b.successes / b.users
    (low_a, high_a), (low_b, high_b) = wilson(a), wilson(b)
    difference = rate_b - rate_a
    return (
        difference - math.hypot(rate_b - low_b, high_a - rate_a),
        difference + math.hypot(high_b - rate_b, rate_a - low_a),
    )


def _table(a: Counts, b: Counts) -> NDArray[np.int64]:
    return np.array([[a.successes, b.successes], [a.failures, b.failures]])


def _can_differ(a: Counts, b: Counts) -> bool:
    """Whether any table of these margins would tell the arms apart."""
    return bool(a.users and b.users and a.successes + b.successes and a.failures + b.failures)
