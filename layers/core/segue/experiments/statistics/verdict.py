"""The answer in words, which is no answer while there is none to give."""

from dataclasses import dataclass
from enum import StrEnum

from segue.experiments.statistics.counts import Counts
from segue.experiments.statistics.evalue import DECISIVE, EValue, in_words
from segue.experiments.statistics.sample_ratio import SampleRatio


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
    """What to make of two arms; ``decisive`` is what the evidence has to reach.

    The sample ratio comes first: where it is off, the evidence is not what it says.

    The evidence counts where outcomes fell, so an arm's luck with users moves it too: 4/4 beside
    142/142 at a share of 0.9 has E = 23. A decision takes rates that point the same way.
    """
    if sample_ratio.is_off:
        return Verdict(
            Decision.WITHHELD,
            f"users are not shared out over the arms as they were to be: A has {a.users:,} and B "
            f"{b.users:,} (p = {sample_ratio.p_value:.2g}, E = {in_words(sample_ratio.log_e)}); "
            "find out where users are lost before comparing what is left",
        )
    if not (a.users and b.users):
        return Verdict(Decision.NONE_YET, "not both arms have a settled outcome")
    reason = f"the evidence is E = {in_words(evidence.log_value)}; a decision takes {decisive:g}"
    if evidence.value < decisive:
        return Verdict(Decision.NONE_YET, reason)
    lead_of_b = b.successes * a.users - a.successes * b.users
    bet_on_b = evidence.log_plus - evidence.log_minus
    if lead_of_b * bet_on_b <= 0:
        return Verdict(
            Decision.NONE_YET,
            f"the evidence is E = {in_words(evidence.log_value)}, but it comes from how many users "
            "each arm has, not from their rates",
        )
    return Verdict(Decision.B if bet_on_b > 0 else Decision.A, reason)
