"""Many simulated experiments at once, and at which look each rule would have stopped them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from segue.statistics.evalue import DECISIVE, log_bet_above, log_evidence, log_mean
from segue.statistics.sample_ratio import is_off, mismatch

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
# Experiments and looks, one of each per place.
Place = tuple[Ints, ...]

# In place of a look.
NEVER = -1

# What either bet has to reach by itself for a decision, and their mean under the older rule.
ONE_BET, BOTH_BETS = float(np.log(2 * DECISIVE)), float(np.log(DECISIVE))
# A chunk of experiments is looked at together: as many as some 100 MB of counts take.
_LOOKS_AT_ONCE = 2_000_000
_LEVEL = 0.05
# What the square of z exceeds where a z-test is significant.
SIGNIFICANT = float(stats.chi2.isf(_LEVEL, 1))


class Trend(StrEnum):
    """How both rates of success move, by half of all users in the end, while users come in."""

    CONSTANT = "constant"
    RISING = "rising"
    STEP = "a step up"
    FALLING = "falling"

    def shift(self, progress: Floats) -> Floats:
        """What is added to both rates where ``progress`` of the users have come in."""
        if self is Trend.CONSTANT:
            return np.zeros_like(progress)
        if self is Trend.STEP:
            return np.where(progress < 0.5, 0, 0.5)
        return progress / 2 if self is Trend.RISING else -progress / 2


@dataclass(frozen=True, slots=True)
class Scenario:
    """The truth: the first rates of success, the users of both arms together, how often one looks.

    ``share_b`` is B's share of the users, which is taken for a half. An outcome settles ``lag``
    users later on average, exponentially distributed; only with a look after every user.
    ``lost_a`` and ``lost_b`` are the shares of either arm's failures that are never recorded;
    ``users`` are those that are.
    """

    rate_a: float
    rate_b: float
    users: int
    look_every: int = 1
    share_b: float = 0.5
    trend: Trend = Trend.CONSTANT
    lag: float = 0
    lost_a: float = 0
    lost_b: float = 0


@dataclass(frozen=True, slots=True)
class Looks:
    """Counts at every look of some experiments, each (experiments, looks)."""

    successes_a: Ints
    failures_a: Ints
    successes_b: Ints
    failures_b: Ints

    @property
    def counts(self) -> tuple[Ints, Ints, Ints, Ints]:
        """All four, in the order that the statistics take them in."""
        return self.successes_a, self.failures_a, self.successes_b, self.failures_b

    @property
    def users(self) -> tuple[Ints, Ints]:
        """Of A and of B."""
        return self.successes_a + self.failures_a, self.successes_b + self.failures_b

    def at(self, place: Place | tuple[slice | int, ...]) -> "Looks":
        """Those of the experiments and looks named."""
        return Looks(*(counts[place] for counts in self.counts))


def simulate(scenario: Scenario, experiments: int, seed: int) -> Iterator[Looks]:
    """Experiments in chunks; the same seed gives the same ones."""
    random = np.random.default_rng(seed)
    looks = scenario.users // scenario.look_every
    chunk = max(1, _LOOKS_AT_ONCE // looks)
    for begun in range(0, experiments, chunk):
        size = min(chunk, experiments - begun)
        progress = (np.arange(looks) + 0.5) / looks
        if scenario.lag:
            settled = np.arange(looks) + random.exponential(scenario.lag, (size, looks))
            progress = progress[settled.argsort(axis=1)]
        cells = _cells(scenario, progress)
        counts = random.multinomial(scenario.look_every, cells, size=(size, looks))
        yield Looks(*np.moveaxis(counts.cumsum(axis=1), -1, 0))


def _cells(scenario: Scenario, progress: Floats) -> Floats:
    """(..., 4) the probabilities of what a recorded user counts as, in the order of Looks."""
    rate_a, rate_b = (
        rate + scenario.trend.shift(progress) for rate in (scenario.rate_a, scenario.rate_b)
    )
    a, b = 1 - scenario.share_b, scenario.share_b
    cells = np.stack(
        [
            a * rate_a,
            a * (1 - rate_a) * (1 - scenario.lost_a),
            b * rate_b,
            b * (1 - rate_b) * (1 - scenario.lost_b),
        ],
        axis=-1,
    )
    of_all: Floats = cells / cells.sum(axis=-1, keepdims=True)
    return of_all


def evidence_at_share(looks: Looks, share: float) -> tuple[Floats, Floats]:
    """``evalue.evidence_at`` at every look. Most pairs of counts recur, so each is taken once."""
    return _log_bets(bet_above, looks, share)


def bet_above(inside: Ints, outside: Ints, share: float, doubt: float = 0) -> Floats:
    """``evalue.log_bet_above``, each pair of counts taken once."""
    base = int(outside.max()) + 1
    pairs, places = np.unique(inside * base + outside, return_inverse=True)
    bets = log_bet_above(*np.divmod(pairs, base), share, doubt)
    of_all: Floats = bets[places.reshape(inside.shape)]
    return of_all


def _log_bets(bet: Callable[..., Floats], looks: Looks, share: ArrayLike) -> tuple[Floats, Floats]:
    """On B and on A, where B's share is known."""
    a, others = 1 - np.asarray(share), share
    successes_a, failures_a, successes_b, failures_b = looks.counts
    return (
        log_mean(bet(successes_b, successes_a, others) + bet(failures_a, failures_b, a)),
        log_mean(bet(successes_a, successes_b, a) + bet(failures_b, failures_a, others)),
    )


