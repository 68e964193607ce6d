"""Tests of equal arms by the million, with a look after every user: ``python -m
infra.simulations.aa``.

Prints how often each way of allotting users declares a winner where there is none, a table of
docs/statistics.md. The same seed gives the same figures.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from infra.cli.options import Json
from infra.cli.output import console, markdown_table, write_json
from infra.progress import progress_bars
from infra.simulations.adaptive import LOG_RATIOS
from infra.simulations.experiments import (
    NEVER,
    ONE_BET,
    SIGNIFICANT,
    Flags,
    Floats,
    Ints,
    Looks,
    Place,
    Trend,
    belief_steps,
    first_passing,
    greater_bet_at_most,
    z_stops,
)
from infra.simulations.peeking import Tally
from segue.experiments.bandit import EXPLORED
from segue.statistics.evalue import DECISIVE, log_bet_above, log_evidence, log_mean
from segue.statistics.sample_ratio import is_off, mismatch

# So many tests are simulated together. Another number draws other outcomes.
_AT_ONCE = 10_000
# The table of bets is in single precision; it ends, as logarithms, where the product of two is a
# number yet and decides for sure.
_LARGEST_FACTOR, _ROUNDING = 40.0, 1e-3

Draws = NDArray[np.float32]
# (tests,) whether the rule ever declared a winner, and whether a z-test at every look did.
Declared = tuple[Flags, Flags]


@dataclass(frozen=True, slots=True)
class Arms:
    """The truth: each arm's rate of success at first, the control's foremost; how all move."""

    rates: tuple[float, ...]
    trend: Trend = Trend.CONSTANT

    def rates_at(self, user: int, users: int) -> Floats:
        """(arms,) the rates for this user, counted from 0, of so many."""
        moved: Floats = np.array(self.rates) + self.trend.shift(np.array((user + 0.5) / users))
        return moved


def draw(users: int, tests: int, random: np.random.Generator) -> Draws:
    """(2, users, tests) numbers in [0, 1) that decide all: each user's arm, and the outcome."""
    return random.random((2, users, tests), dtype=np.float32)


def fixed_shares(arms: Arms, draws: Draws) -> Declared:
    """Each user falls to any of the arms alike; the verdict is that of a report.

    What the evidence is at most is looked up for every look. It is computed where that would do
    for a verdict: in few tests.
    """
    _, users, tests = draws.shape
    number = len(arms.rates)
    arm = (draws[0] * number).astype(np.uint8)
    success, candidates = (np.empty(arm.shape, np.bool_) for _ in range(2))
    z_test = np.zeros(tests, np.bool_)
    # Successes and failures of the control, then of the next arm.
    counts, every = np.zeros((2 * number, tests), np.int64), np.arange(tests)
    for user in range(users):
        success[user] = draws[1, user] < arms.rates_at(user, users)[arm[user]]
        counts[2 * arm[user] + ~success[user], every] += 1
        pairs = _pairs(counts)
        candidates[user] = decided_together([_evidence_at_most(pair, users) for pair in pairs])
        for pair in pairs:
            z_test |= z_stops(pair)
    return _verdicts(2 * arm + ~success, candidates, number), z_test


def _pairs(counts: Ints) -> list[Looks]:
    """Each arm beside the control."""
    return [Looks(*counts[:2], *counts[place : place + 2]) for place in range(2, len(counts), 2)]


def _evidence_at_most(pair: Looks, users: int) -> Floats:
    """(tests,) the logarithm of what the evidence is at most: that at equal shares."""
    table = _table_of_bets(users)
    of_successes = table.take(pair.successes_b * (users + 1) + pair.successes_a, axis=0)
    of_failures = table.take(pair.failures_a * (users + 1) + pair.failures_b, axis=0)
    on_b, on_a = (
        np.einsum("tk,tk->t", of_successes[:, bets], of_failures[:, bets])
        for bets in (slice(0, 3), slice(3, 6))
    )
    bound: Floats = np.log(np.maximum(on_b, on_a) / 6) + _ROUNDING
    return bound


