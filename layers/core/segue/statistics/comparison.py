"""All figures of two arms, computed together."""

import math
from dataclasses import dataclass
from typing import Any

from segue.statistics.confidence import confidence_sequence
from segue.statistics.counts import Counts
from segue.statistics.evalue import (
    DECISIVE,
    EValue,
    evidence,
    evidence_at,
    evidence_of_rates,
)
from segue.statistics.fixed_horizon import (
    Interval,
    boschloo,
    fisher,
    newcombe,
    pooled_z,
    wilson,
)
from segue.statistics.posterior import Posterior, posterior
from segue.statistics.power import Progress, detectable_difference, progress
from segue.statistics.sample_ratio import SampleRatio, check_sample_ratio
from segue.statistics.verdict import Verdict, judge


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two arms, what is known of their difference, and whether it decides.

    ``evidence``, ``confidence``, ``lift_confidence`` and ``sample_ratio.e_value`` hold at every
    look, as do ``evidence_at_share``, if the share is known for certain, and
    ``evidence_of_rates``, if rates are constant. ``detectable_difference`` and ``progress`` are of
    the verdict, with a look after every user. All else holds at one look.
    """

    a: Counts
    b: Counts
    share: float
    verdict: Verdict
    evidence: EValue
    evidence_at_share: EValue
    evidence_of_rates: float
    confidence: Interval
    lift_confidence: Interval
    sample_ratio: SampleRatio
    fisher: float
    boschloo: float | None
    pooled_z: float
    wilson_a: Interval
    wilson_b: Interval
    newcombe: Interval
    posterior: Posterior
    detectable_difference: float | None
    progress: Progress | None

    @property
    def lift(self) -> float | None:
        """How much more often B succeeds, as a part of A's rate; None where A's is 0 or unknown."""
        return self.b.rate / self.a.rate - 1 if self.a.rate and self.b.rate is not None else None

    def as_json(self) -> dict[str, Any]:
        """Names and figures; each None where there is none to give, and never infinite."""
        return {
            "data": [self.a.successes, self.a.users, self.b.successes, self.b.users],
            "share": self.share,
            "verdict": str(self.verdict.decision),
            "reason": self.verdict.reason,
            "rate_A": self.a.rate,
            "rate_B": self.b.rate,
            "E": self.evidence.value,
            "E_plus": self.evidence.plus,
            "E_minus": self.evidence.minus,
            "log_E": self.evidence.log_value,
            "E_at_share": self.evidence_at_share.value,
            "E_plus_at_share": self.evidence_at_share.plus,
            "E_minus_at_share": self.evidence_at_share.minus,
            "evidence": self.evidence.deciding,
            "p_anytime": self.evidence.p_value,
            "cs": list(self.confidence),
            "lift": self.lift,
            "lift_cs": [end if math.isfinite(end) else None for end in self.lift_confidence],
            "E0": self.evidence_of_rates,
            "srm": {
                "chi2": self.sample_ratio.chi_square,
                "p": self.sample_ratio.p_value,
                "sequential_E_k100": self.sample_ratio.e_value,
                "off": self.sample_ratio.is_off,
            },
            "fisher_p": self.fisher,
            "boschloo_p": self.boschloo,
            "z_pooled_p": self.pooled_z,
            "wilson_A": list(self.wilson_a),
            "wilson_B": list(self.wilson_b),
            "newcombe": list(self.newcombe),
            "p_B_gt_A": self.posterior.b_beats_a,
            "loss_choose_A": self.posterior.loss_choosing_a,
            "loss_choose_B": self.posterior.loss_choosing_b,
            "detectable_difference": self.detectable_difference,
            "users_needed": self.progress.users_needed if self.progress else None,
            "progress": self.progress.done if self.progress else None,
        }


def compare(
    a: Counts,
    b: Counts,
    share: float = 0.5,
    difference: float | None = None,
    decisive: float = DECISIVE,
    confidence: Interval | None = None,
    lift_confidence: Interval | None = None,
) -> Comparison:
    """``share`` is B's share of the users of both, in (0, 1).

    ``difference`` is the ``rate B - rate A`` that the test was set up to find, where that was
    settled before it began; ``decisive`` is what the evidence has to reach.
    ``confidence`` and ``lift_confidence`` are the intervals where they have been computed already.
    Raises InvalidRequest.
    """
    value = evidence(a, b)
    sample_ratio = check_sample_ratio((a.users, b.users), (1 - share, share))
    return Comparison(
        a=a,
        b=b,
        share=share,
        verdict=judge(a, b, value, sample_ratio, decisive),
        evidence=value,
        evidence_at_share=evidence_at(a, b, share),
        evidence_of_rates=evidence_of_rates(a, b),
        confidence=confidence or confidence_sequence(a, b, value, decisive),
        lift_confidence=lift_confidence
        or confidence_sequence(a, b, value, decisive, relative=True),
        sample_ratio=sample_ratio,
        fisher=fisher(a, b),
        boschloo=boschloo(a, b),
        pooled_z=pooled_z(a, b),
        wilson_a=wilson(a),
        wilson_b=wilson(b),
        newcombe=newcombe(a, b),
        posterior=posterior(a, b),
        detectable_difference=detectable_difference(
            a.rate if a.rate is not None else 0.5,
            a.users + b.users,
            share=share,
            decisive=decisive,
        ),
        progress=None if difference is None else progress(a, b, difference, share, decisive),
    )
