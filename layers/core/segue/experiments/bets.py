"""Bets on the logged probabilities of adaptive allocation: whether an arm beats the control.

If the arms are alike, whoever knows a user's outcome knows nothing more of the user's arm than its
probability said already. A bettor who thinks that arm B is better puts more on B after a success
and less after a failure, and owns the product over users of ``q(arm given outcome) / p(arm)``.
Against equal arms that is a martingale, however rates drift and whatever the probabilities
followed from.
"""

import math
from itertools import product

# What the bettors take for true: the logarithm of the odds ratio, and the rate in the middle.
_ODDS_RATIOS = (0.1, 0.2, 0.4, 0.8, 1.6)
_RATES = (0.15, 0.5, 0.85)


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
