"""The evidence that two arms differ, valid however often one looks and whatever their shares are.

Suppose that the arms are alike. Then a success falls to B with the probability of B's share,
whatever the rate of success is at that moment. So does a failure. ``E(share)`` is what a bettor
against that owns who began with 1: a martingale, so that it ever reaches 20 in at most one of 20
experiments without a difference (Ville's inequality). The share that users really
come in is never known quite, and so the evidence is the least that any constant share leaves.

Successes: Lindon & Malek, Anytime-valid inference for multinomial count data, NeurIPS 2022. The
failures are the same bet, placed the other way round.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from segue.experiments.experiment import LEAST_SHARE
from segue.statistics.beta_tail import Floats, log_tail_ratio
from segue.statistics.counts import Counts, check_share
from segue.statistics.infimum import infimum

# How sure the bettor's priors are that the arms are nearly alike: from large to small effects.
CONCENTRATIONS = (20, 200, 2000)
# Evidence that settles a test: at most one experiment in 20 without a difference ever reaches it.
DECISIVE = 20.0
_SHARES = float(special.logit(1 - LEAST_SHARE))
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
    def log_deciding(self) -> float:
        """Of what decides: half of the greater bet, as half of the stake is on either arm."""
        return max(self.log_plus, self.log_minus) - math.log(2)

    @property
    def deciding(self) -> float:
        """The evidence that decides."""
        return finite_exp(self.log_deciding)

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
        """The p-value that is valid at any time, of the evidence that decides."""
        return float(np.exp(-max(self.log_deciding, 0.0)))


def in_words(log_e: float) -> str:
    """An e-value for reading, also where it is beyond the largest float.

    Rounded down, so that one which falls short of what it has to reach also reads so.
    """
    digits = log_e / math.log(10)
    if digits > 6:
        return f"10^{digits:,.0f}"
    # What has been a whole number before its logarithm was taken is one again.
    value = math.exp(log_e) * (1 + 1e-12)
    return f"{math.floor(value):,}" if digits > 3 else f"{_three_digits(value):.3g}"


def _three_digits(value: float) -> float:
    return float(Context(prec=3, rounding=ROUND_FLOOR).create_decimal(value))


def finite_exp(logarithm: float) -> float:
    """``exp``, stopped at the largest float: JSON has no infinity."""
    return float(np.exp(logarithm)) if logarithm < np.log(_LARGEST) else _LARGEST


def evidence(a: Counts, b: Counts) -> EValue:
    """The e-value of two arms, whatever constant share of the users came to B.

    Valid where each user's arm is drawn anew with that share, as ``assignment.assign`` does.
    """
    plus, minus = log_evidence(a.successes, a.failures, b.successes, b.failures)
    return EValue(float(plus), float(minus))


def evidence_at(a: Counts, b: Counts, share: float) -> EValue:
    """The same where B's share of the users is known for certain, such as a coin's.

    Raises InvalidRequest for a share that is not between 0 and 1.
    """
    check_share(share)
    return EValue(
        float(log_bet_on_b(share, a.successes, a.failures, b.successes, b.failures)),
        float(log_bet_on_b(1 - share, b.successes, b.failures, a.successes, a.failures)),
    )


def evidence_of_rates(a: Counts, b: Counts) -> float:
    """``E0``: two rates, of uniform priors, beside the one rate that fits best; whatever the share.

    Universal inference (Wasserman, Ramdas & Balakrishnan, PNAS 2020).
    """
    successes, failures = a.successes + b.successes, a.failures + b.failures
    two = sum(float(special.betaln(1 + arm.successes, 1 + arm.failures)) for arm in (a, b))
    n = max(successes + failures, 1)
    one = special.xlogy(successes, successes / n) + special.xlogy(failures, failures / n)
    return finite_exp(two - float(one))


def log_evidence(
    successes_a: ArrayLike, failures_a: ArrayLike, successes_b: ArrayLike, failures_b: ArrayLike
) -> tuple[Floats, Floats]:
    """``log E+`` and ``log E-`` of arrays of counts, of the counts' shape.

    Each is the least over B's share, from LEAST_SHARE to 1 less that.
    """
    a, b = (successes_a, failures_a), (successes_b, failures_b)
    return (
        least_over_shares(log_bet_on_b, *a, *b),
        least_over_shares(log_bet_on_b, *b, *a),
    )


def least_over_shares(log_bet: Callable[..., Floats], *counts: ArrayLike) -> Floats:
    """The least that ``log_bet(share, *counts)`` leaves, whatever constant share came to B."""
    return infimum(log_bet, *counts, reach=_SHARES)


def log_bet_on_b(
    share: ArrayLike,
    successes_a: ArrayLike,
    failures_a: ArrayLike,
    successes_b: ArrayLike,
    failures_b: ArrayLike,
) -> Floats:
    """``log E+(share)``: B has more than its share of the successes, and less of the failures."""
    share = np.asarray(share, dtype=np.float64)
    successes = log_bet_above(successes_b, successes_a, share)
    return log_mean(successes + log_bet_above(failures_a, failures_b, 1 - share))


def log_bet_above(
    inside: ArrayLike, outside: ArrayLike, share: ArrayLike, doubt: float = 0.0
) -> Floats:
    """``log T>``: a bet that outcomes fall inside with more than their share of probability.

    The probability's prior is Beta(a, b) cut to what lies above the share, with ``a = k share +
    doubt`` and ``b = k (1 - share) + doubt`` for each concentration k. T> = B(a+x, b+y) sf(a+x,
    b+y) / (B(a, b) sf(a, b) share^x (1-share)^y), where sf is taken at the share. As
    share^(a+x-1) (1-share)^(b+y-1) / B(a+x, b+y) is a density, that is the tail's ratio to the
    density after the outcomes over the same before them.

    Returns a new last axis, one entry per concentration.
    """
    inside, outside, share = (
        np.asarray(value, dtype=np.float64)[..., None] for value in (inside, outside, share)
    )
    strength = np.array(CONCENTRATIONS, dtype=np.float64)
    a, b = strength * share + doubt, strength * (1 - share) + doubt
    before = log_tail_ratio(1 - share, b, a)
    bet: Floats = log_tail_ratio(1 - share, b + outside, a + inside) - before
    return bet


def log_mean(logarithms: Floats) -> Floats:
    """The logarithm of the mean over the last axis, of what the logarithms stand for."""
    mean: Floats = special.logsumexp(logarithms, axis=-1) - np.log(logarithms.shape[-1])
    return mean
