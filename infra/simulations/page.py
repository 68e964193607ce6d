"""The report's page on a test of made-up listeners: ``python -m infra.simulations.page FILE.html``.

``make pictures`` takes the README's pictures of it. The same seed gives the same page.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from segue.api.report.page import page
from segue.domain.times import DAY, SECOND, parse_time
from segue.experiments.assignment import assign
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import Arm, Experiment, Figure, Guardrail
from segue.experiments.records import Exposure, Record
from segue.experiments.tally import Tally
from segue.reporting.document import document

CUTOFF = parse_time("2022-09-01")
EPOCH = Epoch(
    Experiment(
        "spring",
        (Arm("control", 1, 0.5), Arm("hybrid", 3, 0.5)),
        guardrails=(
            Guardrail(Figure.LATENCY, 20.0),
            Guardrail(Figure.SKIP_RATE, 0.05),
            Guardrail(Figure.DIVERSITY, 0.05),
        ),
    ),
    bundle="3f8a61c2d9e0",
)
RATES = {"control": 0.4, "hybrid": 0.5}
PLAYS = {"control": 40.0, "hybrid": 44.0}


def made_up(user: int, random: np.random.Generator) -> Record:
    """A listener's outcome. Of the models' calls, one in 400 fails, whichever the arm."""
    arm = assign(EPOCH, str(user))
    failed = random.random() < 1 / 400
    # Of the plays before, as many were full ones; and who plays more through finds more to like.
    appetite = float(random.integers(21)) / 20
    successful = not failed and bool(random.random() < RATES[arm.group] + 0.6 * (appetite - 0.5))
    plays = float(random.negative_binomial(2, 2 / (2 + PLAYS[arm.group])))
    exposure = Exposure(
        str(user),
        arm.group,
        f"model {arm.model_id}",
        EPOCH.bundle,
        () if failed else ("track",),
        CUTOFF,
        CUTOFF,
        error="made up" if failed else None,
        before=None if random.random() < 0.2 else appetite,
        traits={"premium": "yes" if random.random() < 0.3 else "no"},
        figures={
            Figure.LATENCY: float(random.normal(23, 5)),
            Figure.DIVERSITY: 2 * float(random.beta(6, 18)),
        },
    )
    return Record(
        exposure,
        successful,
        CUTOFF + 30 * DAY + user * 180 * SECOND,
        figures={
            Figure.SKIP_RATE: float(random.beta(1.5, 3.5)),
            Figure.ADDED_SUCCESS: float(successful and random.random() < 0.6),
            Figure.FULL_PLAYS: plays,
            Figure.LISTENING_TIME: 3.4 * plays,
        },
    )


def main(
    file: Annotated[Path, typer.Argument(help="Where the page goes.")],
    listeners: Annotated[int, typer.Option(min=1)] = 4_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same page.")] = 7,
) -> None:
    """Write the report on a test whose arms truly succeed with 40 % and 50 %."""
    random = np.random.default_rng(seed)
    tally = Tally.of(made_up(user, random) for user in range(listeners))
    file.write_text(page(document(EPOCH, tally)), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