@cache
def _table_of_bets(users: int) -> NDArray[np.float32]:
    """(pairs of counts, 6): both directions of ``log_bet_above`` at a half, for each bettor."""
    logarithms = np.zeros((users + 1, users + 1, 6))
    inside, outside = np.nonzero(np.add.outer(*2 * [np.arange(users + 1)]) <= users)
    logarithms[inside, outside, :3] = log_bet_above(inside, outside, 0.5)
    logarithms[inside, outside, 3:] = logarithms[outside, inside, :3]
    return np.exp(np.minimum(logarithms, _LARGEST_FACTOR)).astype(np.float32).reshape(-1, 6)


def _verdicts(cells: NDArray[np.uint8], candidates: Flags, arms: int) -> Flags:
    """(tests,) whether any candidate look brings a verdict; both (users, tests).

    ``cells``: what each user counts as, in the order of the counts.
    """
    declared: Flags = np.any(candidates, axis=0)
    (suspects,) = np.nonzero(declared)
    if not suspects.size:
        return declared
    of_suspects = cells[:, suspects].T
    counts = np.stack([(of_suspects == cell).cumsum(axis=1) for cell in range(2 * arms)])
    pairs = _pairs(counts)

    def decided_by(evidence: Callable[[Looks], Floats]) -> Callable[[Place], Flags]:
        return lambda place: decided_together([evidence(pair.at(place)) for pair in pairs])

    near = candidates[:, suspects].T
    place = np.nonzero(near)
    assigned = (counts[0::2] + counts[1::2])[:, *place].T
    withheld = is_off(*mismatch(assigned, np.full(arms, 1 / arms)))
    at_most = decided_by(lambda looks: greater_bet_at_most(looks) - np.log(2))
    near[place] = ~withheld & at_most(place)
    declared[suspects] = first_passing(near, decided_by(_log_deciding)) != NEVER
    return declared


def _log_deciding(looks: Looks) -> Floats:
    """The logarithm of the evidence that decides; minus infinity where it can't matter."""
    log_e = np.full(looks.successes_a.shape, -np.inf)
    near = np.nonzero(greater_bet_at_most(looks) >= ONE_BET)
    if near[0].size:
        log_e[near] = np.maximum(*log_evidence(*looks.at(near).counts)) - np.log(2)
    return log_e


def decided_together(log_evidence: Sequence[Floats]) -> Flags:
    """Whether any of the pairs decides by e-BH, ``multiplicity.decisive_together``."""
    largest_first = -np.sort(-np.stack(log_evidence), axis=0)
    number = len(largest_first)
    needed = np.log(DECISIVE * number / np.arange(1, number + 1))
    decided: Flags = np.any(needed <= largest_first.T, axis=-1).T
    return decided


def interleaving(_: Arms, draws: Draws) -> Declared:
    """Every list is won by either arm as likely as not."""
    _, lists, tests = draws.shape
    decides = _lists_that_decide(lists)
    won_by_b = np.zeros(tests, np.int64)
    declared, z_test = (np.zeros(tests, np.bool_) for _ in range(2))
    for place, drawn in enumerate(draws[0]):
        won_by_b += drawn < 0.5
        so_far = place + 1
        declared |= decides[so_far].take(won_by_b)
        z_test |= (2 * won_by_b - so_far) ** 2 > SIGNIFICANT * so_far
    return declared, z_test


@cache
def _lists_that_decide(lists: int) -> Flags:
    """(lists + 1, lists + 1): of so many lists, whether it decides that B has won so many."""
    of_all, won = np.nonzero(np.tri(lists + 1))
    on_b, on_a = (
        log_mean(log_bet_above(inside, of_all - inside, 0.5)) for inside in (won, of_all - won)
    )
    decides = np.zeros((lists + 1, lists + 1), np.bool_)
    decides[of_all, won] = np.maximum(on_b, on_a) >= ONE_BET
    return decides


