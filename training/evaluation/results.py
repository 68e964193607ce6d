"""What was measured, evaluation by evaluation: a judged listener at a cut-off is one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.metrics import Floats

# By view and measure, as ``metrics.measure`` gives them. A contender that was trained with several
# seeds has an axis more in front, one place for each.
Measures = Mapping[str, Mapping[str, Floats]]


@dataclass(frozen=True)
class CutoffResults:
    """One cut-off. listeners: (judged,) ids. plays, kinds: (judged,), see ``listeners``.

    measures: of each contender by its name. played: by view, (judged,) the mean popularity
    percentile of what the listener really played to its end.
    """

    cutoff: int
    listeners: NDArray[np.bytes_]
    plays: NDArray[np.int64]
    kinds: NDArray[np.int64]
    measures: Mapping[str, Measures]
    played: Mapping[str, Floats]


def stack_draws(draws: Sequence[Measures]) -> Measures:
    """The measures of one contender that was trained with several seeds, from those of each."""
    return {
        view: {name: np.stack([draw[view][name] for draw in draws]) for name in measures}
        for view, measures in draws[0].items()
    }


class Results:
    """All cut-offs, one behind the other. seeds: how many our models were trained with at each."""

    def __init__(self, cutoffs: Sequence[CutoffResults], seeds: int = 1) -> None:
        self._cutoffs = cutoffs
        self._seeds = seeds
        ids = np.concatenate([one.listeners for one in cutoffs])
        _, self.listeners = np.unique(ids, return_inverse=True)
        self.plays = np.concatenate([one.plays for one in cutoffs])
        self.kinds = np.concatenate([one.kinds for one in cutoffs])

    @property
    def contenders(self) -> list[str]:
        """All names, in the order in which they came."""
        return list(dict.fromkeys(name for one in self._cutoffs for name in one.measures))

    def values(self, name: str, view: str, measure: str) -> Floats:
        """(seeds, evaluations), NaN where there are no lists or the listener is not judged.

        What was trained once stands there for every seed.
        """
        return np.concatenate([*self._each(name, view, measure)], axis=1)

    def overall(self, name: str, view: str, measure: str) -> float:
        """The mean over the cut-offs of a measure that all lists of one have together."""
        found = [
            float(np.mean(o.measures[name][view][measure]))
            for o in self._cutoffs
            if name in o.measures
        ]
        known = [value for value in found if not np.isnan(value)]
        return float(np.mean(known)) if known else float("nan")

    def played(self, view: str) -> Floats:
        """(seeds, evaluations), how popular is what was really played: the same for every seed."""
        played = np.concatenate([one.played[view] for one in self._cutoffs])
        return np.broadcast_to(played, (self._seeds, len(played)))

    def _each(self, name: str, view: str, measure: str) -> Iterator[Floats]:
        for one in self._cutoffs:
            known = one.measures[name][view][measure] if name in one.measures else np.nan
            yield np.broadcast_to(known, (self._seeds, len(one.listeners)))
