"""An arm against the control: the verdict, and how it came about in the course of time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from segue.domain.times import format_time
from segue.experiments.experiment import Arm, Experiment, Mode
from segue.experiments.tally import Bets, Outcomes, Tally
from segue.statistics.confidence import Interval, confidence_limits
from segue.statistics.counts import Counts
from segue.statistics.evalue import (
    EValue,
    evidence_at,
    finite_exp,
    log_evidence,
    log_mean,
)
from segue.statistics.multiplicity import decisive_together
from segue.statistics.overturn import lists_to_overturn, users_to_overturn
from segue.statistics.sample_ratio import check_sample_ratio
from segue.statistics.verdict import Decision, Verdict, decide, judge

# Of a course over time: as many as a chart has use for; and of all pairs' courses together.
MOST_POINTS, MOST_POINTS_OF_ALL = 60, 120
_DENSITY_POINTS = 200
# How many lost users would overturn a verdict, where the counts decide.
_TO_OVERTURN = {Mode.FIXED: users_to_overturn, Mode.INTERLEAVE: lists_to_overturn}


@dataclass(frozen=True, slots=True)
class Pair:
    """The control, as A, and one other arm, as B, with what came of them.

    Of interleaved lists, each count is of the lists that the arm won, all of them successes.
    ``bets`` are those of adaptive allocation, empty in other modes.
    """

    mode: Mode
    control: Arm
    arm: Arm
    a: Counts
    b: Counts
    bets: Bets = ()

    @property
    def names(self) -> dict[str, str]:
        """The groups of both, as every part of the report names them."""
        return {"control": self.control.group, "arm": self.arm.group}

    @property
    def share(self) -> float:
        """B's share of what either could get."""
        if self.mode is Mode.INTERLEAVE:
            return 0.5
        return self.arm.share_beside(self.control)

    def evidence(self) -> EValue:
        """The e-value that this mode of allocation leaves valid; of fixed shares, see ``weigh``."""
        if self.mode is Mode.INTERLEAVE:
            # A coin decides who picks first: of equal arms, either wins as many lists.
            return evidence_at(self.a, self.b, 0.5)
        if not self.bets:
            return EValue(0.0, 0.0)
        on_arm, on_control = log_mean(np.reshape(self.bets, (2, -1)))
        return EValue(float(on_arm), float(on_control))

    def at(
        self, outcomes: Mapping[str, Outcomes], bets: Mapping[str, Bets] | None = None
    ) -> "Pair":
        """The pair as of other outcomes and bets."""
        a, b = (Counts(*outcomes.get(it.group, (0, 0))) for it in (self.control, self.arm))
        placed = (bets or {}).get(self.arm.group, ())
        return Pair(self.mode, self.control, self.arm, a, b, placed)


