"""The evidence that two arms differ, valid however often one looks.

Under the hypothesis that the arms are alike, every success falls to B with the probability of B's
share, whatever the rate of success, and so does every failure. ``E`` is what a bettor against
that owns who began with 1: it is a martingale, so it ever reaches 20 in at most one of 20
experiments without a difference (Ville's inequality).

Successes: Lindon & Malek, Anytime-valid inference for multinomial count data, NeurIPS 2022. The
failures are the same bet, placed the other way round.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from segue.experiments.statistics.beta_tail import Floats, log_tail_ratio
from segue.experiments.statistics.counts import Counts, check_share

# How sure the bettor's priors are that the arms are nearly alike: from large to small effects.
CONCENTRATIONS = (20, 200, 2000)
# Evidence that settles a test: at most one experiment in 20 without a difference ever reaches it.
DECISIVE = 20.0
_LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True)
class EValue:
    """Evidence against equal arms: ``log_plus`` bets on B, ``log_minus`` on A. Natural logarithms.

    The logarithms are exact at any size; the plain figures stop at the largest float.
    """

    log_plus: float
    log_minus: float

    @property
    def log_value(self) -> float:
        """Of the mean of both bets."""
        return float(np.logaddexp(self.log_plus, self.log_minus) - np.log(2))

    @property
    def plus(self) -> float:
        """Evidence for B."""
        return finite_exp(self.log_plus)

    @property
    def minus(self) -> float:
        """Evidence for A."""
        return finite_exp(self.log_minus)

    @property
    def value(self) -> float:
        """Evidence that the arms differ, in either direction."""
        return finite_exp(self.log_value)

    @property
    def p_value(self) -> float:
        """The p-value that is valid at any time."""
        return float(np.exp(-max(self.log_value, 0.0)))


def in_words(log_e: float) -> str:
    """An e-value for reading, also where it is beyond the largest float."""
    digits = log_e / math.log(10)
    return f"10^{digits:,.0f}" if digits > 6 else f"{math.exp(log_e):.3g}"


def finite_exp(logarithm: float) -> float:
    """``exp``, stopped at the largest float: JSON has no infinity."""
    return float(np.exp(logarithm)) if logarithm < np.log(_LARGEST) else _LARGEST


def evidence(a: Counts, b: Counts, share: float = 0.5) -> EValue:
    """The e-value of two arms; ``share`` is B's share of their users, in (0, 1).

    Valid where each user's arm is drawn anew with that share, as ``assignment.assign`` does.
    Raises InvalidRequest.
    """
    check_share(share)
    plus, minus = log_bets(a.successes, a.failures, b.successes, b.failures, share)
    return EValue(float(plus), float(minus))


def log_bets(
    successes_a: ArrayLike,
    failures_a: ArrayLike,
    successes_b: ArrayLike,
    failures_b: ArrayLike,
    share: float,
) -> tuple[Floats, Floats]:
    """``log E+`` and ``log E-`` of arrays of counts, of the counts' shape."""
    # A bettor on B expects the successes above its share and the failures below it.
    plus = log_bet_above(successes_b, successes_a, share) + log_bet_above(
        failures_a, failures_b, 1 - share
    )
    minus = log_bet_above(failures_b, failures_a, share) + log_bet_above(
        successes_a, successes_b, 1 - share
    )
    return _log_mean(plus), _log_mean(minus)


def log_bet_above(inside: ArrayLike, outside: ArrayLike, share: float) -> Floats:
    """``log T>``: a bet that outcomes fall inside with more than their share of probability.

    The probability's prior is Beta(k share, k (1 - share)) cut to what lies above the share, for
    each concentration k. T> = B(a+x, b+y) sf(a+x, b+y) / (B(a, b) sf(a, b) share^x (1-share)^y),
    where sf is taken at the share. As share^(a+x-1) (1-share)^(b+y-1) / B(a+x, b+y) is a density,
    that is the tail's ratio to the density after the outcomes over the same before them.

    Returns a new last axis, one entry per concentration.
    """
    strength = np.array(CONCENTRATIONS, dtype=np.float64)
    a, b = strength * share, strength * (1 - share)
    x = np.asarray(inside, dtype=np.float64)[..., None]
    y = np.asarray(outside, dtype=np.float64)[..., None]
    bet: Floats = log_tail_ratio(1 - share, b + y, a + x) - log_tail_ratio(1 - share, b, a)
    return bet


def _log_mean(logarithms: Floats) -> Floats:
    mean: Floats = special.logsumexp(logarithms, axis=-1) - np.log(logarithms.shape[-1])
    return mean
