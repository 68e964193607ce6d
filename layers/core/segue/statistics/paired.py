"""Two arms of which every user says how both did: the paired test, and how large the difference is.

Most users say the same of both arms, or nothing would tell them apart. The others, for whom one arm
succeeded and not the other, are the test: of equal arms, either is as likely to be the one. So the
evidence is the bet of ``evalue`` at a share of 1/2, as with interleaved lists; and what makes an
unpaired test long, how much users differ from each other, is left out of it (McNemar 1947).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from segue.statistics.counts import Counts
from segue.statistics.evalue import DECISIVE, EValue, evidence_at

Interval = tuple[float, float]

# Jeffreys' prior of a rate, whose bet is never far behind that of whoever knows the rate.
_PRIOR = 0.5
_NEXT_TO_NOTHING = 1e-12


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """Users by which of the arms succeeded for them: both, A alone, B alone, neither."""

    both: int
    a_only: int
    b_only: int
    neither: int

    @property
    def users(self) -> int:
        """All of them."""
        return self.both + self.a_only + self.b_only + self.neither

    @property
    def a(self) -> Counts:
        """Of A: successes, out of all users."""
        return Counts(self.both + self.a_only, self.users)

    @property
    def b(self) -> Counts:
        """Of B: successes, out of all users."""
        return Counts(self.both + self.b_only, self.users)

    def evidence(self) -> EValue:
        """Against equal arms: that each user is as likely to succeed with A alone as with B alone.

        How likely that is may differ from user to user, and change.
        """
        a, b = (Counts(users, users) for users in (self.a_only, self.b_only))
        return evidence_at(a, b, 0.5)

    def difference(self) -> Interval:
        """The lowest and the highest ``rate B - rate A`` that is left, at every look (95 %).

        The difference is the rate of users who tell the arms apart, times how much more of them
        are for B than for A. Either of both has an interval that is right in 39 of 40 tests; so
        both are in 19 of 20. It takes both for constant, and is wider than the evidence alone.
        """
        apart = self.a_only + self.b_only
        rates = rate_sequence(apart, self.users - apart, 2 * DECISIVE)
        shares = rate_sequence(self.b_only, self.a_only, 2 * DECISIVE)
        ends = [rate * (2 * share - 1) for rate in rates for share in shares]
        return min(ends), max(ends)


def rate_sequence(successes: int, failures: int, decisive: float = DECISIVE) -> Interval:
    """The rates at which a bettor with Jeffreys' prior owns less than ``decisive``.

    By Ville's inequality the true rate is among them at every look, but in one of ``decisive``
    tests (Robbins 1970).
    """
    users = successes + failures
    if not users:
        return 0.0, 1.0
    before = special.betaln(_PRIOR, _PRIOR)
    mean = special.betaln(_PRIOR + successes, _PRIOR + failures) - before

    def excess(rate: float) -> float:
        one = special.xlogy(successes, rate) + special.xlog1py(failures, -rate)
        return float(mean - one - math.log(decisive))

    observed = float(np.clip(successes / users, _NEXT_TO_NOTHING, 1 - _NEXT_TO_NOTHING))
    low, high = _NEXT_TO_NOTHING, 1 - _NEXT_TO_NOTHING
    return (
        float(optimize.brentq(excess, low, observed)) if successes else 0.0,
        float(optimize.brentq(excess, observed, high)) if failures else 1.0,
    )
