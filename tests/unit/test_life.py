"""The life of an experiment: planned, changed, stopped, archived; and who did what."""

from typing import Any

import pytest

from segue.domain.times import DAY
from segue.experiments.records import Exposure, Record
from tests.unit.conftest import Function, World
from tests.unit.test_experiments import NAME, TWO, arm, put

OF_TEST = {"experiment": "test"}


@pytest.fixture(autouse=True)
def listener(world: World) -> None:
    world.play("1", world.tracks(0, 9), days=-1)


def get(function: Function) -> Any:
    status, headers, body = function.call("GET", NAME)
    assert status == 200
    assert headers["ETag"] == body["etag"]
    return body


def show(function: Function) -> Any:
    status, _, body = function.call("GET", "/users/1/recommendations", query=OF_TEST)
    assert status == 200
    return body


class TestChanging:
    def test_takes_the_tag_of_the_version_and_says_so(self, ab_test: Function) -> None:
        first = put(ab_test)[1]
        status, _, problem = ab_test.call("PUT", NAME, {"arms": TWO, "owner": "me"})
        assert (status, problem["title"]) == (428, "Precondition required")
        assert "If-Match" in problem["detail"]
        assert first["etag"] in problem["detail"]
        assert get(ab_test)["owner"] == ""

    def test_nothing_takes_no_tag(self, ab_test: Function) -> None:
        put(ab_test)
        assert ab_test.call("PUT", NAME, {"arms": TWO})[0] == 200

    @pytest.mark.parametrize(
        ("fields", "epoch"),
        [
            ({"description": "why"}, 1),
            ({"owner": "me"}, 1),
            ({"traffic": 0.5}, 1),
            ({"guardrails": [{"figure": "latency", "margin": 5}]}, 1),
            ({"window_days": 14}, 2),
            ({"k": 20}, 2),
            ({"arms": [arm("A", 1, 0.4), arm("B", 2, 0.6)]}, 2),
            ({"arms": [arm("A", 1), arm("B", 0)]}, 2),
        ],
    )
    def test_begins_an_epoch_only_where_results_depend_on_it(
        self, ab_test: Function, fields: dict[str, Any], epoch: int
    ) -> None:
        put(ab_test)
        assert put(ab_test, **fields)[1]["epoch"] == epoch


class TestDryRun:
    def plan(self, function: Function, **fields: Any) -> Any:
        body = {"arms": TWO} | fields
        status, _, plan = function.call("POST", f"{NAME}/dry_run", body)
        assert status == 200
        return plan

    def test_creates_nothing(self, ab_test: Function) -> None:
        plan = self.plan(ab_test)
        assert plan["creates"]
        assert plan["epoch"] == 1
        assert ab_test.call("GET", NAME)[0] == 404

    def test_says_which_fields_change_and_that_nobody_moves(self, ab_test: Function) -> None:
        first = put(ab_test, traffic=0.1)[1]
        plan = self.plan(ab_test, traffic=0.5, owner="me")
        assert plan["changed"] == ["owner", "traffic"]
        assert (plan["begins_epoch"], plan["epoch"], plan["moved"]) == (False, 1, 0)
        assert put(ab_test, traffic=0.1)[1] == first

    def test_says_how_many_users_move(self, ab_test: Function, world: World) -> None:
        put(ab_test)
        for user in range(1, 11):
            world.play(str(user), world.tracks(0, 9), days=-1, session=f"s{user}")
            ab_test.call("POST", "/perform_ab_test", {"user_id": user} | OF_TEST)
        world.maintenance.run(lambda: True)
        plan = self.plan(ab_test, window_days=14)
        assert (plan["begins_epoch"], plan["epoch"]) == (True, 2)
        assert (plan["moved"], plan["users"], plan["users_moved"]) == (0.5, 10, 5)
        moved = self.plan(ab_test, arms=[arm("A", 1, 0.1), arm("B", 2, 0.9)])["moved"]
        assert moved == pytest.approx(0.5)

    def test_refuses_what_cannot_be_meant(self, ab_test: Function) -> None:
        body = {"arms": TWO, "window_days": 0}
        assert ab_test.call("POST", f"{NAME}/dry_run", body)[0] == 422


