"""What was measured, evaluation by evaluation, and its means with intervals.

A judged listener at a cut-off is one evaluation. Means have intervals by a bootstrap that resamples
listeners and training draws.

One listener is judged at several cut-offs, and those judgements resemble each other: counted as if
they were independent, they would make every interval too narrow. So listeners are resampled, each
with all of their evaluations.

A model that is trained with another seed recommends otherwise, to all listeners at once. So where
models were trained several times, once a seed, each resample also draws seeds, each with all
cut-offs and models that were trained with it: that holds whether or not models of one seed resemble
each other. Of n seeds n - 1 are drawn with replacement, because the variance between so few of n
drawn ones would come out too small by (n - 1) / n (McCarthy and Snowden, "The Bootstrap and Finite
Population Sampling", 1985). One seed says nothing of how much the seed matters.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.protocol.listeners import activity, kinds
from training.protocol.lists import VIEWS, Lists, check_lists
from training.protocol.metrics import Floats, accuracy, known, mean_over_rows, measure, relevant
from training.protocol.split import Split

RESAMPLES = 2_000
LEVEL = 0.95

# Weights of resampled listeners that are held at once.
_WEIGHTS = 4_000_000

# By view and measure, as ``metrics.measure`` gives them. A contender that was trained with several
# seeds has an axis more in front, one place for each.
Measures = Mapping[str, Mapping[str, Floats]]


@dataclass(frozen=True)
class CutoffResults:
    """One cut-off. listeners: (judged,) ids. plays, kinds: (judged,), see ``listeners``.

    measures: of each contender by its name. alone: nDCG of the hybrid, as its first seed has it,
    and of each of its sources alone, by name; empty where that was not asked. played: by view,
    (judged,) the mean popularity percentile of what the listener really played to its end.
    """

    cutoff: int
    listeners: NDArray[np.bytes_]
    plays: NDArray[np.int64]
    kinds: NDArray[np.int64]
    measures: Mapping[str, Measures]
    alone: Mapping[str, Measures]
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
        self.ids = np.concatenate([one.listeners for one in cutoffs])
        _, self.listeners = np.unique(self.ids, return_inverse=True)
        self.cutoffs = np.concatenate([np.full(len(o.listeners), o.cutoff) for o in cutoffs])
        self.plays = np.concatenate([one.plays for one in cutoffs])
        self.kinds = np.concatenate([one.kinds for one in cutoffs])

    @property
    def contenders(self) -> list[str]:
        """All names, in the order in which they came."""
        return list(dict.fromkeys(name for one in self._cutoffs for name in one.measures))

    def alone(self) -> "Results":
        """Of the hybrid, as its first seed has it, and of each of its sources."""
        return Results([replace(one, measures=one.alone) for one in self._cutoffs])

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


class Judge:
    """Measures lists by what came of a split. features: (tracks, width), for diversity."""

    def __init__(self, split: Split, features: NDArray[np.float16]) -> None:
        self._split = split
        self._truth = relevant(split)
        self._known = known(split, features)

    def measures(self, name: str, lists: Lists) -> Measures:
        """By view and measure. Raises ValueError where the lists break the rules."""
        check_lists(name, lists, self._split, next(iter(lists.values())).shape[1])
        return measure(lists, self._truth, self._known)

    def ndcg(self, name: str, lists: Lists) -> Measures:
        """The nDCG alone, by view. Raises ValueError where the lists break the rules."""
        check_lists(name, lists, self._split, next(iter(lists.values())).shape[1])
        return {
            view: {"ndcg": accuracy(lists[view], self._truth[view], self._split.tracks)["ndcg"]}
            for view in VIEWS
        }

    def results(
        self,
        genres: Mapping[str, NDArray[np.int32]],
        measures: Mapping[str, Measures],
        alone: Mapping[str, Measures] | None = None,
    ) -> CutoffResults:
        """The cut-off's results; those of further contenders can be added to ``measures``."""
        split = self._split
        return CutoffResults(
            cutoff=int(split.cutoff),
            listeners=split.users[split.judged],
            plays=activity(split),
            kinds=kinds(split, genres),
            measures=measures,
            alone=alone or {},
            played={view: self._played(view) for view in VIEWS},
        )

    def _played(self, view: str) -> Floats:
        rows, tracks = np.divmod(self._truth[view].pairs, self._split.tracks)
        return mean_over_rows(self._known.percentile[tracks], rows, len(self._split.judged))


@dataclass(frozen=True)
class Means:
    """mean, low and high, each (columns,); NaN where a column holds nothing."""

    mean: Floats
    low: Floats
    high: Floats


def bootstrap(values: Floats, listeners: NDArray[np.integer], seed: int) -> Means:
    """Column means of ``values``, and their percentile intervals.

    values: (draws, evaluations, columns), a draw for each seed. listeners: (evaluations,), whose
    evaluation it is, numbered from 0. NaN is left out of its column. All columns see the same
    resamples, so that a column of differences is a paired comparison. The cluster bootstrap: Field
    and Welsh, "Bootstrapping clustered data", JRSS B 69 (2007).
    """
    present = ~np.isnan(values)
    size = int(listeners.max(initial=-1)) + 1
    sums = _by_listener(np.where(present, values, 0.0), listeners, size)
    counts = _by_listener(present.astype(np.float64), listeners, size)
    drawn = _resample(sums, counts, np.random.default_rng(seed))
    low, high = _percentiles(drawn)
    return Means(_divide(sums.sum((0, 1)), counts.sum((0, 1))), low, high)


def _by_listener(values: Floats, listeners: NDArray[np.integer], size: int) -> Floats:
    total = np.zeros((len(values), size, values.shape[2]))
    for draw, one in zip(total, values, strict=True):
        np.add.at(draw, listeners, one)
    return total


def _resample(sums: Floats, counts: Floats, random: np.random.Generator) -> Floats:
    """(RESAMPLES, columns): means over listeners and draws, both drawn with replacement."""
    draws, size, _ = sums.shape
    at_once = max(1, _WEIGHTS // max(size, 1))
    parts = []
    for start in range(0, RESAMPLES, at_once):
        rows = min(at_once, RESAMPLES - start)
        weights = _weights(random, size, size, rows)
        of_draws = _weights(random, max(draws - 1, 1), draws, rows)
        top, bottom = (
            sum(of_draws[:, draw, None] * (weights @ part[draw]) for draw in range(draws))
            for part in (sums, counts)
        )
        parts.append(_divide(top, bottom))
    return np.concatenate(parts)


def _weights(random: np.random.Generator, number: int, size: int, rows: int) -> Floats:
    """(rows, size): how often each of ``size`` is among ``number`` drawn with replacement."""
    drawn = random.multinomial(number, np.full(size, 1 / max(size, 1)), rows)
    return drawn.astype(np.float64)


def _percentiles(drawn: Floats) -> Floats:
    """(2, columns). A resample that holds nothing of a column says nothing of it."""
    bounds = np.full((2, drawn.shape[1]), np.nan)
    told = ~np.isnan(drawn).all(0)
    tail = (1 - LEVEL) / 2
    bounds[:, told] = np.nanquantile(drawn[:, told], [tail, 1 - tail], axis=0)
    return bounds


def _divide(top: Floats, bottom: Floats) -> Floats:
    quotient: Floats = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
    return quotient
