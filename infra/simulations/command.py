"""What the commands that simulate scenarios have in common."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from infra.cli.output import console, write_json
from infra.progress import progress_bars

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

S = TypeVar("S")
R = TypeVar("R", bound="DataclassInstance")


def simulate_all(
    scenarios: Sequence[S],
    phase: Callable[[S], str],
    run: Callable[[S, Callable[[int, int], None]], R],
    table: Callable[[list[R]], list[str]],
    json_file: Path | None,
) -> None:
    """Run each scenario, with a progress bar named ``phase``, and print the table of outcomes."""
    out = console(json_file)
    with progress_bars(out) as report:

        def outcome(scenario: S) -> R:
            return run(scenario, lambda *done: report(phase(scenario), *done))

        outcomes = [outcome(scenario) for scenario in scenarios]
    out.print("\n".join(table(outcomes)))
    write_json(json.dumps([asdict(it) for it in outcomes], indent=2), json_file)
