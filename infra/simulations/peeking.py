"""What looking again and again does to a test: ``python -m infra.simulations.peeking``.

Prints the tables of docs/statistics.md. The same seed gives the same figures.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import typer

from infra.cli.options import Json
from infra.cli.output import console, markdown_table, write_json
from infra.progress import Report, progress_bars
from infra.simulations.experiments import (
    Flags,
    Looks,
    Scenario,
    evidence,
    evidence_stops,
    points_one_way,
    posterior_stops,
    shares_are_off,
    simulate,
    z_stops,
)
from segue.experiments.statistics.counts import Counts
from segue.experiments.statistics.fixed_horizon import wilson
from segue.experiments.statistics.power import users_needed

EQUAL_ARMS = (Scenario(0.3, 0.3, 5_000), Scenario(0.7, 0.7, 5_000))
BETTER_B = (
    Scenario(0.3, 0.7, 400),
    Scenario(0.6, 0.7, 4_000, look_every=5),
    Scenario(0.70, 0.72, 60_000, look_every=50),
)
LOST_USERS = (
    Scenario(0.7, 0.7, 10_000, look_every=10, reached_b=0.48),
    Scenario(0.7, 0.7, 20_000, look_every=10, reached_b=0.48),
)


@dataclass(frozen=True, slots=True)
class Tally:
    """Of how many simulated experiments something was so, at any look or at the last one."""

    count: int
    experiments: int

    def __str__(self) -> str:
        low, high = wilson(Counts(self.count, self.experiments))
        return f"{self.count / self.experiments:.1%} ({low:.1%} to {high:.1%})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a scenario's experiments; ``median_users`` of those that were decided."""

    scenario: Scenario
    tallies: dict[str, Tally]
    median_users: float | None


def verdicts(looks: Looks) -> dict[str, Flags]:
    """At each look: what the e-value alone would decide, and what the whole verdict says."""
    plus, minus = evidence(looks)
    alone, off = evidence_stops(plus, minus), shares_are_off(looks)
    decided = alone & ~off & points_one_way(looks, plus, minus)
    return {
        "E alone": alone,
        "verdict": decided,
        "verdict: B": decided & (plus > minus),
        "verdict: A": decided & (minus > plus),
        "sample ratio off": off,
    }


def with_naive_rules(looks: Looks) -> dict[str, Flags]:
    """Those, and what a reader would decide who takes each look for the only one."""
    return verdicts(looks) | {"z-test": z_stops(looks), "P(B > A)": posterior_stops(looks)}


def run(
    scenario: Scenario,
    experiments: int,
    seed: int,
    rules: Callable[[Looks], dict[str, Flags]],
    progress: Callable[[int, int], None],
) -> Outcome:
    """How many experiments each rule stopped at some look, and how many at the last."""
    stopped: dict[str, int] = {}
    users: list[np.ndarray] = []
    done = 0
    for looks in simulate(scenario, experiments, seed):
        flags = rules(looks)
        for rule, at in flags.items():
            stopped[rule] = stopped.get(rule, 0) + int(at.any(axis=1).sum())
            at_end = f"{rule}, at the end"
            stopped[at_end] = stopped.get(at_end, 0) + int(at[:, -1].sum())
        decided = flags["verdict"]
        users.append((decided.argmax(axis=1)[decided.any(axis=1)] + 1) * scenario.look_every)
        done += len(decided)
        progress(done, experiments)
    decisions = np.concatenate(users)
    return Outcome(
        scenario,
        {rule: Tally(count, experiments) for rule, count in stopped.items()},
        float(np.median(decisions)) if decisions.size else None,
    )


def run_all(experiments: int, seed: int, report: Report) -> list[list[Outcome]]:
    """Each table's outcomes: equal arms, a better arm, lost users."""
    tables = ((EQUAL_ARMS, with_naive_rules), (BETTER_B, verdicts), (LOST_USERS, verdicts))

    def outcome(scenario: Scenario, rules: Callable[[Looks], dict[str, Flags]]) -> Outcome:
        phase = f"{_rates(scenario)}, {scenario.users:,} users"
        return run(scenario, experiments, seed, rules, lambda *done: report(phase, *done))

    return [[outcome(scenario, rules) for scenario in scenarios] for scenarios, rules in tables]


def equal_arms_table(outcomes: list[Outcome]) -> list[str]:
    """How often each rule ever finds a winner where there is none."""
    rules = ("verdict", "E alone", "z-test", "P(B > A)")
    return markdown_table(
        ("rates", "users", *rules),
        [
            (_rates(o.scenario), f"{o.scenario.users:,}", *(str(o.tallies[r]) for r in rules))
            for o in outcomes
        ],
    )


def better_arm_table(outcomes: list[Outcome]) -> list[str]:
    """How soon the verdict finds the better arm, beside a test that looks once."""
    return markdown_table(
        ("rates", "at most", "B is better", "A is better", "median users", "one look, 80 % power"),
        [
            (
                _rates(o.scenario),
                f"{o.scenario.users:,} users",
                str(o.tallies["verdict: B"]),
                str(o.tallies["verdict: A"]),
                "none" if o.median_users is None else f"{o.median_users:,.0f}",
                f"{users_needed(o.scenario.rate_a, o.scenario.rate_b):,.0f}",
            )
            for o in outcomes
        ],
    )


def lost_users_table(outcomes: list[Outcome]) -> list[str]:
    """What the sample ratio's alarm keeps from being decided."""
    columns = {
        "E alone decides": "E alone",
        "verdict decides at some look": "verdict",
        "verdict decides at the end": "verdict, at the end",
        "withheld at the end": "sample ratio off, at the end",
    }
    return markdown_table(
        ("rates", "users", *columns),
        [
            (
                _rates(o.scenario),
                f"{o.scenario.users:,}",
                *(str(o.tallies[rule]) for rule in columns.values()),
            )
            for o in outcomes
        ],
    )


def _rates(scenario: Scenario) -> str:
    return f"{scenario.rate_a:g} / {scenario.rate_b:g}"


def main(
    experiments: Annotated[int, typer.Option(min=1, help="How many per scenario.")] = 2_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 7,
    json_file: Json = None,
) -> None:
    """Simulate experiments whose truth is known, and print what the rules made of them."""
    out = console(json_file)
    with progress_bars(out) as report:
        equal, better, lost = run_all(experiments, seed, report)
    for lines in (equal_arms_table(equal), better_arm_table(better), lost_users_table(lost)):
        out.print("\n".join(["", *lines]))
    outcomes = [asdict(outcome) for outcome in (*equal, *better, *lost)]
    write_json(json.dumps(outcomes, indent=2), json_file)


if __name__ == "__main__":
    typer.run(main)
