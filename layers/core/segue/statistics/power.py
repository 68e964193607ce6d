"""How many users a difference takes, for one look at the end; and what the users so far can show.

On Cohen's scale, 2 arcsin(sqrt(rate)), a rate's variance does not depend on the rate. The e-value
pays for its many looks with more users: docs/statistics.md has how many.
"""

import math
from dataclasses import dataclass

from scipy import optimize, stats

from segue.domain.errors import InvalidRequest
from segue.statistics.counts import Counts, check_share

ALPHA = 0.05
POWER = 0.8


def users_needed(
    rate_a: float, rate_b: float, *, share: float = 0.5, alpha: float = ALPHA, power: float = POWER
) -> float:
    """Users of both arms together, for a two-sided test of level alpha to find the difference.

    ``share`` of them are in B; at equal shares each arm takes half. Raises InvalidRequest.
    """
    check_share(share)
    for rate in (rate_a, rate_b):
        if not 0 <= rate <= 1:
            raise InvalidRequest(f"a rate of {rate:g} is not between 0 and 1", field="rate")
    if rate_a == rate_b:
        raise InvalidRequest("no number of users finds a difference of 0", field="rate")
    effect = _angle(rate_b) - _angle(rate_a)
    return (_shift(alpha, power) / effect) ** 2 / (share * (1 - share))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far along a test is: the users of both arms that it needs, and the part it has."""

    users_needed: float
    done: float


def progress(a: Counts, b: Counts, difference: float, share: float = 0.5) -> Progress | None:
    """Towards finding ``rate B - rate A = difference``, which is set before the test begins.

    The difference that was observed is no such thing: what it "needs" follows from chance. None
    while A has no users. Raises InvalidRequest.
    """
    if a.rate is None:
        return None
    needed = users_needed(a.rate, a.rate + difference, share=share)
    return Progress(needed, (a.users + b.users) / needed)


def detectable_difference(
    rate_a: float, users: int, *, share: float = 0.5, alpha: float = ALPHA, power: float = POWER
) -> float | None:
    """The smallest improvement over ``rate_a`` that this many users of both arms can show.

    None where not even a rate of 1 would be. Raises InvalidRequest.
    """
    check_share(share)
    if not users:
        return None
    angle = _angle(rate_a) + _shift(alpha, power) / math.sqrt(users * share * (1 - share))
    return math.sin(angle / 2) ** 2 - rate_a if angle <= math.pi else None


def _angle(rate: float) -> float:
    return 2 * math.asin(math.sqrt(rate))


def _shift(alpha: float, power: float) -> float:
    """How many standard errors from 0 the effect lies that is found with this power."""
    limit = stats.norm.isf(alpha / 2)
    found = optimize.brentq(
        # The second term, significance in the wrong direction, is small but not nothing.
        lambda shift: stats.norm.sf(limit - shift) + stats.norm.sf(limit + shift) - power,
        0,
        limit + 40,
        xtol=1e-13,
    )
    return float(found)
