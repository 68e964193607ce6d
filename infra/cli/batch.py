"""``segue batch``: lists for everybody in a data folder."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.options import BUNDLE, Data, Json, read_time
from infra.cli.output import console, count, write_json


def batch(
    data: Data,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="A new folder, or one to go on with.")
    ],
    bundle: Annotated[
        Path, typer.Option(metavar="BUNDLE", help="What `segue train` has written.")
    ] = BUNDLE,
    model: Annotated[int, typer.Option(help="The number of the model in the bundle.")] = 3,
    k: Annotated[int, typer.Option(min=1, max=100, help="Length of the lists.")] = 20,
    as_of: Annotated[
        int | None,
        typer.Option(
            parser=read_time,
            metavar="TIME",
            help="Recommend as of this time (ISO 8601 or epoch milliseconds); right after the "
            "last event where it is not given.",
        ),
    ] = None,
    shards: Annotated[
        int,
        typer.Option(
            min=1, max=99_999, help="How many files. A stopped run repeats those that it was at."
        ),
    ] = 16,
    workers: Annotated[
        int | None, typer.Option(min=1, help="How many processes; as many as there are cores.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Write a list for every user of a data folder, as Parquet. Safe to repeat; resumes.

    A row holds user_id, tracks (best first), scores, model, bundle and as_of. Whoever has played
    nothing lately gets what is popular in their favourite genres.
    """
    from infra.batch import batch_folder
    from infra.progress import progress_bars

    terminal = console(json_file)
    with progress_bars(terminal) as report:
        summary = batch_folder(
            data,
            bundle,
            out,
            model_id=model,
            k=k,
            as_of=as_of,
            shards=shards,
            workers=workers or os.cpu_count() or 1,
            progress=report,
        )
    terminal.print(
        f"{out}: {count(summary.lists, 'list')} of the {summary.model} in "
        f"{count(summary.files, 'file')}; {count(summary.skipped_files, 'file')} there already"
    )
    write_json(json.dumps(asdict(summary), indent=2), json_file)
