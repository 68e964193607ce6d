"""SANSA: EASE for catalogues whose item-to-item matrix is too large to be held in full."""

from scipy import sparse

from training.peers.matrix import full_plays, weighted
from training.peers.peer import FloatArray, IntArray, Peer, Unsuitable, settings
from training.protocol.split import Split

# CHOLMOD's factors are exact, but nearly dense; of more tracks they would not fit into memory.
_EXACT = 20_000


class Sansa(Peer):
    """A sparse approximate inverse in the place of EASE's.

    Spišák et al., "Scalable Approximate NonSymmetric Autoencoder for Collaborative Filtering",
    2023. ``weights``: how many of the inverse's factor are kept for a track, on average.
    """

    name = "sansa"
    grid = settings(l2=(100.0, 5.0, 20.0, 500.0), weights=(500, 100))
    repeats = (True, False)

    def fit(self, split: Split, *, l2: float, weights: int) -> None:
        try:
            import sansa
        except ImportError:
            raise Unsuitable(
                "SANSA is not installed: it needs a compiler and SuiteSparse (on Debian: "
                "libsuitesparse-dev), and then .venv-peers made anew"
            ) from None
        self._plays = weighted(full_plays(split), "binary")
        factors = (
            sansa.CHOLMODGramianFactorizerConfig()
            if split.tracks <= _EXACT
            else sansa.ICFGramianFactorizerConfig(
                factorization_shift_step=1e-3, factorization_shift_multiplier=2.0
            )
        )
        inverse = sansa.UMRUnitLowerTriangleInverterConfig(scans=1, finetune_steps=5)
        density = min(1.0, weights / split.tracks)
        config = sansa.SANSAConfig(
            l2=l2,
            weight_matrix_density=density,
            gramian_factorizer_config=factors,
            lower_triangle_inverter_config=inverse,
        )
        self._factors = sansa.SANSA(config).fit(sparse.csr_matrix(self._plays)).weights

    def scores(self, users: IntArray) -> FloatArray:
        rows, (left, right) = sparse.csr_matrix(self._plays[users]), self._factors
        # The product of the factors is EASE's matrix but for the identity.
        scores: FloatArray = (rows @ left @ right + rows).toarray()
        return scores