def pairs_of(experiment: Experiment, tally: Tally) -> list[Pair]:
    """Each arm beside the control, as counted."""
    outcomes, stakes = tally.outcomes(), tally.stakes()
    control, *arms = experiment.arms
    a, *others = (Counts(*outcomes.get(arm.group, (0, 0))) for arm in experiment.arms)
    return [
        Pair(experiment.mode, control, arm, a, b, stakes.get(arm.group, ()))
        for arm, b in zip(arms, others, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict in terms of the groups; ``better`` is the group that won, None without one.

    ``log_evidence`` is that of the evidence that decides, ``decisive`` what it had to reach.
    """

    decision: str
    better: str | None
    reason: str
    log_evidence: float
    decisive: float


def weigh(pairs: Sequence[Pair]) -> list[EValue]:
    """The evidence of each pair. Of many at once it takes hardly longer than of one."""
    fixed = [pair for pair in pairs if pair.mode is Mode.FIXED]
    logs = log_evidence(
        [pair.a.successes for pair in fixed],
        [pair.a.failures for pair in fixed],
        [pair.b.successes for pair in fixed],
        [pair.b.failures for pair in fixed],
    )
    of_fixed = iter(EValue(*each) for each in zip(*(log.tolist() for log in logs), strict=True))
    return [next(of_fixed) if pair.mode is Mode.FIXED else pair.evidence() for pair in pairs]


def rule(
    shares: Sequence[float],
    assigned: Sequence[int],
    pairs: Sequence[Pair],
    values: Sequence[EValue],
) -> list[Ruling]:
    """The verdict on each pair of an experiment, all of them together.

    ``assigned`` are all users of each arm; ``values`` the evidence of each pair.
    """
    decisive = decisive_together([value.log_deciding for value in values])
    if pairs[0].mode is Mode.FIXED:
        ratio = check_sample_ratio(assigned, shares)
        verdicts = [
            judge(pair.a, pair.b, value, ratio, decisive)
            for pair, value in zip(pairs, values, strict=True)
        ]
    else:
        verdicts = [decide(value, decisive) for value in values]
    return [
        ruling(pair, verdict, value.log_deciding, decisive)
        for pair, verdict, value in zip(pairs, verdicts, values, strict=True)
    ]


def ruling(pair: Pair, verdict: Verdict, log_evidence: float, decisive: float) -> Ruling:
    """A verdict in terms of the pair's groups."""
    winners = {Decision.A: pair.control.group, Decision.B: pair.arm.group}
    better = winners.get(verdict.decision)
    words = f"{better} is better" if better else str(verdict.decision)
    return Ruling(words, better, verdict.reason, log_evidence, decisive)


def verdict(pair: Pair, ruling: Ruling) -> dict[str, Any]:
    """Which arm is better, and on what evidence, as the report tells it."""
    return {
        **pair.names,
        "decision": ruling.decision,
        "better": ruling.better,
        "reason": ruling.reason,
        "evidence": finite_exp(ruling.log_evidence),
        "log_evidence": ruling.log_evidence,
        "p_anytime": min(1.0, finite_exp(-ruling.log_evidence)),
    }


def lost_users(pairs: Sequence[Pair], rulings: Sequence[Ruling]) -> list[int | None]:
    """How few lost users would overturn each verdict, with the evidence of all others as it is.

    None without a verdict, and in adaptive allocation, where it is not the counts that decide.
    """
    found: list[int | None] = [None] * len(pairs)
    for mode, to_overturn in _TO_OVERTURN.items():
        of_mode = [n for n, pair in enumerate(pairs) if pair.mode is mode and rulings[n].better]
        if of_mode:
            arms = [_winner_first(pairs[n], rulings[n]) for n in of_mode]
            decisive = [rulings[n].decisive for n in of_mode]
            numbers = to_overturn([it for it, _ in arms], [it for _, it in arms], decisive)
            for n, number in zip(of_mode, numbers, strict=True):
                found[n] = number
    return found


def _winner_first(pair: Pair, ruling: Ruling) -> tuple[Counts, Counts]:
    return (pair.b, pair.a) if ruling.better == pair.arm.group else (pair.a, pair.b)


def courses(
    pairs: Sequence[Pair], tally: Tally, decisive: float
) -> tuple[list[dict[str, Any]], list[Interval | None]]:
    """Each pair in the course of time: after the first step that settled outcomes, to the last.

    And the interval of each pair's relative lift at the last, where rates can be compared.
    """
    starts = sorted(tally.course)
    points = min(len(starts), MOST_POINTS, MOST_POINTS_OF_ALL // len(pairs))
    moments = []
    for place in np.linspace(0, len(starts) - 1, points).round().astype(int).tolist():
        passed = starts[: place + 1]
        so_far = Tally(
            tally.step,
            {start: tally.course[start] for start in passed},
            bets={start: tally.bets[start] for start in passed if start in tally.bets},
        )
        moments.append((starts[place] + tally.step, so_far.outcomes(), so_far.stakes()))
    times = [time for time, _, _ in moments] * len(pairs)
    then = [pair.at(outcomes, stakes) for pair in pairs for _, outcomes, stakes in moments]
    told, lifts = _points(times, then, pairs, decisive)
    return [
        {**pair.names, "decisive": decisive, "points": told[n * points : (n + 1) * points]}
        for n, pair in enumerate(pairs)
    ], lifts


def _points(
    times: Sequence[int], then: Sequence[Pair], now: Sequence[Pair], decisive: float
) -> tuple[list[dict[str, Any]], list[Interval | None]]:
    """What was known of a pair at each time; and where rates can be compared, the lifts now."""
    points = [
        {"time": format_time(time), "users": pair.a.users + pair.b.users}
        for time, pair in zip(times, then, strict=True)
    ]
    if now[0].mode is not Mode.FIXED:
        values = [pair.evidence().log_deciding for pair in then]
        return [
            point | {"log_evidence": value} for point, value in zip(points, values, strict=True)
        ], [None] * len(now)
    rows = (*then, *now)
    counts = (
        [pair.a.successes for pair in rows],
        [pair.a.failures for pair in rows],
        [pair.b.successes for pair in rows],
        [pair.b.failures for pair in rows],
    )
    plus, minus = log_evidence(*counts)
    is_lift = np.arange(len(rows)) >= len(then)
    low, high = confidence_limits(*counts, plus, minus, decisive=decisive, relative=is_lift)
    ends: list[Interval] = list(zip(low.tolist(), high.tolist(), strict=True))
    deciding = (np.maximum(plus, minus) - np.log(2)).tolist()
    return [
        point
        | {
            "log_evidence": value,
            "rate_A": pair.a.rate,
            "rate_B": pair.b.rate,
            "low": bottom,
            "high": top,
        }
        for point, pair, value, (bottom, top) in zip(points, then, deciding, ends, strict=False)
    ], [*ends[len(then) :]]


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
