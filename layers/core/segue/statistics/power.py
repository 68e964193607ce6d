"""How many users a difference takes until the verdict finds it, and what the users so far can show.

In 80 % of tests with so many users, the verdict has by then named the better arm, with a look after
every user. No test is simulated when that is asked. The evidence is computed of an unlucky test,
one whose observed difference lies ``UNLUCKY`` standard errors below the true one; the answer is the
number of users with which it decides. ``infra.simulations.power`` compares that with simulated
tests: 2,000 each, at rates from 0.01 to 0.95 and shares from 0.1 to 0.9, and it was right to 3 %.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from segue.domain.errors import InvalidRequest
from segue.statistics.beta_tail import Floats
from segue.statistics.counts import Counts, check_share
from segue.statistics.evalue import DECISIVE, log_bet_on_b

# Of tests that have been decided for the better arm by then.
POWER = 0.8
# Chosen by simulation. At one look, a fifth of tests are 0.84 standard errors below the truth; with
# a look after every user it is less, as a test is decided at the best of its looks.
UNLUCKY = 0.64
# With one look of level 0.05 and power 0.8, the true difference lies so many standard errors from
# 0. What the rule takes is looked for from half as many users on.
_ONE_LOOK = float(stats.norm.isf(0.05 / 2) + stats.norm.isf(1 - POWER))
_TIMES = np.geomspace(0.5, 64, 29)
# Where the share is looked for that leaves the least evidence, in standard errors from B's.
_SHARES = np.linspace(-4, 4, 17)[:, None]


def users_needed(
    rate_a: float, rate_b: float, *, share: float = 0.5, decisive: float = DECISIVE
) -> float:
    """Users of both arms together until the better one is found, with a power of 80 %.

    ``share`` of them are in B; ``decisive`` is what the evidence has to reach. Infinite where 64
    times the users of one look are too few. Raises InvalidRequest.
    """
    users = users_at_one_look(rate_a, rate_b, share=share) * _TIMES
    if rate_b < rate_a:
        rate_a, rate_b, share = rate_b, rate_a, 1 - share
    return _first(users, _log_e_of_unlucky(rate_a, rate_b, users, share), decisive)


def users_at_one_look(rate_a: float, rate_b: float, *, share: float = 0.5) -> float:
    """What a two-sided test of level 0.05 and power 0.8 takes that may look only once.

    By Cohen's scale, 2 arcsin(sqrt(rate)), on which a rate's variance does not depend on the rate.
    Raises InvalidRequest.
    """
    check_share(share)
    for rate in (rate_a, rate_b):
        if not 0 <= rate <= 1:
            raise InvalidRequest(f"a rate of {rate:g} is not between 0 and 1", field="rate")
    if rate_a == rate_b:
        raise InvalidRequest("no number of users finds a difference of 0", field="rate")
    return (_ONE_LOOK / (_angle(rate_b) - _angle(rate_a))) ** 2 / (share * (1 - share))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far along a test is: the users of both arms that it needs, and the part it has."""

    users_needed: float
    done: float


def progress(
    a: Counts, b: Counts, difference: float, share: float = 0.5, decisive: float = DECISIVE
) -> Progress | None:
    """Towards finding ``rate B - rate A = difference``, which is set before the test begins.

    The difference that was observed is no such thing: what it "needs" follows from chance. None
    while A has no users. Raises InvalidRequest.
    """
    if a.rate is None:
        return None
    needed = users_needed(a.rate, a.rate + difference, share=share, decisive=decisive)
    return Progress(needed, (a.users + b.users) / needed)


def detectable_difference(
    rate_a: float, users: int, *, share: float = 0.5, decisive: float = DECISIVE
) -> float | None:
    """The smallest improvement over ``rate_a`` that this many users of both arms can show.

    None where not even a rate of 1 would be. Raises InvalidRequest.
    """
    check_share(share)
    if not users:
        return None
    one_look = _ONE_LOOK / math.sqrt(users * share * (1 - share))
    angles = np.minimum(_angle(rate_a) + one_look * np.sqrt(_TIMES), math.pi)
    rates = np.sin(angles / 2) ** 2
    found = _first(rates, _log_e_of_unlucky(rate_a, rates, users, share), decisive)
    return found - rate_a if math.isfinite(found) else None


def _log_e_of_unlucky(
    rate_a: float, rate_b: float | Floats, users: int | Floats, share: float
) -> Floats:
    """``log E+`` where the observed difference is ``UNLUCKY`` standard errors below the true one.

    There are as many successes in all as there are on average.
    """
    variance = rate_a * (1 - rate_a) / (1 - share) + rate_b * (1 - rate_b) / share
    observed = np.maximum(rate_b - rate_a - UNLUCKY * np.sqrt(variance / users), 0)
    overall = (1 - share) * rate_a + share * rate_b
    of_a, of_b = overall - share * observed, overall + (1 - share) * observed
    a, b = (1 - share) * users, share * users
    shares = special.expit(special.logit(share) + _SHARES / np.sqrt(users * share * (1 - share)))
    log_e = log_bet_on_b(shares, a * of_a, a * (1 - of_a), b * of_b, b * (1 - of_b))
    least: Floats = log_e.min(axis=0)
    return least


def _first(values: Floats, log_e: Floats, decisive: float) -> float:
    """Where ``log E+`` first decides by itself, between two values; infinity where nowhere."""
    needed = math.log(2 * decisive)
    place = int((log_e >= needed).argmax())
    if log_e[place] < needed:
        return math.inf
    if not place:
        return float(values[0])
    steps = slice(place - 1, place + 1)
    return float(np.interp(needed, log_e[steps], values[steps]))


def _angle(rate: float) -> float:
    return 2 * math.asin(math.sqrt(rate))
