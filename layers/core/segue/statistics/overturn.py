"""How many lost users it would take to overturn a decision.

Users are lost where their outcomes never arrive, such as of those who give up on a slow model. At
worst they all speak against the decision: those of the arm that won would have been failures, those
of the other arm successes. The fewest of them, shared out over both arms in the worst way, who take
the evidence below what decides, say how much a decision can bear.

Every one of them lowers the bet on the winner at every share, and so the evidence, which is the
least of these: the number is found by bisection.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from segue.statistics.beta_tail import Floats
from segue.statistics.counts import Counts
from segue.statistics.evalue import least_over_shares, log_bet_on_b

# The winner's part of the lost users: of up to 32 any number of them, of more one so near to the
# worst that it makes no difference.
_PARTS = np.linspace(0, 1, 33)

Numbers = NDArray[np.int64]


def users_to_overturn(
    winners: Sequence[Counts], others: Sequence[Counts], decisive: Sequence[float]
) -> list[int]:
    """Of each decision, the fewest lost users who would take it back.

    ``winners`` and ``others``: the arms of each; ``decisive``: what its evidence had to reach, and
    did.
    """
    won, lost = _columns(winners), _columns(others)

    def log_evidence(users: Numbers) -> Floats:
        return least_over_shares(_log_bet_at_worst, users, *lost, *won)

    return _fewest(_to_equal_rates(won, lost), decisive, log_evidence)


def lists_to_overturn(
    winners: Sequence[Counts], others: Sequence[Counts], decisive: Sequence[float]
) -> list[int]:
    """The same of interleaving: the fewest lost lists, all of which the other arm won.

    Counts are of the lists that each arm won.
    """
    (won, _), (lost, _) = _columns(winners), _columns(others)

    def log_evidence(lists: Numbers) -> Floats:
        return log_bet_on_b(0.5, lost + lists, 0, won, 0)

    return _fewest(won - lost, decisive, log_evidence)


def _log_bet_at_worst(share: Floats, users: Floats, *counts: Floats) -> Floats:
    """``log E+(share)`` for the winner, with the lost users in both arms as is worst for it."""
    share, users, successes, failures, s_won, f_won = (
        np.asarray(value)[..., None] for value in (share, users, *counts)
    )
    of_winner = np.round(users * _PARTS)
    bets = log_bet_on_b(share, successes + users - of_winner, failures, s_won, f_won + of_winner)
    least: Floats = bets.min(axis=-1)
    return least


def _to_equal_rates(won: tuple[Numbers, Numbers], lost: tuple[Numbers, Numbers]) -> Numbers:
    """Lost users of one arm who make its rate that of the other, or who make both rates 1/2."""
    (s_won, f_won), (s_lost, f_lost) = won, lost
    ahead = s_won * (s_lost + f_lost) - s_lost * (s_won + f_won)
    of_one_arm = -(-ahead // np.maximum(np.maximum(f_won, s_lost), 1))
    enough: Numbers = np.minimum(of_one_arm, f_lost + s_won)
    return enough


def _fewest(
    enough: Numbers, decisive: Sequence[float], log_evidence: Callable[[Numbers], Floats]
) -> list[int]:
    """The fewest users with whom half of the evidence is less than decisive; ``enough`` are."""
    needed = np.log(2 * np.asarray(decisive))
    low, high = np.zeros_like(enough), enough
    while (high - low > 1).any():
        middle = (low + high) // 2
        decides = log_evidence(middle) >= needed
        low, high = np.where(decides, middle, low), np.where(decides, high, middle)
    return list(map(int, high))


def _columns(arms: Sequence[Counts]) -> tuple[Numbers, Numbers]:
    """Successes and failures, (decisions,) each."""
    counts = np.array([(arm.successes, arm.failures) for arm in arms], dtype=np.int64)
    return counts[:, 0], counts[:, 1]
