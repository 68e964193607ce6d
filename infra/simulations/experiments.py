"""Many simulated experiments at once, and at which look each rule would have stopped them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from segue.experiments.statistics.evalue import DECISIVE, log_bet_above
from segue.experiments.statistics.sample_ratio import is_off, mismatch

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# A chunk of experiments is looked at together: as many as some 100 MB of counts take.
_LOOKS_AT_ONCE = 500_000
_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Scenario:
    """The truth: the rates of success, the users of both arms together, how often one looks.

    ``reached_b`` is B's share of the users that are left to analyse. The shares allotted are equal.
    """

    rate_a: float
    rate_b: float
    users: int
    look_every: int = 1
    reached_b: float = 0.5


@dataclass(frozen=True, slots=True)
class Looks:
    """Counts at every look of some experiments, each (experiments, looks)."""

    successes_a: Counts
    failures_a: Counts
    successes_b: Counts
    failures_b: Counts


def simulate(scenario: Scenario, experiments: int, seed: int) -> Iterator[Looks]:
    """Experiments in chunks; the same seed gives the same ones."""
    random = np.random.default_rng(seed)
    a, b, share = scenario.rate_a, scenario.rate_b, scenario.reached_b
    cells = [(1 - share) * a, (1 - share) * (1 - a), share * b, share * (1 - b)]
    looks = scenario.users // scenario.look_every
    chunk = max(1, _LOOKS_AT_ONCE // looks)
    for begun in range(0, experiments, chunk):
        size = (min(chunk, experiments - begun), looks)
        counts = random.multinomial(scenario.look_every, cells, size=size).cumsum(axis=1)
        yield Looks(*np.moveaxis(counts, -1, 0))


def evidence(looks: Looks) -> tuple[Floats, Floats]:
    """``evalue.log_bets`` at every look. Most pairs of counts recur, so each is taken once."""
    pairs = [(looks.successes_b, looks.successes_a), (looks.failures_b, looks.failures_a)]
    base = max(int(outside.max()) for _, outside in pairs) + 1
    keys, places = np.unique([i * base + o for i, o in pairs], return_inverse=True)
    inside, outside = np.divmod(keys, base)
    above = log_bet_above(inside, outside, 0.5)
    below = log_bet_above(outside, inside, 0.5)
    successes, failures = places.reshape(2, *looks.successes_a.shape)
    return (
        _log_mean(above[successes] + below[failures]),
        _log_mean(above[failures] + below[successes]),
    )


def _log_mean(logs: Floats) -> Floats:
    mean: Floats = special.logsumexp(logs, axis=-1) - np.log(logs.shape[-1])
    return mean


def evidence_stops(plus: Floats, minus: Floats) -> Flags:
    """Where the e-value alone would decide."""
    decides: Flags = np.logaddexp(plus, minus) - np.log(2) >= np.log(DECISIVE)
    return decides


def shares_are_off(looks: Looks) -> Flags:
    """Where the sample ratio gives alarm."""
    users = [looks.successes_a + looks.failures_a, looks.successes_b + looks.failures_b]
    return is_off(*mismatch(np.stack(users, axis=-1), (0.5, 0.5)))


def points_one_way(looks: Looks, plus: Floats, minus: Floats) -> Flags:
    """Where the arm that the evidence is for has the higher rate, too."""
    users_a, users_b = looks.successes_a + looks.failures_a, looks.successes_b + looks.failures_b
    lead_of_b = looks.successes_b * users_a - looks.successes_a * users_b
    agrees: Flags = lead_of_b * (plus - minus) > 0
    return agrees


def z_stops(looks: Looks) -> Flags:
    """Where a pooled z-test, made as if this were its one look, is significant."""
    users_a, users_b = looks.successes_a + looks.failures_a, looks.successes_b + looks.failures_b
    successes, users = looks.successes_a + looks.successes_b, users_a + users_b
    # (rate B - rate A)^2 over its pooled variance, without dividing by what may be 0.
    squared = (looks.successes_b * users_a - looks.successes_a * users_b).astype(float) ** 2 * users
    variance = (successes * (users - successes)).astype(float) * users_a * users_b
    significant: Flags = squared > stats.chi2.isf(_LEVEL, 1) * variance
    return significant


def posterior_of_b(looks: Looks) -> Floats:
    """P(rate B > rate A) under uniform priors, where one looks after every single user.

    Each user changes it by ``h / n``, with n the parameter of the posterior that grows and
    ``h = B(a+c, b+d) / (B(a, b) B(c, d))`` (Cook, Exact calculation of beta inequalities, 2005).
    """
    counts = np.stack(
        [looks.successes_a, looks.failures_a, looks.successes_b, looks.failures_b], axis=-1
    )
    before = 1 + np.concatenate([np.zeros_like(counts[:, :1]), counts[:, :-1]], axis=1)
    step = np.diff(counts, axis=1, prepend=0)
    a, b, c, d = np.moveaxis(before, -1, 0)
    log_h = special.betaln(a + c, b + d) - special.betaln(a, b) - special.betaln(c, d)
    # A success of B and a failure of A speak for B.
    towards_b = (step / before * np.array([-1, 1, 1, -1])).sum(axis=-1)
    belief: Floats = 0.5 + (np.exp(log_h) * towards_b).cumsum(axis=1)
    return belief


def posterior_stops(looks: Looks) -> Flags:
    """Where the posterior puts either arm above the other with more than 97.5 %."""
    stops: Flags = np.abs(posterior_of_b(looks) - 0.5) > 0.5 - _LEVEL / 2
    return stops
