"""Unit tests: no network, the ports in memory."""

import base64
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_socket

from infra.memory import (
    FixedClock,
    MemoryArchive,
    MemoryExperimentStore,
    MemoryModelStore,
    MemoryResultStore,
    MemorySessionStore,
    MemoryTrackStore,
    MemoryUserStore,
)
from infra.template import load
from segue.domain.catalogue import Catalogue
from segue.domain.events import Event, EventType
from segue.domain.times import DAY, SECOND
from segue.domain.users import User
from segue.models.bundle import Bundle
from segue.reporting.reports import Reports
from segue.services.compaction import Compactor
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

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """A unit test that opens a connection fails. (Event loops need sockets within the machine.)"""
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


@dataclass
class World:
    """The services over memory, and ways to say what happened in it.

    It is a month and a day after the bundle's cut-off, so that outcomes can be told.
    """

    bundle: Bundle
    sessions: MemorySessionStore = field(default_factory=MemorySessionStore)
    users: MemoryUserStore = field(default_factory=MemoryUserStore)
    stored_experiments: MemoryExperimentStore = field(default_factory=MemoryExperimentStore)
    results: MemoryResultStore = field(default_factory=MemoryResultStore)
    archive: MemoryArchive = field(default_factory=MemoryArchive)
    track_store: MemoryTrackStore = field(default_factory=MemoryTrackStore)

    def __post_init__(self) -> None:
        self.cutoff = self.bundle.manifest.cutoff
        self.clock = FixedClock(self.cutoff + 31 * DAY)
        self.models = MemoryModelStore(self.bundle)
        self.recommender = Recommender(
            self.sessions,
            self.users,
            self.models,
            self.track_store,
            self.clock,
            self.cutoff,
        )
        self.catalogue_tracks = Tracks(self.models, self.track_store)
        self.ingest = Ingest(
            self.sessions,
            self.users,
            self.clock,
            self.catalogue,
            self.extended_catalogue,
            self.cutoff,
        )
        self.privacy = Privacy(self.sessions, self.users, self.results, self.archive)
        self.layers = Layers(self.stored_experiments)
        self.life = Life(self.stored_experiments, self.archive, self.clock)
        self.epochs = Epochs(
            self.models, self.stored_experiments, self.archive, self.layers, self.life
        )
        self.exposer = Exposer(
            self.recommender, self.sessions, self.users, self.archive, self.clock
        )
        self.settlement = Settlement(self.sessions, self.results, self.clock)
        self.experiments = Experiments(
            self.epochs,
            self.exposer,
            self.settlement,
            self.stored_experiments,
            self.results,
            self.clock,
        )
        self.compactor = Compactor(self.results, self.archive)
        self.maintenance = Maintenance(
            self.settlement,
            self.compactor,
            self.stored_experiments,
            self.results,
            self.archive,
            self.clock,
        )
        self.reports = Reports(self.stored_experiments, self.results, self.archive)
        self.live = Live(
            self.epochs,
            self.exposer,
            self.recommender,
            self.models,
            self.results,
            self.clock,
        )

    def catalogue(self) -> Catalogue:
        """The one that is served."""
        return self.models.current().catalogue

    def extended_catalogue(self) -> Catalogue:
        """The same, with the tracks that were added since."""
        return self.models.current().extended(self.track_store.changes().added).catalogue

    def tracks(self, start: int, end: int) -> list[str]:
        """The ids of the catalogue's tracks in these places."""
        return self.bundle.catalogue.ids[start:end].astype(str).tolist()

    def join(self, user_id: str, *genres: str) -> None:
        """A user signs up."""
        self.users.put(User(user_id, genres))

    def play(
        self,
        user_id: str,
        tracks: list[str],
        *,
        days: float = -1,
        session: str = "1",
        skip: bool = False,
    ) -> None:
        """The user plays these tracks in one session, ``days`` after the cut-off."""
        time = self.cutoff + int(days * DAY)
        for place, track in enumerate(tracks):
            begun = time + place * 200 * SECOND
            self.sessions.put([Event(user_id, session, begun, EventType.PLAY, track)])
            if skip:
                left = begun + 10 * SECOND
                self.sessions.put([Event(user_id, session, left, EventType.SKIP, track)])


