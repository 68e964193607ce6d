"""Beside the verdict: guardrails, breakdowns, what was known beforehand, other policies."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from segue.experiments.experiment import Experiment, Figure, Guardrail
from segue.experiments.tally import ByGroup, Moments, Tally
from segue.reporting.pairs import Pair
from segue.statistics.adjustment import adjusted_difference
from segue.statistics.asymptotic import Sample
from segue.statistics.counts import Counts
from segue.statistics.guardrails import check_guardrail
from segue.statistics.interaction import interaction
from segue.statistics.multiplicity import holm

# A model that fails for one user in a hundred more than the control's is not fit to serve.
_FAILED_CALLS = Guardrail(Figure.FAILED_CALLS, 0.01)


def check_guardrails(experiment: Experiment, tally: Tally) -> list[dict[str, Any]]:
    """Each watched figure of each arm against the control's; failed calls are always watched."""
    rails = {rail.figure: rail for rail in (_FAILED_CALLS, *experiment.guardrails)}
    control, *arms = (arm.group for arm in experiment.arms)
    return [
        {"arm": arm, **_checked(rail, tally.figures.get(rail.figure, {}), control, arm)}
        for rail in rails.values()
        for arm in arms
    ]


def _checked(
    rail: Guardrail, figures: Mapping[str, Moments], control: str, arm: str
) -> dict[str, Any]:
    a, b = (Sample(*figures.get(group, ())) for group in (control, arm))
    found = check_guardrail(rail, a, b)
    return {
        "figure": rail.figure,
        "unit": rail.figure.unit,
        "better": rail.figure.better,
        "margin": rail.margin,
        "mean_control": a.mean,
        "mean_arm": b.mean,
        "interval": list(found.interval) if math.isfinite(found.interval[0]) else None,
        "state": found.state,
    }


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


def covariate(pair: Pair, tally: Tally, decisive: float) -> list[dict[str, Any]]:
    """The difference without what earlier plays foretold; empty where it cannot be had.

    Who is in no cell of ``tally.before`` has played nothing before.
    """
    if not tally.before:
        return []
    groups = (pair.control.group, pair.arm.group)
    cells = np.array([[c.get(group, (0, 0)) for group in groups] for c in tally.before.values()])
    everybody = [(it.successes, it.users) for it in (pair.a, pair.b)]
    without_past = np.array(everybody) - cells.sum(axis=0)
    # By stratum and arm: successes and users.
    strata = np.concatenate([cells, without_past[None]])
    known = np.append(np.array(list(tally.before)) / 100, np.nan)
    found = adjusted_difference(known, strata[..., 0].T, strata[..., 1].T, 1 / decisive)
    if found is None:
        return []
    return [
        {
            **pair.names,
            "users": int(strata[..., 1].sum()),
            "without_past": int(without_past[:, 1].sum()),
            "difference": found.difference,
            "interval": list(found.interval),
            "asymptotic": True,
            "variance_left": found.variance_left,
        }
    ]


def off_policy(tally: Tally) -> list[dict[str, Any]]:
    """Of adaptive allocation: the rate as if all users had been in the group (IPS, 95 %)."""
    reach = float(stats.norm.isf(0.025))
    found = []
    for group, moments in sorted(tally.earned.items()):
        sample = Sample(*moments)
        if sample.users < 2:
            continue
        rate, error = sample.total / sample.users, math.sqrt(sample.variance / sample.users)
        interval = [rate - reach * error, rate + reach * error]
        found.append({"group": group, "rate": rate, "interval": interval})
    return found
