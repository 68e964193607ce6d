"""What looking again and again does to a test: ``python -m infra.simulations.peeking``.

Prints the tables of docs/statistics.md. The same seed gives the same figures.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import typer

from infra.cli.options import Json
from infra.cli.output import console, markdown_table, write_json
from infra.progress import Report, progress_bars
from infra.simulations import adaptive, intervals
from infra.simulations.adaptive import Adaptive
from infra.simulations.experiments import (
    BOTH_BETS,
    NEVER,
    ONE_BET,
    Ints,
    Looks,
    Scenario,
    Trend,
    evidence_at_share,
    first_decision,
    first_of,
    posterior_stops,
    shares_are_off,
    simulate,
    winners,
    z_stops,
)
from infra.simulations.intervals import Coverage
from segue.statistics.counts import Counts
from segue.statistics.fixed_horizon import wilson
from segue.statistics.power import users_at_one_look

EQUAL_ARMS = (Scenario(0.3, 0.3, 5_000), Scenario(0.7, 0.7, 5_000))
BETTER_B = (
    Scenario(0.3, 0.7, 400),
    Scenario(0.6, 0.7, 4_000, look_every=5),
    Scenario(0.70, 0.72, 60_000, look_every=50),
)
WRONG_SHARE = tuple(
    Scenario(0.7, 0.7, users, look_every=10, share_b=0.52) for users in (10_000, 20_000)
)
UNSTEADY = {
    "rates rise by half": Scenario(0.15, 0.15, 4_000, trend=Trend.RISING),
    "rates step up by half": Scenario(0.15, 0.15, 4_000, trend=Trend.STEP),
    "rates rise, outcomes settle 500 users late": Scenario(
        0.15, 0.15, 4_000, trend=Trend.RISING, lag=500
    ),
    "20 % of both arms' failures lost": Scenario(
        0.3, 0.3, 20_000, look_every=20, lost_a=0.2, lost_b=0.2
    ),
    "10 % of B's failures lost": Scenario(0.3, 0.3, 20_000, look_every=20, lost_b=0.1),
    "the same at a higher rate": Scenario(0.7, 0.7, 20_000, look_every=20, lost_b=0.1),
}
THOMPSON = (
    Adaptive(0.3, 0.3),
    Adaptive(0.15, 0.15, Trend.RISING),
    Adaptive(0.15, 0.15, Trend.STEP),
    Adaptive(0.65, 0.65, Trend.FALLING),
    Adaptive(0.15, 0.15, Trend.RISING, lag=500),
    Adaptive(0.3, 0.4),
    Adaptive(0.3, 0.4, lag=500),
)
# Rates and B's share; both arms' users, and after how many of them one looks.
INTERVALS = tuple(
    Scenario(rate_a, rate_b, users, look_every, share_b)
    for rate_a, rate_b, share_b in (
        (0.3, 0.3, 0.5),
        (0.3, 0.4, 0.5),
        (0.05, 0.06, 0.5),
        (0.7, 0.72, 0.5),
        (0.01, 0.01, 0.5),
        (0.99, 0.99, 0.5),
        (0.3, 0.4, 0.1),
        (0.05, 0.06, 0.1),
    )
    for users, look_every in ((500, 1), (2_000, 5), (20_000, 50))
)

# (experiments,) by rule, the look at which it was met first.
Firsts = dict[str, Ints]
Rules = Callable[[Looks, Scenario], Firsts]


@dataclass(frozen=True, slots=True)
class Tally:
    """Of how many simulated experiments something was so."""

    count: int
    experiments: int

    def __str__(self) -> str:
        return self.to_digits(1)

    def to_digits(self, digits: int) -> str:
        """As a share in percent, with so many digits behind the point, and Wilson's interval."""
        low, high = wilson(Counts(self.count, self.experiments))
        share = self.count / self.experiments
        return f"{share:.{digits}%} ({low:.{digits}%} to {high:.{digits}%})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many of a scenario's experiments met each rule, at any look unless it says otherwise.

    ``median_users`` are those of the experiments that did.
    """

    scenario: Scenario | Adaptive
    tallies: dict[str, Tally]
    median_users: dict[str, float]


def verdicts(looks: Looks, scenario: Scenario) -> Firsts:
    """What the evidence decides, by itself and held by the sample ratio, and what E of old does."""
    plus, minus = at_share = evidence_at_share(looks, 0.5)
    if scenario.share_b != 0.5:
        at_share = evidence_at_share(looks, scenario.share_b)
    off = shares_are_off(looks)
    candidates = np.maximum(*at_share) >= ONE_BET
    verdict = first_decision(looks, candidates & ~off)
    winner = np.zeros_like(verdict)
    (rows,) = np.nonzero(verdict != NEVER)
    winner[rows] = winners(looks.at((rows, verdict[rows])))
    last = looks.at((slice(None), slice(-1, None)))
    return {
        "verdict": verdict,
        "verdict: B": np.where(winner == 1, verdict, NEVER),
        "verdict: A": np.where(winner == -1, verdict, NEVER),
        "verdict at the end": first_decision(last, (candidates & ~off)[:, -1:]),
        "withheld at some look": first_of(off),
        "withheld at the end": first_of(off[:, -1:]),
        "evidence": first_decision(looks, candidates),
        "E at the share": first_of(np.logaddexp(plus, minus) - np.log(2) >= BOTH_BETS),
    }


def with_naive_rules(looks: Looks, scenario: Scenario) -> Firsts:
    """Those, and what a reader would decide who takes each look for the only one."""
    return verdicts(looks, scenario) | {
        "z-test": first_of(z_stops(looks)),
        "P(B > A)": first_of(posterior_stops(looks)),
    }


def run(
    scenario: Scenario,
    experiments: int,
    seed: int,
    rules: Rules,
    progress: Callable[[int, int], None],
) -> Outcome:
    """What the rules make of a scenario's experiments."""
    chunks: list[Firsts] = []
    done = 0
    for looks in simulate(scenario, experiments, seed):
        chunks.append(rules(looks, scenario))
        done += len(looks.successes_a)
        progress(done, experiments)
    firsts = {rule: np.concatenate([chunk[rule] for chunk in chunks]) for rule in chunks[0]}
    return _outcome(scenario, firsts, scenario.look_every)


