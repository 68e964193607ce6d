"""What a guardrail makes of failed calls: ``python -m infra.simulations.guardrails``.

Prints the table of docs/statistics.md. The same seed gives the same figures.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from infra.cli.options import Json
from infra.cli.output import markdown_table
from infra.simulations.command import simulate_all
from infra.simulations.peeking import Tally
from segue.statistics.evalue import DECISIVE
from segue.statistics.guardrails import log_evidence

MARGIN = 0.01


@dataclass(frozen=True, slots=True)
class Scenario:
    """The truth: how often either arm fails; the users of each arm, and how often one looks."""

    rate_a: float
    rate_b: float
    users: int
    look_every: int = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of how many experiments B was declared held, at some look; users of each arm by then."""

    scenario: Scenario
    held: Tally
    median_users: float | None


SCENARIOS = (
    # B fails for more users than the margin allows.
    Scenario(0.0, 0.011, 3_000),
    Scenario(0.0, 0.015, 3_000),
    Scenario(0.0, 0.02, 3_000),
    Scenario(0.01, 0.021, 10_000, look_every=50),
    # The arms are equal.
    Scenario(0.0, 0.0, 1_000),
    Scenario(0.001, 0.001, 3_000),
    Scenario(0.01, 0.01, 10_000, look_every=50),
)


def run(
    scenario: Scenario, experiments: int, seed: int, progress: Callable[[int, int], None]
) -> Outcome:
    """Experiments with arms of equal size, each up to the look at which B is declared held."""
    random = np.random.default_rng(seed)
    failures = np.zeros((experiments, 2), dtype=np.int64)
    ended: list[int] = []
    for users in range(scenario.look_every, scenario.users + 1, scenario.look_every):
        rates = (scenario.rate_a, scenario.rate_b)
        failures += random.binomial(scenario.look_every, rates, size=failures.shape)
        held = is_held(failures, users)
        failures = failures[~held]
        ended += [users] * int(held.sum())
        progress(users, scenario.users)
    return Outcome(
        scenario, Tally(len(ended), experiments), float(np.median(ended)) if ended else None
    )


def is_held(failures: NDArray[np.int64], users: int) -> NDArray[np.bool_]:
    """(experiments,) whether the failed calls of (experiments, arms) are within the margin."""
    # Most pairs of counts recur, so each is judged once.
    pairs, places = np.unique(failures, axis=0, return_inverse=True)
    totals = pairs.astype(np.float64)
    decisive = log_evidence(MARGIN, np.full(2, float(users)), totals, totals) >= math.log(DECISIVE)
    held: NDArray[np.bool_] = decisive & (pairs[:, 1] - pairs[:, 0] < MARGIN * users)
    return held[places.reshape(-1)]


def table(outcomes: list[Outcome]) -> list[str]:
    """How often B was declared held, and how soon."""
    return markdown_table(
        (
            "fail of A / B",
            "users of each arm",
            "declared held at some look",
            "median users by then",
        ),
        [
            (
                _rates(o.scenario),
                f"{o.scenario.users:,}",
                str(o.held),
                "-" if o.median_users is None else f"{o.median_users:,.0f}",
            )
            for o in outcomes
        ],
    )


def _rates(scenario: Scenario) -> str:
    return f"{scenario.rate_a:.1%} / {scenario.rate_b:.1%}"


def main(
    experiments: Annotated[int, typer.Option(min=1, help="How many per scenario.")] = 2_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 7,
    json_file: Json = None,
) -> None:
    """Simulate arms whose rates of failure are known, and print what the guardrail says of them."""
    simulate_all(
        SCENARIOS,
        lambda it: f"{_rates(it)} fail",
        lambda it, report: run(it, experiments, seed, report),
        table,
        json_file,
    )


if __name__ == "__main__":
    typer.run(main)
