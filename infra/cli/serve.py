"""``segue serve``: the whole service on 127.0.0.1."""

from pathlib import Path
from typing import Annotated

import typer

from infra.cli.options import BUNDLE, STATE
from infra.cli.output import console


def serve(
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A data folder to import first, unless it is there and unchanged. Users who were "
            "erased come back with it, if it still has them.",
        ),
    ] = None,
    bundle: Annotated[Path, typer.Option(metavar="DIR", help="The models to serve.")] = BUNDLE,
    state: Annotated[
        Path, typer.Option(metavar="DIR", help="Where tables, results and logs are kept.")
    ] = STATE,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the API.")] = 8000,
    stack_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Of the tables and the bucket.")
    ] = 4566,
    salvage: Annotated[
        bool,
        typer.Option("--salvage", help="Set damaged files aside; go on with what can be read."),
    ] = False,
) -> None:
    """Serve the API on 127.0.0.1 until Ctrl-C. Tables and bucket run beside it."""
    from infra.local.serve import ServeOptions, serve_until_stopped

    options = ServeOptions(bundle, state, data, port, stack_port, salvage)
    serve_until_stopped(options, console())
