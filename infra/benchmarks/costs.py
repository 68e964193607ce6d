"""What an experiment costs on AWS: ``python -m infra.benchmarks.costs``.

Made-up listeners go through the whole of a live experiment in the local stack's tables and bucket,
while every request is counted. Prints the table of docs/cost.md, or writes it there. The same
seed makes the same listeners.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from infra.benchmarks.listeners import MadeUp, make_listeners
from infra.benchmarks.meter import Charge, Charges, Meter
from infra.benchmarks.pages import Section
from infra.cli.options import Json
from infra.cli.output import console, markdown_table, write_json
from infra.demo import generate
from infra.local import stack
from infra.local.environment import TEMPLATE, create_local_resources, point_aws_at
from infra.memory import FixedClock, MemoryModelStore
from infra.process import listen
from infra.progress import silent
from infra.template import load
from segue.adapters.archive import S3Archive
from segue.adapters.aws import dynamodb_client, s3_client
from segue.adapters.dynamodb import DynamoUserStore
from segue.adapters.experiments import S3ExperimentStore
from segue.adapters.exposures import DynamoResultStore
from segue.adapters.objects import Objects
from segue.adapters.sessions import DynamoSessionStore
from segue.adapters.tracks import DynamoTrackStore
from segue.domain.times import DAY, SECOND
from segue.experiments.experiment import DEFAULT, DEFAULT_NAME
from segue.models.bundle import Bundle
from segue.ports import StoredList
from segue.reporting.reports import Reports
from segue.services.compaction import Compactor
from segue.services.epochs import Epochs
from segue.services.exposure import Exposer
from segue.services.layers import Layers
from segue.services.life import Life
from segue.services.live import Live
from segue.services.maintenance import Maintenance
from segue.services.recommend import Query, Recommender
from segue.services.settlement import Settlement

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

# Dollars in us-east-1 as of November 2026, from memory: https://aws.amazon.com/pricing/
PER_MILLION = {Charge.WRITE: 0.625, Charge.READ: 0.125, Charge.PUT: 5.00, Charge.GET: 0.40}
GB_SECOND = 0.0000166667
# A month, recovery included.
GB_OF_TABLE = 0.25 + 0.20

# Of a million users a month, so many are settled in one run of the maintenance, each quarter of an
# hour. What the maintenance takes for one of them, in GB-seconds, is assumed.
OF_RUN = 350
_QUARTER = 15 * 60 * SECOND
_OF_MAINTENANCE = 1.728 * 0.002
_LIST = 20
# Two runs tell what a run takes from what a user takes. They are too few to have files merged.
_RUNS = (10, 30)
# A merge makes one file of several: fewer merges than runs, and less than two files a run to read.
_MERGES = {Charge.PUT: 1.0, Charge.GET: 2.0}

# The steps, as the table names them.
RECOMMENDING, EXPOSING, FURTHER = "recommending", "exposing", "a further list"
STORING, STORED = "storing a list of 20 tracks", "recommending a stored list"
SETTLING, ARCHIVING = "settling", "archiving"
RUN, REPORT = "a run of the maintenance", "the report"

PAGE = Section(
    "<!-- An experiment, written by `python -m infra.benchmarks.costs`: -->\n\n",
    "\n<!-- End of what is written. -->\n",
)


@dataclass(frozen=True, slots=True)
class Experiment:
    """What one user, list, report or run is charged, by step; and what is kept of a user, in bytes.

    Exposing is without the recommendation that it makes; a run is without its users.
    """

    charges: dict[str, Charges]
    bytes_of_table: float

    def dollars(self, step: str) -> float:
        """For a million of them."""
        return sum(PER_MILLION[it] * amount for it, amount in self.charges[step].items())

    @property
    def maintenance_dollars(self) -> float:
        """For the function's time, of a million users."""
        return 1_000_000 * _OF_MAINTENANCE * GB_SECOND

    @property
    def added_dollars(self) -> float:
        """What an experiment of a million users adds to their recommendations."""
        of_users = sum(map(self.dollars, (EXPOSING, SETTLING, ARCHIVING)))
        return of_users + self.dollars(RUN) / OF_RUN + self.maintenance_dollars

    @property
    def month_dollars(self) -> float:
        """What it costs a month to keep a million users' items."""
        return GB_OF_TABLE * self.gigabytes

    @property
    def gigabytes(self) -> float:
        """Of a million users' items."""
        return 1_000_000 * self.bytes_of_table / 1e9


