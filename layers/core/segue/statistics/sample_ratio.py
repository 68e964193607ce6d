"""Whether the arms got their shares of users. If not, something loses users of one arm.

The users that are lost are rarely like those that stay, so no comparison of the rest can be
trusted, whatever its p-value (Fabijan et al., KDD 2019).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from segue.statistics.beta_tail import Floats
from segue.statistics.counts import check_shares
from segue.statistics.evalue import DECISIVE, finite_exp

CHI_SQUARE_LEVEL = 0.001
# How sure the prior is that the shares are nearly right.
_CONCENTRATION = 100.0


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """The users of each arm; the chi-square test (one look) and the e-value (any number of looks).

    ``is_off``: either of them says so. A decision held back in error costs users, one that lost
    users brought about costs trust.
    """

    users: tuple[int, ...]
    chi_square: float
    p_value: float
    log_e: float
    is_off: bool

    @property
    def e_value(self) -> float:
        """Evidence against the shares; stops at the largest float."""
        return finite_exp(self.log_e)


def check_sample_ratio(users: Sequence[int], shares: Sequence[float]) -> SampleRatio:
    """Users of each arm against the shares they were drawn with. Raises InvalidRequest."""
    check_shares(shares, len(users))
    p_value, log_e = mismatch(users, shares)
    return SampleRatio(
        tuple(users),
        _chi_square(users, shares).item(),
        p_value.item(),
        log_e.item(),
        bool(is_off(p_value, log_e)),
    )


def mismatch(users: ArrayLike, shares: ArrayLike) -> tuple[Floats, Floats]:
    """Chi-square p-value and log e-value of (..., arms) counts, each (...).

    The e-value is ``B(k share + n) / (B(k share) product of share^n)``, with B the multivariate
    beta function: a bettor's wealth against the shares (Lindon & Malek 2022).
    """
    n, share = np.asarray(users, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    prior = _CONCENTRATION * share
    log_e = _log_beta(prior + n) - _log_beta(prior) - (n * np.log(share)).sum(axis=-1)
    return stats.chi2.sf(_chi_square(n, share), share.size - 1), log_e


def is_off(p_value: Floats, log_e: Floats) -> NDArray[np.bool_]:
    """Whether the users are not shared out as they were to be."""
    off: NDArray[np.bool_] = (p_value < CHI_SQUARE_LEVEL) | (log_e >= np.log(DECISIVE))
    return off


def _chi_square(users: ArrayLike, shares: ArrayLike) -> Floats:
    n, share = np.asarray(users, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    expected = share * n.sum(axis=-1, keepdims=True)
    # Without users there is nothing to be off.
    statistic: Floats = ((n - expected) ** 2 / np.where(expected > 0, expected, 1)).sum(axis=-1)
    return statistic


def _log_beta(parameters: Floats) -> Floats:
    whole = special.gammaln(parameters.sum(axis=-1))
    log_beta: Floats = special.gammaln(parameters).sum(axis=-1) - whole
    return log_beta
