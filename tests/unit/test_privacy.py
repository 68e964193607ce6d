"""GET /users/{user_id}/export, DELETE /users/{user_id}."""

from typing import Any

import pytest

from segue.domain.errors import StoreUnavailable
from segue.experiments.epoch import EpochId, Side
from segue.experiments.experiment import DEFAULT_NAME
from segue.experiments.records import Exposure, Record
from tests.unit.conftest import Function, World


@pytest.fixture(autouse=True)
def listeners(world: World, ab_test: Function) -> None:
    """Users 1 and 2 listened, were tested, and were tested again in a second epoch, live."""
    for user in ("1", "2"):
        world.join(user, "rock")
        world.play(user, world.tracks(0, 9), session=f"s{user}")
        ab_test.call("POST", "/perform_ab_test", {"user_id": int(user)})
    ab_test.call("DELETE", "/ab_test/results")
    for user in ("1", "2"):
        ab_test.call("GET", f"/users/{user}/recommendations")


def export(function: Function, **query: str) -> Any:
    status, _, body = function.call("GET", "/users/1/export", query=query)
    assert status == 200
    return body


def test_an_export_holds_all_there_is_of_the_user_and_of_no_other(events: Function) -> None:
    body = export(events)
    assert body["profile"]["favourite_genres"] == ["rock"]
    assert len(body["events"]) == 9
    assert body["next"] is None
    parts = [
        (it["experiment"], it["side"], it["epoch"], bool(it["outcome"]))
        for it in body["experiments"]
    ]
    assert parts == [("default", "replay", 1, True), ("default", "live", 2, False)]
    assert {it["exposure"]["user_id"] for it in body["experiments"]} == {"1"}


def test_an_export_pages_the_events(events: Function) -> None:
    first = export(events, limit="5")
    rest = export(events, limit="5", next=first["next"])
    assert len(first["events"]) + len(rest["events"]) == 9
    assert rest["next"] is None


def test_an_export_beyond_what_lambda_lets_through_says_so(events: Function, world: World) -> None:
    long = tuple(f"{n:064}" for n in range(100))
    record = Record(Exposure("1", "A", "autoencoder", "b", long, 0, 0), True, 9)
    for epoch in range(3, 1_003):
        world.results.add(EpochId(DEFAULT_NAME, epoch, Side.REPLAY), record)
    status, _, body = events.call("GET", "/users/1/export")
    assert (status, body["title"]) == (500, "Answer too large")
    assert "6 MB" in body["detail"]


def test_nobody_has_no_export(events: Function) -> None:
    assert events.call("GET", "/users/9/export")[0] == 404


def test_an_erasure_leaves_nothing_of_the_user_and_all_of_the_others(
    events: Function, world: World
) -> None:
    assert events.call("DELETE", "/users/1")[::2] == (204, None)
    assert events.call("GET", "/users/1/export")[0] == 404
    assert {event.user_id for event in world.sessions.stored.values()} == {"2"}
    assert set(world.users.users) == {"2"}
    assert {user for _, user in world.results.results} == {"2"}


@pytest.mark.parametrize("archived", [False, True])
def test_an_erasure_reaches_the_counts_of_the_report(
    events: Function, world: World, archived: bool
) -> None:
    world.experiments.perform("1")
    world.experiments.perform("2")
    if archived:
        world.maintenance.run(lambda: True)

    def counted() -> int:
        users: int = world.reports.report("default", live=False)["experiment"]["users"]
        return users

    assert counted() == 2
    events.call("DELETE", "/users/1")
    assert counted() == 1


def test_an_erasure_can_be_repeated(events: Function) -> None:
    for _ in range(2):
        assert events.call("DELETE", "/users/1")[0] == 204


def test_an_erasure_that_failed_half_way_says_so(
    events: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise StoreUnavailable("results: SlowDown")

    with monkeypatch.context() as patch:
        patch.setattr(world.archive, "erase", refused)
        assert events.call("DELETE", "/users/1")[0] == 503
    assert events.call("DELETE", "/users/1")[0] == 204
    assert {user for _, user in world.results.results} == {"2"}


def test_an_erasure_is_noted_before_anything_is_deleted(
    events: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise StoreUnavailable("Sessions: throttled")

    monkeypatch.setattr(world.sessions, "delete", refused)
    assert events.call("DELETE", "/users/1")[0] == 503
    assert set(world.results.erasures) == {"1"}


def test_whoever_was_erased_can_begin_anew(
    events: Function, ab_test: Function, world: World
) -> None:
    events.call("DELETE", "/users/1")
    assert ab_test.call("GET", "/users/1/recommendations")[0] == 404
    world.play("1", world.tracks(0, 9))
    status, _, shown = ab_test.call("GET", "/users/1/recommendations")
    assert (status, bool(shown["recommendation_id"])) == (200, True)
    assert ab_test.call("POST", "/perform_ab_test", {"user_id": 1})[0] == 200
