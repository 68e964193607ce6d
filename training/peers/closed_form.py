"""Linear peers with a closed form: EASE and GF-CF."""

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.linalg import LinearOperator, eigsh

from training.peers.matrix import full_plays, weighted
from training.peers.peer import SEED, FloatArray, IntArray, Peer, settings
from training.protocol.split import Split

# So many numbers of a block are held at a time.
_CELLS = 2**23
# The eigenvectors of larger Gram matrices are computed in single precision, for want of memory.
_DOUBLE = 8_000


class Ease(Peer):
    """EASE: the best linear item-item model without self-similarity, on who played what.

    B = I - P / diag(P) by columns, P = (X'X + l2 I)^-1, so diag(B) = 0; scores = X B. Steck,
    "Embarrassingly Shallow Autoencoders for Sparse Data", 2019. It is exact for any number of
    tracks: with F = X'X P = I - l2 P, the score of a user u and a track t is
    ((X F)_ut - X_ut F_tt) / (1 - F_tt), and where there are fewer users than tracks,
    X F = X X' (X X' + l2 I)^-1 X needs the users' Gram matrix alone.
    """

    name = "ease"
    weight = "binary"
    grid = settings(
        l2=(500.0, 1.0, 5.0, 20.0, 50.0, 100.0, 200.0, 1000.0, 2500.0, 5000.0, 10_000.0)
    )
    repeats = (True, False)

    def __init__(self) -> None:
        self._split: Split | None = None

    def fit(self, split: Split, *, l2: float) -> None:
        # The eigenvectors cost nearly all of the time, and serve every l2.
        if self._split is not split:
            self._decompose(split)
            self._split = split
        vectors, values = self._vectors, self._values
        self._smoother = ((vectors * (values / (values + l2))) @ vectors.T).astype(np.float32)
        if self._by_users:
            inverse = (vectors / (values + l2)) @ vectors.T
            self._diagonal = _quadratic_forms(self._plays, inverse.astype(np.float32))
        else:
            self._diagonal = np.diag(self._smoother).copy()

    def _decompose(self, split: Split) -> None:
        self._plays = plays = weighted(full_plays(split), self.weight)
        self._by_users = plays.shape[0] < plays.shape[1]
        gram = (plays @ plays.T if self._by_users else plays.T @ plays).toarray()
        gram = gram.astype(np.float64 if len(gram) <= _DOUBLE else np.float32)
        values, self._vectors = linalg.eigh(gram, overwrite_a=True, check_finite=False)
        # Rounding leaves some a little below 0.
        self._values = np.maximum(values, 0)

    def scores(self, users: IntArray) -> FloatArray:
        rows = self._plays[users]
        smoothed = self._smoother[users] @ self._plays if self._by_users else rows @ self._smoother
        scores: FloatArray = smoothed - rows.multiply(self._diagonal).toarray()
        scores /= 1 - self._diagonal
        return scores


class EaseLogCounts(Ease):
    """EASE on 1 + ln(count) of the plays of each track."""

    name = "ease-log-counts"
    weight = "log"


def _quadratic_forms(columns: sparse.csr_array, matrix: FloatArray) -> FloatArray:
    """(columns,): x' M x for every column x."""
    rows = columns.T.tocsr()
    step = max(1, _CELLS // max(len(matrix), 1))
    blocks = [rows[start : start + step] for start in range(0, rows.shape[0], step)]
    forms = [np.asarray(block.multiply(block @ matrix).sum(axis=1)) for block in blocks]
    return np.concatenate([np.empty(0, np.float32), *forms]).astype(np.float32)


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