def run_adaptive(scenario: Adaptive, experiments: int, seed: int) -> Outcome:
    """What the bets on Thompson sampling's probabilities decide, and what two rates of old do."""
    course = adaptive.simulate(scenario, experiments, seed)
    of_rates = adaptive.log_evidence_of_rates(course.looks)
    firsts = {
        "bets: B": first_of(course.on_b >= ONE_BET),
        "bets: A": first_of(course.on_a >= ONE_BET),
        "bets": first_of(np.maximum(course.on_b, course.on_a) >= ONE_BET),
        "E0": first_of(of_rates >= BOTH_BETS),
    }
    return _outcome(scenario, firsts, adaptive.BATCH)


def _outcome(scenario: Scenario | Adaptive, firsts: Firsts, look_every: int) -> Outcome:
    met = {rule: first[first != NEVER] for rule, first in firsts.items()}
    return Outcome(
        scenario,
        {rule: Tally(len(met[rule]), len(first)) for rule, first in firsts.items()},
        {
            rule: float(np.median(first) + 1) * look_every
            for rule, first in met.items()
            if first.size
        },
    )


def equal_arms_table(outcomes: Sequence[Outcome]) -> list[str]:
    """How often each rule ever finds a winner where there is none."""
    rules = ("verdict", "E at the share", "z-test", "P(B > A)", "withheld at some look")
    return _table(("rates", "users", *rules), outcomes, rules)


def better_arm_table(outcomes: Sequence[Outcome]) -> list[str]:
    """How soon the verdict finds the better arm, beside a known share and a single look."""
    heading = ("B is better", "A is better", "median users", "E at the share", "median users")
    return markdown_table(
        ("rates", "at most", *heading, "one look, 80 % power"),
        [
            (
                *_about(o),
                str(o.tallies["verdict: B"]),
                str(o.tallies["verdict: A"]),
                _median(o, "verdict"),
                str(o.tallies["E at the share"]),
                _median(o, "E at the share"),
                f"{users_at_one_look(o.scenario.rate_a, o.scenario.rate_b):,.0f}",
            )
            for o in outcomes
        ],
    )


def wrong_share_table(outcomes: Sequence[Outcome], shares: Sequence[float]) -> list[str]:
    """What becomes of equal arms where B's share of the users is not what it was to be."""
    rules = ("E at the share", "evidence", "verdict", "withheld at the end")
    heading = ("B's share", "rates", "users", "E at a share of 0.5", *rules[1:])
    return _table(heading, outcomes, rules, [f"{share:g}" for share in shares])