def first_of(flags: Flags) -> Ints:
    """(experiments,) the first look that is flagged; NEVER where none is."""
    return np.where(flags.any(axis=1), flags.argmax(axis=1), NEVER)


def first_passing(candidates: Flags, passes: Callable[[Place], Flags]) -> Ints:
    """(experiments,) the first of the candidate looks that passes; NEVER where none does.

    ``passes`` may be slow. It is asked about an experiment's candidates in order, twice as many
    at a time, until one has passed.
    """
    first = np.full(len(candidates), NEVER)
    rank = candidates.cumsum(axis=1)
    begun, size = 0, 1
    while True:
        asked = candidates & (rank > begun) & (rank <= begun + size) & (first == NEVER)[:, None]
        place = np.nonzero(asked)
        if not place[0].size:
            return first
        passed = passes(place)
        rows, where = np.unique(place[0][passed], return_index=True)
        first[rows] = place[1][passed][where]
        begun, size = begun + size, 2 * size


def first_decision(looks: Looks, candidates: Flags, decisive: float = DECISIVE) -> Ints:
    """(experiments,) the first candidate look at which the evidence decides; NEVER without one."""
    place = np.nonzero(candidates)
    near = np.zeros_like(candidates)
    near[place] = greater_bet_at_most(looks.at(place)) >= np.log(2 * decisive)
    return first_passing(near, lambda place: winners(looks.at(place), decisive) != 0)


def winners(looks: Looks, decisive: float = DECISIVE) -> Ints:
    """1 where the evidence says that B is better, -1 where it says that A is, else 0.

    The evidence is computed only where it might decide.
    """
    needed = np.log(2 * decisive)
    near = greater_bet_at_most(looks) >= needed
    winner = np.zeros(near.shape, dtype=np.int64)
    if near.any():
        plus, minus = log_evidence(*(counts[near] for counts in looks.counts))
        winner[near] = np.where(plus >= needed, 1, np.where(minus >= needed, -1, 0))
    return winner


def greater_bet_at_most(looks: Looks) -> Floats:
    """What the logarithm of the greater bet is at most: that at the share users really came in.

    The least over all shares, which is what counts, is hardly ever much less.
    """
    users_a, users_b = looks.users
    share = (users_b + 0.5) / (users_a + users_b + 1)
    bound: Floats = np.maximum(*_log_bets(log_bet_above, looks, share))
    return bound


def shares_are_off(looks: Looks, share_b: float = 0.5) -> Flags:
    """Where the sample ratio gives alarm."""
    return is_off(*mismatch(np.stack(looks.users, axis=-1), (1 - share_b, share_b)))


def z_stops(looks: Looks) -> Flags:
    """Where a pooled z-test, made as if this were its one look, is significant."""
    sa, fa, sb, fb = (counts.astype(np.float64) for counts in looks.counts)
    users_a, users_b = sa + fa, sb + fb
    # (rate B - rate A)^2 over its pooled variance, without dividing by what may be 0.
    squared = (sb * users_a - sa * users_b) ** 2 * (users_a + users_b)
    variance = (sa + sb) * (fa + fb) * users_a * users_b
    significant: Flags = squared > SIGNIFICANT * variance
    return significant


def posterior_of_b(looks: Looks) -> Floats:
    """P(rate B > rate A) under uniform priors, where one looks after every single user."""
    counts = np.stack(looks.counts, axis=-1)
    before = np.concatenate([np.zeros_like(counts[:, :1]), counts[:, :-1]], axis=1)
    belief: Floats = 0.5 + belief_steps(before, np.diff(counts, axis=1, prepend=0)).cumsum(axis=1)
    return belief


def belief_steps(before: Ints, user: Ints) -> Floats:
    """(...) what one more user changes P(rate B > rate A) by; both (..., 4) in the order of Looks.

    It is ``h / n``, with n the parameter of the posterior that grows and ``h = B(a+c, b+d) /
    (B(a, b) B(c, d))`` (Cook, Exact calculation of beta inequalities, 2005).
    """
    a, b, c, d = np.moveaxis(before, -1, 0)
    of_a, of_b, successes, failures = a + b, c + d, a + c, b + d
    users = of_a + of_b
    # Of whole numbers; the greatest that is asked for is that of all users and 3 more.
    log_factorial = special.gammaln(np.arange(1, int(users.max()) + 5))
    log_h = log_factorial[successes + 1] + log_factorial[failures + 1] - log_factorial[users + 3]
    log_h += log_factorial[of_a + 1] - log_factorial[a] - log_factorial[b]
    log_h += log_factorial[of_b + 1] - log_factorial[c] - log_factorial[d]
    # A success of B and a failure of A speak for B.
    towards_b = (user / (1 + before) * np.array([-1, 1, 1, -1])).sum(axis=-1)
    step: Floats = np.exp(log_h) * towards_b
    return step


def posterior_stops(looks: Looks) -> Flags:
    """Where the posterior puts either arm above the other with more than 97.5 %."""
    stops: Flags = np.abs(posterior_of_b(looks) - 0.5) > 0.5 - _LEVEL / 2
    return stops
