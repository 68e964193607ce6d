"""Wiring: the only place that knows which adapter fulfils which port.

Each piece is made once a process, at its cold start. What not every function needs is imported
where it is wired. So a function that recommends starts without experiments, and one that serves no
models without ONNX Runtime. One that takes events waits for it only where no snapshot has it
imported.
"""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from segue.adapters.aws import disconnect, dynamodb_client, s3_client
from segue.adapters.clock import SystemClock
from segue.adapters.dynamodb import DynamoUserStore
from segue.adapters.sessions import DynamoSessionStore
from segue.adapters.tracks import DynamoTrackStore
from segue.config import Settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from segue.adapters.archive import S3Archive
    from segue.adapters.experiments import S3ExperimentStore
    from segue.adapters.exposures import DynamoResultStore
    from segue.adapters.model_store import ActiveModelStore
    from segue.adapters.objects import Objects
    from segue.domain.catalogue import Catalogue
    from segue.reporting.reports import Reports
    from segue.services.batch import Batch
    from segue.services.epochs import Epochs
    from segue.services.experiment import Experiments
    from segue.services.exposure import Exposer
    from segue.services.ingest import Ingest
    from segue.services.layers import Layers
    from segue.services.life import Life
    from segue.services.live import Live
    from segue.services.maintenance import Maintenance
    from segue.services.privacy import Privacy
    from segue.services.recommend import Recommender
    from segue.services.settlement import Settlement
    from segue.services.tracks import Tracks


@cache
def ingest() -> "Ingest":
    """What ``functions/events`` calls."""
    from segue.services.ingest import Ingest

    return Ingest(
        _sessions(), _users(), SystemClock(), _catalogue, _extended_catalogue, _settings().as_of
    )


@cache
def privacy() -> "Privacy":
    """What ``functions/events`` calls to hand out or erase what is held of one user."""
    from segue.services.privacy import Privacy

    return Privacy(_sessions(), _users(), _results(), _archive())


@cache
def recommender() -> "Recommender":
    """What ``functions/predict`` calls."""
    from segue.api.telemetry import observe_stored
    from segue.services.recommend import Recommender

    return Recommender(
        _sessions(),
        _users(),
        _models(),
        _track_store(),
        SystemClock(),
        _settings().as_of,
        tell=observe_stored,
    )


@cache
def tracks() -> "Tracks":
    """What ``functions/predict`` calls to find tracks, ``functions/events`` to change them."""
    from segue.services.tracks import Tracks

    return Tracks(_models(), _track_store())


@cache
def experiments() -> "Experiments":
    """What ``functions/ab_test`` calls to replay a test, and for its results."""
    from segue.services.experiment import Experiments

    return Experiments(
        epochs(), _exposer(), _settlement(), _experiments(), _results(), SystemClock()
    )


@cache
def live() -> "Live":
    """What ``functions/ab_test`` calls to recommend by experiment."""
    from segue.services.live import Live

    return Live(
        epochs(),
        _exposer(),
        recommender(),
        _models(),
        _results(),
        SystemClock(),
        _settings().as_of,
    )


@cache
def epochs() -> "Epochs":
    """What ``functions/ab_test`` calls to list and change experiments."""
    from segue.services.epochs import Epochs

    return Epochs(_models(), _experiments(), _archive(), layers(), life())


@cache
def layers() -> "Layers":
    """What ``functions/ab_test`` calls to list layers, and to hold users out."""
    from segue.services.layers import Layers

    return Layers(_experiments())


@cache
def life() -> "Life":
    """What ``functions/ab_report`` calls to ship an arm."""
    from segue.services.life import Life

    return Life(_experiments(), _archive(), SystemClock())


@cache
def reports() -> "Reports":
    """What ``functions/ab_report`` calls. It alone has SciPy."""
    from segue.reporting.reports import Reports

    return Reports(_experiments(), _results(), _archive())


