"""Beside the verdict: guardrails, breakdowns, what was known beforehand, other policies."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from segue.domain.errors import InvalidRequest
from segue.experiments.experiment import Better, Experiment
from segue.experiments.statistics import guardrails
from segue.experiments.statistics.counts import Counts
from segue.experiments.statistics.cuped import cuped
from segue.experiments.statistics.interaction import interaction
from segue.experiments.statistics.multiplicity import holm
from segue.experiments.tally import FAILED_CALLS, ByGroup, Moments, Tally
from segue.services.report.pairs import Pair

# A model that fails for one user in a hundred more than the control's is not fit to serve.
_FAILED_CALLS_MARGIN = 0.01


def check_guardrails(experiment: Experiment, tally: Tally) -> list[dict[str, Any]]:
    """Each watched figure of each arm against the control's; failed calls are always watched."""
    watched = [(FAILED_CALLS, Better.LOWER, _FAILED_CALLS_MARGIN)]
    watched += [(rail.figure, rail.better, rail.margin) for rail in experiment.guardrails]
    control, *arms = (arm.group for arm in experiment.arms)
    return [
        {"figure": str(name), "arm": arm, "better": str(better), "margin": margin}
        | _checked(
            guardrails.Guardrail(name, guardrails.Better(better), margin),
            tally.figures.get(name, {}),
            control,
            arm,
        )
        for name, better, margin in watched
        for arm in arms
    ]


def _checked(
    rail: guardrails.Guardrail, figures: Mapping[str, Moments], control: str, arm: str
) -> dict[str, Any]:
    a, b = (_sample(figures.get(group)) for group in (control, arm))
    means = {"mean_control": a.mean if a else None, "mean_arm": b.mean if b else None}
    if a is None or b is None:
        return means | {"interval": None, "state": str(guardrails.State.UNKNOWN)}
    found = guardrails.check_guardrail(rail, a, b)
    interval = list(found.interval) if math.isfinite(found.interval[0]) else None
    return means | {"interval": interval, "state": str(found.state)}


def _sample(moments: Moments | None) -> guardrails.Sample | None:
    if moments is None or moments[0] < 2:
        return None
    n, total, squares = moments
    # Rounding may leave a little less than nothing.
    variance = max(squares - total**2 / n, 0.0) / (n - 1)
    return guardrails.Sample(n, total / n, variance)


def breakdowns(pair: Pair, tally: Tally) -> list[dict[str, Any]]:
    """By each trait: the segments' differences, and whether they differ; Holm over the traits."""
    traits = {
        trait: {value: _counts(pair, cells) for value, cells in sorted(values.items())}
        for trait, values in sorted(tally.segments.items())
    }
    tests = [interaction(segments) for segments in traits.values()]
    adjusted = holm([test.p_value for test in tests])
    return [
        {
            **pair.names,
            "trait": trait,
            "p": test.p_value,
            "p_holm": p_holm,
            "segments": [
                _segment(value, *counts) | {"interval": list(test.intervals[value])}
                for value, counts in segments.items()
            ],
        }
        for (trait, segments), test, p_holm in zip(traits.items(), tests, adjusted, strict=True)
    ]


def _segment(value: str, a: Counts, b: Counts) -> dict[str, Any]:
    return {
        "value": value,
        "A": [a.successes, a.users],
        "B": [b.successes, b.users],
        "difference": None if a.rate is None or b.rate is None else b.rate - a.rate,
    }


def _counts(pair: Pair, cells: ByGroup) -> tuple[Counts, Counts]:
    at = pair.at(cells)
    return at.a, at.b


def covariate(pair: Pair, tally: Tally) -> list[dict[str, Any]]:
    """The difference without what last month's plays foretold (CUPED); empty where it cannot be."""
    arms = [_known(tally.before, group) for group in (pair.control.group, pair.arm.group)]
    try:
        found = cuped(*arms[0], *arms[1])
    except InvalidRequest:
        return []
    return [
        {
            **pair.names,
            "users": len(arms[0][0]) + len(arms[1][0]),
            "difference": found.difference,
            "interval": list(found.interval),
            "p": found.p_value,
            "variance_left": found.variance_left,
        }
    ]


def _known(before: Mapping[int, ByGroup], group: str) -> tuple[Any, Any]:
    """Outcomes and covariate of a group's users, (users,) each, in no particular order."""
    outcomes: list[int] = []
    shares: list[int] = []
    counts: list[int] = []
    for percent, cells in before.items():
        successes, users = cells.get(group, (0, 0))
        outcomes += [1, 0]
        shares += [percent, percent]
        counts += [successes, users - successes]
    return np.repeat(outcomes, counts), np.repeat(np.array(shares) / 100, counts)


def off_policy(tally: Tally) -> list[dict[str, Any]]:
    """Of adaptive allocation: the rate as if all users had been in the group (IPS, 95 %)."""
    reach = float(stats.norm.isf(0.025))
    found = []
    for group, moments in sorted(tally.earned.items()):
        sample = _sample(moments)
        if sample is not None:
            error = math.sqrt(sample.variance / sample.users)
            interval = [sample.mean - reach * error, sample.mean + reach * error]
            found.append({"group": group, "rate": sample.mean, "interval": interval})
    return found
