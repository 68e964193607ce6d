"""Who takes part in an experiment, and experiments that share no user."""

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.domain.errors import InvalidRequest
from segue.experiments.assignment import assign, takes_part
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import DEFAULT, Experiment
from segue.experiments.layers import ALL, PARTS, Layer, Slots, first, parts_of, size
from tests.unit.conftest import Function, World
from tests.unit.test_experiments import put

USERS = [str(user) for user in range(4_000)]


def members(world: World, name: str) -> set[str]:
    """Who of the users takes part."""
    experiment = world.epochs.running(name).experiment
    return {user for user in USERS if takes_part(experiment, user)}


class TestTraffic:
    def test_is_the_share_of_users_who_take_part(self, ab_test: Function, world: World) -> None:
        put(ab_test, traffic=0.25)
        assert len(members(world, "test")) / len(USERS) == pytest.approx(0.25, abs=0.03)

    def test_grows_without_a_new_epoch_and_moves_nobody(
        self, ab_test: Function, world: World
    ) -> None:
        put(ab_test, traffic=0.1)
        before = world.epochs.running("test")
        first = members(world, "test")
        assert put(ab_test, traffic=0.5)[1]["epoch"] == 1
        after = world.epochs.running("test")
        assert first < members(world, "test")
        for side, later in zip(before.sides, after.sides, strict=True):
            assert all(assign(side, user) == assign(later, user) for user in first)

    def test_says_nothing_of_the_arm(self, ab_test: Function, world: World) -> None:
        put(ab_test, traffic=0.5)
        epoch = world.epochs.running("test").live
        arms = Counter(assign(epoch, user).group for user in members(world, "test"))
        assert arms["A"] / arms.total() == pytest.approx(0.5, abs=0.04)

    def test_shrinks_to_those_who_were_first_in(self, ab_test: Function, world: World) -> None:
        put(ab_test, traffic=0.2)
        first = members(world, "test")
        put(ab_test, traffic=0.5)
        put(ab_test, traffic=0.2)
        assert members(world, "test") == first

    def test_of_others_gets_the_controls_list_which_is_no_part_of_it(
        self, ab_test: Function, world: World
    ) -> None:
        put(ab_test, traffic=0.5)
        inside, outside = members(world, "test"), set(USERS) - members(world, "test")
        for user in (min(inside), min(outside)):
            world.play(user, world.tracks(0, 9), days=-1)
            path, asked = f"/users/{user}/recommendations", {"experiment": "test"}
            shown = ab_test.call("GET", path, query=asked)[2]
            assert shown["tracks"]
            assert bool(shown["recommendation_id"]) == bool(shown["group"]) == (user in inside)
        assert shown["model"] == "autoencoder"
        assert {user for _, user in world.results.results} == {min(inside)}

    @pytest.mark.parametrize("traffic", [0, -0.5, 1.5, 1e-9])
    def test_is_from_a_millionth_to_all(self, ab_test: Function, traffic: float) -> None:
        status, body = put(ab_test, traffic=traffic)
        assert (status, body["field"]) == (422, "traffic")


