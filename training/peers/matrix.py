"""Who played what to the end, as a sparse matrix."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.evaluation.split import Split

# As segue.domain.times has it, which is not there where the long form runs.
DAY = 24 * 60 * 60 * 1000


def full_plays(split: Split, *, days: int | None = None) -> sparse.csr_array:
    """(users, tracks) float32: how often this user fully played this track.

    ``days``: in so many days before the cut-off alone.
    """
    plays, counted = split.plays, np.asarray(split.plays.completed)
    if days is not None:
        counted = counted & (plays.time >= split.cutoff - days * DAY)
    return _count(split, counted)


def heard(split: Split) -> sparse.csr_array:
    """(users, tracks) float32: how often this user started this track."""
    return _count(split, np.ones(len(split.plays.user), np.bool_))


def weighted(counts: sparse.csr_array, weight: str) -> sparse.csr_array:
    """Counts as weights: ``binary``, once is as good as often; ``log``, 1 + ln(count)."""
    data = np.ones_like(counts.data) if weight == "binary" else 1 + np.log(counts.data)
    return sparse.csr_array((data, counts.indices, counts.indptr), counts.shape)


def _count(split: Split, counted: NDArray[np.bool_]) -> sparse.csr_array:
    shape = (len(split.users), split.tracks)
    where = (split.plays.user[counted], split.plays.track[counted])
    matrix = sparse.csr_array((np.ones(len(where[0]), np.float32), where), shape)
    matrix.sum_duplicates()
    return matrix
