"""The confidence sequence where the truth is known: how often it misses, and how wide it is."""

from dataclasses import dataclass

import numpy as np

from infra.simulations.experiments import (
    NEVER,
    ONE_BET,
    Flags,
    Floats,
    Ints,
    Looks,
    Place,
    Scenario,
    bet_above,
    evidence_at_share,
    first_decision,
    first_passing,
    simulate,
)
from segue.statistics.confidence import confidence_limits
from segue.statistics.counts import Counts
from segue.statistics.evalue import log_evidence, log_mean
from segue.statistics.fixed_horizon import newcombe

# Of so many experiments, one has its interval itself computed at the end and about its decision.
ONE_OF = 8
# What confidence.py adds to both parameters of the priors of its bets.
_DOUBT = 0.5


@dataclass(frozen=True, slots=True)
class Coverage:
    """What became of a scenario's intervals.

    ``missed``: experiments in which the true difference was outside at some look. ``width`` and
    ``newcombe``: medians at the end. ``disagreements``: of the ``compared`` looks, those at which
    the interval excluded 0 and the verdict did not find the same arm better, or the other way
    round.
    """

    missed: int
    experiments: int
    width: float
    newcombe: float
    compared: int
    disagreements: int


def cover(scenario: Scenario, experiments: int, seed: int) -> Coverage:
    """Both rates of the scenario are constant."""
    missed = 0
    sizes: list[tuple[float, float]] = []
    agree: list[Flags] = []
    for looks in simulate(scenario, experiments, seed):
        missed += int((first_miss(looks, scenario) != NEVER).sum())
        some = looks.at((slice(None, None, ONE_OF), slice(None)))
        last = some.at((slice(None), -1))
        low, high = limits(last)
        sizes += zip(high - low, _newcombe_widths(last), strict=True)
        agree.append(agreement(some, scenario.share_b))
    width, of_newcombe = np.median(sizes, axis=0)
    compared = np.concatenate(agree)
    return Coverage(
        missed,
        experiments,
        float(width),
        float(of_newcombe),
        compared.size,
        int((~compared).sum()),
    )


def limits(looks: Looks) -> tuple[Floats, Floats]:
    """Both ends of ``confidence.confidence_sequence`` at every look."""
    return confidence_limits(*looks.counts, *log_evidence(*looks.counts))


def first_miss(looks: Looks, scenario: Scenario) -> Ints:
    """(experiments,) the first look whose interval does not hold the true difference.

    None does where the bets on the true rates, and the evidence at the true share, are too small
    for it: those that the interval goes by are the least over all rates and shares.
    """
    difference = scenario.rate_b - scenario.rate_a
    plus, minus = evidence_at_share(looks, scenario.share_b)
    lost = {-1: plus, 0: np.maximum(plus, minus), 1: minus}[int(np.sign(difference))]
    beyond = np.maximum(*_bets_beyond(looks, scenario))
    candidates = np.logaddexp(np.log(2) + lost, beyond) >= np.log(2) + ONE_BET

    def misses(place: Place) -> Flags:
        low, high = limits(looks.at(place))
        return (low > difference) | (high < difference)

    return first_passing(candidates, misses)


def _bets_beyond(looks: Looks, scenario: Scenario) -> tuple[Floats, Floats]:
    """``log F+`` and ``log F-`` of confidence.py at the true rates."""
    a, b = scenario.rate_a, scenario.rate_b
    successes_a, failures_a, successes_b, failures_b = looks.counts
    return (
        log_mean(
            bet_above(successes_b, failures_b, b, _DOUBT)
            + bet_above(failures_a, successes_a, 1 - a, _DOUBT)
        ),
        log_mean(
            bet_above(successes_a, failures_a, a, _DOUBT)
            + bet_above(failures_b, successes_b, 1 - b, _DOUBT)
        ),
    )


def agreement(looks: Looks, share: float) -> Flags:
    """Whether interval and verdict agree: at the end, at a decision and one look before it."""
    plus, minus = evidence_at_share(looks, share)
    first = first_decision(looks, np.maximum(plus, minus) >= ONE_BET)
    (rows,) = np.nonzero(first > 0)
    everyone = np.arange(len(first))
    place = (
        np.concatenate([everyone, rows, rows]),
        np.concatenate([np.full(len(first), -1), first[rows], first[rows] - 1]),
    )
    here = looks.at(place)
    plus, minus = log_evidence(*here.counts)
    low, high = limits(here)
    agree: Flags = ((plus >= ONE_BET) == (low > 0)) & ((minus >= ONE_BET) == (high < 0))
    return agree


def _newcombe_widths(looks: Looks) -> list[float]:
    users_a, users_b = looks.users
    rows = zip(looks.successes_a, users_a, looks.successes_b, users_b, strict=True)
    ends = (newcombe(Counts(int(s), int(n)), Counts(int(t), int(m))) for s, n, t, m in rows)
    return [high - low for low, high in ends]