@pytest.fixture
def world(bundle: Bundle) -> World:
    """A world without users or events."""
    return World(bundle)


@dataclass(frozen=True)
class LambdaContext:
    """As much of Lambda's context as the handlers' logger reads."""

    function_name: str = "function"
    function_version: str = "7"
    memory_limit_in_mb: int = 128
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:function"
    aws_request_id: str = "request"


class Function:
    """A function's real code, called with the events of a REST API."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str | list[str]] | None = None,
        headers: dict[str, str] | None = None,
        authorizer: dict[str, Any] | None = None,
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and parsed body of the answer; a body of bytes or text goes as it is.

        ``authorizer``: what API Gateway tells of the caller's token; None where there is none.
        """
        is_bytes = isinstance(body, bytes)
        text = base64.b64encode(body).decode() if is_bytes else body
        text = text if isinstance(text, str) or text is None else json.dumps(text)
        several = {name: [it] if isinstance(it, str) else it for name, it in (query or {}).items()}
        event = {
            "resource": _resource(path),
            "path": path,
            "httpMethod": method,
            "headers": headers or {},
            "queryStringParameters": {name: it[-1] for name, it in several.items()} or None,
            "multiValueQueryStringParameters": several or None,
            "requestContext": {"requestId": "request-1", "stage": "local", "path": path}
            | ({} if authorizer is None else {"authorizer": authorizer}),
            "body": text,
            "isBase64Encoded": is_bytes,
        }
        answer = self.module.lambda_handler(event, LambdaContext())
        given = {name: values[0] for name, values in answer["multiValueHeaders"].items()}
        return answer["statusCode"], given, json.loads(answer["body"]) if answer["body"] else None


def _resource(path: str) -> str:
    """The path of the template that this one matches; itself where it matches none."""
    matches = (route for route, pattern in _patterns().items() if re.fullmatch(pattern, path))
    return next(matches, path)


@cache
def _patterns() -> dict[str, str]:
    paths = [route.path for route in load(ROOT / "template.yaml").routes()]
    return {path: re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)) for path in paths}


def load_function(name: str, monkeypatch: pytest.MonkeyPatch) -> Function:
    """Import a function's app.py afresh, with the least environment it needs."""
    unused = ("SESSIONS_TABLE", "USERS_TABLE", "TRACKS_TABLE", "EXPOSURES_TABLE", "BUCKET")
    for variable in (*unused, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "unused")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Segue")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "segue")
    path = ROOT / "functions" / name / "app.py"
    spec = importlib.util.spec_from_file_location(f"function_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Function(module)


@pytest.fixture
def context() -> LambdaContext:
    """What Lambda tells a handler about its invocation."""
    return LambdaContext()


@pytest.fixture
def predict(world: World, monkeypatch: pytest.MonkeyPatch) -> Function:
    """functions/predict over the world."""
    function = load_function("predict", monkeypatch)
    monkeypatch.setattr(function.module, "recommender", world.recommender)
    monkeypatch.setattr(function.module.bootstrap, "tracks", lambda: world.catalogue_tracks)
    return function


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Function:
    """functions/pages, which needs nothing."""
    return load_function("pages", monkeypatch)


@pytest.fixture
def ab_test(world: World, monkeypatch: pytest.MonkeyPatch) -> Function:
    """functions/ab_test over the world."""
    function = load_function("ab_test", monkeypatch)
    for name in ("experiments", "live", "epochs", "layers"):
        monkeypatch.setattr(function.module, name, getattr(world, name))
    return function


@pytest.fixture
def ab_report(world: World, monkeypatch: pytest.MonkeyPatch) -> Function:
    """functions/ab_report over the world."""
    function = load_function("ab_report", monkeypatch)
    for name in ("reports", "life"):
        monkeypatch.setattr(function.module, name, getattr(world, name))
    return function


@pytest.fixture
def events(world: World, monkeypatch: pytest.MonkeyPatch) -> Function:
    """functions/events over the world."""
    function = load_function("events", monkeypatch)
    for name in ("ingest", "privacy"):
        monkeypatch.setattr(function.module, name, getattr(world, name))
    monkeypatch.setattr(function.module.bootstrap, "tracks", lambda: world.catalogue_tracks)
    return function
