"""What another policy would have earned, from the log of the one that ran.

The log has, per decision, the action taken, its reward, and the probability with which it was
taken. Weighting each reward by how much likelier the other policy takes that action undoes the
log's choices. An action that the log never takes can't be judged: see ``effective_decisions``.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from segue.domain.errors import InvalidRequest
from segue.statistics.beta_tail import Floats

_Z = float(stats.norm.isf(0.025))


@dataclass(frozen=True, slots=True)
class Log:
    """N decisions among K actions; ``read_log`` makes it and sees that it holds together.

    ``actions`` and ``rewards``: (N,); ``target``: (N, K), the probabilities of the policy to
    judge; ``weights``: (N,), how much likelier it takes the action that was taken.
    """

    actions: NDArray[np.intp]
    rewards: Floats
    target: Floats
    weights: Floats

    @property
    def effective_decisions(self) -> float:
        """How many decisions of the judged policy itself the log is worth (Kish 1965)."""
        total = float(self.weights.sum())
        return total**2 / float((self.weights**2).sum()) if total else 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """The reward per decision, its standard error and 95 % interval (one look)."""

    value: float
    standard_error: float

    @property
    def interval(self) -> tuple[float, float]:
        """By the central limit theorem."""
        reach = _Z * self.standard_error
        return self.value - reach, self.value + reach


def read_log(actions: ArrayLike, rewards: ArrayLike, logged: ArrayLike, target: ArrayLike) -> Log:
    """``actions``: (N,) int, from 0; ``rewards``: (N,); ``logged``: (N,) or one number, the
    probability with which the action was taken; ``target``: (N, K) or (K,) probabilities.

    Raises InvalidRequest, naming what does not fit.
    """
    taken, earned = np.asarray(actions), np.asarray(rewards, dtype=np.float64)
    policy = np.atleast_2d(np.asarray(target, dtype=np.float64))
    choices = policy.shape[-1]
    if taken.ndim != 1 or taken.size < 2 or not np.isin(taken, np.arange(choices)).all():
        raise InvalidRequest(f"actions are not whole numbers below {choices}", field="actions")
    if earned.shape != taken.shape or not np.isfinite(earned).all():
        raise InvalidRequest("rewards are not one number per action", field="rewards")
    policy = _spread(policy, (taken.size, choices), "target")
    if not (np.all(policy >= 0) and np.allclose(policy.sum(axis=1), 1)):
        raise InvalidRequest("the policy's probabilities do not sum to 1", field="target")
    propensities = _spread(logged, taken.shape, "logged")
    if not np.all((propensities > 0) & (propensities <= 1)):
        raise InvalidRequest("a logged probability is not in (0, 1]", field="logged")
    taken = taken.astype(np.intp)
    return Log(taken, earned, policy, policy[np.arange(taken.size), taken] / propensities)


def _spread(values: ArrayLike, shape: tuple[int, ...], field: str) -> Floats:
    """Values once for all decisions, or one per decision."""
    try:
        return np.broadcast_to(np.asarray(values, dtype=np.float64), shape)
    except ValueError:
        raise InvalidRequest(f"{field} has another shape than the log", field=field) from None


def inverse_propensity(log: Log) -> Estimate:
    """IPS (Horvitz & Thompson 1952): unbiased, and noisy where weights are large."""
    return _mean(log.weights * log.rewards)


def self_normalised(log: Log) -> Estimate:
    """SNIPS (Swaminathan & Joachims 2015): a small bias for less noise; never beyond the rewards.

    Raises InvalidRequest where the policy takes none of the logged actions.
    """
    mean_weight = float(log.weights.mean())
    if not mean_weight:
        raise InvalidRequest("the policy takes none of the logged actions", field="target")
    value = float((log.weights * log.rewards).mean()) / mean_weight
    spread = _mean(log.weights * (log.rewards - value)).standard_error
    return Estimate(value, spread / mean_weight)


def doubly_robust(log: Log, model: ArrayLike) -> Estimate:
    """A model's rewards, (N, K) or (K,), corrected by the log (Dudik, Langford & Li 2011).

    Unbiased where the propensities are right, however wrong the model; the better the model, the
    less the noise. The model must not have been fitted to these rewards. Raises InvalidRequest.
    """
    predicted = _spread(model, log.target.shape, "model")
    of_taken = predicted[np.arange(log.actions.size), log.actions]
    correction = log.weights * (log.rewards - of_taken)
    return _mean((log.target * predicted).sum(axis=1) + correction)


def _mean(values: Floats) -> Estimate:
    return Estimate(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(values.size))
