"""Whether the difference is the same for all: premium and not, new and old listeners.

A difference that is significant in one segment and not in the other says nothing about that; the
segments' differences have to be held against each other. One look; adjust over all the breakdowns
looked at with ``multiplicity.holm``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from segue.statistics.counts import Counts
from segue.statistics.fixed_horizon import Interval, newcombe


@dataclass(frozen=True, slots=True)
class Interaction:
    """Cochran's Q over the segments' differences, its degrees of freedom and p-value.

    ``intervals`` holds Newcombe's 95 % interval of each segment's ``rate B - rate A``.
    """

    q: float
    degrees: int
    p_value: float
    intervals: dict[str, Interval]


def interaction(segments: Mapping[str, tuple[Counts, Counts]]) -> Interaction:
    """Each segment's A and B. A segment that lacks users of an arm has no say in the test.

    The rates are Agresti & Caffo's (2000), one success and one failure added, so that a segment
    without a failure does not claim to be without doubt.
    """
    told = [pair for pair in segments.values() if pair[0].users and pair[1].users]
    successes = np.array([[arm.successes for arm in pair] for pair in told], dtype=np.float64)
    users = np.array([[arm.users for arm in pair] for pair in told], dtype=np.float64)
    successes, users = successes.reshape(-1, 2) + 1, users.reshape(-1, 2) + 2
    rates = successes / users
    difference = rates[:, 1] - rates[:, 0]
    precision = 1 / (rates * (1 - rates) / users).sum(axis=1)
    degrees = max(len(told) - 1, 0)
    common = (precision * difference).sum() / precision.sum() if told else 0.0
    q = float((precision * (difference - common) ** 2).sum())
    p_value = float(stats.chi2.sf(q, degrees)) if degrees else 1.0
    return Interaction(
        q, degrees, p_value, {name: newcombe(*pair) for name, pair in segments.items()}
    )