@cache
def maintenance() -> "Maintenance":
    """What ``functions/maintenance`` calls."""
    from segue.services.compaction import Compactor
    from segue.services.maintenance import Maintenance

    return Maintenance(
        _settlement(),
        Compactor(_results(), _archive()),
        _experiments(),
        _results(),
        _archive(),
        SystemClock(),
    )


@cache
def batch() -> "Batch":
    """What ``functions/batch`` calls."""
    from segue.adapters.lists import S3Lists
    from segue.adapters.objects import Objects
    from segue.services.batch import Batch

    return Batch(
        _sessions(),
        _users(),
        _models(),
        _track_store(),
        S3Lists(Objects(s3_client(), _settings().bucket, "lists")),
        _settings().as_of,
    )


def snapshot_models() -> None:
    """Have a function that serves models start from a snapshot that has them all in use."""
    from segue.adapters.directory import rehearse

    def prime() -> None:
        # What a list of ids does without is imported here, where nobody waits for it.
        from segue.models import extended  # noqa: F401
        from segue.ranking import evaluation, explanations  # noqa: F401
        from segue.services import similar  # noqa: F401

        tracks()
        recommender().check()
        rehearse(_models().current())

    _on_snapshot(prime)


def snapshot_catalogue() -> None:
    """The same, of a function that reads users, and looks tracks up."""

    def prime() -> None:
        _users().get("0")
        _catalogue()

    _on_snapshot(prime)


def snapshot_reports() -> None:
    """The same, of a function that reads results."""
    _on_snapshot(lambda: reports().mismatches())


def _on_snapshot(prime: Callable[[], object]) -> None:
    from segue.api.snapshots import on_snapshot

    on_snapshot(prime, disconnect)


@cache
def _exposer() -> "Exposer":
    from segue.services.exposure import Exposer

    return Exposer(recommender(), _sessions(), _users(), _archive(), SystemClock())


@cache
def _settlement() -> "Settlement":
    from segue.services.settlement import Settlement

    return Settlement(_sessions(), _results(), SystemClock())


@cache
def _results() -> "DynamoResultStore":
    from segue.adapters.exposures import DynamoResultStore

    return DynamoResultStore(_dynamodb(), _settings().exposures_table)


@cache
def _experiments() -> "S3ExperimentStore":
    from segue.adapters.experiments import S3ExperimentStore

    return S3ExperimentStore(_objects())


@cache
def _archive() -> "S3Archive":
    from segue.adapters.archive import S3Archive

    return S3Archive(_objects())


@cache
def _objects() -> "Objects":
    from segue.adapters.objects import Objects

    return Objects(s3_client(), _settings().bucket)


@cache
def _settings() -> Settings:
    """Raises KeyError naming a setting that is absent."""
    return Settings.from_env()


@cache
def _dynamodb() -> "DynamoDBClient":
    return dynamodb_client()


@cache
def _sessions() -> DynamoSessionStore:
    return DynamoSessionStore(_dynamodb(), _settings().sessions_table, SystemClock())


@cache
def _users() -> DynamoUserStore:
    return DynamoUserStore(_dynamodb(), _settings().users_table)


@cache
def _track_store() -> DynamoTrackStore:
    return DynamoTrackStore(_dynamodb(), _settings().tracks_table)


def _catalogue() -> "Catalogue":
    return _models().current().catalogue


def _extended_catalogue() -> "Catalogue":
    return _models().current().extended(_track_store().changes().added).catalogue


@cache
def _models() -> "ActiveModelStore":
    from segue.adapters.bundles import BRISK, S3Bundles
    from segue.adapters.model_store import ActiveModelStore
    from segue.adapters.signatures import BundleKey
    from segue.api.telemetry import observe_refused

    settings = _settings()
    key = BundleKey(settings.bundle_key, BRISK) if settings.bundle_key else None
    bundles = S3Bundles(s3_client(BRISK), settings.bucket, key)
    return ActiveModelStore(bundles, settings.bundle, settings.bundle_poll, observe_refused)