class TestLayer:
    def test_experiments_of_one_share_no_user_however_they_grow(
        self, ab_test: Function, world: World
    ) -> None:
        for traffic in (0.1, 0.3, 0.5):
            for name in ("one", "other"):
                assert put(ab_test, f"/experiments/{name}", layer="home", traffic=traffic)[0] < 300
            one, other = members(world, "one"), members(world, "other")
            assert not one & other
            assert len(one) / len(USERS) == pytest.approx(traffic, abs=0.03)
            assert len(other) / len(USERS) == pytest.approx(traffic, abs=0.03)

    def test_that_is_full_lets_nobody_in(self, ab_test: Function) -> None:
        put(ab_test, "/experiments/one", layer="home", traffic=0.8)
        status, body = put(ab_test, "/experiments/other", layer="home", traffic=0.3)
        assert (status, body["field"]) == (422, "traffic")
        assert "0.2 are free" in body["detail"]
        assert ab_test.call("GET", "/experiments/other")[0] == 404

    def test_keeps_its_holdout_out_of_every_experiment(
        self, ab_test: Function, world: World
    ) -> None:
        status, _, row = ab_test.call("PUT", "/layers/home", {"holdout": 0.1})
        assert (status, row["free"]) == (200, 0.9)
        for name, traffic in (("one", 0.5), ("other", 0.4)):
            put(ab_test, f"/experiments/{name}", layer="home", traffic=traffic)
        inside = members(world, "one") | members(world, "other")
        assert len(inside) / len(USERS) == pytest.approx(0.9, abs=0.02)
        assert ab_test.call("GET", "/layers")[2]["layers"] == [
            {
                "name": "home",
                "holdout": 0.1,
                "free": 0.0,
                "experiments": {"one": 0.5, "other": 0.4},
            }
        ]

    def test_can_hold_users_out_as_long_as_there_are_any_left(self, ab_test: Function) -> None:
        put(ab_test, "/experiments/one", layer="home", traffic=0.5)
        for holdout in (0.1, 0.5, 0.2):
            status, _, row = ab_test.call("PUT", "/layers/home", {"holdout": holdout})
            assert (status, row["free"]) == (200, pytest.approx(0.5 - holdout))

    def test_holds_nobody_out_who_is_in_an_experiment(self, ab_test: Function) -> None:
        put(ab_test, "/experiments/one", layer="home", traffic=0.95)
        status, _, body = ab_test.call("PUT", "/layers/home", {"holdout": 0.1})
        assert (status, body["field"]) == (422, "holdout")

    def test_gets_the_users_of_an_experiment_back_when_it_is_archived(
        self, ab_test: Function
    ) -> None:
        put(ab_test, "/experiments/one", layer="home", traffic=0.8)
        path = "/experiments/one"
        assert ab_test.call("DELETE", path)[0] == 204
        assert put(ab_test, "/experiments/other", layer="home", traffic=0.3)[0] == 422
        for _ in range(2):
            assert ab_test.call("DELETE", path, query={"archive": "true"})[0] == 204
        assert put(ab_test, "/experiments/other", layer="home", traffic=0.3)[0] == 201

    def test_of_an_experiment_stays_the_same(self, ab_test: Function) -> None:
        put(ab_test, layer="home", traffic=0.5)
        status, body = put(ab_test, layer="other", traffic=0.5)
        assert (status, body["field"]) == (422, "layer")

    @pytest.mark.parametrize("holdout", [-0.1, 1.1, "half"])
    def test_holds_out_a_share(self, ab_test: Function, holdout: object) -> None:
        status, _, body = ab_test.call("PUT", "/layers/home", {"holdout": holdout})
        assert (status, body["field"]) == (422, "holdout")

    def test_has_a_name(self, ab_test: Function) -> None:
        assert ab_test.call("PUT", "/layers/Home", {"holdout": 0.1})[0] == 422
        assert put(ab_test, layer="Ho.me")[1]["field"] == "layer"


Step = tuple[str, str, float]
steps = st.lists(
    st.tuples(
        st.sampled_from(["grant", "release", "hold out"]),
        st.sampled_from("abc"),
        st.floats(0, 1, allow_nan=False),
    ),
    max_size=12,
)


def covered(slots: Iterable[Slots]) -> int:
    """How many parts are in any of these."""
    ranges = sorted(slot for each in slots for slot in each)
    end = found = 0
    for start, over in ranges:
        found += max(0, over - max(start, end))
        end = max(end, over)
    return found


@given(steps)
def test_no_part_is_ever_of_two(taken: list[Step]) -> None:
    layer = Layer("home")
    for action, name, share in taken:
        before = layer
        try:
            if action == "grant":
                layer = layer.granting(name, share)
                assert size(layer.taken.get(name, ())) >= parts_of(share)
                held = before.taken.get(name, ())
                assert layer.taken.get(name, ())[: len(held)] == held
            elif action == "release":
                layer = layer.without(name)
            else:
                layer = layer.holding_out(share)
        except InvalidRequest:
            assert layer == before
        everybody = [*layer.taken.values(), ((0, parts_of(layer.holdout)),)]
        assert covered(everybody) == sum(map(size, everybody)) <= PARTS
        assert layer.free == pytest.approx(1 - covered(everybody) / PARTS)


def test_the_first_parts_of_some_are_as_many() -> None:
    slots = ((5, 10), (20, 30))
    assert first(slots, 7) == ((5, 10), (20, 22))
    assert first(slots, 0) == ()
    assert first(slots, 99) == slots


def test_everybody_takes_part_unless_it_is_said_otherwise() -> None:
    assert DEFAULT.slots == ALL
    assert all(takes_part(Epoch(DEFAULT, "b").experiment, user) for user in USERS)
    nobody = Experiment("none", DEFAULT.arms, slots=())
    assert not any(takes_part(nobody, user) for user in USERS)
