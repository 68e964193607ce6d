"""GET /users/{user_id}/recommendations, in every mode."""

from collections import Counter
from typing import Any

import pytest

from segue.domain.times import DAY
from segue.experiments.assignment import assign
from segue.experiments.bandit import EXPLORED
from segue.experiments.records import Impression, Pending, Record
from segue.models.classifier import Classifier
from segue.services.live import Live
from segue.services.recommend import Query
from tests.unit.conftest import Function, World
from tests.unit.test_experiments import arm

USERS = range(1, 21)


@pytest.fixture(autouse=True)
def listeners(world: World) -> None:
    """It is the day after the cut-off, and users 1 to 20 each heard ten tracks before."""
    world.clock.time = world.cutoff + DAY
    for user in USERS:
        world.play(str(user), world.tracks(10 * user, 10 * user + 10), session=f"s{user}")


def show(function: Function, user: int = 1, **query: str) -> Any:
    status, _, body = function.call("GET", f"/users/{user}/recommendations", query=query)
    assert status == 200, body
    return body


def begin(function: Function, mode: str) -> None:
    body = {"arms": [arm("A", 1, None), arm("B", 2, None)], "mode": mode}
    assert function.call("PUT", "/experiments/default", body)[0] < 300


def settled(world: World) -> dict[str, Record]:
    """Settle and archive what can be by now; the records by user."""
    world.maintenance.run(lambda: True)
    return {user: record for (_, user), record in world.results.settled.items()}


def test_shows_what_the_arms_model_recommends_now(ab_test: Function, world: World) -> None:
    for user in USERS:
        shown = show(ab_test, user, k="7")
        expected = assign(world.epochs.running().live, str(user))
        assert shown["group"] == expected.group
        query = Query(str(user), expected.model_id, k=7, as_of=world.clock.time)
        assert shown["tracks"] == list(world.recommender.recommend(query).tracks)


def test_each_request_recommends_anew_by_the_same_arm(ab_test: Function, world: World) -> None:
    first = show(ab_test, k="7")
    world.play("1", world.tracks(300, 320), days=2, session="later")
    world.clock.time += 30 * DAY - 1
    following = show(ab_test, k="9")
    model = world.epochs.running().live.experiment.arms[first["group"] == "B"].model_id
    fresh = world.recommender.recommend(Query("1", model, k=9, as_of=world.clock.time))
    assert following["tracks"] == list(fresh.tracks) != first["tracks"]
    assert following["settles_at"] == first["settles_at"]
    assert following["recommendation_id"] not in (None, first["recommendation_id"])


def test_after_the_window_lists_are_no_part_of_the_experiment(
    ab_test: Function, world: World
) -> None:
    first = show(ab_test, k="7")
    world.clock.time += 30 * DAY
    following = show(ab_test, k="9")
    assert len(following["tracks"]) == 9
    assert following["group"] == first["group"]
    assert following["recommendation_id"] is following["settles_at"] is None


def test_all_lists_that_were_shown_are_remembered_and_the_same_one_once(
    ab_test: Function, world: World
) -> None:
    shown = [show(ab_test, k=k) for k in ("7", "9", "7", "9")]
    assert len({it["recommendation_id"] for it in shown}) == 2
    (pending,) = world.results.results.values()
    assert [len(it.tracks) for it in pending.impressions] == [7, 9]


