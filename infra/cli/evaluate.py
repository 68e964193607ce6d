"""``segue evaluate``: how good our models are, and their peers."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from infra.cli.options import Data, Json, read_time
from infra.cli.output import console, write_json


def evaluate(
    data: Data,
    split: Annotated[
        Literal["temporal", "given"],
        typer.Option(help="temporal: by cut-offs. given: the split that the data came with."),
    ] = "temporal",
    cutoff: Annotated[
        list[int] | None,
        typer.Option(
            parser=read_time,
            metavar="TIME",
            help="Judge at this time (ISO 8601 or epoch milliseconds), and at others if it is "
            "given again; every week that the data allows where it is not given.",
        ),
    ] = None,
    k: Annotated[int, typer.Option(min=1, max=100, help="Length of the lists.")] = 20,
    peers: Annotated[
        bool, typer.Option("--peers", help="Judge other recommenders beside ours.")
    ] = False,
    long: Annotated[
        bool,
        typer.Option(
            "--long", help="Judge LightFM, SASRec, eSASRec and SANSA as well; implies --peers."
        ),
    ] = False,
    ablations: Annotated[
        bool,
        typer.Option(
            "--ablations",
            help="Judge the autoencoder without artist, without genres and without both, too.",
        ),
    ] = False,
    cold: Annotated[
        bool,
        typer.Option(
            "--cold",
            help="Fit our models once more, with a tenth of the tracks held out of all plays "
            "before the last cut-off, and judge how these are recommended.",
        ),
    ] = False,
    check_leaks: Annotated[
        bool,
        typer.Option(
            "--check-leaks",
            help="Fit our models once more, with garbage for what came after the last cut-off: "
            "whoever then recommends anything else has seen the future.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answer.")] = 7,
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            help="Train our models so many times at each cut-off, with this seed and those that "
            "follow: figures are their means, and intervals hold how much they differ.",
        ),
    ] = 1,
    evaluations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the figures of each listener into this .parquet file: one row a listener, "
            "model or peer, view, cut-off and seed.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a page with pictures into this folder."),
    ] = None,
    json_file: Json = None,
) -> None:
    """Judge our models by what listeners played after a cut-off. Nothing after it is learnt."""
    from infra.cli.standings import show
    from infra.demo.oracle import oracle_of
    from infra.progress import progress_bars
    from training.evaluation.contenders import peer_names
    from training.evaluation.evaluate import evaluate as evaluate_folder
    from training.evaluation.options import Options

    terminal = console(json_file)
    with progress_bars(terminal) as bars:
        options = Options(
            split=split,
            cutoffs=cutoff or (),
            k=k,
            peers=peer_names(long=long) if peers or long else (),
            oracle=oracle_of(data),
            ablations=ablations,
            cold=cold,
            check_leaks=check_leaks,
            seed=seed,
            seeds=seeds,
            evaluations=evaluations,
            progress=bars,
        )
        answer = evaluate_folder(data, options)
    show(answer, terminal)
    write_json(json.dumps(answer, indent=2), json_file)
    if report is not None:
        from training.evaluation.report import write_report

        terminal.print(f"report: {write_report(answer, report)}")
