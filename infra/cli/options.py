"""Options that several commands share, and how they are read."""

from pathlib import Path
from typing import Annotated

import typer

from segue.domain.times import parse_time

# Where the template's models layer takes the bundle from.
BUNDLE = Path("layers/models/bundle")
STATE = Path(".segue")

Json = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", help="Write the answer as JSON; '-' is standard output."
    ),
]
Data = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", help="Folder with tracks, artists, users, sessions."),
]


def read_time(text: str) -> int:
    """A time on the command line. Raises typer.BadParameter."""
    try:
        return parse_time(int(text) if text.isdigit() else text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is {error}") from None
