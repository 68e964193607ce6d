"""How fitting grows with listening: ``python -m infra.benchmarks.fit --keep DIR --page PAGE``.

Makes logs up, ten times as long at every step, has ``segue train`` make a bundle of each in a
process of its own, and writes what that took into a page and a picture.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from infra.benchmarks.growth import Point, draw
from infra.benchmarks.listening import write_listening
from infra.benchmarks.pages import Section
from infra.benchmarks.training import train_apart
from infra.cli.options import Json
from infra.cli.output import console, markdown_table, write_json
from infra.progress import Report, progress_bars
from segue.models.bundle import read_manifest
from training.data.parquet import count_rows

PAGE = Section(
    "<!-- Fitting, written by `python -m infra.benchmarks.fit`: -->\n\n",
    "\n<!-- End of fitting. -->\n",
)
_HEADING = (
    *("events", "listeners", "tracks", "minutes by the clock", "minutes of CPU", "most memory, GB"),
    "nDCG@20 of the hybrid",
)


@dataclass(frozen=True)
class Fit:
    """What it took to make a bundle of so many events; ndcg: of the hybrid's lists of 20."""

    events: int
    listeners: int
    tracks: int
    minutes: float
    cpu_minutes: float
    gigabytes: float
    ndcg: float

    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        sizes = (f"{size:,}" for size in (self.events, self.listeners, self.tracks))
        took = (f"{it:.1f}" for it in (self.minutes, self.cpu_minutes, self.gigabytes))
        return (*sizes, *took, f"{self.ndcg:.3f}")


def measure(folder: Path, events: int, seed: int, report: Report) -> Fit:
    """Make a log up in ``folder``, and fit the models on it; what is there already is taken."""
    measured = folder / f"{events}.json"
    if not measured.exists():
        fit = _measure(folder, events, seed, report)
        measured.write_text(json.dumps(asdict(fit)), encoding="utf-8")
    return Fit(**json.loads(measured.read_text(encoding="utf-8")))


def _measure(folder: Path, events: int, seed: int, report: Report) -> Fit:
    data = folder / f"{events}"
    if not (data / "sessions.parquet").exists():
        write_listening(data, events, seed, report)
    used = train_apart(data, folder / f"{events}-bundle")
    content = read_manifest(folder / f"{events}-bundle").content
    metrics = {model["name"]: model["metrics"] for model in content["models"]}
    return Fit(
        count_rows(data / "sessions.parquet"),
        content["data"]["users"],
        content["data"]["tracks"],
        used.seconds / 60,
        used.cpu_seconds / 60,
        used.gigabytes,
        metrics["hybrid"]["ndcg@20"],
    )


def points(fits: Sequence[Fit]) -> Iterator[Point]:
    """What is drawn: time and memory by events."""
    for fit in fits:
        time, memory = "events: time to a bundle", "events: most memory"
        yield Point(time, "by the clock", fit.events, fit.minutes, "minutes")
        yield Point(time, "CPU time", fit.events, fit.cpu_minutes, "minutes")
        yield Point(memory, "segue train", fit.events, fit.gigabytes, "GB")


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with TemporaryDirectory(prefix="segue-") as folder:
        yield Path(folder)


def main(
    events: Annotated[int, typer.Option(min=1_000, help="Events at most.")] = 100_000_000,
    smallest: Annotated[int, typer.Option(min=1_000, help="Events at least.")] = 1_000_000,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep what is made there, and go on with it.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it.")] = None,
    page: Annotated[
        Path | None, typer.Option(metavar="PAGE", help="Write the table there.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes up the same.")] = 7,
    json_file: Json = None,
) -> None:
    """Fit the models on ever longer logs, and measure time and memory."""
    out = console(json_file)
    fits: list[Fit] = []
    with _folder(keep) as folder, progress_bars(out) as report:
        size = smallest
        while size <= events:
            fits.append(measure(folder, size, seed, report))
            size *= 10
    table = markdown_table(_HEADING, [fit.cells() for fit in fits])
    for line in table:
        out.print(line, markup=False)
    if page is not None:
        PAGE.write(page, "\n".join(table) + "\n")
    if picture is not None:
        draw(list(points(fits)), picture)
    write_json(json.dumps([asdict(fit) for fit in fits], indent=2), json_file)


if __name__ == "__main__":
    typer.run(main)
