"""How costs grow: ``python -m infra.benchmarks.growth --bundle BUNDLE --picture FILE.png``.

Ten times as many tracks, listeners and results at every step. What grows with them, and what does
not, is drawn into one picture.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import matplotlib as mpl
import numpy as np
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import NullFormatter

from infra.benchmarks.archive import Growing, measured
from infra.benchmarks.catalogue import write_large_bundle
from infra.benchmarks.listeners import make_listeners, recommender
from infra.benchmarks.local import ask_tables
from infra.benchmarks.local_world import local_world
from infra.benchmarks.peers import flat_scan, vectors
from infra.benchmarks.serving import LISTENERS, asking, interleaved
from infra.cli.options import Json
from infra.cli.output import console, write_json
from segue.models.bundle import Bundle
from segue.services.recommend import Query
from training.evaluation.report.style import MARKERS, OURS, PEER, SETTINGS

_SIZE = (9.6, 3.2)
_STEP = 10


@dataclass(frozen=True)
class Point:
    """What one thing takes, in ``unit``, at a size of what it is asked of; of times, the median."""

    panel: str
    series: str
    size: int
    taken: float
    unit: str = "ms"


def of_catalogue(bundle: Bundle, tracks: int, repeats: int, seed: int) -> Iterator[Point]:
    """CPU time of a request, by tracks: as many as the bundle has, and up to so many."""
    smallest, *larger = _sizes(len(bundle.catalogue), tracks)
    yield from _requests(bundle, smallest, repeats, seed)
    for size in larger:
        with TemporaryDirectory(prefix="segue-") as folder:
            write_large_bundle(Path(folder) / "bundle", bundle, size, seed)
            yield from _requests(Bundle.open(Path(folder) / "bundle"), size, repeats, seed)


def _requests(bundle: Bundle, size: int, repeats: int, seed: int) -> Iterator[Point]:
    listeners = make_listeners(bundle, LISTENERS, seed)
    service = recommender(bundle, listeners)
    models = bundle.manifest.models.items()
    acts = {model["name"]: asking(service, Query("", number)) for number, model in models}
    acts["all vectors of 64, by NumPy"] = flat_scan(vectors(size, seed))
    for name, times in interleaved(acts, listeners, repeats).items():
        yield Point("tracks in the catalogue: CPU time", name, size, float(np.median(times.cpu)))


def of_tables(bundle: Bundle, listeners: int, repeats: int, seed: int) -> Iterator[Point]:
    """A request with its reads of the local tables, by who is in them: the CPU time that it takes,
    and the time by the clock, most of which is the emulator's."""
    people = make_listeners(bundle, listeners, seed)
    sizes = _sizes(max(listeners // _STEP**2, 1), listeners)
    with local_world(bundle, seed, sizes[0]) as world:
        for before, size in zip([sizes[0], *sizes], sizes, strict=False):
            for one in people[before:size]:
                world.users().put(one.user)
                world.sessions().put(one.events)
            times, _ = ask_tables(world, repeats)
            for name, taken in (("by the clock", times.wall), ("CPU time", times.cpu)):
                yield Point("listeners in the tables: hybrid", name, size, float(np.median(taken)))


def of_results(results: int, seed: int) -> Iterator[Point]:
    """CPU time of reading the archive and of adding to it, by the results that it holds."""
    names = {"read for a report": "read", "1,000 more records": "add 1,000"}
    for each in measured(Growing(seed), results):
        if each.question in names:
            series = names[each.question]
            yield Point(
                "results in the archive: CPU time", series, each.archived, 1_000 * each.seconds
            )


def draw(points: Sequence[Point], path: Path) -> None:
    """A panel for each thing that grows; a straight line upwards by one is growth as fast."""
    panels = list(dict.fromkeys(point.panel for point in points))
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        picture = Picture(figsize=_SIZE, layout="constrained")
        for axis, panel in zip(picture.subplots(1, len(panels)), panels, strict=True):
            _draw_panel(axis, panel, [point for point in points if point.panel == panel])
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.savefig(path, dpi=150)


def _draw_panel(axis: Axes, panel: str, points: Sequence[Point]) -> None:
    names = list(dict.fromkeys(point.series for point in points))
    colours = [*OURS[: max(len(names) - 1, 2)], PEER]
    for place, series in enumerate(names):
        own = [point for point in points if point.series == series]
        sizes, times = [point.size for point in own], [point.taken for point in own]
        axis.plot(sizes, times, color=colours[place], marker=MARKERS[place], label=series)
    axis.set(title=panel, xscale="log", yscale="log", ylabel=points[0].unit)
    # Whole powers of ten, and room for the legend.
    lowest, highest = (math.log10(end(point.taken for point in points)) for end in (min, max))
    axis.set_ylim(10 ** math.floor(lowest), 10 ** math.ceil(highest + 0.15 * len(names)))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.yaxis.set_major_formatter("{x:,g}")
    for side in (axis.xaxis, axis.yaxis):
        side.set_minor_formatter(NullFormatter())
    axis.grid(visible=True)
    axis.legend(loc="upper left")


def _sizes(smallest: int, largest: int) -> list[int]:
    """From the smallest by steps to the largest."""
    sizes = [largest]
    while sizes[0] >= _STEP * smallest:
        sizes.insert(0, sizes[0] // _STEP)
    return sizes if sizes[0] == smallest else [smallest, *sizes]


def main(
    bundle: Annotated[Path, typer.Option(metavar="BUNDLE", help="A trained bundle.")],
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it.")] = None,
    tracks: Annotated[int, typer.Option(min=1, help="Tracks at most.")] = 1_000_000,
    listeners: Annotated[int, typer.Option(min=1, help="Listeners at most.")] = 2_000,
    results: Annotated[int, typer.Option(min=1_000, help="Results at most.")] = 1_000_000,
    repeats: Annotated[int, typer.Option(min=1, help="Requests of each listener.")] = 5,
    seed: Annotated[int, typer.Option(help="The same seed makes up the same.")] = 7,
    json_file: Json = None,
) -> None:
    """Measure how requests and reports grow with what is asked of, and draw it."""
    out, trained = console(json_file), Bundle.open(bundle)
    points: list[Point] = []
    for some in (
        of_catalogue(trained, tracks, repeats, seed),
        of_tables(trained, listeners, repeats, seed),
        of_results(results, seed),
    ):
        for point in some:
            points.append(point)
            out.print(
                f"{point.size:>10,} {point.panel:<36}{point.series:<29}{point.taken:>10.2f} ms"
            )
    if picture is not None:
        draw(points, picture)
    write_json(json.dumps([asdict(point) for point in points], indent=2), json_file)


if __name__ == "__main__":
    typer.run(main)
