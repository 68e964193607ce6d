"""All epochs that ever began, side by side, and which of their verdicts hold among so many.

Of many tests of equal arms some are decided by chance: one in 20 at most by each verdict of its
own, and who only ever hears of the decided ones cannot tell. So all of them are judged together,
by e-BH (Wang & Ramdas, JRSS B 2022), whatever they have in common, and whenever one looks.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from segue.experiments.epoch import Epoch
from segue.experiments.tally import Tally
from segue.reporting.document import Document, summary
from segue.reporting.pairs import Pair, Ruling, lost_users, pairs_of, rule, verdict, weigh
from segue.statistics.evalue import DECISIVE
from segue.statistics.multiplicity import decisive_together


@dataclass(frozen=True, slots=True)
class _Judged:
    """A side of an epoch with its counts, and the verdict on each pair of arms."""

    epoch: Epoch
    tally: Tally
    pairs: Sequence[Pair]
    rulings: Sequence[Ruling]


def overview(sides: Sequence[tuple[Epoch, Tally]], start: int, limit: int) -> Document:
    """What is known of up to ``limit`` sides of epochs from ``start`` on, among all of them.

    Each has its verdicts, and of each verdict whether it is a discovery among those of all sides,
    not only of those listed. A side without outcomes has asked nothing yet, and does not count. All
    of it is values that JSON has.
    """
    judged = _judge(sides)
    # What its own experiment does not let decide, cannot be a discovery: it counts as no evidence.
    counted = [
        ruling.log_evidence if ruling.better else -math.inf
        for side in judged
        if side.tally.users
        for ruling in side.rulings
    ]
    decisive = decisive_together(counted) if counted else DECISIVE
    listed = judged[start : start + limit]
    pairs = [pair for side in listed for pair in side.pairs]
    lost = iter(lost_users(pairs, [ruling for side in listed for ruling in side.rulings]))
    decided = [ruling for side in judged for ruling in side.rulings if ruling.better]
    return {
        "verdicts": len(counted),
        "decided": len(decided),
        "discoveries": sum(_is_discovery(ruling, decisive) for ruling in decided),
        "decisive": decisive,
        "false_discovery_rate": 1 / DECISIVE,
        "epochs": [_row(side, decisive, lost) for side in listed],
    }


def _judge(sides: Sequence[tuple[Epoch, Tally]]) -> list[_Judged]:
    pairs = [pairs_of(epoch.experiment, tally) for epoch, tally in sides]
    values = iter(weigh([pair for of_side in pairs for pair in of_side]))
    judged = []
    for (epoch, tally), of_side in zip(sides, pairs, strict=True):
        shares = [arm.share for arm in epoch.experiment.arms]
        users = [of_side[0].a.users, *(pair.b.users for pair in of_side)]
        rulings = rule(shares, users, of_side, list(islice(values, len(of_side))))
        judged.append(_Judged(epoch, tally, of_side, rulings))
    return judged


def _row(side: _Judged, decisive: float, lost: Iterator[int | None]) -> dict[str, Any]:
    return summary(side.epoch, side.tally) | {
        "verdicts": [
            verdict(pair, ruling)
            | {"lost_users": next(lost), "discovery": _is_discovery(ruling, decisive)}
            for pair, ruling in zip(side.pairs, side.rulings, strict=True)
        ]
    }


def _is_discovery(ruling: Ruling, decisive: float) -> bool:
    return ruling.better is not None and ruling.log_evidence >= math.log(decisive)
