"""``segue restore``: what was lost of a stack comes back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.options import read_time
from infra.cli.output import console, count
from infra.restore.names import TableName
from segue.domain.errors import InvalidData

if TYPE_CHECKING:
    from infra.restore.erasures import Erasures
    from infra.restore.stack import Stack

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What was lost of a stack comes back: a table, items of one, the archive of results.",
)

Table = Annotated[
    TableName, typer.Argument(metavar="TABLE", help="sessions, users, tracks or exposures.")
]
StackName = Annotated[
    str | None,
    typer.Option("--stack", metavar="NAME", help="The stack, in the region of the environment."),
]
EndpointUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="In place of it a local stack that runs: http://127.0.0.1:4566."
    ),
]
Erased = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Ids of users who were erased since, one a line, beside those that the table of "
        "exposures knows of, from the last 36 days.",
    ),
]


@app.command()
def table(
    table: Table,
    stack: StackName = None,
    backup: Annotated[
        str | None,
        typer.Option(metavar="ARN", help="A backup of the table; else the latest that there is."),
    ] = None,
    erased: Erased = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Bring a table that was deleted back under its own name, with its settings. Safe to repeat.

    DynamoDB makes a backup of a table that is deleted, and keeps it for 35 days.
    """
    from infra.progress import progress_bars
    from infra.restore.tables import restore_table

    found = _stack(stack, endpoint_url)
    terminal = console()
    with progress_bars(terminal) as report:
        done = restore_table(found, table, backup, _erasures(found, erased), report)
    terminal.print(
        f"{table}: {count(done.items, 'item')}, of the backup of {done.taken:%Y-%m-%d %H:%M:%S}; "
        f"at DynamoDB's last count before it there were {done.backed_up:,}. "
        f"{count(done.erased_again, 'user')} erased again"
    )


@app.command()
def items(
    table: Table,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help="A time within the last 35 days, such as 2026-11-30T12:00:00Z; the ARN of a "
            "backup; s3://bucket/prefix/AWSDynamoDB/ID, an export of the whole table; or the name "
            "of another table.",
        ),
    ],
    stack: StackName = None,
    erased: Erased = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Bring back what a table lacks of what it was. What is there stays. Safe to repeat.

    Of a time or a backup, DynamoDB makes a table beside it, which is removed at the end.
    """
    from infra.progress import progress_bars
    from infra.restore.items import restore_items

    found = _stack(stack, endpoint_url)
    terminal = console()
    with progress_bars(terminal) as report:
        done = restore_items(found, table, source, _erasures(found, erased), report)
    terminal.print(
        f"{table}: of {count(done.items, 'item')}, {done.there:,} were there, {done.written:,} "
        f"were written, {done.left_out:,} have no place any more, and nothing is missing. "
        f"{count(done.erased_again, 'user')} erased meanwhile"
    )


@app.command()
def archive(
    as_of: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="A time within the last 30 days, such as 2026-11-30T12:00:00Z."
        ),
    ],
    stack: StackName = None,
    erased: Erased = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Put the archive of results back to what it was, and the table of exposures in step with it.

    What it lacks then, the maintenance archives again. Safe to repeat.
    """
    from infra.progress import progress_bars
    from infra.restore.archive import restore_archive

    found, moment = _stack(stack, endpoint_url), read_time(as_of)
    terminal = console()
    with progress_bars(terminal) as report:
        done = restore_archive(found, moment, _erasures(found, erased), report)
    terminal.print(
        f"archive: {count(done.epochs, 'epoch')}; {count(done.manifests, 'manifest')} and "
        f"{count(done.files, 'file')} put back; {count(done.unarchived, 'record')} to be archived "
        f"anew; {count(done.erased_again, 'record')} of erased users taken out again"
    )


def _stack(name: str | None, endpoint_url: str | None) -> "Stack":
    from infra.restore.stack import deployed_stack, local_stack

    if name and not endpoint_url:
        return deployed_stack(name)
    if endpoint_url and not name:
        return local_stack(endpoint_url)
    raise InvalidData("say where: either --stack NAME, or --endpoint-url of a local stack")


def _erasures(stack: "Stack", file: Path | None) -> "Erasures":
    from infra.restore.erasures import Erasures, read_erased

    return Erasures(stack, read_erased(file) if file else ())
