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

The verdict is "B is better" where E+/2 alone reaches 20. Then no d <= 0 is left, and as long as it
is not reached, 0 is. (At each end of the interval one of F+ and F- bets on the wrong side and is
next to nothing; it is left out, which only widens the interval.)
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import elementwise

from segue.experiments.statistics.beta_tail import Floats
from segue.experiments.statistics.counts import Counts
from segue.experiments.statistics.evalue import DECISIVE, EValue, log_bet_above, log_mean
from segue.experiments.statistics.infimum import infimum

Interval = tuple[float, float]

# An open interval's end at 0, which it does not hold: the float next to it, which it does.
ABOVE_ZERO = math.nextafter(0, 1)
# Added to both parameters of a prior, so that it is none at rates of 0 and 1 that sees no others.
_DOUBT = 0.5
# Differences are told apart to this, and looked for up to this.
_PRECISION, _WHOLE = 1e-8, 1 - 1e-6
# Rates come as near to the ends of where they can lie as this, on the logit scale.
_REACH = 20.0


def confidence_sequence(
    a: Counts, b: Counts, evidence: EValue, decisive: float = DECISIVE
) -> Interval:
    """The lowest and the highest ``rate B - rate A`` that is left, within [-1, 1].

    ``evidence`` is what the verdict goes by, ``decisive`` what it has to reach there. An end that
    is ABOVE_ZERO, or its negative, says that everything from 0 on is excluded and nothing more.
    """
    low, high = confidence_limits(
        a.successes,
        a.failures,
        b.successes,
        b.failures,
        evidence.log_plus,
        evidence.log_minus,
        decisive,
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
) -> tuple[Floats, Floats]:
    """Both ends for arrays of counts and of the logarithms of ``E+`` and ``E-``, of their shape."""
    a, b = (successes_a, failures_a), (successes_b, failures_b)
    figures = np.array(np.broadcast_arrays(*a, *b, log_plus, log_minus), dtype=np.float64)
    # Seen from the other arm, the upper end is a lower one.
    seen_from_both = np.stack([figures, figures[[2, 3, 0, 1, 5, 4]]], axis=1)
    low, other = _lower_end(decisive, *seen_from_both)
    return low, -other


def _lower_end(decisive: float, *figures: Floats) -> Floats:
    rows = [figure.reshape(-1) for figure in figures]
    counts, (log_plus, log_minus) = rows[:4], rows[4:]
    observed = _rate(counts[2], counts[3]) - _rate(counts[0], counts[1])
    b_is_better = log_plus - math.log(2) >= math.log(decisive)
    a_is_better = log_minus - math.log(2) >= math.log(decisive)
    # What F+(d) has to be less than for d to be left: the evidence pays a part of it.
    wanted = np.log(4 * decisive - 2 * np.exp(np.where(b_is_better, log_minus, log_plus)))
    start = np.where(b_is_better, observed, np.minimum(observed, 0.0)).clip(-_WHOLE, _WHOLE)
    end = _furthest(start, wanted, *counts)
    end = np.where(b_is_better, np.maximum(end, ABOVE_ZERO), end)
    # 0 is left as long as neither arm is better, whatever lies around it.
    end = np.where(b_is_better | a_is_better, end, np.minimum(end, 0.0))
    return end.reshape(figures[0].shape)


def _furthest(start: Floats, wanted: Floats, *counts: Floats) -> Floats:
    """How far below ``start`` ``log F+(d)`` stays below what is wanted; ``start`` if nowhere."""

    def excess(d: Floats, wanted: Floats, *counts: Floats) -> Floats:
        return _log_bet_beyond(d, *counts) - wanted

    found = elementwise.find_root(
        excess,
        (np.full_like(start, -_WHOLE), start),
        args=(wanted, *counts),
        tolerances={"xatol": _PRECISION},
    )
    # Where there is no crossing, it is at neither end: everything is left, or nothing.
    uncrossed = np.where(found.f_bracket[1] < 0, -1.0, start)
    # Of the two differences that it lies between, the further one.
    return np.where(found.success, np.minimum(*found.bracket), uncrossed)


def _log_bet_beyond(
    difference: ArrayLike,
    successes_a: ArrayLike,
    failures_a: ArrayLike,
    successes_b: ArrayLike,
    failures_b: ArrayLike,
) -> Floats:
    """``log F+(d)``; d lies in (-1, 1)."""

    def log_bet(place: Floats, d: Floats, *counts: Floats) -> Floats:
        # Where the rates lie on the line on which they are d apart, from its one end to the other.
        s_a, f_a, s_b, f_b = counts
        rate_a = np.maximum(-d, 0) + (1 - np.abs(d)) * place
        rate_b = np.maximum(d, 0) + (1 - np.abs(d)) * place
        higher = log_bet_above(s_b, f_b, rate_b, _DOUBT)
        return log_mean(higher + log_bet_above(f_a, s_a, 1 - rate_a, _DOUBT))

    counts = (successes_a, failures_a, successes_b, failures_b)
    return infimum(log_bet, difference, *counts, reach=_REACH)


def _rate(successes: Floats, failures: Floats) -> Floats:
    return successes / np.maximum(successes + failures, 1)
