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


def read_pairs(text: str, form: str) -> dict[str, str]:
    """``a=b,c=d`` as a mapping; ``form`` shows what is wanted. Raises typer.BadParameter."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if not all(name.strip() and value.strip() for name, _, value in pairs):
        raise typer.BadParameter(f"{text!r} is not {form}")
    return {name.strip(): value.strip() for name, _, value in pairs}
