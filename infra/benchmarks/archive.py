"""What a report, a page and a look-up cost beside a million archived results.

Records are made up (seeded) and archived by the very compaction that the service runs, in a bucket
in memory: times are of one core without a network, requests and bytes are those of S3.
"""

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from infra.benchmarks.bucket import MemoryBucket
from infra.cli.options import Json
from infra.cli.output import console, write_json
from infra.progress import Report, progress_bars
from segue.adapters.archive import BATCH, S3Archive
from segue.adapters.objects import Objects
from segue.adapters.s3 import S3ResultStore
from segue.domain.times import DAY
from segue.experiments.assignment import assign
from segue.experiments.experiment import DEFAULT_NAME, default_experiment
from segue.experiments.manifest import user_hash
from segue.experiments.records import Exposure, Record
from segue.reporting.reports import Reports

_NOW = 1_662_000_000_000
_TRACKS = 20_000
_LIST = 20
_PAGE = 1_000


@dataclass(frozen=True)
class Measured:
    """One question's cost: seconds, requests, of them reads of objects, and bytes read."""

    question: str
    seconds: float
    requests: int
    reads: int
    read_bytes: int


def records(users: int, seed: int) -> Iterator[Record]:
    """Made-up records of these users in the order of their hashes, as a compaction meets them."""
    chance = random.Random(seed)
    experiment = default_experiment("bundle")
    tracks = [f"{chance.getrandbits(128):022x}"[:22] for _ in range(_TRACKS)]
    for user in sorted(map(str, range(users)), key=user_hash):
        arm = assign(experiment, user)
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


def fill(store: S3ResultStore, archive: S3Archive, users: int, seed: int, report: Report) -> None:
    """Write all records, and compact them batch by batch."""
    experiment = default_experiment("bundle")
    store.save_experiment(experiment, None)
    for done, record in enumerate(records(users, seed), start=1):
        store.add_record(experiment, record)
        if done % BATCH == 0 or done == users:
            archive.compact(experiment)
            report("results", done, users)


def measure(bucket: MemoryBucket, question: str, ask: Callable[[], Any]) -> Measured:
    """Ask once."""
    with bucket.counting() as cost:
        start = time.perf_counter()
        ask()
        seconds = time.perf_counter() - start
    return Measured(question, seconds, **asdict(cost))


def main(
    users: Annotated[int, typer.Option(min=1, help="How many results.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same records.")] = 7,
    json_file: Json = None,
) -> None:
    """Archive made-up results, and measure what it costs to ask about them."""
    out = console(json_file)
    bucket: Any = MemoryBucket()
    store, archive = S3ResultStore(bucket, "bucket"), S3Archive(Objects(bucket, "bucket"))
    start = time.perf_counter()
    with progress_bars(out) as report:
        fill(store, archive, users, seed, report)
    out.print(
        f"{users:,} results written and compacted in {time.perf_counter() - start:,.0f} s, "
        f"{bucket.stored_bytes / 1e6:,.0f} MB"
    )
    experiment, middle = default_experiment("bundle"), user_hash("0")
    questions: dict[str, Callable[[], Any]] = {
        "report": lambda: Reports(store).report(DEFAULT_NAME, live=False),
        "first page": lambda: store.records(experiment, limit=_PAGE),
        "a later page": lambda: store.records(experiment, limit=_PAGE, after=middle),
        "one user's record": lambda: store.record(experiment, "1"),
        "a user without one": lambda: store.record(experiment, "nobody"),
        "erasure of a user": lambda: store.erase(experiment, "1"),
    }
    found = [measure(bucket, question, ask) for question, ask in questions.items()]
    for it in found:
        out.print(
            f"{it.question:<20}{it.seconds:>8.3f} s{it.requests:>4} requests{it.reads:>4} reads"
            f"{it.read_bytes / 1e6:>8.2f} MB"
        )
    write_json(json.dumps([asdict(it) for it in found], indent=2), json_file)


if __name__ == "__main__":
    typer.run(main)
