"""How many users the verdict takes: ``python -m infra.simulations.power``.

Prints the table of docs/statistics.md: what ``segue.statistics.power`` says, and what simulated
tests took. The same seed gives the same figures.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated

import numpy as np
import typer
from scipy import special

from infra.cli.options import Json
from infra.cli.output import console, markdown_table, write_json
from infra.progress import progress_bars
from infra.simulations.experiments import (
    NEVER,
    Flags,
    Floats,
    Ints,
    Looks,
    first_decision,
    shares_are_off,
    winners,
)
from infra.simulations.peeking import Tally
from segue.statistics.evalue import DECISIVE
from segue.statistics.power import POWER, users_at_one_look, users_needed

# One looks each time there are so many more users, and at each of the first ones.
_GROWTH = 1.01
# From so few of the users that are said to be needed, to so many.
_FROM, _TO = 0.05, 1.3
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Test:
    """The truth: both rates, B's share of the users; and what the evidence has to reach."""

    rate_a: float
    rate_b: float
    share: float = 0.5
    decisive: float = DECISIVE


TESTS = (
    Test(0.3, 0.7),
    Test(0.3, 0.4),
    Test(0.3, 0.32),
    Test(0.3, 0.31),
    Test(0.6, 0.7),
    Test(0.7, 0.72),
    Test(0.05, 0.4),
    Test(0.05, 0.1),
    Test(0.05, 0.06),
    Test(0.01, 0.015),
    Test(0.9, 0.95),
    Test(0.4, 0.3),
    Test(0.3, 0.4, share=0.1),
    Test(0.3, 0.4, share=0.9),
    Test(0.05, 0.07, share=0.2),
    Test(0.3, 0.4, decisive=3 * DECISIVE),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Numbers of users of both arms. ``one_look``: what a test with one look takes. ``said``: what
    ``users_needed`` says. ``simulated``: with how many 80 % of the tests were decided rightly.

    ``decided``: how many tests were decided for the better arm with as many users as ``said``.
    """

    test: Test
    one_look: float
    said: float
    decided: Tally
    simulated: float


def decided_at(test: Test, looks: Ints, tests: int, random: np.random.Generator) -> Floats:
    """(tests,) with how many users each was decided for the better arm; infinite if never.

    ``looks``: (looks,) the users of both arms at which one looks.
    """
    shares = np.repeat([1 - test.share, test.share], 2)
    rates = np.array([test.rate_a, 1 - test.rate_a, test.rate_b, 1 - test.rate_b])
    more = random.multinomial(np.diff(looks, prepend=0), shares * rates, size=(tests, looks.size))
    counts = Looks(*np.moveaxis(more.cumsum(axis=1), -1, 0))
    candidates = _may_decide(counts, test.decisive) & ~shares_are_off(counts, test.share)
    first = first_decision(counts, candidates, test.decisive)
    (decided,) = np.nonzero(first != NEVER)
    winner = winners(counts.at((decided, first[decided])), test.decisive)
    right = decided[winner == (1 if test.rate_b > test.rate_a else -1)]
    users = np.full(tests, np.inf)
    users[right] = looks[first[right]]
    return users


def _may_decide(looks: Looks, decisive: float) -> Flags:
    """Where the likelihood ratio of two rates to one is enough: no bet is ever worth more."""
    table = np.stack(looks.counts).reshape(2, 2, *looks.successes_a.shape)
    of_arms, of_outcomes = table.sum(axis=1), table.sum(axis=0)
    log_ratio = (
        special.xlogy(table, table).sum(axis=(0, 1))
        - special.xlogy(of_arms, of_arms).sum(axis=0)
        - special.xlogy(of_outcomes, of_outcomes).sum(axis=0)
        + special.xlogy(of_arms.sum(axis=0), of_arms.sum(axis=0))
    )
    enough: Flags = log_ratio >= np.log(2 * decisive)
    return enough


def run(test: Test, tests: int, seed: int, progress: Callable[[int, int], None]) -> Outcome:
    """So many tests, in chunks."""
    random = np.random.default_rng(seed)
    said = users_needed(test.rate_a, test.rate_b, share=test.share, decisive=test.decisive)
    one_look = users_at_one_look(test.rate_a, test.rate_b, share=test.share)
    looks = looks_until(said)
    chunks = []
    for begun in range(0, tests, _AT_ONCE):
        progress(begun, tests)
        chunks.append(decided_at(test, looks, min(_AT_ONCE, tests - begun), random))
    progress(tests, tests)
    users = np.concatenate(chunks)
    decided = Tally(int((users <= said).sum()), tests)
    return Outcome(test, one_look, said, decided, float(np.quantile(users, POWER, method="higher")))


def looks_until(needed: float) -> Ints:
    """(looks,) numbers of users, from few of those that are needed to more than those."""
    begun, ended = np.log([max(_FROM * needed, 1), _TO * needed])
    looks = np.exp(np.arange(begun, ended, np.log(_GROWTH))).round().astype(np.int64)
    return np.unique(looks)


def main(
    experiments: Annotated[int, typer.Option(min=1, help="Tests for each row.")] = 2_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 7,
    json_file: Json = None,
) -> None:
    """Simulate tests of different arms, and print how many users it took to find the better one."""
    out = console(json_file)
    with progress_bars(out) as report:
        outcomes = [run(it, experiments, seed, partial(report, _name(it))) for it in TESTS]
    heading = ("one look", "the verdict", "decided by then", "80 % decided by")
    rows = [
        (
            f"{it.test.rate_a:g} / {it.test.rate_b:g}",
            f"{it.test.share:g}",
            f"{it.test.decisive:g}",
            f"{it.one_look:,.0f}",
            f"{it.said:,.0f}",
            str(it.decided),
            f"{it.simulated:,.0f} ({it.said / it.simulated - 1:+.0%})",
        )
        for it in outcomes
    ]
    out.print("\n".join(markdown_table(("rates", "B's share", "decisive", *heading), rows)))
    write_json(json.dumps([asdict(it) for it in outcomes], indent=2), json_file)


def _name(test: Test) -> str:
    return f"{test.rate_a:g} / {test.rate_b:g}, {test.share:g}, {test.decisive:g}"


if __name__ == "__main__":
    typer.run(main)
