"""What it costs to archive a million results, a thousand at a time, and to ask the archive.

Records are made up (seeded) and archived as the service does it, in a bucket in memory: times are
of one core's work without a network, requests and bytes are those of S3.
"""

import json
import random
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count, islice
from typing import Annotated, Any

import numpy as np
import typer

from infra.benchmarks.bucket import MemoryBucket
from infra.benchmarks.figures import Figure, Times
from infra.cli.options import Json
from infra.cli.output import console, write_json
from infra.memory import MemoryResultStore
from segue.adapters.archive import S3Archive
from segue.adapters.experiments import S3ExperimentStore
from segue.adapters.objects import Objects
from segue.domain.times import DAY
from segue.experiments.assignment import assign
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import DEFAULT, DEFAULT_NAME
from segue.experiments.records import Exposure, Record
from segue.reporting.reports import Reports

# The most that a report should take: CPU seconds, and reads of objects.
REPORT_TARGET, READS_TARGET = 1.0, 10.0

_NOW = 1_662_000_000_000
_TRACKS = 20_000
_LIST = 20
_BATCH = 1_000
# After so many batches, all there is becomes a file that is large enough.
_BATCHES_TO_FULL = 33
_EPOCH = Epoch(DEFAULT, "bundle")


@dataclass(frozen=True)
class Measured:
    """What one thing costs at so many archived records, in seconds, requests and bytes.

    The mean where it is done many times.
    """

    question: str
    archived: int
    seconds: float
    requests: float
    reads: float
    writes: float
    read_bytes: float
    written_bytes: float


def records(seed: int) -> Iterator[Record]:
    """Made-up records of users 0, 1 and so on."""
    chance = random.Random(seed)
    tracks = [f"{chance.getrandbits(128):022x}"[:22] for _ in range(_TRACKS)]
    for user in map(str, count()):
        arm = assign(_EPOCH, user)
        # A few tracks are recommended to many.
        shown = tuple(tracks[int(_TRACKS * chance.random() ** 3)] for _ in range(_LIST))
        exposure = Exposure(
            user,
            arm.group,
            f"model {arm.model_id}",
            "bundle",
            shown,
            _NOW,
            _NOW,
            before=chance.random(),
            traits={"premium": chance.choice(["yes", "no"]), "listener": "old"},
            figures={"latency": round(20 + 9 * chance.random(), 3), "diversity": chance.random()},
        )
        settled = _NOW + 30 * DAY + int(chance.random() * 30 * DAY)
        yield Record(
            exposure,
            chance.random() < (0.30 if arm.group == "A" else 0.305),
            settled,
            figures={"skip_rate": chance.random()},
        )


class Growing:
    """An archive that grows, in a bucket that counts."""

    def __init__(self, seed: int) -> None:
        self.bucket = MemoryBucket()
        # It has as much of S3's client as the archive calls.
        client: Any = self.bucket
        objects = Objects(client, "bucket")
        experiments = S3ExperimentStore(objects)
        experiments.save(_EPOCH, None)
        self.archive = S3Archive(objects)
        self._reports = Reports(experiments, MemoryResultStore(), self.archive)
        self.archived = 0
        self._made = records(seed)

    def appending(self, batches: int) -> Iterator[Callable[[], None]]:
        """Read, add a batch, and note it, which merges files now and then: so many times."""
        for _ in range(batches):
            yield partial(self._append, list(islice(self._made, _BATCH)))
            self.archived += _BATCH

    def report(self) -> None:
        """Report on the experiment. All its results are archived, and nobody's is pending."""
        self._reports.report(DEFAULT_NAME, live=False)

    def measure(self, question: str, acts: Iterable[Callable[[], object]]) -> Measured:
        """The mean of these. What they take to prepare is not counted."""
        seconds = []
        with self.bucket.counting() as cost:
            for act in acts:
                start = time.process_time()
                act()
                seconds.append(time.process_time() - start)
        means = {name: value / len(seconds) for name, value in asdict(cost).items()}
        return Measured(question, self.archived, sum(seconds) / len(seconds), **means)

    def _append(self, new: list[Record]) -> None:
        added = self.archive.add(self.archive.read(_EPOCH.id), new)
        assert added
        self.archive.note(added)


def measured(growing: Growing, users: int) -> Iterator[Measured]:
    """Archive so many, and ask whenever there are ten times as many as before."""
    archive, epoch, wanted = growing.archive, _EPOCH.id, _BATCH
    while wanted <= users:
        batches = (wanted - growing.archived) // _BATCH
        yield growing.measure("1,000 more records", growing.appending(batches))
        yield growing.measure("read for a report", [partial(archive.read, epoch)])
        user, batch = wanted // 3, wanted // 3 // _BATCH + 1
        yield growing.measure(
            "erasure of a user", [partial(archive.erase, epoch, str(user), batch)]
        )
        wanted *= 10


def measure_report(results: int, repeats: int, seed: int) -> Iterator[Figure]:
    """What a report on so many archived results takes, and how often it reads an object."""
    growing = Growing(seed)
    for append in growing.appending(results // _BATCH):
        append()
    times = Times()
    with growing.bucket.counting() as cost:
        for _ in range(repeats):
            times.take(growing.report)
    what = f"a report over {growing.archived:,} results"
    seconds, wall = np.divide(times.cpu, 1_000), float(np.median(times.wall)) / 1_000
    yield Figure.of(what, "s", seconds.tolist(), target=REPORT_TARGET, wall=wall)
    reads = cost.reads / repeats
    yield Figure.of(f"{what}: objects read", "reads", [reads], target=READS_TARGET)


def merge_bytes(seed: int) -> int:
    """The memory that the largest merge takes at most."""
    *before, last = Growing(seed).appending(_BATCHES_TO_FULL)
    for append in before:
        append()
    tracemalloc.start()
    last()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def main(
    users: Annotated[int, typer.Option(min=1_000, help="How many results.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same records.")] = 7,
    json_file: Json = None,
) -> None:
    """Archive made-up results, and measure what it costs to add to them and to ask about them."""
    out, growing = console(json_file), Growing(seed)
    found: list[Measured] = []
    for it in measured(growing, users):
        found.append(it)
        out.print(
            f"{it.archived:>9,} {it.question:<20}{it.seconds:>7.3f} s{it.requests:>6.1f} requests"
            f"{it.reads:>6.1f} reads{it.writes:>5.1f} writes"
            f"{it.read_bytes / 1e6:>8.2f} MB read{it.written_bytes / 1e6:>7.2f} MB written"
        )
    peak = merge_bytes(seed)
    out.print(f"{growing.bucket.stored_bytes / 1e6:,.0f} MB; a merge takes {peak / 1e6:,.0f} MB")
    write_json(json.dumps([asdict(it) for it in found], indent=2), json_file)


if __name__ == "__main__":
    typer.run(main)
