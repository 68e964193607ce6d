"""How large the difference is: an interval that holds at every look, not at one.

Each difference d is put to a test of its own, ``E_d``: the likelihood averaged over both rates,
beside the best that it can be where B's rate exceeds A's by d. Under any rates d apart it never
exceeds a martingale that began with 1, so the differences with ``E_d < 20`` cover the true one at
all times in at least 19 of 20 experiments (universal inference: Wasserman, Ramdas & Balakrishnan,
PNAS 2020).
"""

from collections.abc import Callable

from scipy import special

from segue.experiments.statistics.counts import Counts
from segue.experiments.statistics.evalue import DECISIVE, finite_exp

# Halvings of [-1, 1]: enough for the last digit of a float.
_HALVINGS = 100


def confidence_sequence(a: Counts, b: Counts, decisive: float = DECISIVE) -> tuple[float, float]:
    """The lowest and the highest ``rate B - rate A`` that ``E_d < decisive`` leaves.

    Within [-1, 1]; without users it is all of that.
    """
    # log E_d is convex in d and at most 0 at the observed difference, which is therefore inside.
    observed = (b.rate or 0.0) - (a.rate or 0.0)

    def is_left(difference: float) -> bool:
        return evidence_against(difference, a, b) < decisive

    return _reach(is_left, observed, -1.0), _reach(is_left, observed, 1.0)


def evidence_against(difference: float, a: Counts, b: Counts) -> float:
    """``E_d``: the evidence that ``rate B - rate A`` is not ``difference``, in [-1, 1]."""
    averaged = sum(float(special.betaln(1 + arm.successes, 1 + arm.failures)) for arm in (a, b))
    return finite_exp(averaged - _best_log_likelihood(difference, a, b))


def _best_log_likelihood(difference: float, a: Counts, b: Counts) -> float:
    """The largest log-likelihood of rates that are ``difference`` apart.

    With the lower rate u and the higher one's complement v, the rates are u and d + u, and their
    complements d + v and v: no digit is lost near 0 and 1.
    """
    low, high = (a, b) if difference >= 0 else (b, a)
    d = abs(difference)

    def rises(u: float) -> bool:
        v = 1 - d - u
        gain = _per(low.successes, u) + _per(high.successes, d + u)
        return gain > _per(low.failures, d + v) + _per(high.failures, v)

    # The likelihood is concave along the line, so its slope changes sign once.
    u = _reach(rises, 0.0, 1 - d)
    v = 1 - d - u
    terms = (
        (low.successes, u),
        (high.successes, d + u),
        (low.failures, d + v),
        (high.failures, v),
    )
    return sum(float(special.xlogy(count, probability)) for count, probability in terms)


def _per(count: int, probability: float) -> float:
    return count / probability if count else 0.0


def _reach(holds: Callable[[float], bool], inside: float, outside: float) -> float:
    """How far from ``inside`` towards ``outside`` a condition holds, which changes at most once.

    ``outside`` itself is never asked, as there may be no answer at the border; it is the result
    where the condition holds all the way to it.
    """
    border = outside
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if middle in (inside, outside):
            break
        if holds(middle):
            inside = middle
        else:
            outside = middle
    return border if outside == border else inside
