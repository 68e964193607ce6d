"""The root command: what holds for every command is said here."""

from typing import Any

import typer
from typer.core import TyperGroup

import segue
from infra.cli import (
    batch,
    bench,
    convert,
    data,
    evaluate,
    export,
    importing,
    models,
    opening,
    report,
    restore,
    results,
    serve,
    simulate,
    stats,
    train,
)
from segue.domain.errors import SegueError


class _OneLineErrors(TyperGroup):
    """Says what is wrong in one line on standard error, with exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (SegueError, OSError) as error:
            typer.echo(f"segue: {error}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="A track recommender, and the experiments that tell which of its models is better.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(segue.__version__)
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """What comes before the command's name."""


app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.add_typer(results.app, name="results")
app.add_typer(restore.app, name="restore")
app.command("convert")(convert.convert)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("batch")(batch.batch)
app.command("import")(importing.import_data)
app.command("export")(export.export)
app.command("serve")(serve.serve)
app.command("open")(opening.open_explorer)
app.command("simulate")(simulate.simulate)
app.command("report")(report.report)
app.command("stats")(stats.stats)
app.command("bench")(bench.bench)
