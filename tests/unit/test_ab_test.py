"""POST /perform_ab_test, GET and DELETE /ab_test/results."""

from dataclasses import replace

import pytest

from segue.adapters.positions import position_of
from segue.domain.errors import BundleCorrupt
from segue.domain.times import DAY
from segue.experiments.assignment import assign
from segue.experiments.epoch import Epoch, EpochId, Side
from segue.experiments.experiment import DEFAULT, DEFAULT_NAME
from segue.experiments.records import Exposure, Record
from segue.models.classifier import Classifier
from segue.services.recommend import Query
from tests.unit.conftest import Function, World

TEST = "/perform_ab_test"
RESULTS = "/ab_test/results"


def perform(function: Function, user_id: int) -> tuple[int, object]:
    status, _, body = function.call("POST", TEST, {"user_id": user_id})
    return status, body


def recommended(world: World, user_id: str) -> list[str]:
    """What the user's arm recommends as of the cut-off."""
    arm = assign(world.epochs.running(), user_id)
    return list(world.recommender.recommend(Query(user_id, arm.model_id)).tracks)


@pytest.fixture(autouse=True)
def listeners(world: World) -> None:
    """Users 1 to 20 each heard ten tracks before the cut-off."""
    for user in range(1, 21):
        world.play(str(user), world.tracks(10 * user, 10 * user + 10), session=f"s{user}")


def test_a_recommended_track_played_to_its_end_is_a_success(
    ab_test: Function, world: World
) -> None:
    world.experiments.clear()  # begins the experiment
    world.play("1", recommended(world, "1")[:1], days=5, session="later")
    assert perform(ab_test, 1) == (200, {"Successful recommendation": 1})


def test_a_recommended_track_that_is_skipped_is_none(ab_test: Function, world: World) -> None:
    world.experiments.clear()
    world.play("1", recommended(world, "1"), days=5, session="later", skip=True)
    assert perform(ab_test, 1) == (200, {"Successful recommendation": 0})


def test_plays_outside_the_window_do_not_count(ab_test: Function, world: World) -> None:
    world.experiments.clear()
    world.play("1", recommended(world, "1"), days=30.01, session="too late")
    assert perform(ab_test, 1) == (200, {"Successful recommendation": 0})


def test_a_repeated_call_answers_what_was_recorded(ab_test: Function, world: World) -> None:
    first = perform(ab_test, 1)
    world.play("1", world.tracks(0, 600), days=10, session="everything")
    assert perform(ab_test, 1) == first
    assert len(ab_test.call("GET", RESULTS)[2]["results"]) == 1


def test_the_results_list_every_user_once(ab_test: Function) -> None:
    for user in [*range(1, 21), *range(1, 21)]:
        perform(ab_test, user)
    status, _, body = ab_test.call("GET", RESULTS)
    assert status == 200
    assert body["next"] is None
    assert sorted(row["user_id"] for row in body["results"]) == list(range(1, 21))
    assert {row["group"] for row in body["results"]} == {"A", "B"}
    for row in body["results"]:
        assert row["model"] == {"A": "autoencoder", "B": "classifier"}[row["group"]]
        assert row["recomm_successful"] in {0, 1}
        assert row["created_at"].endswith("Z")


def test_the_results_are_paged(ab_test: Function) -> None:
    for user in range(1, 21):
        perform(ab_test, user)
    users, query = [], {"limit": "7"}
    for _ in range(3):
        _, _, body = ab_test.call("GET", RESULTS, query=query)
        users += [row["user_id"] for row in body["results"]]
        query = {"limit": "7", "next": body["next"] or ""}
    assert body["next"] is None
    assert sorted(users) == list(range(1, 21))


def test_paging_goes_on_while_results_come_in(ab_test: Function) -> None:
    for user in range(1, 21):
        perform(ab_test, user)
    first = ab_test.call("GET", RESULTS, query={"limit": "7"})[2]
    for user in range(21, 31):
        perform(ab_test, user)
    rest = ab_test.call("GET", RESULTS, query={"next": first["next"]})[2]
    assert {row["user_id"] for row in first["results"] + rest["results"]} >= set(range(1, 21))


RUNNING = EpochId(DEFAULT_NAME, 1, Side.REPLAY)


@pytest.mark.parametrize(
    "token",
    [
        *("", "x", "é", "\ufffd", "\ud800", "0" * 63, "G" * 64, "0" * 64 + "\n", "0" * 100_000),
        *("f" * 64, "f" * 80, position_of(RUNNING, "../secret")),
    ],
)
@pytest.mark.parametrize("performed", [0, 1])
def test_a_position_that_no_page_gave_is_malformed(
    ab_test: Function, token: str, performed: int
) -> None:
    for user in range(performed):
        perform(ab_test, user)
    refuses_position(ab_test, token)


def test_a_position_of_another_list_is_malformed(ab_test: Function, world: World) -> None:
    """Of the other side, another experiment, or the epoch before: though the users are the same."""
    spring = Epoch(replace(DEFAULT, name="spring"), world.bundle.version)
    world.stored_experiments.save(spring, None)
    for user in range(1, 4):
        perform(ab_test, user)
        for epoch in (replace(RUNNING, side=Side.LIVE), spring.id):
            record = Record(Exposure(str(user), "A", "autoencoder", "", (), 0, 0), True, 9)
            world.results.add(epoch, record)
    token = ab_test.call("GET", RESULTS, query={"limit": "1"})[2]["next"]
    refuses_position(ab_test, token, live="true")
    refuses_position(ab_test, token, experiment="spring")
    ab_test.call("DELETE", RESULTS)
    for user in range(1, 4):
        perform(ab_test, user)
    refuses_position(ab_test, token)


