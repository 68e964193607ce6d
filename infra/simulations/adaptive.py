"""Thompson sampling where the truth is known: how often its evidence decides, and rightly."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from infra.simulations.experiments import (
    Floats,
    Ints,
    Looks,
    Trend,
    belief_steps,
)
from segue.experiments.bandit import EXPLORED
from segue.experiments.bets import log_bets
from segue.statistics.evalue import log_mean

# Probabilities are worked out anew, and one looks, after so many users.
BATCH = 20


@dataclass(frozen=True, slots=True)
class Adaptive:
    """The truth: the first rates, how both move, and how many users later an outcome settles.

    ``users`` and ``lag`` are multiples of BATCH.
    """

    rate_a: float
    rate_b: float
    trend: Trend = Trend.CONSTANT
    lag: int = 0
    users: int = 4_000


@dataclass(frozen=True, slots=True)
class Course:
    """Counts and the logarithms of both bets after every batch, each (experiments, batches)."""

    looks: Looks
    on_b: Floats
    on_a: Floats


def simulate(scenario: Adaptive, experiments: int, seed: int) -> Course:
    """All experiments, one batch of users of each after the other."""
    random = np.random.default_rng(seed)
    belief = np.full(experiments, 0.5)
    known = np.zeros((experiments, 4), dtype=np.int64)
    pending: list[tuple[Floats, Ints]] = []
    counts, owned = [], [np.zeros((experiments, LOG_RATIOS.shape[1]))]
    for batch in range((scenario.users + scenario.lag) // BATCH):
        if batch * BATCH < scenario.users:
            probability = (1 - EXPLORED) * belief + EXPLORED / 2
            pending.append((probability, _outcomes(scenario, batch, probability, random)))
        if (batch + 1) * BATCH > scenario.lag:
            probability, users = pending.pop(0)
            for user in np.moveaxis(users, 1, 0):
                belief = belief + belief_steps(known, user)
                known = known + user
            owned.append(owned[-1] + log_fortunes(probability, users.sum(axis=1)))
            counts.append(known)
    fortunes = np.stack(owned[1:], axis=1).reshape(experiments, len(counts), 2, -1)
    on_b, on_a = np.moveaxis(log_mean(fortunes), -1, 0)
    return Course(Looks(*np.moveaxis(np.stack(counts, axis=1), -1, 0)), on_b, on_a)


def _outcomes(
    scenario: Adaptive, batch: int, probability: Floats, random: np.random.Generator
) -> Ints:
    """(experiments, BATCH, 4) a 1 for what each user counts as, in the order of Looks."""
    progress = (batch * BATCH + np.arange(BATCH) + 0.5) / scenario.users
    shift = scenario.trend.shift(progress)
    in_b = random.random((len(probability), BATCH)) < probability[:, None]
    rate = np.where(in_b, scenario.rate_b, scenario.rate_a) + shift
    failed = random.random(in_b.shape) >= rate
    cells: Ints = np.eye(4, dtype=np.int64)[2 * in_b + failed]
    return cells


# (2, bettors) the logarithm of how much likelier a success and a failure are in B: with a
# probability of 0 the bettor is surprised by B and loses nothing on A.
LOG_RATIOS = np.array([log_bets(0.0, in_arm=True, success=success) for success in (True, False)])


def log_fortunes(probability: Floats, users: Ints) -> Floats:
    """(experiments, bettors) the sum of ``bets.log_bets`` over users; ``users``: (..., 4)."""
    success, failure = LOG_RATIOS
    p = probability[:, None]
    successes_a, failures_a, successes_b, failures_b = (users[:, [cell]] for cell in range(4))
    fortunes: Floats = (
        successes_b * success
        + failures_b * failure
        - (successes_a + successes_b) * np.log1p(p * np.expm1(success))
        - (failures_a + failures_b) * np.log1p(p * np.expm1(failure))
    )
    return fortunes


def log_evidence_of_rates(looks: Looks) -> Floats:
    """``evalue.evidence_of_rates`` at every look, as a logarithm."""
    successes_a, failures_a, successes_b, failures_b = looks.counts
    successes, failures = successes_a + successes_b, failures_a + failures_b
    two = special.betaln(1 + successes_a, 1 + failures_a)
    two = two + special.betaln(1 + successes_b, 1 + failures_b)
    n = successes + failures
    one = special.xlogy(successes, successes / n) + special.xlogy(failures, failures / n)
    log_e: Floats = two - one
    return log_e
