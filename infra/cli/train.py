"""``segue train``: from a data folder to a bundle of models."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from infra.cli.options import BUNDLE, Json, read_time
from infra.cli.output import console, write_json


def train(
    data: Annotated[
        str,
        typer.Option(
            metavar="DIR",
            help="Folder with tracks, artists, users, sessions; or with a lake in place of the "
            "sessions. Either may be s3://bucket/prefix.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="BUNDLE", help="Where the bundle goes.")
    ] = BUNDLE,
    cutoff: Annotated[
        int | None,
        typer.Option(
            parser=read_time,
            metavar="TIME",
            help="Train on what lies before this time (ISO 8601 or epoch milliseconds); "
            "30 days before the last event where it is not given.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same models.")] = 7,
    device: Annotated[
        Literal["cpu", "cuda"] | None, typer.Option(help="cuda where there is one, else cpu.")
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A feature schema; else the folder's schema.toml, or Pozytywka's.",
        ),
    ] = None,
    last: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="BUNDLE",
            help="Go on from this bundle of an earlier cut-off, in fewer passes; it may be the one "
            "that is replaced.",
        ),
    ] = None,
    json_file: Json = None,
) -> None:
    """Fit every model and write the bundle. Nothing from the cut-off on is learnt from."""
    from infra.lake import fetched
    from infra.progress import progress_bars
    from training.train import train as train_models

    terminal = console(json_file)
    with fetched(data) as folder, progress_bars(terminal) as report:
        manifest = train_models(
            folder,
            out,
            cutoff=cutoff,
            seed=seed,
            device=device,
            schema=schema,
            last=last,
            progress=report,
        )
    terminal.print(f"{out}: bundle {manifest['version']}, cut-off {manifest['cutoff']}")
    for note in manifest.get("notes", ()):
        terminal.print(f"Note: {note}.")
    write_json(json.dumps(dict(manifest), indent=2), json_file)