def test_a_list_that_there_is_no_room_for_is_shown_all_the_same(
    ab_test: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.experiments.records.MOST_TRACKS", 20)
    for k in ("7", "9"):
        assert show(ab_test, k=k)["recommendation_id"]
    full = show(ab_test, k="8")
    assert len(full["tracks"]) == 8
    assert full["recommendation_id"] is None
    assert show(ab_test, k="9")["recommendation_id"], "that one is there already"


def test_a_user_who_is_erased_while_a_list_is_made_begins_anew(
    ab_test: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(ab_test, k="7")
    another = world.exposer.another

    def erased_meanwhile(*arguments: Any) -> Impression:
        monkeypatch.setattr(world.exposer, "another", another)
        made = another(*arguments)
        world.privacy.erase("1")
        world.join("1")
        return made

    monkeypatch.setattr(world.exposer, "another", erased_meanwhile)
    shown = show(ab_test, k="9")
    (pending,) = world.results.results.values()
    assert [list(it.tracks) for it in pending.impressions] == [shown["tracks"]]


def test_the_exposure_is_recorded_as_of_now_and_once(ab_test: Function, world: World) -> None:
    shown = [show(ab_test), show(ab_test)]
    (exposure,) = world.results.exposed.values()
    assert exposure.as_of == world.clock.time
    assert list(exposure.tracks) == shown[0]["tracks"]
    assert shown[0]["settles_at"] == "2022-10-02T00:00:00.000Z"


def test_of_two_calls_at_once_both_answer_what_the_first_recorded(
    ab_test: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    expose, first = world.exposer.expose, []

    def another_call_is_faster(*arguments: Any) -> Pending:
        monkeypatch.setattr(world.exposer, "expose", expose)
        first.append(show(ab_test, k="7"))
        return expose(*arguments)

    monkeypatch.setattr(world.exposer, "expose", another_call_is_faster)
    assert [show(ab_test, k="9")] == first
    assert len(world.results.exposed) == 1


def test_in_a_demonstration_now_is_the_moment_it_is_set_to(world: World) -> None:
    live = Live(
        world.epochs,
        world.exposer,
        world.recommender,
        world.models,
        world.results,
        world.clock,
        world.cutoff,
    )
    shown = live.recommend("1")
    assert shown.impression.shown_at == world.cutoff
    world.clock.time += 900 * DAY
    assert live.recommend("1") == shown


def test_ids_differ_between_users_epochs_and_experiments(ab_test: Function) -> None:
    def ids() -> set[str]:
        return {show(ab_test, user)["recommendation_id"] for user in USERS}

    ab_test.call("PUT", "/experiments/other", {"arms": [arm("A"), arm("B", 2)]})
    found = ids() | {show(ab_test, 1, experiment="other")["recommendation_id"]}
    ab_test.call("DELETE", "/ab_test/results")
    assert len(found | ids()) == 2 * len(USERS) + 1


def test_live_and_replayed_outcomes_never_meet(ab_test: Function, world: World) -> None:
    world.clock.time = world.cutoff + 31 * DAY
    for user in USERS:
        show(ab_test, user)
    assert len(world.results.exposed) == len(USERS)
    for user in USERS:
        assert ab_test.call("POST", "/perform_ab_test", {"user_id": user})[0] == 200
    rows = ab_test.call("GET", "/ab_test/results")[2]["results"]
    assert {row["as_of"] for row in rows} == {"2022-09-01T00:00:00.000Z"}
    assert len(world.results.exposed) == len(rows) == len(USERS)
    live = ab_test.call("GET", "/ab_test/results", query={"live": "true"})[2]["results"]
    assert live == [], "none of them is settled yet"


def test_a_live_exposure_is_settled_by_what_was_played_in_its_window(
    ab_test: Function, world: World
) -> None:
    shown = show(ab_test)
    world.play("1", shown["tracks"][:1], days=20, session="later")
    world.play("1", world.tracks(0, 3), days=20.5, session="skipped", skip=True)
    world.clock.time += 30 * DAY
    record = settled(world)["1"]
    assert record.successful
    assert record.figures["skip_rate"] == 0.75
    (row,) = ab_test.call("GET", "/ab_test/results", query={"live": "true"})[2]["results"]
    assert (row["user_id"], row["recomm_successful"]) == (1, 1)
    assert show(ab_test)["recommendation_id"] is None, "it is settled, and no new exposure"
    assert not world.results.exposed


def test_the_analysis_finds_what_it_needs_in_the_exposure(ab_test: Function, world: World) -> None:
    world.join("1")
    world.play("1", world.tracks(0, 5), days=-2, session="skips", skip=True)
    show(ab_test, 1)
    (exposure,) = world.results.exposed.values()
    assert exposure.before == pytest.approx(10 / 15)
    assert exposure.traits == {"premium": "no", "listener": "returning"}
    assert exposure.figures.keys() == {"latency", "diversity"}
    assert 0 < exposure.figures["diversity"] < 2


def test_a_listener_without_history_is_new(ab_test: Function, world: World) -> None:
    world.join("99", next(iter(world.bundle.catalogue.genres)))
    show(ab_test, 99)
    (exposure,) = world.results.exposed.values()
    assert exposure.before is None
    assert exposure.traits["listener"] == "new"


def test_a_model_that_fails_counts_against_its_arm_and_is_asked_again(
    ab_test: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of memory")

    live = world.epochs.running().live
    user = next(user for user in USERS if assign(live, str(user)).group == "B")
    path = f"/users/{user}/recommendations"
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "best", broken)
        assert ab_test.call("GET", path)[0] == 500
    shown = show(ab_test, user)
    assert shown["tracks"]
    assert shown["recommendation_id"], "what is played of it counts"
    (exposure,) = world.results.exposed.values()
    assert exposure.error
    assert exposure.tracks == ()


def test_other_models_than_the_epochs_are_shown_and_not_recorded(
    ab_test: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(ab_test, 1)
    monkeypatch.setattr(type(world.bundle), "version", "another")
    assert show(ab_test, 2)["recommendation_id"] is None
    assert len(world.results.exposed) == 1


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ({"k": "0"}, 422, "k"),
        ({"k": "101"}, 422, "k"),
        ({"experiment": "X"}, 422, "experiment"),
        ({"experiment": "default.live"}, 422, "experiment"),
        ({"experiment": "nosuch"}, 404, None),
    ],
)
def test_refuses_what_it_cannot_mean(
    ab_test: Function, query: dict[str, str], status: int, field: str | None
) -> None:
    answer = ab_test.call("GET", "/users/1/recommendations", query=query)
    assert (answer[0], answer[2].get("field")) == (status, field)


def test_names_the_experiment_as_it_is_asked_for(ab_test: Function) -> None:
    shown = show(ab_test, 1)
    assert (shown["experiment"], shown["side"], shown["epoch"]) == ("default", "live", 1)
    assert (
        ab_test.call("GET", "/ab_test/results", query={"experiment": shown["experiment"]})[0] == 200
    )


def test_an_unknown_user_is_not_found_and_not_recorded(ab_test: Function, world: World) -> None:
    assert ab_test.call("GET", "/users/999/recommendations")[0] == 404
    assert not world.results.exposed


class TestInterleave:
    def test_a_list_is_drafted_from_both_arms(self, ab_test: Function, world: World) -> None:
        begin(ab_test, "interleave")
        shown = show(ab_test, k="10")
        assert (shown["group"], shown["model"]) == ("A+B", "autoencoder+classifier")
        (exposure,) = world.results.exposed.values()
        assert Counter(exposure.owners) == {"A": 5, "B": 5}
        for group, model_id in (("A", 1), ("B", 2)):
            query = Query("1", model_id, k=10, as_of=world.clock.time)
            own = world.recommender.recommend(query).tracks
            picked = [
                track
                for track, owner in zip(exposure.tracks, exposure.owners, strict=True)
                if owner == group
            ]
            assert picked == [track for track in own if track in picked]

    def test_credit_goes_to_the_owners_of_what_was_played(
        self, ab_test: Function, world: World
    ) -> None:
        begin(ab_test, "interleave")
        show(ab_test, k="10")
        (exposure,) = world.results.exposed.values()
        of_b = [t for t, g in zip(exposure.tracks, exposure.owners, strict=True) if g == "B"]
        of_a = [t for t, g in zip(exposure.tracks, exposure.owners, strict=True) if g == "A"]
        world.play("1", [*of_b[:2], of_a[0]], days=9, session="later")
        world.play("1", of_a[1:], days=10, session="skips", skip=True)
        world.clock.time += 30 * DAY
        record = settled(world)["1"]
        assert record.credits == {"A": 1, "B": 2}
        assert record.winner == "B"

    def test_an_arm_that_fails_leaves_the_list_to_the_other(
        self, ab_test: Function, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("out of memory")

        begin(ab_test, "interleave")
        monkeypatch.setattr(Classifier, "best", broken)
        shown = show(ab_test, k="10")
        assert len(shown["tracks"]) == 10
        (exposure,) = world.results.exposed.values()
        assert set(exposure.owners) == {"A"}
        assert exposure.error
        assert show(ab_test) == shown

    def test_in_replay_too(self, ab_test: Function, world: World) -> None:
        world.clock.time = world.cutoff + 31 * DAY
        begin(ab_test, "interleave")
        assert ab_test.call("POST", "/perform_ab_test", {"user_id": 1})[0] == 200
        (record,) = world.results.settled.values()
        assert record.exposure.owners
        assert record.winner is None


class TestThompson:
    def test_begins_evenly_and_logs_the_odds(self, ab_test: Function, world: World) -> None:
        begin(ab_test, "thompson")
        show(ab_test)
        (exposure,) = world.results.exposed.values()
        assert exposure.seen == {"A": (0, 0), "B": (0, 0)}
        assert exposure.propensities == pytest.approx({"A": 0.5, "B": 0.5}, abs=0.02)

    def test_prefers_the_arm_that_did_well_and_never_gives_up_the_other(
        self, ab_test: Function, world: World
    ) -> None:
        begin(ab_test, "thompson")
        for user in USERS:
            show(ab_test, user)
        for exposure in world.results.exposed.values():
            if exposure.group == "B":
                world.play(exposure.user_id, [exposure.tracks[0]], days=5, session="later")
        groups = Counter(it.group for it in world.results.exposed.values())
        world.clock.time += 30 * DAY
        settled(world)
        world.play("50", world.tracks(0, 9), session="s50")
        show(ab_test, 50)
        exposure = world.results.exposed[world.epochs.running().live.id, "50"]
        assert exposure.seen == {"A": (0, groups["A"]), "B": (groups["B"], groups["B"])}
        assert exposure.propensities["A"] == pytest.approx(EXPLORED / 2, abs=0.01)
        assert sum(exposure.propensities.values()) == pytest.approx(1)
