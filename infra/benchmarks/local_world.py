"""The local stack in a scratch folder, with made-up listeners in its tables."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import boto3

from infra.benchmarks.listeners import MadeUp, make_listeners
from infra.local import stack
from infra.local.environment import PREFIX, TEMPLATE, local_settings
from infra.local.functions import Function
from infra.process import listen
from infra.template import Template, create_resources, load
from segue.adapters.clock import SystemClock
from segue.adapters.dynamodb import DynamoUserStore
from segue.adapters.sessions import DynamoSessionStore
from segue.domain.times import format_time
from segue.models.bundle import Bundle

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LISTENERS = 20


@dataclass(frozen=True)
class LocalWorld:
    """Tables and a bucket that are up, and who is in them.

    ``writing_seconds``: what it took to write the events of all listeners, one after the other.
    """

    bundle: Bundle
    settings: dict[str, str]
    names: dict[str, str]
    dynamodb: "DynamoDBClient"
    listeners: Sequence[MadeUp]
    writing_seconds: float
    template: Template

    @property
    def events(self) -> int:
        """How many there are of all listeners."""
        return sum(len(one.events) for one in self.listeners)

    def function(self, function_id: str) -> Function:
        """A function of the template, as ``segue serve`` runs it."""
        settings = self.settings | {
            "BUNDLE_PATH": str(self.bundle.path.resolve()),
            "SEGUE_AS_OF": format_time(self.bundle.manifest.cutoff),
        }
        return Function(
            function_id,
            self.template.handler(function_id),
            self.template.code_uri(function_id),
            self.template.environment(function_id, self.names) | settings,
        )

    def sessions(self) -> DynamoSessionStore:
        """The table of sessions."""
        return DynamoSessionStore(self.dynamodb, self.names["SessionsTable"], SystemClock())

    def users(self) -> DynamoUserStore:
        """The table of users."""
        return DynamoUserStore(self.dynamodb, self.names["UsersTable"])


@contextmanager
def local_world(bundle: Bundle, seed: int, listeners: int = LISTENERS) -> Iterator[LocalWorld]:
    """Start the tables and the bucket, and fill them; stop them at the end.

    The AWS settings of this process stay as they are.
    """
    template, people = load(TEMPLATE), make_listeners(bundle, listeners, seed)
    with (
        TemporaryDirectory(prefix="segue-") as state,
        listen(0, "--stack-port") as listener,
        stack.running(Path(state), listener) as endpoint,
    ):
        settings = local_settings(endpoint)
        keys: Any = {
            "region_name": settings["AWS_REGION"],
            "aws_access_key_id": settings["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": settings["AWS_SECRET_ACCESS_KEY"],
            "endpoint_url": endpoint,
        }
        dynamodb, s3 = boto3.client("dynamodb", **keys), boto3.client("s3", **keys)
        names = create_resources(template, dynamodb, s3, PREFIX)
        empty = LocalWorld(bundle, settings, names, dynamodb, people, 0, template)
        for one in people:
            empty.users().put(one.user)
        begun = time.perf_counter()
        for one in people:
            empty.sessions().put(one.events)
        yield replace(empty, writing_seconds=time.perf_counter() - begun)
