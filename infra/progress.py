"""Progress of long work at the terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

# Called with a phase's name, how much of it is done, and its total, 0 where that is unknown.
Report = Callable[[str, int, int], None]


def silent(phase: str, done: int, total: int) -> None:
    """No progress."""


@contextmanager
def progress_bars(console: Console) -> Iterator[Report]:
    """One bar for each phase that is reported; they stay when the work is done."""
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console) as bars:

        def report(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                for finished in tasks.values():
                    bars.stop_task(finished)
                tasks[phase] = bars.add_task(phase, total=None)
            bars.update(tasks[phase], completed=done, total=total or None)

        yield report
