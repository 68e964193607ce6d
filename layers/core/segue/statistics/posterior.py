"""What a Bayesian with uniform priors, Beta(1, 1) on each rate, believes at one look.

Stopping when the belief is strong finds "winners" among equal arms as readily as any other
peeking: these figures are for reading, the e-value is for deciding.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from segue.statistics.counts import Counts

# The rates' quantiles cut [0, 1] into pieces over which every integrand is smooth.
_TAILS = np.concatenate(([1e-16, 1e-13, 1e-10, 1e-7, 1e-5, 1e-3], np.linspace(0.02, 0.5, 7)))
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)


@dataclass(frozen=True, slots=True)
class Posterior:
    """``b_beats_a``: the probability that B's rate is higher.

    The losses are what choosing an arm gives away on average, in successes per user: the
    expectation of the other rate's lead where it leads, and of 0 where it does not.
    """

    b_beats_a: float
    loss_choosing_a: float
    loss_choosing_b: float


def posterior(a: Counts, b: Counts) -> Posterior:
    """By quadrature, at any size: each figure to about ten digits."""
    rate_a, rate_b = (stats.beta(1 + arm.successes, 1 + arm.failures) for arm in (a, b))
    quantiles = [f(_TAILS) for rate in (rate_a, rate_b) for f in (rate.ppf, rate.isf)]
    cuts = np.unique(np.concatenate([[0.0, 1.0], *quantiles]))
    half = np.diff(cuts)[:, None] / 2
    at = cuts[:-1, None] + half * (1 + _NODES)
    weights = half * _WEIGHTS

    below_a, below_b, above_a, above_b = (
        f(at) for f in (rate_a.cdf, rate_b.cdf, rate_a.sf, rate_b.sf)
    )
    return Posterior(
        b_beats_a=float((weights * rate_b.pdf(at) * below_a).sum()),
        # E max(A - B, 0) is the integral over t of P(B < t < A).
        loss_choosing_a=float((weights * below_a * above_b).sum()),
        loss_choosing_b=float((weights * below_b * above_a).sum()),
    )
