"""Matrix factorisation by the library ``implicit``: ALS and BPR."""

from typing import Any

from scipy import sparse

from training.peers.matrix import full_plays, weighted
from training.peers.peer import SEED, FloatArray, IntArray, Peer, settings
from training.protocol.split import Split


class _Factors(Peer):
    repeats = (True, False)
    _users: FloatArray
    _tracks: FloatArray

    def scores(self, users: IntArray) -> FloatArray:
        scores: FloatArray = self._users[users] @ self._tracks.T
        return scores

    def _factorise(self, model: Any, plays: sparse.csr_array) -> None:
        model.fit(sparse.csr_matrix(plays), show_progress=False)
        self._users, self._tracks = model.user_factors, model.item_factors


class Als(_Factors):
    """Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", 2008."""

    name = "als"
    grid = settings(
        factors=(64, 16, 32, 128), alpha=(10.0, 2.0), l2=(1.0, 10.0), weight=("binary", "log")
    )

    def fit(self, split: Split, *, factors: int, alpha: float, l2: float, weight: str) -> None:
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        # The library runs threads of its own, each of which calls BLAS.
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=factors, alpha=alpha, regularization=l2, iterations=20, random_state=SEED
            )
            self._factorise(model, weighted(full_plays(split), weight))


class Bpr(_Factors):
    """Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", 2009."""

    name = "bpr"
    grid = settings(
        factors=(64, 16, 128), learning_rate=(0.02, 0.01, 0.05), l2=(0.01, 0.001), iterations=(100,)
    )

    def fit(
        self, split: Split, *, factors: int, learning_rate: float, l2: float, iterations: int
    ) -> None:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        # More threads would write to the same factors in an order of their own each time.
        model = BayesianPersonalizedRanking(
            factors=factors,
            learning_rate=learning_rate,
            regularization=l2,
            iterations=iterations,
            num_threads=1,
            random_state=SEED,
        )
        self._factorise(model, weighted(full_plays(split), "binary"))
