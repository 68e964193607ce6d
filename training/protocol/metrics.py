"""The measures of a list, for all judged listeners at once.

A listener without any relevant track in a view is not judged in it: their measures are NaN, as is a
measure that a list is too short for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray
from training.plays import Plays
from training.protocol.lists import VIEWS, pairs_of
from training.protocol.split import Split

Floats = NDArray[np.float64]

ACCURACY = ("hit", "ndcg", "recall", "map")
# Measured for each listener, so that they have intervals as accuracy has.
PER_LISTENER = (*ACCURACY, "novelty", "diversity", "popularity")
# Measured over all lists together.
OVERALL = ("coverage", "gini")

# Lists whose tracks' features are held at once.
_CHUNK = 4096


@dataclass(frozen=True)
class Relevant:
    """What counts in one view. pairs: ``row * tracks + track``, ascending. counts: (judged,)."""

    pairs: NDArray[np.int64]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Known:
    """What the measures beyond accuracy know of each track, as of the cut-off.

    information: (tracks,) bits, see ``self_information``. percentile: (tracks,), see
    ``play_percentile``. features: (tracks, width) float32, of length 1 or 0.
    """

    information: Floats
    percentile: Floats
    features: FloatArray


def relevant(split: Split) -> dict[str, Relevant]:
    """By view, what a recommendation should have found."""
    rows = np.repeat(np.arange(len(split.judged)), np.diff(split.offsets))
    everything = rows.astype(np.int64) * split.tracks + split.outcomes
    unheard = np.isin(everything, split.heard_pairs, assume_unique=True, invert=True)
    size = len(split.judged)
    return {
        "any": Relevant(everything, np.bincount(rows, minlength=size)),
        "new": Relevant(everything[unheard], np.bincount(rows[unheard], minlength=size)),
    }


def known(split: Split, features: NDArray[np.float16]) -> Known:
    """``features``: (tracks, width), what the distance between two tracks is told by."""
    return Known(
        self_information(split), play_percentile(split.plays, split.tracks), _unit(features)
    )


def self_information(split: Split) -> Floats:
    """(tracks,) ``-log2`` of the share of listeners who had started the track.

    It is counted as if one listener more had started every track, so that a track nobody knows has
    a share, the least of all. The novelty of Zhou et al., "Solving the apparent diversity-accuracy
    dilemma of recommender systems", PNAS 107 (2010).
    """
    pairs = np.unique(split.plays.track.astype(np.int64) * len(split.users) + split.plays.user)
    fans = np.bincount(pairs // max(len(split.users), 1), minlength=split.tracks)
    information: Floats = -np.log2((fans + 1) / (len(split.users) + 1))
    return information


def play_percentile(plays: Plays, tracks: int) -> Floats:
    """(tracks,) which share of all plays went to tracks that are played less, equals half.

    So the average over all plays is exactly 1/2: lists above that are more popular than listening.
    """
    counts = np.bincount(plays.track, minlength=tracks)
    levels, level = np.unique(counts, return_inverse=True)
    mass = np.bincount(level) * levels
    below = np.cumsum(mass) - mass
    percentile: Floats = ((below + mass / 2) / max(mass.sum(), 1))[level]
    return percentile


def measure(
    lists: Mapping[str, NDArray[np.int32]], truth: Mapping[str, Relevant], about: Known
) -> dict[str, dict[str, Floats]]:
    """By view and measure: (judged,) for those of PER_LISTENER, () for those of OVERALL."""
    return {view: _measure(lists[view], truth[view], about) for view in VIEWS}


def _measure(lists: NDArray[np.int32], truth: Relevant, about: Known) -> dict[str, Floats]:
    tracks = len(about.information)
    measures = accuracy(lists, truth, tracks) | {
        "novelty": _mean_over(about.information, lists),
        "diversity": diversity(lists, about.features),
        "popularity": _mean_over(about.percentile, lists),
    }
    judged = truth.counts > 0
    shown = np.bincount(lists[judged][lists[judged] >= 0], minlength=tracks)
    return {name: np.where(judged, values, np.nan) for name, values in measures.items()} | {
        "coverage": np.array(np.count_nonzero(shown) / tracks),
        "gini": np.array(gini(shown)),
    }


def accuracy(lists: NDArray[np.int32], truth: Relevant, tracks: int) -> dict[str, Floats]:
    """hit, nDCG, recall and MAP at k, each (judged,), with gain 1 for every relevant track.

    nDCG and MAP divide by what the best list of k could reach (Järvelin and Kekäläinen, "Cumulated
    gain-based evaluation of IR techniques", ACM TOIS 20 (2002); Manning, Raghavan and Schütze,
    "Introduction to Information Retrieval", 8.4), recall by all that is relevant.
    """
    hits = np.isin(pairs_of(lists, tracks), truth.pairs)
    ranks = np.arange(1, lists.shape[1] + 1)
    gains = 1 / np.log2(ranks + 1)
    reachable = np.minimum(truth.counts, lists.shape[1])
    ideal = np.concatenate([[0.0], np.cumsum(gains)])[reachable]
    precisions = np.cumsum(hits, 1) / ranks
    return {
        "hit": np.asarray(hits.any(1), np.float64),
        "ndcg": _ratio(hits @ gains, ideal),
        "recall": _ratio(hits.sum(1), truth.counts),
        "map": _ratio((precisions * hits).sum(1), reachable),
    }


def diversity(lists: NDArray[np.int32], features: FloatArray) -> Floats:
    """(judged,) 1 less the mean cosine of the different pairs of a list, from 0 to 2.

    features: (tracks, width), of length 1 or 0. NaN where a list has less than two tracks, or
    tracks have no features: then nothing tells how far they lie apart. Intra-list similarity is of
    Ziegler et al., "Improving recommendation lists through topic diversification", WWW 2005.
    """
    if not features.shape[1]:
        return np.full(len(lists), np.nan)
    parts = [_diversity(part, features) for part in _chunks(lists)]
    return np.concatenate([np.empty(0), *parts])


def _diversity(lists: NDArray[np.int32], features: FloatArray) -> Floats:
    rows = features[np.maximum(lists, 0)] * (lists >= 0)[:, :, None]
    # The square of a sum holds each pair twice, and each track with itself.
    pairs = (rows.sum(1, dtype=np.float64) ** 2).sum(1) - (rows.astype(np.float64) ** 2).sum((1, 2))
    length = (lists >= 0).sum(1)
    return 1 - _ratio(pairs, length * (length - 1))


def gini(shown: NDArray[np.integer]) -> float:
    """How unevenly the lists' places fall to the tracks: 0 all alike, near 1 all to one track."""
    if not shown.sum():
        return float("nan")
    ordered, size = np.sort(shown), len(shown)
    ranks = 2 * np.arange(1, size + 1) - size - 1
    return float((ranks @ ordered) / (size * ordered.sum()))


def mean_over_rows(values: Floats, rows: NDArray[np.int64], size: int) -> Floats:
    """(size,) the mean of each row's values; NaN for a row without any."""
    return _ratio(np.bincount(rows, values, size), np.bincount(rows, minlength=size))


def _mean_over(values: Floats, lists: NDArray[np.int32]) -> Floats:
    present = lists >= 0
    return _ratio((values[np.maximum(lists, 0)] * present).sum(1), present.sum(1))


def _ratio(top: NDArray[np.number], bottom: NDArray[np.number]) -> Floats:
    """NaN where there is nothing to divide by."""
    empty = np.full(np.shape(top), np.nan)
    ratio: Floats = np.divide(top, bottom, out=empty, where=np.asarray(bottom) > 0)
    return ratio


def _chunks(lists: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    return [lists[start : start + _CHUNK] for start in range(0, len(lists), _CHUNK)]


def _unit(features: NDArray[np.float16]) -> FloatArray:
    rows = features.astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: FloatArray = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit
