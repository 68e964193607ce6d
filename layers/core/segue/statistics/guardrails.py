"""Whether an arm worsens what it must not, such as failed calls, skip rate or latency."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy import special
from scipy.optimize import elementwise

from segue.experiments.experiment import Better, Guardrail
from segue.statistics.asymptotic import LEVEL, Sample, difference_interval
from segue.statistics.beta_tail import Floats

# Beta prior of the bettor on rates, who expects them near 0: few calls fail.
_RATE_PRIOR = (0.5, 100.0)
# The stakes of the bettor on steady values, for large differences and small ones.
_STAKES = 0.8 * 0.5 ** np.arange(8)
_PRICES = -np.log1p(-_STAKES) - _STAKES
# An interval's ends are looked for up to this, in parts of the figure's range.
_PRECISION = 1e-12
# Each step of a search for a minimum leaves two thirds.
_NARROWINGS = 45

# Of a wider range the exact interval is of no use: a call may take 25 seconds and takes a hundredth
# of one, so that it would be as wide as a usual margin until there are 20,000 users of each arm.
_WIDEST = 10.0


class State(StrEnum):
    """What is known of a guardrail."""

    HELD = "held"
    BROKEN = "broken"
    UNKNOWN = "not known yet"


@dataclass(frozen=True, slots=True)
class GuardrailCheck:
    """The interval of ``mean B - mean A`` that holds at every look, and what follows from it.

    Where nothing can be said yet, the interval is endless.
    """

    interval: tuple[float, float]
    state: State


def check_guardrail(guardrail: Guardrail, a: Sample, b: Sample) -> GuardrailCheck:
    """Held: not worse by the margin. Broken: worse by more."""
    figure = guardrail.figure
    if figure.highest > _WIDEST:
        interval = difference_interval(a, b)
    else:
        interval = exact_interval(a, b, figure.highest)
    low, high = interval
    worst, best = (-low, -high) if figure.better is Better.HIGHER else (high, low)
    if worst < guardrail.margin:
        state = State.HELD
    elif best > guardrail.margin:
        state = State.BROKEN
    else:
        state = State.UNKNOWN
    return GuardrailCheck(interval, state)


def exact_interval(a: Sample, b: Sample, highest: float) -> tuple[float, float]:
    """The differences of means that ``log_evidence`` leaves; the values are in [0, highest]."""
    users, totals, squares = np.array(
        [(it.users, it.total / highest, it.squares / highest**2) for it in (a, b)]
    ).T
    means = totals / np.maximum(users, 1)
    # The evidence is convex in the difference, and there is none against the observed one.
    ends, none = np.array([-1.0, 1.0]), -math.log(LEVEL)
    found = elementwise.find_root(
        lambda difference: log_evidence(difference, users, totals, squares) - none,
        (np.full(2, means[1] - means[0]), ends),
        tolerances={"xatol": _PRECISION},
    )
    # Where there is no crossing, everything is left. Of the two differences that an end lies
    # between, the further one.
    further = np.minimum(*found.bracket)[0], np.maximum(*found.bracket)[1]
    low, high = np.where(found.success, further, ends)
    return float(low * highest), float(high * highest)


def log_evidence(difference: ArrayLike, users: Floats, totals: Floats, squares: Floats) -> Floats:
    """The evidence that ``mean B - mean A`` is not ``difference``, of values in [0, 1].

    ``users``, their values' ``totals`` and ``squares`` have a last axis for A and B. Returns
    natural logarithms, of the shape of ``difference`` and the other axes together; convex in the
    difference.

    Two bettors begin with 1 and bet against the means (p, p + difference). The evidence is what
    they own on average, at the p where that is least. No bet on the true means gains on average,
    so the evidence against the true difference ever reaches 20 in at most one of 20 experiments,
    at however many looks and whatever the values' distribution, as long as the means stay the same
    (universal inference: Wasserman, Ramdas & Balakrishnan, PNAS 2020).

    The bettor on rates multiplies by ``(q/p)^x ((1-q)/(1-p))^(1-x)`` for a value x, averaged over
    q. That is convex in x, so on [0, 1] it lies below its chord, and the chord's mean is 1 where
    the mean of x is p: what is fair for 0 and 1 gains nothing on values between them either.

    The bettor on steady values multiplies by ``exp(s (x-p) - price(s) (x-c)^2)``, averaged over
    stakes s of both signs and over the centre c. It is sooner sure of values that vary less than 0
    and 1 do (Waudby-Smith & Ramdas, Estimating means of bounded random variables by betting,
    JRSS B 2024, section 3.2, with a c that does not follow the values, so that sums suffice).
    """
    d = np.asarray(difference, dtype=np.float64)
    totals = np.clip(totals, 0, users)
    prior = special.betaln(*_RATE_PRIOR)
    rates = special.betaln(_RATE_PRIOR[0] + totals, _RATE_PRIOR[1] + users - totals) - prior
    steady = _log_price(users.sum(axis=-1), totals.sum(axis=-1), squares.sum(axis=-1))

    def against(p: Floats) -> Floats:
        means = np.stack([p, np.clip(p + d, 0, 1)], axis=-1)
        likelihood = special.xlogy(totals, means) + special.xlog1py(users - totals, -means)
        gains = (totals - users * means)[..., None] * _STAKES
        # Of both signs of a stake.
        bets = (np.logaddexp(gains, -gains) - np.log(2)).sum(axis=-2)
        owned: Floats = np.logaddexp(
            (rates - likelihood).sum(axis=-1), special.logsumexp(bets + steady, axis=-1)
        ) - np.log(2)
        return owned

    shape = np.broadcast_shapes(d.shape, users.shape[:-1])
    low, high = np.maximum(0.0, -d), np.minimum(1.0, 1.0 - d)
    return _least(against, np.broadcast_to(low, shape), np.broadcast_to(high, shape))


def _log_price(users: Floats, total: Floats, squares: Floats) -> Floats:
    """The logarithm of what each stake costs, averaged over c and stakes; has a new last axis."""
    # The average is an error function's, also where there is next to nobody.
    some = np.maximum(users, 1e-6)
    mean = (total / some)[..., None]
    spread = np.maximum(squares - total**2 / some, 0.0)[..., None]
    width = np.sqrt(_PRICES * some[..., None])
    around = special.erf(width * mean) + special.erf(width * (1 - mean))
    average = around * np.sqrt(np.pi) / (2 * width) / len(_STAKES)
    price: Floats = np.log(average) - _PRICES * spread
    return price


def _least(convex: Callable[[Floats], Floats], low: Floats, high: Floats) -> Floats:
    """The least value of a convex function between two places, its borders among them."""
    for _ in range(_NARROWINGS):
        third = (high - low) / 3
        left, right = low + third, high - third
        rises = convex(left) < convex(right)
        low, high = np.where(rises, low, left), np.where(rises, right, high)
    least: Floats = np.minimum(convex(low), convex(high))
    return least
