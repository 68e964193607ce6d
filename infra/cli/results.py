"""``segue results``: the records of an A/B test, for whoever wants to look into them."""

from pathlib import Path
from typing import Annotated

import typer

from infra.cli.output import console
from infra.cli.report import LOCAL_URL, Experiment, Live, Url

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The records of an A/B test, as a file."
)


# Without it, Typer would take the only command for all of `segue results`.
@app.callback()
def results() -> None:
    """The records of an A/B test, as a file."""


@app.command()
def export(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="What to write: .parquet has typed columns, .jsonl is what the API answers. It is "
            "there only when it is complete.",
        ),
    ],
    url: Url = LOCAL_URL,
    experiment: Experiment = "default",
    live: Live = False,
) -> None:
    """Write all records of an A/B test of a running service into a file, one row a user."""
    from infra.progress import progress_bars
    from infra.records import export_records
    from infra.service import Service

    terminal = console()
    with progress_bars(terminal) as bars:
        rows = export_records(Service(url), experiment, live, file, bars)
    terminal.print(f"{file}: {rows:,} records")
