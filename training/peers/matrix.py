"""Who played what to the end, as a sparse matrix."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.plays import DAY
from training.protocol.split import Split


def full_plays(
    split: Split, *, days: int | None = None, half_life: float | None = None
) -> sparse.csr_array:
    """(users, tracks) float32: how often this user fully played this track.

    ``days``: in so many days before the cut-off alone. ``half_life``: a play counts half as much
    for every so many days that it is old.
    """
    plays, counted = split.plays, np.asarray(split.plays.completed)
    if days is not None:
        counted = counted & (plays.time >= split.cutoff - days * DAY)
    if half_life is None:
        return _sum(split, counted, np.ones(np.count_nonzero(counted)))
    return _sum(split, counted, np.exp2((plays.time[counted] - split.cutoff) / (half_life * DAY)))


def popularity(
    split: Split, *, days: int | None = None, count: str = "plays"
) -> NDArray[np.float32]:
    """(tracks,): how often each track was fully played, or by how many ``listeners``.

    ``days``: as in ``full_plays``.
    """
    plays = full_plays(split, days=days)
    weights = np.ones_like(plays.data) if count == "listeners" else plays.data
    return np.bincount(plays.indices, weights, split.tracks).astype(np.float32)


def heard(split: Split) -> sparse.csr_array:
    """(users, tracks) float32: how often this user started this track."""
    every = np.ones(len(split.plays.user), np.bool_)
    return _sum(split, every, np.ones(len(every)))


def shares(matrix: sparse.csr_array) -> sparse.csr_array:
    """Each row divided by its sum."""
    sums = np.asarray(matrix.sum(axis=1))
    data = matrix.data / np.repeat(np.where(sums > 0, sums, 1), np.diff(matrix.indptr))
    return sparse.csr_array((data, matrix.indices, matrix.indptr), matrix.shape)


def weighted(counts: sparse.csr_array, weight: str) -> sparse.csr_array:
    """Counts as weights: ``binary``, once is as good as often; ``log``, 1 + ln(count)."""
    data = np.ones_like(counts.data) if weight == "binary" else 1 + np.log(counts.data)
    return sparse.csr_array((data, counts.indices, counts.indptr), counts.shape)


def _sum(
    split: Split, counted: NDArray[np.bool_], weights: NDArray[np.float64]
) -> sparse.csr_array:
    shape = (len(split.users), split.tracks)
    where = (split.plays.user[counted], split.plays.track[counted])
    matrix = sparse.csr_array((weights.astype(np.float32), where), shape)
    matrix.sum_duplicates()
    return matrix
