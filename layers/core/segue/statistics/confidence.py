"""How large the difference is: an interval that holds at every look, and agrees with the verdict.

Each difference d is put to a test of its own, by the bets that the verdict is made of. ``F+(d)`` is
what a bettor owns who holds that B's rate lies above ``rate A + d``: for given rates the bet is
that B succeeds more often than its rate and A less often than its own, and of all rates that are d
apart, those count that leave the bettor least. ``F-(d)`` bets the other way. Where d is the true
difference, both are at most a martingale that began with 1, whoever is allotted to which arm.

Where B's rate truly is the lower one (d < 0), so is the evidence ``E+`` for B; where it is the
higher one (d > 0), so is ``E-``; and at d = 0 both are. So these averages are e-values, and by
Ville's inequality the differences at which they stay below 20 hold the true one at every look at
once in at least 19 of 20 experiments::

    d < 0: E+/2 + F+(d)/4 + F-(d)/4    d = 0: E+/2 or E-/2    d > 0: E-/2 + F+(d)/4 + F-(d)/4

The relative lift, ``rate B / rate A - 1``, is put to the same test, by the rates that are a ratio
apart in place of those that are a difference apart: the sign of both is the same, and so the same
evidence belongs to it. At the true rates both tests are of one and the same bets, so both intervals
together hold the truth at every look in at least 19 of 20 experiments.

The verdict is "B is better" where E+/2 alone reaches 20. Then no d <= 0 is left, and as long as it
is not reached, 0 is. (At each end of the interval one of F+ and F- bets on the wrong side and is
next to nothing; it is left out, which only widens the interval.)
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import elementwise

from segue.statistics.beta_tail import Floats
from segue.statistics.counts import Counts
from segue.statistics.evalue import DECISIVE, EValue, log_bet_above, log_mean
from segue.statistics.infimum import infimum

Interval = tuple[float, float]
Flags = NDArray[np.bool_]

# An open interval's end at 0, which it does not hold: the float next to it, which it does.
ABOVE_ZERO = math.nextafter(0, 1)
# Added to both parameters of a prior, so that it is none at rates of 0 and 1 that sees no others.
_DOUBT = 0.5
# Differences are told apart to this, and looked for up to this; so are logarithms of ratios.
_PRECISION, _WHOLE, _LARGEST_RATIO = 1e-10, 1 - 1e-6, math.log(1e6)
# Rates come as near to the ends of where they can lie as this, on the logit scale.
_REACH = 20.0
# In place of a rate of 0, of which there is no logarithm.
_NO_RATE = 1e-300


def confidence_sequence(
    a: Counts, b: Counts, evidence: EValue, decisive: float = DECISIVE, *, relative: bool = False
) -> Interval:
    """The lowest and the highest ``rate B - rate A`` that is left, within [-1, 1].

    ``evidence`` is what the verdict goes by, ``decisive`` what it has to reach there. An end that
    is ABOVE_ZERO, or its negative, says that everything from 0 on is excluded and nothing more.
    ``relative``: of the relative lift, within [-1, infinity]; infinite is what lies beyond a
    factor of a million.
    """
    low, high = confidence_limits(
        a.successes,
        a.failures,
        b.successes,
        b.failures,
        evidence.log_plus,
        evidence.log_minus,
        decisive,
        relative,
    )
    return float(low), float(high)


def confidence_limits(
    successes_a: ArrayLike,
    failures_a: ArrayLike,
    successes_b: ArrayLike,
    failures_b: ArrayLike,
    log_plus: ArrayLike,
    log_minus: ArrayLike,
    decisive: float = DECISIVE,
    relative: ArrayLike = False,
) -> tuple[Floats, Floats]:
    """Both ends for arrays of counts and of the logarithms of ``E+`` and ``E-``, of their shape.

    ``relative`` may be an array, too: many intervals take hardly longer together than one alone.
    """
    a, b = (successes_a, failures_a), (successes_b, failures_b)
    rows = np.broadcast_arrays(*a, *b, log_plus, log_minus, relative)
    figures = np.array(rows, dtype=np.float64)
    # Seen from the other arm, the upper end is a lower one.
    seen_from_both = np.stack([figures, figures[[2, 3, 0, 1, 5, 4, 6]]], axis=1)
    low, other = _lower_end(decisive, *seen_from_both)
    # A ratio is looked for by its logarithm.
    lift_low, lift_high = np.expm1(low), np.expm1(-other)
    is_lift = figures[-1] > 0
    return np.where(is_lift, lift_low, low), np.where(is_lift, lift_high, -other)


def _lower_end(decisive: float, *figures: Floats) -> Floats:
    """In the measure in which it is looked for: a difference, or the logarithm of a ratio."""
    rows = [figure.reshape(-1) for figure in figures]
    counts, (log_plus, log_minus, relative) = rows[:4], rows[4:]
    is_ratio = relative > 0
    rate_a, rate_b = _rate(*counts[:2]), _rate(*counts[2:])
    log_ratio = np.log(np.maximum(rate_b, _NO_RATE) / np.maximum(rate_a, _NO_RATE))
    observed = np.where(is_ratio, log_ratio, rate_b - rate_a)
    most = np.where(is_ratio, _LARGEST_RATIO, _WHOLE)
    b_is_better = log_plus - math.log(2) >= math.log(decisive)
    a_is_better = log_minus - math.log(2) >= math.log(decisive)
    # What F+(d) has to be less than for d to be left: the evidence pays a part of it.
    wanted = np.log(4 * decisive - 2 * np.exp(np.where(b_is_better, log_minus, log_plus)))
    start = np.where(b_is_better, observed, np.minimum(observed, 0.0)).clip(-most, most)
    end = _furthest(start, most, wanted, is_ratio, *counts)
    end = np.where(b_is_better, np.maximum(end, ABOVE_ZERO), end)
    # 0 is left as long as neither arm is better, whatever lies around it.
    end = np.where(b_is_better | a_is_better, end, np.minimum(end, 0.0))
    return end.reshape(figures[0].shape)


def _furthest(
    start: Floats, most: Floats, wanted: Floats, is_ratio: Flags, *counts: Floats
) -> Floats:
    """How far below ``start`` ``log F+(d)`` stays below what is wanted; ``start`` if nowhere."""

    def excess(d: Floats, wanted: Floats, is_ratio: Flags, *counts: Floats) -> Floats:
        return _log_bet_beyond(d, is_ratio, *counts) - wanted

    found = elementwise.find_root(
        excess,
        (-most, start),
        args=(wanted, is_ratio, *counts),
        tolerances={"xatol": _PRECISION},
    )
    # Where there is no crossing, it is at neither end: everything is left, or nothing.
    everything = np.where(is_ratio, -math.inf, -1.0)
    uncrossed = np.where(found.f_bracket[1] < 0, everything, start)
    # Of the two differences that it lies between, the further one.
    return np.where(found.success, np.minimum(*found.bracket), uncrossed)


def _log_bet_beyond(d: ArrayLike, is_ratio: ArrayLike, *counts: ArrayLike) -> Floats:
    """``log F+(d)``; d is a difference in (-1, 1), or the logarithm of a ratio."""

    def log_bet(place: Floats, d: Floats, is_ratio: Floats, *counts: Floats) -> Floats:
        s_a, f_a, s_b, f_b = counts
        rate_a, rate_b = _rates(place, d, is_ratio > 0)
        higher = log_bet_above(s_b, f_b, rate_b, _DOUBT)
        return log_mean(higher + log_bet_above(f_a, s_a, 1 - rate_a, _DOUBT))

    return infimum(log_bet, d, is_ratio, *counts, reach=_REACH)


def _rates(place: Floats, d: Floats, is_ratio: Flags) -> tuple[Floats, Floats]:
    """Rates of A and B that are d apart, from the lowest such (place 0) to the highest (1)."""
    up, down = np.maximum(d, 0), np.maximum(-d, 0)
    shared = (1 - np.abs(d)) * place
    rate_a = np.where(is_ratio, np.exp(-up) * place, down + shared)
    rate_b = np.where(is_ratio, np.exp(-down) * place, up + shared)
    return rate_a, rate_b


def _rate(successes: Floats, failures: Floats) -> Floats:
    return successes / np.maximum(successes + failures, 1)
