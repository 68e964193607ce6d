"""An epoch is served by the bundle it was begun with, whichever one is active by now."""

from pathlib import Path
from typing import Any

import pytest

from segue.domain.errors import StoreUnavailable
from segue.domain.times import DAY
from segue.experiments.assignment import assign
from segue.models.bundle import Bundle
from segue.ports import Refused
from segue.services.recommend import Query
from tests.unit.conftest import Function, World
from tests.unit.test_experiments import arm
from tests.unit.test_experiments import put as put_any
from tests.variants import variant

USERS = range(1, 9)
POPULARITY = [arm("A", 0), arm("B", 1)]


@pytest.fixture(scope="module")
def another(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle in which other tracks are popular."""
    return variant(bundle_path, tmp_path_factory.mktemp("variants") / "bundle", 1)


@pytest.fixture(autouse=True)
def listeners(world: World) -> None:
    for user in USERS:
        world.play(str(user), world.tracks(10 * user, 10 * user + 10), session=f"s{user}")


def put(function: Function, **fields: Any) -> None:
    status, _ = put_any(function, "/experiments/default", arms=POPULARITY, **fields)
    assert status < 300


def perform(function: Function, user: int) -> tuple[int, Any]:
    status, _, body = function.call("POST", "/perform_ab_test", {"user_id": user})
    return status, body


def activate(world: World, bundle: Bundle) -> None:
    """Make it active; the one before stays at hand."""
    world.models.others, world.models.active = (world.models.active,), bundle


def test_replayed_tests_go_on_with_the_epochs_models(
    ab_test: Function, predict: Function, world: World, another: Bundle
) -> None:
    put(ab_test)
    activate(world, another)
    for user in USERS:
        assert perform(ab_test, user)[0] == 200
        epoch = world.epochs.running()
        exposure = world.results.settled[epoch.id, str(user)].exposure
        model_id = assign(epoch, str(user)).model_id
        query = Query(str(user), model_id, as_of=world.cutoff)
        assert exposure.bundle == world.bundle.version
        assert exposure.tracks == world.recommender.recommend(query, world.bundle).tracks
    _, headers, _ = predict.call("POST", "/models/0/predict", {"user_id": 1})
    assert headers["X-Segue-Bundle"] == another.version


def test_live_exposures_go_on_with_the_epochs_models_and_are_recorded(
    ab_test: Function, world: World, another: Bundle
) -> None:
    world.clock.time = world.cutoff + DAY
    put(ab_test)
    activate(world, another)
    for user in USERS:
        shown = ab_test.call("GET", f"/users/{user}/recommendations")[2]
        assert shown["recommendation_id"]
    assert {it.bundle for it in world.results.exposed.values()} == {world.bundle.version}


@pytest.mark.parametrize("begin", ["PUT", "DELETE"])
def test_the_next_epoch_is_of_the_active_bundle_though_it_was_not_noticed_yet(
    ab_test: Function, world: World, another: Bundle, begin: str
) -> None:
    put(ab_test)
    world.models.served = world.models.active
    activate(world, another)
    assert world.models.current().version == world.bundle.version
    if begin == "PUT":
        put(ab_test, k=20)
    else:
        ab_test.call("DELETE", "/ab_test/results")
    running = world.epochs.running()
    assert (running.number, running.bundle) == (2, another.version)


def test_where_the_epochs_models_are_gone_a_replay_is_refused_and_the_live_list_not_recorded(
    ab_test: Function, world: World, another: Bundle
) -> None:
    put(ab_test)
    assert perform(ab_test, 1)[0] == 200
    world.models.active = another
    status, body = perform(ab_test, 2)
    assert status == 409
    assert world.bundle.version in body["detail"]
    assert another.version in body["detail"]
    assert perform(ab_test, 1)[0] == 200, "what is on record needs no models"
    shown = ab_test.call("GET", "/users/2/recommendations")[2]
    assert shown["tracks"]
    assert shown["recommendation_id"] is None
    assert not world.results.exposed


def test_a_bucket_that_does_not_answer_ends_no_epoch(
    ab_test: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timed_out(_: str) -> None:
        raise StoreUnavailable("bundles: timed out")

    put(ab_test)
    monkeypatch.setattr(world.models, "bundle", timed_out)
    assert perform(ab_test, 1)[0] == 503


def test_health_says_why_another_bundle_is_served_than_should_be(
    predict: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Refused("0123456789ab", "its checksum is not the manifest's")
    monkeypatch.setattr(world.models, "refused", lambda: refused)
    status, _, body = predict.call("GET", "/health")
    assert (status, body["status"], body["bundle"]) == (200, "ok", world.bundle.version)
    assert body["refused"] == {"bundle": refused.version, "reason": refused.reason}


def test_a_refused_bundle_is_logged_and_counted(
    predict: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    # The library reads where metrics go when it is imported, which the function does.
    from segue.api.telemetry import observe_refused

    observe_refused(Refused("0123456789ab", "its checksum is not the manifest's"))
    printed = capsys.readouterr().out
    assert '"Refused bundles":[1.0]' in printed
    assert '"Dimensions":[["service"]]' in printed
