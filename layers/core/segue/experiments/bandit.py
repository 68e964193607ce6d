"""Thompson sampling: an arm is as likely to be chosen as it is to be the best, going by results.

Thompson (Biometrika, 1933), with a floor under every arm's probability: an arm that is never
chosen can neither recover from a bad start nor be judged from the log.

Whether an arm is better than the control is judged by the probabilities themselves: who knows a
user's outcome and no more knows nothing of the arm, if the arms are alike, that its probability did
not say already. A bettor who thinks that arm B is better puts more on B after a success and less
after a failure, and owns the product over the users of ``q(arm given outcome) / p(arm)``. Against
equal arms that is a martingale, however rates drift and whatever the probabilities followed from.
"""

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

# Of all users, so many go to the arms evenly.
EXPLORED = 0.1
_DRAWS = 20_000

# What the bettors take for true: the logarithm of the odds ratio, and the rate in the middle.
_ODDS_RATIOS = (0.1, 0.2, 0.4, 0.8, 1.6)
_RATES = (0.15, 0.5, 0.85)


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


def log_bets(probability: float, *, in_arm: bool, success: bool) -> tuple[float, ...]:
    """What each bettor's fortune is multiplied by after one user of the arm or of the control.

    ``probability``: of the arm, out of the two. First come the bettors on the arm, then as many
    on the control; natural logarithms.
    """
    ratios = [on_success if success else on_failure for on_success, on_failure in _BETTORS]
    return tuple(
        (math.log(ratio) if in_arm else 0.0) - math.log1p(probability * (ratio - 1))
        for ratio in ratios
    )


def _likelihood_ratios(log_odds_ratio: float, middle: float) -> tuple[float, float]:
    """How much likelier a success, and a failure, is in the arm than in the control."""
    centre = math.log(middle / (1 - middle))
    control, arm = (1 / (1 + math.exp(-centre - side * log_odds_ratio / 2)) for side in (-1, 1))
    return arm / control, (1 - arm) / (1 - control)


_BETTORS = tuple(
    _likelihood_ratios(side * size, middle)
    for side in (1, -1)
    for size, middle in product(_ODDS_RATIOS, _RATES)
)
