"""Linear peers with a closed form: EASE and GF-CF."""

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.linalg import LinearOperator, eigsh

from training.evaluation.split import Split
from training.peers.matrix import full_plays, weighted
from training.peers.peer import SEED, FloatArray, IntArray, Peer, settings

# EASE inverts a dense matrix over the tracks: 12,000 of them take 0.6 GB, three times over.
MOST_TRACKS = 12_000


class Ease(Peer):
    """EASE: the best linear item-item model without self-similarity.

    P = (R'R + l2 I)^-1, B = -P / diag(P) by columns, diag(B) = 0, scores = R B. Steck,
    "Embarrassingly Shallow Autoencoders for Sparse Data", 2019. Beyond MOST_TRACKS tracks with a
    listener, only those with the most are modelled; the others score 0.
    """

    name = "ease"
    grid = settings(weight=("log", "binary"), l2=(500.0, 20.0, 100.0, 1000.0, 2500.0))
    repeats = (True, False)

    def fit(self, split: Split, *, l2: float, weight: str) -> None:
        plays = weighted(full_plays(split), weight)
        listeners = np.bincount(plays.indices, minlength=split.tracks)
        most = np.argsort(-listeners, kind="stable")[:MOST_TRACKS]
        self._modelled = np.sort(most[listeners[most] > 0])
        self._plays = plays[:, self._modelled]
        self._tracks = split.tracks
        self._weights = _ease((self._plays.T @ self._plays).toarray(), l2)

    def scores(self, users: IntArray) -> FloatArray:
        scores = np.zeros((len(users), self._tracks), np.float32)
        scores[:, self._modelled] = self._plays[users] @ self._weights
        return scores


def _ease(gram: FloatArray, l2: float) -> FloatArray:
    diagonal = np.diag_indices_from(gram)
    gram[diagonal] += l2
    inverse: FloatArray = linalg.inv(gram, overwrite_a=True, check_finite=False)
    inverse /= -np.diag(inverse).copy()
    inverse[diagonal] = 0
    return inverse


class GraphFilter(Peer):
    """GF-CF: a linear filter of the graph of plays, and a part of its ideal low-pass filter.

    N = D_u^-1/2 R D_t^-1/2, scores = R (N'N + alpha D_t^-1/2 V V' D_t^1/2), with V the first k
    right singular vectors of N. Shen et al., "How Powerful is Graph Convolution for
    Recommendation?", 2021.
    """

    name = "gf-cf"
    grid = settings(weight=("log", "binary"), k=(128, 32, 64, 256), alpha=(0.3, 0.1, 1.0))
    repeats = (True, False)

    def __init__(self) -> None:
        self._split: Split | None = None
        self._weight = ""

    def fit(self, split: Split, *, k: int, alpha: float, weight: str) -> None:
        # The vectors cost nearly all of the time, and those of the largest k hold all others.
        if self._split is not split or self._weight != weight:
            self._decompose(split, weight)
            self._split, self._weight = split, weight
        vectors = self._vectors[:, :k]
        self._into = (vectors / self._degrees[:, None]).astype(np.float32)
        self._out_of = (alpha * vectors * self._degrees[:, None]).astype(np.float32)

    def _decompose(self, split: Split, weight: str) -> None:
        self._plays = weighted(full_plays(split), weight)
        users, self._degrees = _degrees(self._plays, 1), _degrees(self._plays, 0)
        normal = sparse.diags_array(1 / users) @ self._plays @ sparse.diags_array(1 / self._degrees)
        self._normal = sparse.csr_array(normal).astype(np.float32)
        self._vectors = _right_singular_vectors(self._normal, max(s["k"] for s in self.grid))

    def scores(self, users: IntArray) -> FloatArray:
        rows = self._plays[users]
        scores: FloatArray = ((rows @ self._normal.T) @ self._normal).toarray()
        scores += (rows @ self._into) @ self._out_of.T
        return scores


def _degrees(plays: sparse.csr_array, axis: int) -> NDArray[np.float64]:
    """Square roots of the sums along an axis, 1 where there is nothing."""
    sums = np.asarray(plays.sum(axis=axis), np.float64)
    return np.sqrt(np.where(sums > 0, sums, 1.0))


def _right_singular_vectors(matrix: sparse.csr_array, k: int) -> FloatArray:
    """(columns, k), those of the largest values first; fewer where the matrix has no more.

    They are eigenvectors of the smaller of the two Gram matrices. All values are at most 1.
    """
    narrow = matrix.astype(np.float64)
    narrow = sparse.csr_array(narrow if matrix.shape[0] > matrix.shape[1] else narrow.T)
    size = narrow.shape[1]
    k = min(k, size - 1)
    if k < 1 or not matrix.nnz:
        return np.zeros((matrix.shape[1], 0), np.float32)
    gram = LinearOperator(
        (size, size), matvec=lambda x: narrow.T @ (narrow @ x), dtype=np.dtype(np.float64)
    )
    # Both are seeded: ARPACK draws again where the values repeat.
    random = np.random.default_rng(SEED)
    squares, vectors = eigsh(gram, k, v0=random.standard_normal(size), rng=random)
    order = np.argsort(-squares)
    order = order[squares[order] > 1e-8]
    vectors = vectors[:, order]
    if size != matrix.shape[1]:
        vectors = (narrow @ vectors) / np.sqrt(squares[order])
    found: FloatArray = vectors.astype(np.float32)
    return found
