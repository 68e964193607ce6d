"""How near our models and their peers come to what is possible: ``python -m
infra.simulations.ceiling``.

Few listeners on few cut-offs rank recommenders by luck: what they happen to play next. Here every
listener draws from a pool that is known (``pools.py``), so an oracle is known too, which lists any
tracks of the pool, and each list is judged by many futures, drawn from the pool as the real one is.
What is left is how good the lists are. Prints the table of docs/models.md; the same seed gives the
same figures.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import typer
from matplotlib.figure import Figure

from infra.cli.options import Json
from infra.cli.output import console, markdown_table, write_json
from infra.progress import progress_bars
from infra.simulations.chances import ENOUGH, Luck, Row, judge_world, luck, rows
from infra.simulations.pools import KINDS
from training.evaluation.contenders import ORACLE, peer_names
from training.evaluation.report.style import INK, SETTINGS, colour
from training.protocol.lists import VIEWS


def table(found: Sequence[Row], view: str) -> list[str]:
    """The rows of a view as a table, nDCG / hit."""
    heading = [f"`{view}`", "nDCG@20 / hit@20", "of the oracle's nDCG", *KINDS]
    lines = [
        [
            row.model,
            f"{row.ndcg:.4f} / {row.hit:.3f}",
            f"{row.of_oracle:.1%}",
            *(f"{ndcg:.4f} / {hit:.3f}" for ndcg, hit in row.by_kind.values()),
        ]
        for row in found
        if row.view == view
    ]
    return markdown_table(heading, lines)


def in_words(one: Luck) -> str:
    """What luck does, in a sentence."""
    shares = " and ".join(f"{name} in {share:.0%}" for name, share in one.enough.items())
    return (
        f"{one.view}: judged by one future, the best peer has {one.best_peer:.1%} of the oracle's "
        f"nDCG; of futures, {ENOUGH:.0%} of the best peer's are reached by {shares}"
    )


def draw(found: Sequence[Row], ours: Sequence[str], path: Path) -> None:
    """How much of the oracle's nDCG each has: a dot over all futures, a bar for a single one."""
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure = Figure(figsize=(7.6, 4.2), layout="constrained")
        for axis, view in zip(figure.subplots(1, 2, sharey=True), VIEWS, strict=True):
            shown = [row for row in reversed(found) if row.view == view and row.model != ORACLE]
            for place, row in enumerate(shown):
                shade = colour(row.model, ours, ())
                axis.plot(row.once, (place, place), color=shade, alpha=0.35, linewidth=5)
                axis.plot(row.of_oracle, place, "o", color=shade, markersize=5)
            axis.axvline(1, color=INK, linewidth=0.8)
            axis.set(title=f"{view}: nDCG@20, the oracle has 100 %", xlim=(0, None))
            axis.set_yticks(range(len(shown)), [row.model for row in shown])
            axis.xaxis.set_major_formatter("{x:.0%}")
            axis.grid(axis="x")
        figure.savefig(path, dpi=150)


def main(
    worlds: Annotated[int, typer.Option(min=1, help="How many sets are drawn.")] = 16,
    listeners: Annotated[int, typer.Option(min=10, help="Listeners of a set.")] = 50,
    tracks: Annotated[int, typer.Option(min=1_000, help="Tracks of a set.")] = 20_000,
    futures: Annotated[int, typer.Option(min=1, help="How often the future is drawn.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 7,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the shares of the oracle's nDCG.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Judge our models and their peers by what listeners of known taste could play next."""
    out = console(json_file)
    judged = []
    with progress_bars(out) as report:
        for world in range(worlds):
            report("worlds", world, worlds)
            drawn = seed * 1_000 + world
            judged.append(
                judge_world(drawn, listeners, tracks, futures, peer_names(long=False), report)
            )
        report("worlds", worlds, worlds)
    found, chances = rows(judged), luck(judged)
    for view in VIEWS:
        out.print("\n".join(["", *table(found, view)]))
    out.print("\n".join(["", *map(in_words, chances)]))
    answer = {"rows": list(map(asdict, found)), "luck": list(map(asdict, chances))}
    write_json(json.dumps(answer, indent=2), json_file)
    if picture is not None:
        draw(found, judged[0].ours, picture)


if __name__ == "__main__":
    typer.run(main)
