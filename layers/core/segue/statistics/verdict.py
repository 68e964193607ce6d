"""The answer in words, which is no answer while there is none to give."""

import math
from dataclasses import dataclass
from enum import StrEnum

from segue.statistics.counts import Counts
from segue.statistics.evalue import DECISIVE, EValue, in_words
from segue.statistics.sample_ratio import SampleRatio


class Decision(StrEnum):
    """What a reader may act on."""

    WITHHELD = "decision withheld"
    NONE_YET = "no decision yet"
    A = "A is better"
    B = "B is better"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, and why in one sentence."""

    decision: Decision
    reason: str

    def __str__(self) -> str:
        return f"{self.decision}: {self.reason}"


def judge(
    a: Counts,
    b: Counts,
    evidence: EValue,
    sample_ratio: SampleRatio,
    decisive: float = DECISIVE,
) -> Verdict:
    """What to make of two arms; ``decisive`` is what the evidence that decides has to reach.

    The sample ratio comes first: where it is off, the evidence is not what it says.
    """
    if sample_ratio.is_off:
        users = " / ".join(f"{users:,}" for users in sample_ratio.users)
        return Verdict(
            Decision.WITHHELD,
            f"users are not shared out over the arms as they were to be: {users} "
            f"(p = {sample_ratio.p_value:.2g}, E = {in_words(sample_ratio.log_e)}); "
            "find out where users are lost before comparing what is left",
        )
    if not (a.users and b.users):
        return Verdict(Decision.NONE_YET, "not both arms have a settled outcome")
    return decide(evidence, decisive)


def decide(evidence: EValue, decisive: float = DECISIVE) -> Verdict:
    """What the evidence alone says. Half of the stake is on either arm, and decides by itself."""
    reason = f"the evidence is {in_words(evidence.log_deciding)}; a decision takes {decisive:g}"
    if evidence.log_deciding < math.log(decisive):
        return Verdict(Decision.NONE_YET, reason)
    return Verdict(Decision.B if evidence.log_plus > evidence.log_minus else Decision.A, reason)
