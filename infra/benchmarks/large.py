"""What it takes to fit the models on tens of thousands of listeners and tracks.

The set is made up (seeded): clusters of tracks, each with a long tail, and listeners who mostly
keep to three of them. It is read, fitted and asked as ``segue evaluate --split given`` does it,
which can be given the set itself, where it is kept.
"""

import json
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from infra.cli.options import Json
from infra.cli.output import console, write_json
from infra.demo.randomness import Floats, cumulate, draw, stream
from infra.progress import Report, progress_bars
from segue.features.schema import load_schema
from training.data import connect, open_data
from training.evaluation.options import Options
from training.evaluation.own import Asked, fit_bundle
from training.evaluation.results import Judge
from training.protocol.split import Split
from training.protocol.temporal import prepare

_CLUSTERS = 60
_LOYALTY = 0.75
_MEDIAN, _FEWEST, _MOST = 42, 10, 1_500
_KIB = 1_024


@dataclass(frozen=True)
class Measured:
    """Seconds to read and to fit, peak memory in GB; nDCG@20 and hit@20 of the hybrid."""

    read_seconds: float
    fit_seconds: float
    peak_gb: float
    ndcg: float
    hit: float


def listeners(
    users: int, tracks: int, seed: int, median: int = _MEDIAN
) -> Iterator[NDArray[np.int64]]:
    """The different tracks of each listener, in random order; before repeats are taken out, half of
    the listeners have more than the median."""
    random = stream(seed)
    appeal: Floats = (np.arange(tracks) + 10).astype(np.float64) ** -0.85
    cluster = random.integers(0, _CLUSTERS, tracks)
    names = random.permutation(tracks)
    members = [np.flatnonzero(cluster == c) for c in range(_CLUSTERS)]
    members = [own if len(own) else np.arange(tracks) for own in members]
    totals = [cumulate(appeal[own]) for own in members]
    of_all = cumulate(appeal)
    for _ in range(users):
        size = int(np.clip(random.lognormal(np.log(median), 0.85), _FEWEST, _MOST))
        numbers = random.random(size)
        found = draw(of_all, numbers)
        liked = random.integers(0, _CLUSTERS, 3)[random.integers(0, 3, size)]
        for c in np.unique(liked):
            own = (liked == c) & (random.random(size) < _LOYALTY)
            found[own] = members[c][draw(totals[c], numbers[own])]
        yield random.permutation(np.unique(names[found]))


def write(
    folder: Path, users: int, tracks: int, seed: int, report: Report, median: int = _MEDIAN
) -> int:
    """A fifth of each listener's tracks to test.txt, the rest to train.txt; how many pairs."""
    pairs = 0
    with (folder / "train.txt").open("w") as train, (folder / "test.txt").open("w") as test:
        for user, found in enumerate(listeners(users, tracks, seed, median)):
            held = max(1, len(found) // 5)
            print(user, *found[held:], file=train)
            print(user, *found[:held], file=test)
            pairs += len(found)
            if user % 1_000 == 999 or user == users - 1:
                report("writing", user + 1, users)
    return pairs


def first(split: Split, number: int) -> Split:
    """So many of the judged listeners."""
    ends = split.offsets[: number + 1]
    return replace(
        split, judged=split.judged[:number], offsets=ends, outcomes=split.outcomes[: ends[-1]]
    )


def measure(folder: Path, asked: int, seed: int, report: Report) -> Measured:
    """Read, fit all models, and ask the hybrid for some of the listeners."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="segue-") as workspace:
        opened = open_data(folder, Path(workspace) / "w", split="given")
        assert opened.cutoff is not None
        with connect(Path(workspace) / "w") as connection:
            encoded, split = prepare(connection, load_schema(opened.schema), opened.cutoff)
            read = time.perf_counter()
            options = Options(seed=seed, progress=report)
            with fit_bundle(connection, encoded, opened.schema, opened.cutoff, options) as (
                bundle,
                _,
            ):
                fitted = time.perf_counter()
                some = first(split, asked)
                models = Asked(connection, bundle, some, 20)
                number = next(n for n, name in models.models.items() if name == "hybrid")
                lists = models.lists(number, report)
    quality = Judge(some, encoded.features).measures("hybrid", lists)["new"]
    return Measured(
        round(read - start, 1),
        round(fitted - read, 1),
        round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB / 1e9, 2),
        round(float(np.nanmean(quality["ndcg"])), 4),
        round(float(np.nanmean(quality["hit"])), 4),
    )


def main(
    users: Annotated[int, typer.Option(min=10, help="How many listeners.")] = 50_000,
    tracks: Annotated[int, typer.Option(min=100, help="How many tracks.")] = 90_000,
    median: Annotated[
        int, typer.Option(min=10, help="Half of the listeners heard more.")
    ] = _MEDIAN,
    asked: Annotated[int, typer.Option(min=1, help="How many listeners are asked for.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed makes the same set.")] = 7,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the set in this new folder.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Fit the models on a large made-up set, and measure time and memory."""
    out = console(json_file)
    with tempfile.TemporaryDirectory(prefix="segue-") as name, progress_bars(out) as report:
        folder = keep or Path(name)
        folder.mkdir(parents=True, exist_ok=keep is None)
        pairs = write(folder, users, tracks, seed, report, median)
        found = measure(folder, asked, seed, report)
    out.print(
        f"{pairs:,} pairs read in {found.read_seconds:,.0f} s and fitted in "
        f"{found.fit_seconds:,.0f} s, at most {found.peak_gb:.1f} GB; nDCG@20 of the hybrid "
        f"{found.ndcg:.3f}, hit@20 {found.hit:.3f}"
    )
    write_json(json.dumps({"pairs": pairs} | asdict(found), indent=2), json_file)


if __name__ == "__main__":
    typer.run(main)
