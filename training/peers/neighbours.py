"""Neighbourhoods of tracks and of users."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.peers.matrix import full_plays, weighted
from training.peers.peer import FloatArray, IntArray, Peer, settings
from training.protocol.split import Split

# So many cells of the full similarity matrix are held at a time.
_CELLS = 2**25


class _TrackNeighbours(Peer):
    """Recommends a track for being played by who played the user's tracks.

    scores = R S, where column j of S holds the similarities of j's nearest tracks and 0 elsewhere.
    """

    repeats = (True, False)
    _plays: sparse.csr_array
    _similarity: sparse.csr_array

    def scores(self, users: IntArray) -> FloatArray:
        scores: FloatArray = (self._plays[users] @ self._similarity).toarray()
        return scores


class CosineNeighbours(_TrackNeighbours):
    """Similarity is the cosine of two tracks' columns of plays."""

    name = "item-knn-cosine"
    grid = settings(neighbours=(200, 10, 20, 50, 100, 500), weight=("log", "binary"))

    def fit(self, split: Split, *, neighbours: int, weight: str) -> None:
        self._plays = weighted(full_plays(split), weight)
        lengths = np.sqrt(np.bincount(self._plays.indices, self._plays.data**2, split.tracks))
        columns = _scale(self._plays, tracks=1 / np.maximum(lengths, 1e-12))
        self._similarity = nearest(columns, neighbours)


class BM25Neighbours(_TrackNeighbours):
    """Similarity is the dot product of two tracks' columns, weighted like terms in documents.

    A track is a document and its listeners are the terms: weight = idf(u) n (k1 + 1) /
    (k1 (1 - b + b |t| / mean |t|) + n), with idf(u) = ln(tracks / (1 + tracks of u)), n plays of t
    by u, and |t| plays of t. Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009.
    """

    name = "item-knn-bm25"
    grid = settings(neighbours=(200, 50, 500), k1=(1.2, 100.0), b=(0.75, 0.25))

    def fit(self, split: Split, *, neighbours: int, k1: float, b: float) -> None:
        counts = full_plays(split)
        self._plays = weighted(counts, "binary")
        self._similarity = nearest(_bm25(weighted(counts, "log"), k1, b), neighbours)


class UserNeighbours(Peer):
    """Recommends what the users played whose plays are most like the user's.

    scores = S R, where row u of S holds the cosines between u's row of plays and those of the
    nearest users, u among them, and 0 elsewhere. Sarwar et al., "Analysis of Recommendation
    Algorithms for E-Commerce", 2000.
    """

    name = "user-knn"
    grid = settings(neighbours=(100, 10, 20, 50, 200, 500), weight=("log", "binary"))
    repeats = (True, False)

    def fit(self, split: Split, *, neighbours: int, weight: str) -> None:
        self._plays = weighted(full_plays(split), weight)
        lengths = np.sqrt(self._plays.power(2).sum(axis=1))
        rows = _scale(self._plays, users=1 / np.maximum(lengths, 1e-12))
        self._similarity = nearest(rows.T.tocsr(), neighbours).T.tocsr()

    def scores(self, users: IntArray) -> FloatArray:
        scores: FloatArray = (self._similarity[users] @ self._plays).toarray()
        return scores


def nearest(columns: sparse.csr_array, neighbours: int) -> sparse.csr_array:
    """(columns, columns): their dot products, all but the largest of each column 0."""
    rows = columns.T.tocsr()
    number = rows.shape[0]
    step = max(1, _CELLS // max(number, 1))
    blocks = [
        _largest((rows[start : start + step] @ columns).toarray(), neighbours)
        for start in range(0, max(number, 1), step)
    ]
    # The products are symmetric, so the largest of the rows, transposed, are those of the columns.
    return sparse.csr_array(sparse.vstack(blocks).T)


def _largest(block: FloatArray, number: int) -> sparse.csr_array:
    number = min(number, block.shape[1])
    places = np.argpartition(-block, number - 1, axis=1)[:, :number]
    values = np.take_along_axis(block, places, axis=1).ravel()
    rows = np.repeat(np.arange(len(block)), number)
    kept = values > 0
    return sparse.csr_array((values[kept], (rows[kept], places.ravel()[kept])), block.shape)


def _bm25(counts: sparse.csr_array, k1: float, b: float) -> sparse.csr_array:
    tracks = counts.shape[1]
    idf = np.log(tracks / (1 + np.diff(counts.indptr)))
    lengths = np.bincount(counts.indices, counts.data, tracks)
    norms = 1 - b + b * lengths / max(lengths.mean(), 1e-12)
    saturated = counts.data * (k1 + 1) / (k1 * norms[counts.indices] + counts.data)
    matrix = sparse.csr_array((saturated, counts.indices, counts.indptr), counts.shape)
    return _scale(matrix, users=idf)


def _scale(
    matrix: sparse.csr_array,
    *,
    users: NDArray[np.float64] | None = None,
    tracks: NDArray[np.float64] | None = None,
) -> sparse.csr_array:
    data = matrix.data.astype(np.float64)
    if users is not None:
        data *= np.repeat(users, np.diff(matrix.indptr))
    if tracks is not None:
        data *= tracks[matrix.indices]
    return sparse.csr_array((data.astype(np.float32), matrix.indices, matrix.indptr), matrix.shape)
