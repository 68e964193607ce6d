"""Lists that were made for everybody, and requests that are answered with them."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from infra.memory import MemoryLists, MemoryUserStore
from segue.domain.times import DAY, SECOND
from segue.ports import Profile, Shard, StoredList
from segue.services.batch import Batch
from segue.services.recommend import Query
from tests.unit.conftest import Function, World
from tests.unit.test_experiments import arm

MODEL, LENGTH, USER = 2, 12, "1"
MINUTE, HOUR = 60, 3_600


@pytest.fixture(autouse=True)
def made(world: World) -> Shard:
    """A day after the cut-off, lists are made for two users who have heard something."""
    world.clock.time = world.cutoff + DAY
    for user in (USER, "2"):
        world.join(user)
        world.play(user, world.tracks(10, 20))
    shard = Shard("night", MODEL, LENGTH, world.clock.time, 0, 1, serve=True)
    batch(world).run(shard)
    return shard


@pytest.fixture
def begun(ab_test: Function) -> Function:
    """An experiment in which everybody gets the model."""
    begin(ab_test)
    return ab_test


def begin(function: Function, **changed: object) -> None:
    body = {"arms": [arm("A", MODEL), arm("B", MODEL)]} | changed
    assert function.call("PUT", "/experiments/default", body)[0] < 300


def batch(
    world: World, users: MemoryUserStore | None = None, files: MemoryLists | None = None
) -> Batch:
    users, files = users or world.users, files or MemoryLists()
    return Batch(world.sessions, users, world.models, world.track_store, files)


def show(function: Function, **query: object) -> list[str]:
    asked = {name: str(value) for name, value in query.items()}
    status, _, body = function.call("GET", f"/users/{USER}/recommendations", query=asked)
    assert status == 200, body
    tracks: list[str] = body["tracks"]
    return tracks


def stored(world: World) -> list[str]:
    found = world.users.stored_list(USER, MODEL)
    assert found
    return [*found.tracks]


def disguise(world: World, **changed: Any) -> list[str]:
    """Store a list that no model would make, so that it is told from a fresh one."""
    found = world.users.lists[USER, MODEL]
    told = found._replace(tracks=found.tracks[::-1], **changed)
    world.users.lists[USER, MODEL] = told
    return [*told.tracks]


class Killed(BaseException):
    """As if the process had ended right there."""


class TestMaking:
    def test_everybody_with_a_profile_gets_the_list_that_a_request_would_answer(
        self, world: World, begun: Function
    ) -> None:
        assert stored(world) == show(begun, k=LENGTH)
        assert world.users.stored_list("2", MODEL)

    def test_they_are_stored_only_where_requests_are_to_be_answered_with_them(
        self, world: World, made: Shard
    ) -> None:
        world.users.lists.clear()
        batch(world).run(replace(made, serve=False))
        assert not world.users.lists

    @pytest.mark.parametrize("back", [False, True])
    def test_who_is_erased_meanwhile_has_none(
        self, world: World, made: Shard, *, back: bool
    ) -> None:
        @dataclass
        class Erasing(MemoryUserStore):
            def store_list(self, profile: Profile, model_id: int, made: StoredList) -> None:
                world.privacy.erase(USER)
                if back:
                    world.join(USER)
                world.users.store_list(profile, model_id, made)

        batch(world, Erasing(world.users.users)).run(replace(made, run="next"))
        assert [*world.users.lists] == [("2", MODEL)]

    def test_a_shard_that_was_killed_half_way_is_made_whole(
        self, world: World, made: Shard
    ) -> None:
        @dataclass
        class Mortal(MemoryUserStore):
            def store_list(self, profile: Profile, model_id: int, made: StoredList) -> None:
                if profile.user.user_id == "2":
                    raise Killed
                world.users.store_list(profile, model_id, made)

        whole, files = dict(world.users.lists), MemoryLists()
        world.users.lists.clear()
        with pytest.raises(Killed):
            batch(world, Mortal(world.users.users), files).run(made)
        assert not files.has(made)
        assert batch(world, files=files).run(made) == 2
        assert world.users.lists == whole

    def test_an_earlier_runs_list_does_not_take_the_place_of_a_later_ones(
        self, world: World, made: Shard
    ) -> None:
        later = disguise(world, as_of=made.as_of + DAY)
        batch(world).run(replace(made, run="late"))
        assert stored(world) == later


class TestServing:
    def test_one_that_is_young_enough_is_served(self, world: World, begun: Function) -> None:
        told = disguise(world)
        world.clock.time += 59 * MINUTE * SECOND
        assert show(begun, k=LENGTH, max_age=HOUR) == told
        assert show(begun, k=5, max_age=HOUR) == told[:5]
        assert show(begun, max_age=HOUR) == told

    def test_how_often_there_is_one_is_counted(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        counted: list[bool] = []
        monkeypatch.setattr(world.recommender, "_tell", counted.append)
        query = Query(USER, MODEL, LENGTH, world.clock.time)
        for max_age in (None, SECOND, SECOND):
            world.recommender.tracks(replace(query, max_age=max_age), world.bundle)
            if counted:
                world.users.lists.clear()
        assert counted == [True, False]

    def test_it_is_recorded_as_any_list(self, world: World, begun: Function) -> None:
        told = disguise(world)
        show(begun, k=LENGTH, max_age=HOUR)
        (pending,) = world.results.results.values()
        assert [*pending.exposure.tracks] == told

    def test_who_takes_no_part_gets_theirs_too(self, world: World, ab_test: Function) -> None:
        begin(ab_test)
        assert ab_test.call("DELETE", "/experiments/default")[0] == 204
        told = disguise(world)
        assert show(ab_test, k=LENGTH, max_age=HOUR) == told

    def test_what_was_played_since_is_left_out(self, world: World, begun: Function) -> None:
        told = disguise(world)
        world.play(USER, told[:1], days=1 + 1e-3, session="now")
        world.clock.time += 10 * MINUTE * SECOND
        assert show(begun, k=5, max_age=HOUR) == told[1:6]

    def test_what_was_taken_out_is_left_out(self, world: World, begun: Function) -> None:
        told = disguise(world)
        world.track_store.set_available(told[2], available=False)
        assert show(begun, k=5, max_age=HOUR) == [*told[:2], *told[3:6]]

    @pytest.mark.parametrize(
        "query",
        [{"k": LENGTH}, {"k": LENGTH + 1, "max_age": HOUR}, {"k": LENGTH, "max_age": MINUTE}],
        ids=["no age", "too short", "too old"],
    )
    def test_else_a_fresh_one_is_made(
        self, world: World, begun: Function, query: dict[str, int]
    ) -> None:
        told = disguise(world)
        world.clock.time += 2 * MINUTE * SECOND
        found = show(begun, **query)
        assert len(found) == query["k"]
        assert found[:LENGTH] != told

    @pytest.mark.parametrize("other", ["bundle", "model", "moment"])
    def test_one_of_other_models_or_of_a_later_moment_is_not_served(
        self, world: World, begun: Function, other: str
    ) -> None:
        told = disguise(world)
        found = world.users.lists.pop((USER, MODEL))
        of_model, changed = {
            "bundle": (MODEL, found._replace(bundle="0" * 12)),
            "model": (1, found),
            "moment": (MODEL, found._replace(as_of=found.as_of + 1)),
        }[other]
        world.users.lists[USER, of_model] = changed
        assert show(begun, k=LENGTH, max_age=HOUR) != told

    @pytest.mark.parametrize("age", ["0", "-1", str(7 * 24 * HOUR + 1), "an hour"])
    def test_an_age_that_cannot_be_is_refused(self, begun: Function, age: str) -> None:
        query = {"max_age": age}
        status, _, body = begun.call("GET", f"/users/{USER}/recommendations", query=query)
        assert (status // 100, body["field"]) == (4, "max_age")