class Service:
    """As much of the service as an experiment needs, over AWS or what stands in for it.

    ``names``: the tables and the bucket by their logical ids.
    """

    def __init__(
        self, dynamodb: "DynamoDBClient", s3: "S3Client", names: Mapping[str, str], bundle: Bundle
    ) -> None:
        self.bundle, self.clock = bundle, FixedClock(bundle.manifest.cutoff)
        self.dynamodb, self.s3, self.names = dynamodb, s3, names
        objects, models = Objects(s3, names["Bucket"]), MemoryModelStore(bundle)
        experiments, archive = S3ExperimentStore(objects), S3Archive(objects)
        track_store = DynamoTrackStore(dynamodb, names["TracksTable"])
        sessions = DynamoSessionStore(dynamodb, names["SessionsTable"], self.clock)
        users = DynamoUserStore(dynamodb, names["UsersTable"])
        results, clock = DynamoResultStore(dynamodb, names["ExposuresTable"]), self.clock
        recommender = Recommender(sessions, users, models, track_store, clock)
        life = Life(experiments, archive, clock)
        epochs = Epochs(models, experiments, archive, Layers(experiments), life)
        settlement = Settlement(sessions, results, clock)
        self.sessions, self.users, self.results = sessions, users, results
        self.recommender, self.epochs, self.settlement = recommender, epochs, settlement
        self.live = Live(
            epochs,
            Exposer(recommender, sessions, users, archive, clock),
            recommender,
            models,
            results,
            clock,
        )
        self.maintenance = Maintenance(
            settlement, Compactor(results, archive), experiments, results, archive, clock
        )
        self.reports = Reports(experiments, results, archive)

    def welcome(self, listener: MadeUp) -> None:
        """Store a profile, and the same month of events thrice before the experiment, and after."""
        self.users.put(listener.user)
        for months in (-2, -1, 0, 1):
            self.sessions.put(
                event._replace(
                    time=event.time + months * 30 * DAY, session_id=f"{event.session_id} {months}"
                )
                for event in listener.events
            )

    def recommend(self, user_id: str) -> None:
        """As ``POST /models/1/predict`` does."""
        self.recommender.recommend(Query(user_id, DEFAULT.arms[0].model_id, _LIST))

    def show(self, user_id: str) -> tuple[str, ...]:
        """As ``GET /users/{user_id}/recommendations`` does; the tracks."""
        return self.live.recommend(user_id, _LIST).impression.tracks

    def settle(self) -> None:
        """Settle what is due, as the maintenance does."""
        for page in self.results.due(self.clock.now()):
            for epoch, pending in page:
                self.settlement.settle(epoch, pending, fresh=False)

    def archive(self) -> None:
        """Archive what is settled, and clear up, as the maintenance does."""
        work = self.maintenance.run(lambda: True, settle=False)
        assert not work.faults, work.faults


def run_experiment(service: Service, meter: Meter, seed: int) -> Experiment:
    """Users are exposed in two runs of the maintenance, and a month later settled and archived."""
    *listeners, last = make_listeners(service.bundle, sum(_RUNS) + 1, seed)
    begun, waiting = service.clock.time, iter(listeners)
    service.epochs.running()
    for number, users in enumerate(_RUNS):
        service.clock.time = begun + number * _QUARTER
        for listener in islice(waiting, users):
            _expose(service, meter, listener)
    for number, users in enumerate(_RUNS):
        service.clock.time = begun + DEFAULT.window + number * _QUARTER
        with meter.counting(f"{SETTLING} {users}"):
            service.settle()
        with meter.counting(f"{ARCHIVING} {users}"):
            service.archive()
    with meter.counting(REPORT):
        report = service.reports.report(DEFAULT_NAME, live=True)
    assert report["experiment"]["users"] == sum(_RUNS)
    stored = _bytes_of_table(service, meter)
    _show_further(service, meter, last)
    _store_list(service, meter, last)
    return Experiment(_of_each(meter.charges), stored / sum(_RUNS))


def _expose(service: Service, meter: Meter, listener: MadeUp) -> None:
    service.welcome(listener)
    with meter.counting(RECOMMENDING):
        service.recommend(listener.user.user_id)
    with meter.counting(EXPOSING):
        service.show(listener.user.user_id)


def _show_further(service: Service, meter: Meter, listener: MadeUp) -> None:
    """Another list for a user who has an exposure, the recommendation that it takes included."""
    user_id = listener.user.user_id
    service.welcome(listener)
    service.clock.time = service.bundle.manifest.cutoff
    first = service.show(user_id)
    service.clock.time += 7 * DAY
    with meter.counting(FURTHER):
        assert service.show(user_id) != first