class TestStopping:
    def test_leaves_what_there_is_and_assigns_nobody_more(
        self, ab_test: Function, world: World
    ) -> None:
        put(ab_test)
        ab_test.call("POST", "/perform_ab_test", {"user_id": 1} | OF_TEST)
        for _ in range(2):
            assert ab_test.call("DELETE", NAME)[0] == 204
        assert get(ab_test)["state"] == "stopped"
        assert len(ab_test.call("GET", "/ab_test/results", query=OF_TEST)[2]["results"]) == 1
        again = {"user_id": 1} | OF_TEST
        assert ab_test.call("POST", "/perform_ab_test", again)[0] == 200, "it is on record"
        world.play("2", world.tracks(0, 9), days=-1, session="s2")
        status, _, problem = ab_test.call("POST", "/perform_ab_test", again | {"user_id": 2})
        assert (status, problem["title"]) == (409, "The experiment has been stopped")
        shown = show(ab_test)
        assert (shown["group"], shown["recommendation_id"]) == (None, None)
        assert shown["model"] == "autoencoder"

    def test_lets_outcomes_be_settled(self, ab_test: Function, world: World) -> None:
        put(ab_test)
        shown = show(ab_test)
        ab_test.call("DELETE", NAME)
        days = (world.clock.time - world.cutoff) / DAY
        world.play("1", shown["tracks"][:1], days=days + 1, session="later")
        world.clock.time += 31 * DAY
        world.maintenance.run(lambda: True)
        (record,) = world.results.settled.values()
        assert record.successful

    def test_is_undone_by_putting_it_again_in_the_same_epoch(self, ab_test: Function) -> None:
        put(ab_test)
        first = show(ab_test)
        ab_test.call("DELETE", NAME)
        row = put(ab_test)[1]
        assert (row["state"], row["epoch"]) == ("running", 1)
        assert show(ab_test)["group"] == first["group"]

    def test_for_good_is_not(self, ab_test: Function) -> None:
        put(ab_test)
        assert ab_test.call("DELETE", NAME, query={"archive": "true"})[0] == 204
        assert ab_test.call("DELETE", NAME)[0] == 204
        assert get(ab_test)["state"] == "archived"
        status, problem = put(ab_test)
        assert (status, problem["title"]) == (409, "The experiment has been stopped")
        assert "archived" in problem["detail"]

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    @pytest.mark.parametrize("name", ["Test", "default.live", "a%2Fb", "%00", ".layers"])
    def test_what_can_be_no_name_is_refused(
        self, ab_test: Function, ab_report: Function, method: str, name: str
    ) -> None:
        status, _, body = ab_test.call(method, f"/experiments/{name}")
        assert (status, body["field"]) == (422, "name")
        path = f"/experiments/{name}/ship"
        assert ab_report.call("POST", path, {"group": "B"})[0] == 422

    def test_what_is_not_there_is_not_found(self, ab_test: Function) -> None:
        assert ab_test.call("DELETE", NAME)[0] == 404
        assert ab_test.call("GET", NAME)[0] == 404


class TestShipping:
    def test_gives_everybody_the_winners_model(self, ab_test: Function, world: World) -> None:
        put(ab_test)
        world.life.ship("test", "B")
        row = get(ab_test)
        assert (row["state"], row["shipped"]) == ("stopped", "B")
        shown = show(ab_test)
        assert (shown["model"], shown["group"]) == ("classifier", None)
        assert not world.results.results

    def test_is_undone_by_putting_it_again(self, ab_test: Function, world: World) -> None:
        put(ab_test)
        world.life.ship("test", "B")
        row = put(ab_test)[1]
        assert (row["state"], row["shipped"], row["epoch"]) == ("running", None, 1)


