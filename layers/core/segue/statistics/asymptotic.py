"""Means at every look, by the central limit theorem: asymptotic confidence sequences.

Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, Time-uniform central limit theory and asymptotic
confidence sequences, Annals of Statistics 2024: equation 9, with its tuning parameter from the
appendix. Such an interval holds the truth at every look from some number of users on, and at the
promised level as that number grows; the exact ones of other modules hold at any number. It takes no
range, which listening time and the like do not have.
"""

import math
from dataclasses import dataclass

LEVEL = 0.05
# It says nothing while an arm has fewer users.
LEAST_USERS = 100
# The interval is narrowest, beside one for a single look, at about this many users of both arms.
_TUNED_FOR = 5_000
_ROUNDING = 1e-9

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """One arm's values of a figure, one per user: how many, their sum and that of their squares."""

    users: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float | None:
        """None without users."""
        return self.total / self.users if self.users else None

    @property
    def variance(self) -> float:
        """With n - 1; takes two users or more."""
        spread = self.squares - self.total**2 / self.users
        # Of values that are all the same, rounding may leave a little more or less than nothing.
        return spread / (self.users - 1) if spread > _ROUNDING * self.squares else 0.0


def difference_interval(a: Sample, b: Sample, level: float = LEVEL) -> Interval:
    """Where ``mean B - mean A`` lies, at every look in all but a part ``level`` of experiments.

    Endless where users are few, and where an arm's values have not varied so far: that is no sign
    that they never will.
    """
    if not _is_known(a, b):
        return -math.inf, math.inf
    difference = b.total / b.users - a.total / a.users
    variance = a.variance / a.users + b.variance / b.users
    reach = math.sqrt(variance * widening(a.users + b.users, level))
    return difference - reach, difference + reach


def lift_interval(a: Sample, b: Sample, level: float = LEVEL) -> Interval:
    """Where ``mean B / mean A - 1`` lies, likewise; of figures that are never negative.

    A ratio r is left where 0 lies in the interval of ``mean B - r mean A`` (Fieller, JRSS B 1954,
    here at every look). So it holds a lift of 0 exactly when the other interval holds a difference
    of 0. Endless, too, where the mean of A may be 0 for all that is known.
    """
    if not _is_known(a, b):
        return -math.inf, math.inf
    wide = widening(a.users + b.users, level)
    mean_a, mean_b = a.total / a.users, b.total / b.users
    # The ratios at which (mean_b - r mean_a)^2 is at most what chance may make of it.
    left_a = mean_a**2 - wide * a.variance / a.users
    left_b = mean_b**2 - wide * b.variance / b.users
    if left_a <= 0:
        return -math.inf, math.inf
    root = math.sqrt((mean_a * mean_b) ** 2 - left_a * left_b)
    low, high = ((mean_a * mean_b + side * root) / left_a - 1 for side in (-1, 1))
    return max(low, -1.0), high


def widening(users: int, level: float = LEVEL) -> float:
    """The square of how many standard errors the interval reaches, with so many users in all."""
    tuning = (-2 * math.log(level) + math.log(-2 * math.log(level) + 1)) / _TUNED_FOR
    scaled = users * tuning
    return 2 * (scaled + 1) / scaled * math.log(math.sqrt(scaled + 1) / level)


def _is_known(a: Sample, b: Sample) -> bool:
    return min(a.users, b.users) >= LEAST_USERS and bool(a.variance and b.variance)
