"""Where output goes: words and bars for people, JSON for programs, and never both in one stream."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer
from rich.console import Console

_STANDARD_OUTPUT = Path("-")


def console(json_file: Path | None = None) -> Console:
    """For people: standard output, or standard error where standard output is for the JSON."""
    stream = sys.stderr if json_file == _STANDARD_OUTPUT else sys.stdout
    return Console(file=stream, markup=False, highlight=False, soft_wrap=True)


def markdown_table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table, as the documents hold it."""
    return [f"| {' | '.join(row)} |" for row in (heading, ["---"] * len(heading), *rows)]


def write_json(text: str, json_file: Path | None) -> None:
    """Write the answer where ``--json`` says; nowhere where it was not given."""
    if json_file == _STANDARD_OUTPUT:
        typer.echo(text)
    elif json_file:
        json_file.write_text(text + "\n", encoding="utf-8")