class TestAskingToShip:
    """POST /experiments/{name}/ship."""

    SHIP = f"{NAME}/ship"

    @pytest.fixture(autouse=True)
    def experiment(self, ab_test: Function) -> None:
        put(ab_test)

    def settle(self, world: World, a: int, b: int, of: int = 700) -> None:
        """Live outcomes: so many successes of either arm's users."""
        epoch = world.epochs.running("test").live
        for group, successes in (("A", a), ("B", b)):
            for n in range(of):
                user = f"{group}{n}"
                exposure = Exposure(user, group, "m", epoch.bundle, ("t",), 0, 0)
                world.results.add(epoch.id, Record(exposure, n < successes, world.clock.time))
        world.maintenance.run(lambda: True)

    def test_what_has_won_is_shipped(
        self, ab_report: Function, ab_test: Function, world: World
    ) -> None:
        self.settle(world, 140, 420)
        for _ in range(2):
            status, _, body = ab_report.call("POST", self.SHIP, {"group": "B"})
            assert (status, body["state"], body["shipped"]) == (200, "stopped", "B")
        row = get(ab_test)
        assert (row["state"], row["shipped"]) == ("stopped", "B")
        assert [it["changed"] for it in row["log"]] == [["state", "shipped"], []]

    def test_what_has_not_is_not_and_the_reasons_are_told(
        self, ab_report: Function, ab_test: Function, world: World
    ) -> None:
        self.settle(world, 140, 140)
        status, _, problem = ab_report.call("POST", self.SHIP, {"group": "B"})
        assert (status, problem["title"]) == (409, "Not ready to be shipped")
        assert "no decision yet" in problem["detail"]
        assert get(ab_test)["state"] == "running"

    def test_a_winner_that_breaks_a_guardrail_is_not(
        self, ab_report: Function, ab_test: Function, world: World
    ) -> None:
        put(ab_test, guardrails=[{"figure": "latency", "margin": 5}])
        self.settle(world, 140, 420)
        problem = ab_report.call("POST", self.SHIP, {"group": "B"})[2]
        assert "guardrail latency" in problem["detail"]

    def test_each_side_has_a_report_of_its_own(self, ab_report: Function, world: World) -> None:
        self.settle(world, 140, 420)
        assert ab_report.call("POST", self.SHIP, {"group": "B", "side": "replay"})[0] == 409

    def test_a_reason_ships_it_all_the_same_and_is_logged(
        self, ab_report: Function, ab_test: Function
    ) -> None:
        body = {"group": "B", "despite": "it costs less"}
        assert ab_report.call("POST", self.SHIP, body)[0] == 200
        assert get(ab_test)["log"][0]["reason"] == "it costs less"

    @pytest.mark.parametrize("group", ["A", "C"])
    def test_there_must_be_such_an_arm_beside_the_control(
        self, ab_report: Function, group: str
    ) -> None:
        status, _, problem = ab_report.call("POST", self.SHIP, {"group": group})
        assert (status, problem["field"]) == (422, "group")

    def test_an_archived_one_stays_as_it_is(self, ab_report: Function, ab_test: Function) -> None:
        ab_test.call("DELETE", NAME, query={"archive": "true"})
        body = {"group": "B", "despite": "of all"}
        assert ab_report.call("POST", self.SHIP, body)[0] == 409


def test_the_reports_list_has_no_archived_experiment(ab_test: Function, world: World) -> None:
    put(ab_test)
    assert {it["name"] for it in world.reports.experiments()} == {"test"}
    ab_test.call("DELETE", NAME, query={"archive": "true"})
    assert world.reports.experiments() == []


class TestLog:
    def test_says_who_changed_what_and_what_the_figures_were(
        self, ab_test: Function, world: World
    ) -> None:
        put(ab_test)
        ab_test.call("POST", "/perform_ab_test", {"user_id": 1} | OF_TEST)
        world.maintenance.run(lambda: True)
        world.clock.time += DAY
        put(ab_test, window_days=14, owner="me")
        ab_test.call("DELETE", NAME)
        stopped, changed, made = get(ab_test)["log"]
        assert (made["epoch"], made["changed"], made["figures"]) == (1, [], {})
        assert (changed["epoch"], changed["changed"]) == (2, ["window", "owner"])
        assert (stopped["epoch"], stopped["changed"]) == (2, ["state"])
        assert made["at"] < changed["at"] == stopped["at"]
        (counts,) = changed["figures"]["replay"].values()
        assert counts["users"] == 1
        assert stopped["figures"] == {"replay": {}, "live": {}}

    def test_names_who_signed_the_request(self, world: World) -> None:
        world.epochs.stop("default", by="arn:aws:iam::1:user/ada")
        assert [it.change.by for it in world.epochs.history("default")[2]][1:] == [
            "arn:aws:iam::1:user/ada"
        ]
