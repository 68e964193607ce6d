"""How often asymptotic intervals miss the truth: ``python -m infra.simulations.asymptotic``.

Prints the tables of docs/statistics.md. The same seed gives the same figures.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from infra.cli.options import Json
from infra.cli.output import console, markdown_table, write_json
from infra.progress import progress_bars
from infra.simulations.peeking import Tally
from segue.statistics.adjustment import adjusted_difference
from segue.statistics.asymptotic import Sample, difference_interval, lift_interval

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]

# B's mean is larger by this part of A's.
LIFT = 0.1
# Of a single look, the 95 % interval reaches so many standard errors.
_ONE_LOOK = 1.96


def _full_plays(random: np.random.Generator, users: int) -> Floats:
    """Most listeners play little, a few play hundreds of tracks. The mean is 20."""
    return random.negative_binomial(0.5, 0.5 / 20.5, users).astype(np.float64)


def _listening_time(random: np.random.Generator, users: int) -> Floats:
    """A fifth does not listen at all, the others for very different times. The mean is 100."""
    hours = random.lognormal(-(1.2**2) / 2, 1.2, users)
    return 125 * hours * (random.random(users) < 0.8)


def _skip_rate(random: np.random.Generator, users: int) -> Floats:
    """A share of each listener's plays. The mean is 0.3."""
    return random.beta(1.5, 3.5, users)


# What a user of A is like, and the mean of all.
METRICS: dict[str, tuple[Draw, float]] = {
    "full plays": (_full_plays, 20.0),
    "listening time": (_listening_time, 100.0),
    "skip rate": (_skip_rate, 0.3),
}
# How much more often they succeed who completed all of their plays before than those who completed
# none. A fifth has no plays before.
FORETOLD = {"nothing is foretold": 0.0, "earlier plays foretell much": 0.8}
_NEW = 0.2


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of how many experiments an interval missed the truth at some look.

    ``width``: of the last interval, beside that of a single look without adjustment; on average.
    """

    missed: Tally
    width: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a metric: the intervals of the difference and of the relative lift."""

    metric: str
    users: int
    difference: Coverage
    missed_lift: Tally


def run(metric: str, users: int, look_every: int, experiments: int, seed: int) -> Outcome:
    """Experiments with ``users`` in each arm, looked at after every ``look_every`` of each."""
    draw, mean = METRICS[metric]
    random = np.random.default_rng(seed)
    missed = missed_lifts = 0
    widths = []
    for _ in range(experiments):
        a, b = draw(random, users), (1 + LIFT) * draw(random, users)
        looks = list(zip(_samples(a, look_every), _samples(b, look_every), strict=True))
        missed += any(not _holds(difference_interval(*it), LIFT * mean) for it in looks)
        missed_lifts += any(not _holds(lift_interval(*it), LIFT) for it in looks)
        low, high = difference_interval(*looks[-1])
        error = math.sqrt(sum(it.variance / it.users for it in looks[-1]))
        widths.append((high - low) / (2 * _ONE_LOOK * error))
    return Outcome(
        metric,
        users,
        Coverage(Tally(missed, experiments), float(np.mean(widths))),
        Tally(missed_lifts, experiments),
    )


def _samples(values: Floats, look_every: int) -> list[Sample]:
    """One arm's values as of each look."""
    ends = np.arange(look_every, len(values) + 1, look_every)
    totals, squares = values.cumsum()[ends - 1], (values**2).cumsum()[ends - 1]
    return [
        Sample(*it) for it in zip(ends.tolist(), totals.tolist(), squares.tolist(), strict=True)
    ]


def run_adjusted(
    foretold: float, users: int, look_every: int, experiments: int, seed: int
) -> Coverage:
    """The same of the adjusted difference of rates, of which B's is higher by 0.05."""
    random = np.random.default_rng(seed)
    strata = np.append(np.arange(0, 101, 5) / 100, np.nan)
    chances = 0.45 + foretold * np.nan_to_num(strata - 0.5)
    rates = np.stack([chances, chances + 0.05])
    shares = np.append(np.full(21, (1 - _NEW) / 21), _NEW)
    missed = 0
    widths = []
    for _ in range(experiments):
        looks = users // look_every
        counts = random.multinomial(look_every, shares, size=(looks, 2))
        successes = random.binomial(counts, rates)
        found = [
            it
            for s, n in zip(successes.cumsum(axis=0), counts.cumsum(axis=0), strict=True)
            if (it := adjusted_difference(strata, s, n))
        ]
        missed += any(not _holds(it.interval, 0.05) for it in found)
        low, high = found[-1].interval
        overall = successes.sum(axis=(0, 2)) / users
        error = math.sqrt(float((overall * (1 - overall)).sum()) / users)
        widths.append((high - low) / (2 * _ONE_LOOK * error))
    return Coverage(Tally(missed, experiments), float(np.mean(widths)))


def _holds(interval: tuple[float, float], truth: float) -> bool:
    low, high = interval
    return low <= truth <= high


def table(outcomes: list[Outcome]) -> list[str]:
    """How often the intervals of the metrics missed."""
    return markdown_table(
        ("metric", "users of each arm", "difference missed", "lift missed", "times one look"),
        [
            (
                o.metric,
                f"{o.users:,}",
                str(o.difference.missed),
                str(o.missed_lift),
                f"{o.difference.width:.2f}",
            )
            for o in outcomes
        ],
    )


def adjusted_table(outcomes: dict[str, Coverage], users: int) -> list[str]:
    """How often the adjusted interval missed, and how wide it is."""
    return markdown_table(
        ("", "users of each arm", "difference missed", "times one look, not adjusted"),
        [(name, f"{users:,}", str(o.missed), f"{o.width:.2f}") for name, o in outcomes.items()],
    )


def main(
    experiments: Annotated[int, typer.Option(min=1, help="How many of each kind.")] = 1_000,
    users: Annotated[int, typer.Option(min=200, help="Of each arm.")] = 5_000,
    look_every: Annotated[int, typer.Option(min=1, help="Users of each arm.")] = 50,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 7,
    json_file: Json = None,
) -> None:
    """Simulate arms whose means are known, and print how often the intervals miss them."""
    out = console(json_file)
    settings = (users, look_every, experiments, seed)
    outcomes, adjusted = [], {}
    with progress_bars(out) as report:
        for done, metric in enumerate(METRICS, start=1):
            outcomes.append(run(metric, *settings))
            report("metrics", done, len(METRICS))
        for done, (name, foretold) in enumerate(FORETOLD.items(), start=1):
            adjusted[name] = run_adjusted(foretold, *settings)
            report("adjusted", done, len(FORETOLD))
    out.print("\n".join([*table(outcomes), "", *adjusted_table(adjusted, users)]))
    found = {
        "metrics": [asdict(it) for it in outcomes],
        "adjusted": {name: asdict(it) for name, it in adjusted.items()},
    }
    write_json(json.dumps(found, indent=2), json_file)


if __name__ == "__main__":
    typer.run(main)
