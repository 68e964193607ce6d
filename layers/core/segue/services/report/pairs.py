"""An arm against the control: the verdict, and how it came about in the course of time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from segue.domain.times import format_time
from segue.experiments.experiment import Arm, Experiment, Mode
from segue.experiments.statistics.confidence import confidence_sequence, evidence_against
from segue.experiments.statistics.counts import Counts
from segue.experiments.statistics.evalue import evidence, in_words
from segue.experiments.statistics.multiplicity import decisive_together
from segue.experiments.statistics.several_arms import against_control
from segue.experiments.statistics.verdict import Decision
from segue.experiments.tally import Outcomes, Tally

# Of a course over time: as many as a chart has use for.
MOST_POINTS = 60
_DENSITY_POINTS = 200


@dataclass(frozen=True, slots=True)
class Pair:
    """The control, as A, and one other arm, as B, with what came of them.

    Of interleaved lists, each count is of the lists that the arm won, all of them successes.
    """

    mode: Mode
    control: Arm
    arm: Arm
    a: Counts
    b: Counts

    @property
    def names(self) -> dict[str, str]:
        """The groups of both, as every part of the report names them."""
        return {"control": self.control.group, "arm": self.arm.group}

    @property
    def share(self) -> float:
        """B's share of what either could get."""
        if self.mode is Mode.INTERLEAVE:
            return 0.5
        return self.arm.share / (self.control.share + self.arm.share)

    def evidence(self) -> float:
        """The logarithm of the e-value that this mode of allocation leaves valid."""
        # Where outcomes so far steer who gets which arm, shares say nothing about equality; the
        # likelihood of the outcomes does, since it is the same however users were allotted.
        if self.mode is Mode.THOMPSON:
            return math.log(max(evidence_against(0.0, self.a, self.b), 1e-300))
        return evidence(self.a, self.b, self.share).log_value

    def at(self, outcomes: Mapping[str, Outcomes]) -> "Pair":
        """The pair as of other outcomes."""
        a, b = (Counts(*outcomes.get(it.group, (0, 0))) for it in (self.control, self.arm))
        return Pair(self.mode, self.control, self.arm, a, b)


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict in terms of the groups; ``better`` is the group that won, None without one."""

    decision: str
    better: str | None
    reason: str
    log_e: float


def rule(
    mode: Mode, arms: Sequence[Counts], shares: Sequence[float], pairs: Sequence[Pair]
) -> list[Ruling]:
    """The verdict on each pair, all of them together."""
    if mode is Mode.FIXED:
        judged = against_control(arms, shares)
        return [
            _ruling(pair, it.verdict.decision, it.verdict.reason, it.evidence.log_value)
            for pair, it in zip(pairs, judged, strict=True)
        ]
    log_e = [pair.evidence() for pair in pairs]
    threshold = decisive_together(log_e)
    return [_by_lead(pair, it, threshold) for pair, it in zip(pairs, log_e, strict=True)]


def _by_lead(pair: Pair, log_e: float, threshold: float) -> Ruling:
    reason = f"the evidence is E = {in_words(log_e)}; a decision takes {threshold:g}"
    lead = _lead(pair)
    if log_e < math.log(threshold) or not lead:
        return _ruling(pair, Decision.NONE_YET, reason, log_e)
    return _ruling(pair, Decision.B if lead > 0 else Decision.A, reason, log_e)


def _lead(pair: Pair) -> float:
    if pair.mode is Mode.INTERLEAVE:
        return pair.b.users - pair.a.users
    return (pair.b.rate or 0.0) - (pair.a.rate or 0.0)


def _ruling(pair: Pair, decision: Decision, reason: str, log_e: float) -> Ruling:
    winners = {Decision.A: pair.control.group, Decision.B: pair.arm.group}
    better = winners.get(decision)
    words = f"{better} is better" if better else str(decision)
    return Ruling(words, better, reason, log_e)


def course(pair: Pair, tally: Tally) -> dict[str, Any]:
    """The pair after each step in which outcomes were settled, at MOST_POINTS of them."""
    starts = sorted(tally.course)
    running: dict[str, Outcomes] = {}
    wanted = {round(it) for it in np.linspace(0, len(starts) - 1, MOST_POINTS)}
    points = []
    for place, start in enumerate(starts):
        for group, (successes, users) in tally.course[start].items():
            before = running.get(group, (0, 0))
            running[group] = before[0] + successes, before[1] + users
        if place in wanted:
            points.append(_point(pair.at(running), start + tally.step))
    return {**pair.names, "points": points}


def _point(pair: Pair, time: int) -> dict[str, Any]:
    point = {
        "time": format_time(time),
        "users": pair.a.users + pair.b.users,
        "log_E": pair.evidence(),
    }
    if pair.mode is Mode.INTERLEAVE:
        return point
    low, high = confidence_sequence(pair.a, pair.b)
    return point | {"rate_A": pair.a.rate, "rate_B": pair.b.rate, "low": low, "high": high}


def densities(experiment: Experiment, arms: Sequence[Counts]) -> dict[str, list[float]]:
    """What is believed of each arm's rate, from uniform priors: densities at the same rates."""
    beliefs = [stats.beta(1 + arm.successes, 1 + arm.failures) for arm in arms]
    low = min(float(belief.ppf(0.0005)) for belief in beliefs)
    high = max(float(belief.isf(0.0005)) for belief in beliefs)
    rates = np.linspace(low, high, _DENSITY_POINTS)
    curves = {
        arm.group: belief.pdf(rates).tolist()
        for arm, belief in zip(experiment.arms, beliefs, strict=True)
    }
    return {"rates": rates.tolist(), "groups": curves}
