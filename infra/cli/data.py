"""``segue data``: write the demo data, and look into any data folder."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.options import STATE, Json
from infra.cli.output import console, write_json
from segue.domain.errors import InvalidData

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Demo data, and a look into any data folder.",
)


@app.command()
def demo(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="An empty or a new folder.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same data.")] = 7,
    listeners: Annotated[int, typer.Option(help="How many listeners.")] = 1_000,
    tracks: Annotated[int, typer.Option(help="How many tracks.")] = 20_000,
    json_file: Json = None,
) -> None:
    """Write demo data. It has listeners with tastes, a catalogue, and years of listening."""
    from infra.demo import generate
    from infra.progress import progress_bars

    out = console(json_file)
    try:
        with progress_bars(out) as report:
            summary = generate(
                directory, seed=seed, listeners=listeners, tracks=tracks, progress=report
            )
    except (FileExistsError, ValueError) as error:
        raise InvalidData(str(error)) from None
    out.print(
        f"{directory}: {summary.events:,} events of {summary.listeners:,} listeners, "
        f"{summary.tracks:,} tracks"
    )
    write_json(json.dumps(asdict(summary), default=str, indent=2), json_file)


@app.command()
def movielens(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="An empty or a new folder.")],
    source: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A wheel of RecBole, or a folder with its atomic files; else the wheel is "
            "downloaded with pip.",
        ),
    ] = None,
    json_file: Json = None,
) -> None:
    """Write MovieLens-100k as a data folder. A rating of 4 or 5 is a film seen to the end."""
    from infra.movielens import atomic_files
    from training.data import convert_movielens

    with atomic_files(source) as folder:
        written = convert_movielens(folder, directory)
    console(json_file).print(
        f"{directory}: {written.ratings:,} ratings of {written.users:,} users, "
        f"{written.items:,} films"
    )
    write_json(json.dumps(asdict(written), indent=2), json_file)


@app.command()
def check(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A data folder, RecBole's atomic files, or lists of a given split."
        ),
    ],
    quarantine: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the rows go that cannot be used.")
    ] = STATE / "quarantine.jsonl",
    json_file: Json = None,
) -> None:
    """Say what a data folder holds. What of it cannot be used is counted, with the reasons; the
    first such rows are shown, and all of them are in the quarantine file."""
    from infra.progress import progress_bars
    from training.data import check as check_folder
    from training.data import render, render_quarantine

    out = console(json_file)
    with progress_bars(out) as report:
        reading = partial(report, "reading the data")
        summary = check_folder(directory, quarantine=quarantine, progress=reading)
    out.print(render(summary))
    if rows := sum(file.quarantined for file in summary.files.values()):
        out.print(render_quarantine(quarantine, rows))
    write_json(summary.to_json(), json_file)
