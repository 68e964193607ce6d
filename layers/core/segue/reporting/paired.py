"""The paired test of a replay in which every arm made a list for every user."""

import math
from collections.abc import Sequence
from typing import Any

from segue.experiments.tally import Tally
from segue.reporting.pairs import Pair, ruling, verdict
from segue.statistics.evalue import EValue
from segue.statistics.multiplicity import decisive_together
from segue.statistics.paired import PairedCounts
from segue.statistics.power import users_needed
from segue.statistics.verdict import decide


def paired(pairs: Sequence[Pair], tally: Tally) -> list[dict[str, Any]]:
    """Of each pair of arms, as far as users compared them: who is better, and by how much."""
    compared = [
        (pair, PairedCounts(*tally.paired[pair.arm.group]))
        for pair in pairs
        if pair.arm.group in tally.paired
    ]
    if not compared:
        return []
    values = [counts.evidence() for _, counts in compared]
    decisive = decisive_together([value.log_deciding for value in values])
    return [
        _paired(pair, counts, value, decisive)
        for (pair, counts), value in zip(compared, values, strict=True)
    ]


def _paired(pair: Pair, counts: PairedCounts, value: EValue, decisive: float) -> dict[str, Any]:
    found = ruling(pair, decide(value, decisive), value.log_deciding, decisive)
    return {
        **verdict(pair, found),
        "users": counts.users,
        "both": counts.both,
        "control_only": counts.a_only,
        "arm_only": counts.b_only,
        "neither": counts.neither,
        "difference": (counts.b_only - counts.a_only) / counts.users,
        "interval": list(counts.difference()),
        "users_needed_unpaired": _users_needed_unpaired(pair, counts, decisive),
    }


def _users_needed_unpaired(pair: Pair, counts: PairedCounts, decisive: float) -> float | None:
    """Of a test in which each user has one arm, were the rates those observed."""
    rate_a, rate_b = counts.a.rate, counts.b.rate
    if rate_a is None or rate_b is None or rate_a == rate_b:
        return None
    needed = users_needed(rate_a, rate_b, share=pair.share, decisive=decisive)
    return needed if math.isfinite(needed) else None
