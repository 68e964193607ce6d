"""From a peer's scores to its lists, and how good they are where that is known."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.peers.matrix import full_plays, heard
from training.peers.peer import FloatArray, IntArray, Peer
from training.protocol.split import Split

# So many scores are held at a time, whatever the number of users and tracks: about a cache's size.
_CELLS = 2**21
NOTHING = -1


@dataclass(frozen=True)
class Lists:
    """(judged, k) int32 each: the best tracks, best first, NOTHING behind the last.

    everything: of all tracks. unheard: of those the user never started before the cut-off.
    """

    everything: IntArray
    unheard: IntArray


def recommend(peer: Peer, split: Split, k: int) -> Lists:
    """Lists for the judged users, scored some users at a time. Raises ValueError for NaN."""
    order = np.argsort(-full_plays(split).sum(axis=0), kind="stable").astype(np.int32)
    lists = Lists(*(np.full((len(split.judged), k), NOTHING, np.int32) for _ in range(2)))
    started = heard(split)[:, order]
    row = 0
    for users in _blocks(split):
        block = peer.scores(users)
        if np.isnan(block).any():
            raise ValueError("some scores are no numbers; the fit diverged")
        for user, scores in zip(users, block[:, order], strict=True):
            known = _row(started, user)
            best = _best(scores, k + len(known))
            _write(lists.everything[row], order[best[:k]])
            _write(lists.unheard[row], order[best[~np.isin(best, known)][:k]])
            row += 1
    return lists


def _blocks(split: Split) -> Iterator[IntArray]:
    step = max(1, _CELLS // max(split.tracks, 1))
    for start in range(0, len(split.judged), step):
        yield np.asarray(split.judged[start : start + step])


def _row(matrix: sparse.csr_array, row: int) -> IntArray:
    columns: IntArray = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
    return columns


def _best(scores: FloatArray, number: int) -> NDArray[np.intp]:
    """At least so many places of the best scores, best first, where there are as many."""
    size = min(number, len(scores))
    bar = np.partition(scores, -size)[-size] if size else np.inf
    places = np.flatnonzero(scores >= bar)
    values = scores[places]
    order = np.argsort(-values, kind="stable")
    return places[order[: np.count_nonzero(values > -np.inf)]]


def _write(row: IntArray, tracks: IntArray) -> None:
    row[: len(tracks)] = tracks


def ndcg(lists: IntArray, relevant: sparse.csr_array) -> float:
    """Mean nDCG of the lists over the users with anything relevant; NaN where there is nobody.

    relevant: (judged, tracks), not 0 where a track counts, each with gain 1. The ideal list holds
    as many of them as it has room for.
    """
    gains = 1 / np.log2(np.arange(lists.shape[1]) + 2)
    totals = np.diff(relevant.indptr)
    pairs = np.repeat(np.arange(len(totals)), totals) * relevant.shape[1] + relevant.indices
    wanted = np.arange(len(lists))[:, None] * relevant.shape[1] + lists
    found = np.isin(np.where(lists >= 0, wanted, -1), pairs) @ gains
    ideal = np.concatenate([[0], np.cumsum(gains)])[np.minimum(totals, len(gains))]
    some = totals > 0
    return float(np.mean(found[some] / ideal[some])) if some.any() else float("nan")


def outcomes(split: Split) -> tuple[sparse.csr_array, sparse.csr_array]:
    """What counts in view ``any``, and what in view ``new``; each (judged, tracks)."""
    shape = (len(split.judged), split.tracks)
    ones: NDArray[np.float32] = np.ones(len(split.outcomes), np.float32)
    played = sparse.csr_array((ones, np.asarray(split.outcomes), np.asarray(split.offsets)), shape)
    known = played.multiply(heard(split)[np.asarray(split.judged)] > 0)
    new = sparse.csr_array(played - known)
    new.eliminate_zeros()
    return played, new