def unsteady_table(outcomes: Sequence[Outcome], names: Sequence[str]) -> list[str]:
    """What becomes of equal arms where rates move, outcomes are late or failures are lost."""
    rules = ("E at the share", "verdict", "verdict at the end", "withheld at the end")
    return _table(("", "rates at first", "users", *rules), outcomes, rules, names)


def thompson_table(outcomes: Sequence[Outcome], scenarios: Sequence[Adaptive]) -> list[str]:
    """What is decided where users are allotted by Thompson sampling."""
    rules = ("bets: B", "bets: A", "E0")
    about = [f"{it.trend}{f', settle {it.lag} users late' if it.lag else ''}" for it in scenarios]
    heading = ("rates are", "at first", "users", "B is better", "A is better", "E0 decides")
    return _table(heading, outcomes, rules, about)


def intervals_table(rows: Sequence[tuple[Scenario, Coverage]]) -> list[str]:
    """How often the interval misses, and how wide it is."""
    heading = ("looks", "missed at some look", "width", "Newcombe's", "times")
    return markdown_table(
        ("rates", "B's share", "users", *heading, "looks compared", "disagreements"),
        [
            (
                _rates(scenario),
                f"{scenario.share_b:g}",
                f"{scenario.users:,}",
                f"{scenario.users // scenario.look_every}",
                str(Tally(it.missed, it.experiments)),
                f"{it.width:.3f}",
                f"{it.newcombe:.3f}",
                f"{it.width / it.newcombe:.2f}",
                f"{it.compared}",
                f"{it.disagreements}",
            )
            for scenario, it in rows
        ],
    )


def _table(
    heading: Sequence[str],
    outcomes: Sequence[Outcome],
    rules: Sequence[str],
    names: Sequence[str] = (),
) -> list[str]:
    """A row per outcome: its name, if it has one, its rates and users, and how often each rule."""
    rows = [[*_about(o), *(str(o.tallies[rule]) for rule in rules)] for o in outcomes]
    if names:
        rows = [[name, *row] for name, row in zip(names, rows, strict=True)]
    return markdown_table(heading, rows)


def _about(outcome: Outcome) -> tuple[str, str]:
    return _rates(outcome.scenario), f"{outcome.scenario.users:,}"


def _rates(scenario: Scenario | Adaptive) -> str:
    return f"{scenario.rate_a:g} / {scenario.rate_b:g}"


def _median(outcome: Outcome, rule: str) -> str:
    median = outcome.median_users.get(rule)
    return "none" if median is None else f"{median:,.0f}"


def main(
    experiments: Annotated[
        int, typer.Option(min=8, help="How many per scenario; half as many for the intervals.")
    ] = 2_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 7,
    json_file: Json = None,
) -> None:
    """Simulate experiments whose truth is known, and print what the rules made of them."""
    out = console(json_file)
    with progress_bars(out) as report:

        def outcomes(scenarios: Sequence[Scenario], rules: Rules = verdicts) -> list[Outcome]:
            return [run(it, experiments, seed, rules, _phase(report, it)) for it in scenarios]

        equal, better = outcomes(EQUAL_ARMS, with_naive_rules), outcomes(BETTER_B)
        wrong, unsteady = outcomes(WRONG_SHARE), outcomes(list(UNSTEADY.values()))
        thompson = [run_adaptive(it, experiments, seed) for it in THOMPSON]
        covered = [(it, intervals.cover(it, experiments // 2, seed)) for it in INTERVALS]
    tables = (
        equal_arms_table(equal),
        better_arm_table(better),
        wrong_share_table(wrong, [it.share_b for it in WRONG_SHARE]),
        unsteady_table(unsteady, list(UNSTEADY)),
        thompson_table(thompson, THOMPSON),
        intervals_table(covered),
    )
    for lines in tables:
        out.print("\n".join(["", *lines]))
    found = [asdict(it) for it in (*equal, *better, *wrong, *unsteady, *thompson)]
    found += [{"scenario": asdict(scenario)} | asdict(it) for scenario, it in covered]
    write_json(json.dumps(found, indent=2), json_file)


def _phase(report: Report, scenario: Scenario) -> Callable[[int, int], None]:
    phase = f"{_rates(scenario)}, {scenario.users:,} users"
    return lambda done, of: report(phase, done, of)


if __name__ == "__main__":
    typer.run(main)
