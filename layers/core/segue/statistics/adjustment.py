"""The difference with what was known before the experiment taken out of it, at every look.

A listener who played tracks through last month will this month too, under any arm; that part of the
outcomes' spread is noise to the test. Each arm's outcomes are regressed on what was known, and each
arm's regression then says what *all* users would have done in it (Lin, Annals of Applied Statistics
2013; with one slope for both arms it is CUPED of Deng, Xu, Kohavi & Walker, WSDM 2013). Who has no
past is kept, as a stratum with a rate of its own. The regression need not be right: where it
is wrong, it takes less of the spread away, and the difference is still that of the arms.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from segue.statistics.asymptotic import LEAST_USERS, LEVEL, Interval, widening
from segue.statistics.beta_tail import Floats

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The adjusted difference of rates, B less A, and its asymptotic interval.

    ``variance_left`` is the adjusted variance as a share of the unadjusted: 1 where the covariate
    tells nothing, 0.5 where it saves half of the users.
    """

    difference: float
    interval: Interval
    variance_left: float


def adjusted_difference(
    covariate: ArrayLike, successes: ArrayLike, users: ArrayLike, level: float = LEVEL
) -> Adjusted | None:
    """covariate: (strata,) what was known of their users before, NaN where that is nothing.

    successes, users: (2, strata), of A and B. None while an arm has fewer users than the central
    limit theorem takes, and where the outcomes of one do not vary, or not beside what was known.
    """
    known, s, n = (np.asarray(it, dtype=np.float64) for it in (covariate, successes, users))
    of_arm = n.sum(axis=1)
    rates = s.sum(axis=1) / np.maximum(of_arm, 1)
    if of_arm.min() < LEAST_USERS or (rates * (1 - rates)).min() <= 0:
        return None
    design = np.stack(
        [np.ones_like(known), np.nan_to_num(known), np.isnan(known).astype(float)], axis=1
    )
    arms = [_regression(design, *arm) for arm in zip(s, n, strict=True)]
    unexplained = np.array([arm.variance for arm in arms])
    unadjusted = rates * (1 - rates) / (of_arm - 1)
    if (unexplained <= _ROUNDING * unadjusted).any():
        return None
    gains = arms[1].predicted - arms[0].predicted
    weights = n.sum(axis=0) / n.sum()
    difference = float(weights @ gains)
    # Of the influence function: the gains of the strata differ, and outcomes within them do.
    variance = float(weights @ (gains - difference) ** 2 / n.sum() + unexplained.sum())
    reach = math.sqrt(variance * widening(int(n.sum()), level))
    return Adjusted(
        difference, (difference - reach, difference + reach), float(variance / unadjusted.sum())
    )


@dataclass(frozen=True, slots=True)
class _Regression:
    """predicted: (strata,) rates. ``variance``: of their mean, by what they leave unexplained."""

    predicted: Floats
    variance: float


def _regression(design: Floats, successes: Floats, users: Floats) -> _Regression:
    """By least squares, each user counting once."""
    root = np.sqrt(users)
    rates = successes / np.maximum(users, 1)
    coefficients, _, rank, _ = np.linalg.lstsq(root[:, None] * design, root * rates)
    predicted = design @ coefficients
    left = successes @ (1 - predicted) ** 2 + (users - successes) @ predicted**2
    total = users.sum()
    return _Regression(predicted, float(left / total / (total - rank)))
