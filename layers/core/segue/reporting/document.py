"""What an experiment's counts say, as a document of plain values.

docs/statistics.md explains the figures.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from segue.domain.times import DAY, format_time
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import Experiment, Mode
from segue.experiments.tally import Tally
from segue.models.names import NAMES
from segue.reporting.details import breakdowns, check_guardrails, covariate, off_policy
from segue.reporting.metrics import metrics
from segue.reporting.paired import paired
from segue.reporting.pairs import (
    Pair,
    Ruling,
    courses,
    densities,
    lost_users,
    pairs_of,
    rule,
    verdict,
    weigh,
)
from segue.reporting.shipping import shipping
from segue.statistics.comparison import compare
from segue.statistics.confidence import Interval
from segue.statistics.counts import Counts
from segue.statistics.fixed_horizon import wilson
from segue.statistics.power import detectable_difference, progress
from segue.statistics.sample_ratio import SampleRatio, check_sample_ratio

Document = dict[str, Any]

# Gains in rate that the table of needed users is for.
DIFFERENCES = (0.01, 0.02, 0.05, 0.1)


def document(
    epoch: Epoch,
    tally: Tally,
    pending: Mapping[str, int] = MappingProxyType({}),
) -> Document:
    """Everything that there is to say about an epoch, the verdicts first.

    ``pending``: of each group, the users whose outcome is not settled yet, as far as counted.
    All of it is values that JSON has. Of a pair of arms, "A" is the control and "B" the other,
    whatever their groups are called.
    """
    experiment, outcomes = epoch.experiment, tally.outcomes()
    arms = [Counts(*outcomes.get(arm.group, (0, 0))) for arm in experiment.arms]
    shares = [arm.share for arm in experiment.arms]
    assigned = [
        counts.users + pending.get(arm.group, 0)
        for arm, counts in zip(experiment.arms, arms, strict=True)
    ]
    pairs = pairs_of(experiment, tally)
    rulings = rule(shares, assigned, pairs, weigh(pairs))
    verdicts = [
        verdict(pair, ruling) | {"lost_users": lost}
        for pair, ruling, lost in zip(pairs, rulings, lost_users(pairs, rulings), strict=True)
    ]
    over_time, lifts = courses(pairs, tally, rulings[0].decisive)
    always = {
        "verdicts": verdicts,
        "experiment": summary(epoch, tally),
        "arms": _arms(experiment, arms, assigned),
        "course": over_time,
        "densities": None if experiment.mode is Mode.INTERLEAVE else densities(experiment, arms),
        "positions": _positions(tally),
        "off_policy": off_policy(tally),
    }
    # All else rests on shares of users that outcomes have no part in.
    if experiment.mode is not Mode.FIXED:
        return always | {"shipping": shipping(always)}
    ratio = check_sample_ratio(assigned, shares)
    comparisons = [
        _comparison(*each) for each in zip(pairs, rulings, over_time, lifts, strict=True)
    ]
    fixed = _fixed(experiment, tally, pairs, rulings[0].decisive)
    return (
        always
        | {"comparisons": comparisons, "sample_ratio": _sample_ratio(ratio)}
        | fixed
        | {"shipping": shipping(always | fixed)}
    )


def _fixed(
    experiment: Experiment, tally: Tally, pairs: Sequence[Pair], decisive: float
) -> Document:
    return {
        "power": [_power(pair, decisive) for pair in pairs],
        "metrics": metrics(pairs, tally, decisive),
        "guardrails": check_guardrails(experiment, tally),
        "breakdowns": [it for pair in pairs for it in breakdowns(pair, tally)],
        "covariate": [it for pair in pairs for it in covariate(pair, tally, decisive)],
        "paired": paired(pairs, tally),
    }


def summary(epoch: Epoch, tally: Tally) -> Document:
    """Which epoch it is, of how many users, and from when to when outcomes were settled."""
    times = sorted(tally.course)
    return {
        "name": epoch.experiment.name,
        "side": epoch.side,
        "mode": epoch.experiment.mode,
        "epoch": epoch.number,
        "bundle": epoch.bundle,
        "window_days": epoch.experiment.window / DAY,
        "users": tally.users,
        "first_settled": format_time(times[0]) if times else None,
        "last_settled": format_time(times[-1] + tally.step) if times else None,
    }


def _arms(
    experiment: Experiment, counts: Sequence[Counts], assigned: Sequence[int]
) -> list[Document]:
    """Of interleaved lists, users are those that the arm won; ``share``: as allotted, if at all."""
    rated = experiment.mode is not Mode.INTERLEAVE
    return [
        {
            "group": arm.group,
            "model_id": arm.model_id,
            "model": NAMES.get(arm.model_id),
            "share": arm.share if experiment.mode is Mode.FIXED else None,
            "users": outcome.users,
            "assigned": users if rated else None,
            "successes": outcome.successes if rated else None,
            "rate": outcome.rate if rated else None,
            "interval": list(wilson(outcome)) if rated else None,
        }
        for arm, outcome, users in zip(experiment.arms, counts, assigned, strict=True)
    ]


def _positions(tally: Tally) -> list[Document]:
    """By each place in the lists, the full plays that the lists there led to."""
    return [
        {
            "position": position,
            "arms": [
                {"group": group, "full_plays": plays, "reported": reported}
                for group, (plays, reported) in sorted(arms.items())
            ],
        }
        for position, arms in sorted(tally.positions.items())
    ]


def _comparison(pair: Pair, ruling: Ruling, course: Document, lift: Interval | None) -> Document:
    # The course ends with these counts, so that their interval is computed once.
    ends = [(point["low"], point["high"]) for point in course["points"][-1:]]
    confidence = ends[0] if ends else None
    figures = compare(
        pair.a,
        pair.b,
        pair.share,
        decisive=ruling.decisive,
        confidence=confidence,
        lift_confidence=lift,
    ).as_json()
    # The verdicts above, and the sample ratio, know of all arms and of all that were assigned.
    del figures["verdict"], figures["reason"], figures["srm"]
    return {**pair.names, **figures}


def _sample_ratio(ratio: SampleRatio) -> Document:
    return {
        "chi2": ratio.chi_square,
        "p": ratio.p_value,
        "E": ratio.e_value,
        "log_E": ratio.log_e,
        "off": ratio.is_off,
    }


def _power(pair: Pair, decisive: float) -> Document:
    """How many users the verdict takes to find a gain, and the part of them that there is."""
    rate, users = pair.a.rate, pair.a.users + pair.b.users
    needed = [
        {"difference": gain, "users": found.users_needed, "done": found.done}
        for gain in DIFFERENCES
        if rate is not None and rate + gain <= 1
        if (found := progress(pair.a, pair.b, gain, pair.share, decisive))
    ]
    detectable = detectable_difference(
        0.5 if rate is None else rate, users, share=pair.share, decisive=decisive
    )
    return {**pair.names, "detectable_difference": detectable, "needed": needed}
