"""What a function does before its snapshot is taken, and when it is restored from one."""

import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import snapshot_restore_py
from botocore.client import BaseClient

from segue import bootstrap
from segue.adapters.aws import disconnect, dynamodb_client, s3_client
from segue.domain.errors import StoreUnavailable
from segue.models.registry import load_model
from tests.unit.conftest import World, load_function


@pytest.fixture(autouse=True)
def no_hooks() -> Iterator[None]:
    """Nothing is registered before a test, and nothing is left of it."""
    registries = (
        snapshot_restore_py.get_before_snapshot(),
        snapshot_restore_py.get_after_restore(),
    )
    before = [list(registry) for registry in registries]
    for registry in registries:
        registry.clear()
    yield
    for registry, hooks in zip(registries, before, strict=True):
        registry[:] = hooks


OnSnapshot = Callable[[Callable[[], object], Callable[[], object]], None]


@pytest.fixture
def on_snapshot(monkeypatch: pytest.MonkeyPatch) -> OnSnapshot:
    # The module's metrics read it once, when they are imported.
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Segue")
    from segue.api.snapshots import on_snapshot

    return on_snapshot


def take_snapshot() -> None:
    """As Lambda does: the hooks, the last registered first."""
    for hook, arguments, named in reversed(snapshot_restore_py.get_before_snapshot()):
        hook(*arguments, **named)


def restore() -> None:
    for hook, arguments, named in snapshot_restore_py.get_after_restore():
        hook(*arguments, **named)


def test_what_is_slow_once_is_done_before_the_snapshot_and_not_sooner(
    on_snapshot: OnSnapshot,
) -> None:
    done: list[str] = []
    on_snapshot(lambda: done.append("primed"), lambda: done.append("disconnected"))
    assert done == []
    take_snapshot()
    assert done == ["primed"]
    restore()
    assert done == ["primed", "disconnected"]


def test_a_store_that_does_not_answer_keeps_no_version_from_being_published(
    on_snapshot: OnSnapshot,
) -> None:
    def fail() -> None:
        raise StoreUnavailable("Users: AccessDeniedException")

    on_snapshot(fail, lambda: None)
    take_snapshot()


def test_an_error_of_ours_does(on_snapshot: OnSnapshot) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    on_snapshot(fail, lambda: None)
    with pytest.raises(ZeroDivisionError):
        take_snapshot()


def test_instances_of_one_snapshot_draw_different_pauses(on_snapshot: OnSnapshot) -> None:
    on_snapshot(lambda: None, lambda: None)
    state = random.getstate()
    drawn = set()
    for _ in range(3):
        random.setstate(state)
        restore()
        drawn.add(random.random())
    assert len(drawn) == 3


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unused")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unused")


@pytest.mark.usefixtures("credentials")
def test_every_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[object] = []
    monkeypatch.setattr(BaseClient, "close", lambda client: closed.append(client))
    clients = (dynamodb_client(), s3_client(), s3_client())
    disconnect()
    assert all(client in closed for client in clients)


class TestFunctions:
    @pytest.fixture
    def disconnected(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        done: list[str] = []
        monkeypatch.setattr(bootstrap, "disconnect", lambda: done.append("disconnected"))
        return done

    @pytest.mark.parametrize("name", ["predict", "ab_test"])
    def test_models_score_and_stores_are_asked_before_the_snapshot(
        self, world: World, monkeypatch: pytest.MonkeyPatch, disconnected: list[str], name: str
    ) -> None:
        asked = noted(monkeypatch, world)
        load_function(name, monkeypatch)
        monkeypatch.setattr(bootstrap, "recommender", lambda: world.recommender)
        monkeypatch.setattr(bootstrap, "_models", lambda: world.models)
        assert asked == []
        take_snapshot()
        assert asked == ["profile", *["score"] * len(world.bundle.manifest.models)]
        restore()
        assert disconnected == ["disconnected"]

    def test_profiles_are_read_before_the_snapshot(
        self, world: World, monkeypatch: pytest.MonkeyPatch, disconnected: list[str]
    ) -> None:
        asked = noted(monkeypatch, world)
        load_function("events", monkeypatch)
        monkeypatch.setattr(bootstrap, "_users", lambda: world.users)
        take_snapshot()
        assert asked == ["profile"]
        restore()
        assert disconnected == ["disconnected"]

    def test_results_are_read_before_the_snapshot(
        self, world: World, monkeypatch: pytest.MonkeyPatch, disconnected: list[str]
    ) -> None:
        asked: list[str] = []
        reading = noting(asked, "experiments", [])
        monkeypatch.setattr(world.stored_experiments, "all_running", reading)
        load_function("ab_report", monkeypatch)
        monkeypatch.setattr(bootstrap, "reports", lambda: world.reports)
        take_snapshot()
        assert asked == ["experiments"]
        restore()
        assert disconnected == ["disconnected"]

    @pytest.mark.parametrize("name", ["maintenance", "batch"])
    def test_nobody_waits_for_what_no_request_reaches(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        load_function(name, monkeypatch)
        assert snapshot_restore_py.get_before_snapshot() == []


def noted(monkeypatch: pytest.MonkeyPatch, world: World) -> list[str]:
    """What is asked of the world from now on."""
    asked: list[str] = []
    scores = np.zeros(len(world.bundle.catalogue), np.float32)
    monkeypatch.setattr(world.users, "get", noting(asked, "profile", None))
    for model_id in world.bundle.manifest.models:
        model = load_model(model_id, world.bundle)
        monkeypatch.setattr(type(model), "score", noting(asked, "score", scores))
    return asked


def noting(asked: list[str], what: str, answer: object) -> Callable[..., object]:
    def note(*arguments: object) -> object:
        asked.append(what)
        return answer

    return note
