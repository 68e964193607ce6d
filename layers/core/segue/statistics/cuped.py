"""CUPED: the difference with what was known before the experiment taken out of it.

Deng, Xu, Kohavi & Walker, WSDM 2013. A listener who played recommended tracks through last month
will this month too, under any arm; that part of the outcomes' spread is noise to the test.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from segue.domain.errors import InvalidRequest
from segue.statistics.beta_tail import Floats


@dataclass(frozen=True, slots=True)
class Adjusted:
    """Welch's test (one look) on the adjusted outcomes.

    ``variance_left`` is the adjusted variance as a share of the unadjusted: 1 where the covariate
    tells nothing, 0.5 where it saves half of the users.
    """

    difference: float
    interval: tuple[float, float]
    p_value: float
    variance_left: float


def cuped(
    outcomes_a: ArrayLike, covariate_a: ArrayLike, outcomes_b: ArrayLike, covariate_b: ArrayLike
) -> Adjusted:
    """One entry per user; the covariate is from before the assignment, such as last month's rate.

    Raises InvalidRequest where the arrays do not belong together, or outcomes do not vary.
    """
    (y_a, x_a), (y_b, x_b) = _pair(outcomes_a, covariate_a), _pair(outcomes_b, covariate_b)
    y, x = np.concatenate([y_a, y_b]), np.concatenate([x_a, x_b])
    covariances = np.cov(y, x)
    if min(y_a.var(), y_b.var()) == 0:
        raise InvalidRequest("the outcomes of an arm do not vary", field="outcomes")
    # One slope for both arms: two of them could adjust a difference into being.
    slope = covariances[0, 1] / covariances[1, 1] if covariances[1, 1] > 0 else 0.0
    z_a, z_b = (outcome - slope * (known - x.mean()) for outcome, known in ((y_a, x_a), (y_b, x_b)))
    test = stats.ttest_ind(z_b, z_a, equal_var=False)
    low, high = test.confidence_interval(0.95)
    return Adjusted(
        difference=float(z_b.mean() - z_a.mean()),
        interval=(float(low), float(high)),
        p_value=float(test.pvalue),
        variance_left=_variance_of_difference(z_a, z_b) / _variance_of_difference(y_a, y_b),
    )


def _pair(outcomes: ArrayLike, covariate: ArrayLike) -> tuple[Floats, Floats]:
    y, x = (np.asarray(values, dtype=np.float64) for values in (outcomes, covariate))
    if y.ndim != 1 or y.shape != x.shape or y.size < 2:
        raise InvalidRequest(
            f"one outcome and one covariate per user, of two users or more, are wanted; there are "
            f"{y.size} outcomes and {x.size} covariates",
            field="covariate",
        )
    return y, x


def _variance_of_difference(a: Floats, b: Floats) -> float:
    return float(a.var(ddof=1) / a.size + b.var(ddof=1) / b.size)
