"""How many requests the maintenance and a report take, however many exposures are pending:
``python -m infra.benchmarks.pending``.

Up to a million made-up exposures are put into the local stack's DynamoDB, within this process. The
requests are those that AWS would be sent. Times say nothing: the emulator looks at every item to
answer a query of an index.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from io import BytesIO
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any

import typer
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from infra.benchmarks.bucket import MemoryBucket
from infra.cli.options import Json
from infra.cli.output import console, write_json
from infra.local.environment import TEMPLATE, point_aws_at
from infra.memory import FixedClock, MemoryExperimentStore, MemorySessionStore
from infra.template import load
from segue.adapters.archive import S3Archive
from segue.adapters.aws import dynamodb_client
from segue.adapters.exposures import DynamoResultStore
from segue.adapters.objects import Objects
from segue.domain.times import DAY
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import DEFAULT, DEFAULT_NAME
from segue.experiments.records import Exposure, Pending
from segue.reporting.reports import Reports
from segue.services.settlement import Settlement

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_TABLE = "exposures"
_NOW = 1_662_000_000_000
_EPOCH = Epoch(DEFAULT, "bundle").live
_DUE = 10
_FEWEST = 1_000


@dataclass(frozen=True, slots=True)
class Requests:
    """What was sent while so many exposures were pending, by operation."""

    pending: int
    to_settle: Mapping[str, int]
    for_report: Mapping[str, int]


class _Body(BytesIO):
    """An answer's body, as botocore reads it."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


@contextmanager
def requests_of(client: "DynamoDBClient") -> Iterator[Counter[str]]:
    """How many requests of each kind are sent meanwhile."""
    counts: Counter[str] = Counter()

    def note(model: Any, **_: Any) -> None:
        counts[model.name] += 1

    client.meta.events.register("before-call.dynamodb", note)
    yield counts
    client.meta.events.unregister("before-call.dynamodb", note)


def emulated_dynamodb() -> "DynamoDBClient":
    """A client whose requests the emulator answers in this process, one at a time."""
    from ministack.services import dynamodb  # type: ignore[import-untyped]

    lock = Lock()

    def answer(request: AWSPreparedRequest, **_: Any) -> Any:
        named = {name.lower(): _text(value) for name, value in request.headers.items()}
        with lock:
            status, headers, body = asyncio.run(
                dynamodb.handle_request("POST", "/", named, request.body, {})
            )
        return AWSResponse(request.url, status, headers, _Body(body))

    client = dynamodb_client()
    client.meta.events.register("before-send.dynamodb", answer)
    return client


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class World:
    """A table of pending exposures that grows, and who asks it."""

    def __init__(self) -> None:
        self._dynamodb = emulated_dynamodb()
        schema: Any = next(
            it.schema for it in load(TEMPLATE).tables() if it.logical_id == "ExposuresTable"
        )
        self._dynamodb.create_table(TableName=_TABLE, **schema)
        self.pending = 0
        self._results = DynamoResultStore(self._dynamodb, _TABLE)
        clock = FixedClock(_NOW)
        self._settlement = Settlement(MemorySessionStore(), self._results, clock)
        experiments = MemoryExperimentStore()
        experiments.save(Epoch(DEFAULT, "bundle"), None)
        # It has as much of S3's client as the archive calls.
        bucket: Any = MemoryBucket()
        archive = S3Archive(Objects(bucket, "bucket"))
        self._reports = Reports(experiments, self._results, archive)
        self._results.add(_EPOCH.id, _exposure("model", settles_at=_NOW + DAY))

    def grow(self, pending: int) -> None:
        """Have so many pending: the stored exposure, once more for each user.

        They are put where the emulator keeps items, as a million requests would take too long.
        """
        from ministack.services.dynamodb import _tables  # type: ignore[import-untyped]

        items = _tables[_TABLE]["items"]
        ((name, stored),) = items["model"].items()
        for user in range(self.pending, pending):
            place = f"{user % 16:x}{user:063x}"
            its_own = {
                "user_id": {"S": str(user)},
                "queue": {"S": f"pending#{place[0]}"},
                "part": {"S": f"{name}#{place[0]}"},
                "place": {"S": place},
            }
            items[str(user)] = {name: stored | its_own}
        self.pending = pending

    def ask(self) -> Requests:
        """Settle ten that are due, and report."""
        for user in range(_DUE):
            user_id = f"due {self.pending} {user}"
            self._results.add(_EPOCH.id, _exposure(user_id, settles_at=_NOW))
        with requests_of(self._dynamodb) as to_settle:
            due = [each for page in self._results.due(_NOW) for each in page]
            assert len(due) == _DUE
            for epoch, pending in due:
                self._settlement.settle(epoch, pending)
        with requests_of(self._dynamodb) as for_report:
            self._reports.report(DEFAULT_NAME, live=True)
        return Requests(self.pending, dict(to_settle), dict(for_report))


def _exposure(user_id: str, *, settles_at: int) -> Pending:
    tracks = tuple(f"{sha256(str(track).encode()).hexdigest()[:22]}" for track in range(20))
    exposure = Exposure(user_id, "A", "autoencoder", "bundle", tracks, _NOW - 30 * DAY, _NOW)
    return Pending(exposure, settles_at)


def main(
    exposures: Annotated[int, typer.Option(min=_FEWEST, help="How many.")] = 1_000_000,
    json_file: Json = None,
) -> None:
    """Ask whenever there are ten times as many exposures as before, and print what it took."""
    out = console(json_file)
    point_aws_at("http://127.0.0.1")
    world, asked, wanted = World(), list[Requests](), _FEWEST
    while wanted <= exposures:
        world.grow(wanted)
        asked.append(world.ask())
        out.print(
            f"{wanted:>9,} pending: {_said(asked[-1].to_settle)} to settle {_DUE} that are due; "
            f"{_said(asked[-1].for_report)} for a report"
        )
        wanted *= 10
    write_json(json.dumps([asdict(it) for it in asked], indent=2), json_file)


def _said(requests: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(requests.items()))


if __name__ == "__main__":
    typer.run(main)