def _store_list(service: Service, meter: Meter, listener: MadeUp) -> None:
    """What a run for everybody stores of a user, and a request a day later that it is for."""
    user_id, model_id, now = listener.user.user_id, DEFAULT.arms[0].model_id, service.clock.time
    query = Query(user_id, model_id, _LIST, max_age=2 * DAY)
    tracks = service.recommender.tracks(query, service.bundle)
    made = StoredList(tracks, service.bundle.version, now)
    (profile,) = (it for it in service.users.part(0, 1) if it.user == listener.user)
    with meter.counting(STORING):
        service.users.store_list(profile, model_id, made)
    service.clock.time += DAY
    with meter.counting(STORED):
        assert set(service.recommender.tracks(replace(query, k=5), service.bundle)) <= set(tracks)


def _bytes_of_table(service: Service, meter: Meter) -> int:
    name = service.names["ExposuresTable"]
    pages = service.dynamodb.get_paginator("scan").paginate(TableName=name)
    table = meter.table(name)
    return sum(table.stored_bytes(item) for page in pages for item in page["Items"])


def _of_each(counted: Mapping[str, Charges]) -> dict[str, Charges]:
    """One user's charges, and those of a run, a list and a report."""
    recommending = _sum((counted[RECOMMENDING], 1 / sum(_RUNS)))
    charges = {
        RECOMMENDING: recommending,
        EXPOSING: _sum((counted[EXPOSING], 1 / sum(_RUNS)), (recommending, -1)),
        FURTHER: counted[FURTHER],
        STORING: counted[STORING],
        STORED: counted[STORED],
        REPORT: counted[REPORT],
        RUN: _sum((_MERGES, 1)),
    }
    small, large = _RUNS
    for step in (SETTLING, ARCHIVING):
        of_small, of_large = (counted[f"{step} {users}"] for users in _RUNS)
        more = 1 / (large - small)
        charges[step] = _sum((of_large, more), (of_small, -more))
        charges[RUN] = _sum((charges[RUN], 1), (of_small, 1), (charges[step], -small))
    return charges


def _sum(*parts: tuple[Charges, float]) -> Charges:
    """Each of them so many times, all together."""
    return {it: sum(times * part.get(it, 0) for part, times in parts) for it in Charge}


def section(experiment: Experiment) -> str:
    """The table of docs/cost.md."""
    added = (EXPOSING, SETTLING, ARCHIVING, RUN)
    rows = [
        *(_row(experiment, step) for step in added),
        _plain("maintenance's time", experiment.maintenance_dollars),
        _plain(f"**together, with a run for {OF_RUN} users**", experiment.added_dollars),
        *(_row(experiment, step) for step in (RECOMMENDING, STORING, STORED, FURTHER, REPORT)),
        _plain(f"{experiment.gigabytes:.2f} GB kept, a month", experiment.month_dollars),
    ]
    return "\n".join(markdown_table(("", *map(str, Charge), "dollars"), rows)) + "\n"


def _row(experiment: Experiment, step: str) -> tuple[str, ...]:
    """Counts for one; dollars for a million."""
    counts = (f"{amount:.1f}" for amount in experiment.charges[step].values())
    return (step, *counts, f"{experiment.dollars(step):.2f}")


def _plain(name: str, dollars: float) -> tuple[str, ...]:
    return (name, *[""] * len(Charge), f"{dollars:.2f}")


@contextmanager
def _local_stack() -> Iterator[None]:
    """The stack's DynamoDB and S3 for a while; AWS's clients talk to it."""
    with (
        TemporaryDirectory(prefix="segue-") as folder,
        listen(0, "--stack-port") as listener,
        stack.running(Path(folder), listener) as endpoint,
    ):
        point_aws_at(endpoint)
        yield


def _small_bundle(folder: Path) -> Bundle:
    """Trained on a few made-up listeners: what a request is charged is not the models' affair."""
    from training.train import train

    generate(folder / "data", listeners=40, tracks=600)
    train(folder / "data", folder / "bundle", progress=silent)
    return Bundle.open(folder / "bundle")


def main(
    seed: Annotated[int, typer.Option(help="The same seed makes the same listeners.")] = 7,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the table into this page.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Count what an experiment is charged for, and print what a million users cost."""
    out = console(json_file)
    with TemporaryDirectory(prefix="segue-") as folder, _local_stack():
        bundle = _small_bundle(Path(folder))
        dynamodb, s3 = dynamodb_client(), s3_client()
        meter = Meter(dynamodb, s3, dynamodb_client())
        names = create_local_resources(load(TEMPLATE))
        counted = run_experiment(Service(dynamodb, s3, names, bundle), meter, seed)
    written = section(counted)
    out.print(written)
    if page:
        PAGE.write(page, written)
    write_json(json.dumps(asdict(counted), indent=2), json_file)


if __name__ == "__main__":
    typer.run(main)
