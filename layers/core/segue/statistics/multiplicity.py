"""Many questions of the same data: how to keep chance from answering one of them."""

from collections.abc import Sequence

import numpy as np

from segue.statistics.evalue import DECISIVE


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted so that any false one among them is as rare as one alone (Holm 1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return list(map(float, adjusted))


def decisive_together(log_e_values: Sequence[float], decisive: float = DECISIVE) -> float:
    """What each of several e-values has to reach for a decision: e-BH, under any dependence.

    Where the k-th largest of m reaches ``decisive`` times m / k, the k largest decide. One e-value
    alone has to reach ``decisive``. Of what is decided so, at most 1 / ``decisive`` is false on
    average (Wang & Ramdas, JRSS B 2022).
    """
    largest_first = np.sort(np.asarray(log_e_values, dtype=np.float64))[::-1]
    thresholds = decisive * largest_first.size / np.arange(1, largest_first.size + 1)
    (passing,) = np.nonzero(largest_first >= np.log(thresholds))
    return float(thresholds[passing[-1] if passing.size else 0])
