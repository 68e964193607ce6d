"""Kinds of listeners, told by what they played before the cut-off alone.

The thresholds are round numbers, set before anything was measured with them.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.protocol.metrics import Floats
from training.protocol.split import Split

KINDS = ("chart", "genre", "rest", "few plays")

CHART = 100
CHART_SHARE = 0.8
# Normalised by the entropy of all plays together, which is 1.
GENRE_ENTROPY = 0.7
# With less, a share or an entropy says little of a listener.
FEWEST_PLAYS = 20


def activity(split: Split) -> NDArray[np.int64]:
    """(judged,) how many plays each judged listener had before the cut-off."""
    return np.bincount(split.plays.user, minlength=len(split.users))[split.judged]


def kinds(split: Split, genres: Mapping[str, NDArray[np.int32]]) -> NDArray[np.int64]:
    """(judged,) places in KINDS.

    "chart": at least 80 % of the plays are of the 100 tracks with the most plays. "genre", of those
    left: the entropy of the genres played is at most 0.7 of that of all plays together. "few
    plays": less than 20 of them.
    """
    plays = activity(split)
    entropy = genre_entropy(split, genres)[split.judged]
    chart = chart_share(split)[split.judged] >= CHART_SHARE
    return np.select([plays < FEWEST_PLAYS, chart, entropy <= GENRE_ENTROPY], [3, 0, 1], 2)


def chart_share(split: Split) -> Floats:
    """(users,) which share of a listener's plays is of the most played tracks of all."""
    counts = np.bincount(split.plays.track, minlength=split.tracks)
    charts = np.zeros(split.tracks, np.bool_)
    charts[np.argsort(-counts, kind="stable")[:CHART]] = True
    within = np.bincount(split.plays.user, charts[split.plays.track], len(split.users))
    plays = np.bincount(split.plays.user, minlength=len(split.users))
    return within / np.maximum(plays, 1)


def genre_entropy(split: Split, genres: Mapping[str, NDArray[np.int32]]) -> Floats:
    """(users,) entropy of the genres a listener played, 1 being that of all plays together.

    A play counts for each genre of its track in equal parts. NaN where no play has a genre.
    """
    owners, labels, parts = _genre_plays(split, genres)
    # Only the genres that a listener played are held: a table of all would be nearly empty.
    cells, cell = np.unique(owners * max(len(genres), 1) + labels, return_inverse=True)
    weights = np.bincount(cell, parts, len(cells))
    each = _entropy(weights, cells // max(len(genres), 1), len(split.users))
    everyone = _entropy(np.bincount(labels, parts, len(genres)), np.zeros(len(genres), np.int64), 1)
    return each / everyone if everyone[0] > 0 else np.full(len(each), np.nan)


def _genre_plays(
    split: Split, genres: Mapping[str, NDArray[np.int32]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """For each play and genre of its track: the listener, the genre, and the play's part in it."""
    sizes = [len(tracks) for tracks in genres.values()]
    tracks = np.concatenate([np.empty(0, np.int64), *genres.values()])
    order = np.argsort(tracks, kind="stable")
    labels = np.repeat(np.arange(len(sizes)), sizes)[order]
    starts = np.searchsorted(tracks[order], np.arange(split.tracks + 1))
    lengths = np.diff(starts)[split.plays.track]
    ends = np.cumsum(lengths)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)
    places = np.repeat(starts[split.plays.track], lengths) + within
    owners = np.repeat(split.plays.user, lengths).astype(np.int64)
    return owners, labels[places], np.repeat(1 / np.maximum(lengths, 1), lengths)


def _entropy(weights: NDArray[np.number], owners: NDArray[np.int64], size: int) -> Floats:
    """(size,) bits of the distribution that each owner's weights make; NaN without any."""
    logs = np.log2(weights, out=np.zeros(len(weights)), where=weights > 0)
    totals = np.bincount(owners, weights, size)
    inner = np.bincount(owners, weights * logs, size)
    known = totals > 0
    divided = np.divide(inner, totals, out=np.full(size, np.nan), where=known)
    entropy: Floats = np.log2(totals, out=np.full(size, np.nan), where=known) - divided
    return entropy
