"""How many users a paired replay saves: ``python -m infra.simulations.paired``.

Prints the table of docs/statistics.md. The same seed gives the same figures.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer

from infra.cli.options import Json
from infra.cli.output import markdown_table
from infra.simulations.command import simulate_all
from infra.simulations.experiments import ONE_BET, Floats, Ints
from infra.simulations.peeking import Tally
from segue.statistics.evalue import log_bet_on_b, log_evidence

# One looks each time there are so many more users.
_GROWTH = 1.04
_FIRST = 50


@dataclass(frozen=True, slots=True)
class Scenario:
    """The truth: for which part of the users both arms succeed, A alone, and B alone; and the most
    users of a test."""

    both: float
    a_only: float
    b_only: float
    users: int

    @property
    def rates(self) -> tuple[float, float]:
        """Of A and B."""
        return self.both + self.a_only, self.both + self.b_only


@dataclass(frozen=True, slots=True)
class Stopped:
    """In how many tests either arm was declared better, and, where it is B in most of them, the
    median users of these."""

    b: Tally
    a: Tally
    median_users: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of the same users: each compares both arms, or each has one."""

    scenario: Scenario
    paired: Stopped
    unpaired: Stopped


SCENARIOS = (
    # Arms that are alike for most users, for many, and for none more than chance would have it.
    Scenario(0.28, 0.02, 0.06, 20_000),
    Scenario(0.24, 0.06, 0.10, 20_000),
    Scenario(0.102, 0.198, 0.238, 20_000),
    # The arms are equal.
    Scenario(0.28, 0.03, 0.03, 5_000),
    Scenario(0.09, 0.21, 0.21, 5_000),
)


def run(
    scenario: Scenario, experiments: int, seed: int, progress: Callable[[int, int], None]
) -> Outcome:
    """Experiments with a look whenever there are 4 % more users, until both tests have decided."""
    random = np.random.default_rng(seed)
    parts = [scenario.both, scenario.a_only, scenario.b_only]
    parts.append(1 - sum(parts))
    counts = np.zeros((experiments, 2, 4), dtype=np.int64)
    logs = {"paired": _paired, "unpaired": _unpaired}
    stopped = {test: np.zeros((2, experiments), dtype=np.int64) for test in logs}
    users = 0
    while users < scenario.users:
        more = min(max(_FIRST, math.ceil(users * (_GROWTH - 1))), scenario.users - users)
        users += more
        in_b = random.binomial(more, 0.5, size=experiments)
        counts += np.stack([random.multinomial(n, parts) for n in (more - in_b, in_b)], axis=1)
        for test, log_bets in logs.items():
            going_on = np.flatnonzero((stopped[test] == 0).all(axis=0))
            for winner, log_bet in enumerate(log_bets(counts[going_on])):
                stopped[test][winner, going_on[log_bet >= ONE_BET]] = users
        progress(users, scenario.users)
    return Outcome(scenario, *(_stopped(stopped[test]) for test in logs))


def _paired(counts: Ints) -> tuple[Floats, Floats]:
    """Bets on B and on A, by the users of both groups, of whom each compares the arms."""
    _, a_only, b_only, _ = counts.sum(axis=1).T
    return log_bet_on_b(0.5, a_only, 0, b_only, 0), log_bet_on_b(0.5, b_only, 0, a_only, 0)


def _unpaired(counts: Ints) -> tuple[Floats, Floats]:
    """The same, by what those assigned to an arm did with it."""
    a, b = counts[:, 0], counts[:, 1]
    successes_a, successes_b = a[:, 0] + a[:, 1], b[:, 0] + b[:, 2]
    return log_evidence(
        successes_a, a.sum(axis=1) - successes_a, successes_b, b.sum(axis=1) - successes_b
    )


def _stopped(users: Ints) -> Stopped:
    for_b, for_a = (it[it > 0] for it in users)
    experiments = users.shape[1]
    # Of a few wrong decisions, a median says nothing.
    median = float(np.median(for_b)) if 2 * for_b.size > experiments else None
    return Stopped(Tally(for_b.size, experiments), Tally(for_a.size, experiments), median)


def table(outcomes: list[Outcome]) -> list[str]:
    """Who was declared better, and by how many users, with and without pairs."""
    return markdown_table(
        (
            "rates",
            "one arm alone",
            "at most",
            "paired: B is better",
            "A is better",
            "median users",
            "unpaired: B is better",
            "A is better",
            "median users",
            "fewer",
        ),
        [
            (
                _rates(o.scenario),
                _apart(o.scenario),
                f"{o.scenario.users:,}",
                *_cells(o.paired),
                *_cells(o.unpaired),
                _saved(o),
            )
            for o in outcomes
        ],
    )


def _rates(scenario: Scenario) -> str:
    return "{:.2g} / {:.2g}".format(*scenario.rates)


def _apart(scenario: Scenario) -> str:
    return f"{scenario.a_only + scenario.b_only:.0%}"


def _cells(stopped: Stopped) -> tuple[str, str, str]:
    return str(stopped.b), str(stopped.a), _given(stopped.median_users, "{:,.0f}".format)


def _saved(outcome: Outcome) -> str:
    paired, unpaired = outcome.paired.median_users, outcome.unpaired.median_users
    return _given(paired and unpaired and 1 - paired / unpaired, "{:.0%}".format)


def _given(value: float | None, form: Callable[[float], str]) -> str:
    return "-" if value is None else form(value)


def main(
    experiments: Annotated[int, typer.Option(min=1, help="How many per scenario.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 7,
    json_file: Json = None,
) -> None:
    """Simulate replays in which every user compares both arms, and the same with one arm each."""
    simulate_all(
        SCENARIOS,
        lambda it: f"{_rates(it)}, {_apart(it)} apart",
        lambda it, report: run(it, experiments, seed, report),
        table,
        json_file,
    )


if __name__ == "__main__":
    typer.run(main)
