"""More than two arms: each against the control, judged together."""

from collections.abc import Sequence
from dataclasses import dataclass

from segue.experiments.statistics.counts import Counts, check_shares
from segue.experiments.statistics.evalue import EValue, evidence
from segue.experiments.statistics.multiplicity import decisive_together
from segue.experiments.statistics.sample_ratio import check_sample_ratio
from segue.experiments.statistics.verdict import Verdict, judge


@dataclass(frozen=True, slots=True)
class AgainstControl:
    """One arm, as B, against the control, as A."""

    evidence: EValue
    verdict: Verdict


def against_control(arms: Sequence[Counts], shares: Sequence[float]) -> list[AgainstControl]:
    """Each further arm against ``arms[0]``; ``shares`` are of all users, in the arms' order.

    Of a pair's users each is in the second arm with its share of the pair's. Where the users of
    any arm are off, no pair is decided. Raises InvalidRequest.
    """
    check_shares(shares, len(arms))
    control, *others = arms
    values = [
        evidence(control, arm, share / (shares[0] + share))
        for arm, share in zip(others, shares[1:], strict=True)
    ]
    threshold = decisive_together([value.log_value for value in values])
    sample_ratio = check_sample_ratio([arm.users for arm in arms], shares)
    return [
        AgainstControl(value, judge(control, arm, value, sample_ratio, threshold))
        for arm, value in zip(others, values, strict=True)
    ]
