"""``segue export``: events out of the table, into a lake."""

from typing import Annotated

import typer

from infra.cli.output import console


def export(
    events: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="A finished export of the table of sessions, as DynamoDB has written it: "
            "s3://bucket/prefix/AWSDynamoDB/ID.",
        ),
    ],
    lake: Annotated[str, typer.Option(metavar="URL", help="Where the lake is: s3://bucket/lake.")],
) -> None:
    """Bring the events of an export into a lake, day by day. Safe to repeat.

    The first export is of the whole table, the others of a day each; all end at midnight UTC.
    """
    from infra.lake import export_events
    from infra.progress import progress_bars

    terminal = console()
    with progress_bars(terminal) as report:
        exported = export_events(events, lake, report)
    terminal.print(
        f"{lake}: {exported.added:,} events added and {exported.removed:,} taken out, in "
        f"{exported.days:,} days"
    )