def thompson(arms: Arms, draws: Draws) -> Declared:
    """The probability of an arm follows from all outcomes before it; the bets decide."""
    _, users, tests = draws.shape
    belief = np.full(tests, 0.5)
    known = np.zeros((tests, 4), np.int64)
    owned = np.ones((tests, LOG_RATIOS.shape[1]))
    gains, cells = np.expm1(LOG_RATIOS), np.eye(4, dtype=np.int64)
    declared, z_test = (np.zeros(tests, np.bool_) for _ in range(2))
    for place, (arm, outcome) in enumerate(np.moveaxis(draws, 1, 0)):
        probability = (1 - EXPLORED) * belief + EXPLORED / 2
        in_b = arm < probability
        failed = outcome >= arms.rates_at(place, users)[in_b.astype(np.int64)]
        gain = gains.take(failed.astype(np.int64), axis=0)
        owned *= 1 + in_b[:, None] * gain
        owned /= 1 + probability[:, None] * gain
        on_b, on_a = np.split(owned, 2, axis=1)
        declared |= np.maximum(on_b.mean(axis=1), on_a.mean(axis=1)) >= 2 * DECISIVE
        user = cells.take(2 * in_b + failed, axis=0)
        belief += belief_steps(known, user)
        known += user
        z_test |= z_stops(Looks(*known.T))
    return declared, z_test


@dataclass(frozen=True, slots=True)
class Row:
    """A way of allotting users, and the arms that it is tried on."""

    name: str
    declare: Callable[[Arms, Draws], Declared]
    arms: Arms


ROWS = (
    *(Row("fixed, two arms", fixed_shares, Arms((rate, rate))) for rate in (0.05, 0.3, 0.7)),
    Row("fixed, two arms", fixed_shares, Arms((0.15, 0.15), Trend.RISING)),
    Row("fixed, four arms", fixed_shares, Arms((0.3,) * 4)),
    Row("interleaving", interleaving, Arms(())),
    Row("Thompson sampling", thompson, Arms((0.3, 0.3))),
    Row("Thompson sampling", thompson, Arms((0.15, 0.15), Trend.RISING)),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """In how many tests of equal arms the rule, and the z-test, ever declared a winner."""

    name: str
    arms: Arms
    users: int
    rule: Tally
    z_test: Tally


def run(
    row: Row,
    users: int,
    experiments: int,
    seed: Sequence[int],
    progress: Callable[[int, int], None],
) -> Outcome:
    """So many tests of so many users each, in chunks."""
    random = np.random.default_rng(seed)
    by_rule = by_z_test = 0
    for begun in range(0, experiments, _AT_ONCE):
        progress(begun, experiments)
        draws = draw(users, min(_AT_ONCE, experiments - begun), random)
        rule, z_test = row.declare(row.arms, draws)
        by_rule += int(rule.sum())
        by_z_test += int(z_test.sum())
    progress(experiments, experiments)
    tallies = Tally(by_rule, experiments), Tally(by_z_test, experiments)
    return Outcome(row.name, row.arms, users, *tallies)


HEADING = ("users are allotted by", "rates", "tests", "looks", "the rule", "z-test")


def line(outcome: Outcome) -> tuple[str, ...]:
    """The outcome in the table's columns."""
    return (
        outcome.name,
        _rates(outcome.arms),
        f"{outcome.rule.experiments:,}",
        f"{outcome.users:,}",
        outcome.rule.to_digits(2),
        str(outcome.z_test),
    )


def _rates(arms: Arms) -> str:
    if not arms.rates:
        return "-"
    if arms.trend is Trend.CONSTANT:
        return f"{arms.rates[0]:g}"
    return f"{arms.rates[0]:g}, {arms.trend}"


def main(
    experiments: Annotated[int, typer.Option(min=1, help="Tests for each row.")] = 1_000_000,
    users: Annotated[int, typer.Option(min=1, help="Users of each test, and looks.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 7,
    json_file: Json = None,
) -> None:
    """Simulate tests of equal arms, and print how often a winner was declared."""
    out = console(json_file)
    out.print("\n".join(markdown_table(HEADING, ())))
    outcomes = []
    with progress_bars(out) as report:
        for place, row in enumerate(ROWS):
            progress = partial(report, f"{row.name}, {_rates(row.arms)}")
            outcomes.append(run(row, users, experiments, (seed, place), progress))
            # Each as soon as it is known: all of them take long.
            out.print(markdown_table(line(outcomes[-1]), ())[0])
    write_json(json.dumps([asdict(it) for it in outcomes], indent=2), json_file)


if __name__ == "__main__":
    typer.run(main)
