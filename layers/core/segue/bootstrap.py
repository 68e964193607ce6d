"""Wiring: the only place that knows which adapter fulfils which port."""

from dataclasses import dataclass
from functools import cache

from segue.adapters.aws import dynamodb_client, s3_client
from segue.adapters.directory import DirectoryModelStore, SystemClock
from segue.adapters.dynamodb import DynamoSessionStore, DynamoUserStore
from segue.adapters.s3 import S3ResultStore
from segue.config import Settings
from segue.services.experiment import Experiments
from segue.services.recommend import Recommender


@dataclass(frozen=True, slots=True)
class Adapters:
    """The outside world as the settings describe it."""

    settings: Settings
    sessions: DynamoSessionStore
    users: DynamoUserStore
    models: DirectoryModelStore
    clock: SystemClock


@cache
def adapters() -> Adapters:
    """Made once a process, at its cold start. Raises KeyError naming a setting that is absent."""
    settings = Settings.from_env()
    client = dynamodb_client()
    return Adapters(
        settings,
        DynamoSessionStore(client, settings.sessions_table),
        DynamoUserStore(client, settings.users_table),
        DirectoryModelStore(settings.bundle),
        SystemClock(),
    )


@cache
def recommender() -> Recommender:
    """What ``functions/predict`` calls."""
    world = adapters()
    return Recommender(world.sessions, world.users, world.models, world.clock, world.settings.as_of)


@cache
def experiments() -> Experiments:
    """What ``functions/ab_test`` calls."""
    world = adapters()
    results = S3ResultStore(s3_client(), world.settings.bucket)
    return Experiments(recommender(), world.sessions, world.models, results, world.clock)
