"""Beside the rate of success: what else an arm does to its listeners. It decides nothing."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segue.experiments.experiment import Figure
from segue.experiments.tally import Moments, Tally
from segue.reporting.pairs import Pair
from segue.statistics.asymptotic import Sample, difference_interval, lift_interval
from segue.statistics.confidence import Interval, confidence_limits
from segue.statistics.evalue import log_evidence

METRICS = (Figure.ADDED_SUCCESS, Figure.FULL_PLAYS, Figure.LISTENING_TIME, Figure.SKIP_RATE)
# These are 0 or 1, for which there are intervals that hold at any number of users.
_RATES = frozenset({Figure.ADDED_SUCCESS})

# Of the control and of the arm; and where the difference and the relative lift lie.
_Samples = tuple[Sample, Sample]
_Intervals = tuple[Interval, Interval]


def metrics(pairs: Sequence[Pair], tally: Tally, decisive: float) -> list[dict[str, Any]]:
    """Each metric's means, their difference and relative lift, with intervals at every look.

    Their level is that of the verdict, which takes ``decisive`` evidence. A figure is None where
    there is none to give, and so is an interval, or the upper end of a lift's. A metric that no
    record has is left out.
    """
    found = []
    for figure in METRICS:
        moments = tally.figures.get(figure)
        if not moments:
            continue
        samples = [
            (_sample(moments, pair.control.group), _sample(moments, pair.arm.group))
            for pair in pairs
        ]
        intervals = (_exact if figure in _RATES else _asymptotic)(samples, decisive)
        found += [
            pair.names | _metric(figure, *both, *ends)
            for pair, both, ends in zip(pairs, samples, intervals, strict=True)
        ]
    return found


def _sample(moments: Mapping[str, Moments], group: str) -> Sample:
    return Sample(*moments.get(group, ()))


def _metric(
    figure: Figure, a: Sample, b: Sample, difference: Interval, lift: Interval
) -> dict[str, Any]:
    mean_a, mean_b = a.mean, b.mean
    known = mean_a is not None and mean_b is not None
    return {
        "metric": figure,
        "unit": figure.unit,
        "better": figure.better,
        "users": a.users + b.users,
        "mean_control": mean_a,
        "mean_arm": mean_b,
        "difference": None if mean_a is None or mean_b is None else mean_b - mean_a,
        "interval": _finite(difference) if known else None,
        "lift": mean_b / mean_a - 1 if mean_a and mean_b is not None else None,
        "lift_interval": _finite(lift) if known else None,
        "asymptotic": figure not in _RATES,
    }


def _exact(samples: Sequence[_Samples], decisive: float) -> list[_Intervals]:
    """All of them at once, which takes hardly longer than one."""
    s_a, f_a, s_b, f_b = np.array([_counts(a) + _counts(b) for a, b in samples]).T
    plus, minus = log_evidence(s_a, f_a, s_b, f_b)
    # (intervals of differences and of lifts, pairs)
    relative = [[False], [True]]
    low, high = confidence_limits(s_a, f_a, s_b, f_b, plus, minus, decisive, relative)
    ends = np.stack([low, high], axis=-1).tolist()
    return [(tuple(difference), tuple(lift)) for difference, lift in zip(*ends, strict=True)]


def _counts(sample: Sample) -> tuple[int, int]:
    """Of values of 0 and 1: successes and failures."""
    successes = round(sample.total)
    return successes, sample.users - successes


def _asymptotic(samples: Sequence[_Samples], decisive: float) -> list[_Intervals]:
    level = 1 / decisive
    return [(difference_interval(a, b, level), lift_interval(a, b, level)) for a, b in samples]


def _finite(ends: Interval) -> list[float | None] | None:
    """JSON has no infinity. None where nothing is known of either end."""
    low, high = (end if math.isfinite(end) else None for end in ends)
    return None if low is None else [low, high]
