"""Thompson sampling: an arm is as likely to be chosen as it is to be the best, going by results.

Thompson (Biometrika, 1933), with a floor under every arm's probability: an arm that is never
chosen can neither recover from a bad start nor be judged from the log.
"""

from collections.abc import Sequence

import numpy as np

# Of all users, so many go to the arms evenly.
EXPLORED = 0.1
_DRAWS = 20_000


def propensities(outcomes: Sequence[tuple[int, int]]) -> tuple[float, ...]:
    """(arms,) the probability of each arm. ``outcomes``: (arms,), successes and users so far.

    Beliefs about the rates are Beta(1 + successes, 1 + failures), in 20,000 joint draws from a
    generator seeded by the outcomes themselves. What a draw gets wrong biases nothing: users are
    assigned by the very numbers that are returned, and logged.
    """
    arms = len(outcomes)
    random = np.random.default_rng([number for pair in outcomes for number in pair])
    successes, users = np.array(outcomes, dtype=np.int64).T
    rates = random.beta(1 + successes, 1 + users - successes, size=(_DRAWS, arms))
    best = np.bincount(rates.argmax(axis=1), minlength=arms) / _DRAWS
    mixed = (1 - EXPLORED) * best + EXPLORED / arms
    return tuple(mixed.tolist())