def refuses_position(function: Function, token: str, **query: str) -> None:
    status, _, body = function.call("GET", RESULTS, query={"next": token, **query})
    assert (status, body["title"], body["field"]) == (400, "Malformed request", "next")


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "ten", "", "1.5", "٣"])
def test_an_invalid_limit_is_named(ab_test: Function, limit: str) -> None:
    status, _, body = ab_test.call("GET", RESULTS, query={"limit": limit})
    assert (status, body["field"]) == (422, "limit")


def test_without_any_test_the_results_are_empty(ab_test: Function) -> None:
    assert ab_test.call("GET", RESULTS)[::2] == (200, {"results": [], "next": None})


def test_delete_takes_the_results_out_of_every_answer(ab_test: Function, world: World) -> None:
    perform(ab_test, 1)
    assert ab_test.call("DELETE", RESULTS)[::2] == (204, None)
    assert ab_test.call("GET", RESULTS)[2]["results"] == []
    assert len(world.results.settled) == 1  # kept in the old epoch, not destroyed


def test_after_delete_the_users_are_assigned_anew(ab_test: Function, world: World) -> None:
    def groups() -> dict[str, str]:
        for user in range(1, 21):
            perform(ab_test, user)
        rows = ab_test.call("GET", RESULTS)[2]["results"]
        return {row["user_id"]: row["group"] for row in rows}

    first = groups()
    ab_test.call("DELETE", RESULTS)
    assert groups() != first


def test_a_window_that_has_not_passed_is_pending(ab_test: Function, world: World) -> None:
    world.clock.time = world.cutoff + 29 * DAY
    status, body = perform(ab_test, 1)
    assert status == 202
    assert body == {"status": "pending", "settles_at": "2022-10-01T00:00:00.000Z"}
    assert ab_test.call("GET", RESULTS)[2]["results"] == []


def test_a_pending_test_is_settled_by_what_was_recommended_then(
    ab_test: Function, world: World
) -> None:
    world.clock.time = world.cutoff + 5 * DAY
    perform(ab_test, 1)
    (exposure,) = world.results.exposed.values()
    world.play("1", [exposure.tracks[0]], days=20, session="later")
    world.clock.time = world.cutoff + 30 * DAY
    assert perform(ab_test, 1) == (200, {"Successful recommendation": 1})
    (record,) = world.results.settled.values()
    assert record.exposure == exposure
    assert not world.results.exposed


def freeze_to_another_bundle(world: World) -> None:
    """Let the running epoch have begun with a bundle that is gone."""
    (epoch,) = world.stored_experiments.epochs[DEFAULT_NAME]
    world.stored_experiments.epochs[DEFAULT_NAME] = [replace(epoch, bundle="another")]


def test_an_epoch_never_mixes_bundles(ab_test: Function, world: World) -> None:
    perform(ab_test, 1)
    freeze_to_another_bundle(world)
    status, body = perform(ab_test, 2)
    assert status == 409
    assert "DELETE /ab_test/results" in str(body)
    assert perform(ab_test, 1)[0] == 200  # what was recorded can still be asked for
    ab_test.call("DELETE", RESULTS)
    assert perform(ab_test, 2)[0] == 200


def test_a_model_that_fails_is_a_failure_of_its_arm(
    ab_test: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Classifier, "best", broken)
    for user in range(1, 21):
        assert perform(ab_test, user)[0] == 200
    failed = [r for r in world.results.settled.values() if r.exposure.group == "B"]
    assert failed
    assert all(not r.successful and r.exposure.error for r in failed)


def test_an_unknown_user_is_not_found_and_not_recorded(ab_test: Function, world: World) -> None:
    assert perform(ab_test, 999)[0] == 404
    assert not world.results.settled


@pytest.mark.parametrize("body", [{}, {"user_id": None}, {"user_id": 1, "k": 5}])
def test_an_invalid_body_is_refused(ab_test: Function, body: object) -> None:
    assert ab_test.call("POST", TEST, body)[0] == 422


def test_a_pending_test_is_settled_though_another_bundle_is_served_by_then(
    ab_test: Function, world: World
) -> None:
    world.clock.time = world.cutoff + 5 * DAY
    perform(ab_test, 1)
    freeze_to_another_bundle(world)
    world.clock.time = world.cutoff + 30 * DAY
    assert perform(ab_test, 1)[0] == 200


def test_a_clear_whose_answer_was_lost_skips_no_epoch(
    ab_test: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    perform(ab_test, 1)
    save = world.stored_experiments.save

    def saved_though_it_seems_not(*arguments: object) -> bool:
        save(*arguments)  # type: ignore[arg-type]
        return False

    monkeypatch.setattr(world.stored_experiments, "save", saved_though_it_seems_not)
    ab_test.call("DELETE", RESULTS)
    assert world.epochs.running().number == 2


def test_a_broken_bundle_is_no_failure_of_an_arm(
    ab_test: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise BundleCorrupt("too many open files")

    monkeypatch.setattr("segue.services.recommend.load_model", broken)
    assert perform(ab_test, 1)[0] == 503
    assert not world.results.settled
