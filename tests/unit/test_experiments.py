"""GET /experiments, PUT /experiments/{name}."""

import json
import math
from dataclasses import replace
from typing import Any, ClassVar

import msgspec
import pytest

from segue.domain.errors import InvalidRequest, UnknownExperiment
from segue.domain.times import DAY
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import DEFAULT, Experiment, Figure, Guardrail, check
from segue.experiments.records import Exposure, Record
from tests.unit.conftest import Function, World

NAME = "/experiments/test"


def arm(group: str, model_id: int = 1, share: float | None = 0.5) -> dict[str, object]:
    return {"group": group, "model_id": model_id, "share": share}


def rail(figure: str, margin: float, better: str | None = None) -> dict[str, object]:
    return {"figure": figure, "margin": margin, "better": better}


TWO = [arm("A"), arm("B", 2)]
WITHOUT_SHARES = [arm("A", 1, None), arm("B", 2, None)]
LATENCY = rail("latency", 1)


def put(function: Function, path: str = NAME, **fields: Any) -> tuple[int, Any]:
    """Make the experiment, or change it, whichever version there is."""
    status, headers, body = function.call("PUT", path, {"arms": TWO} | fields)
    if status == 428:
        asked = {"If-Match": "*"}
        status, headers, body = function.call("PUT", path, {"arms": TWO} | fields, headers=asked)
    if status < 300:
        assert headers["ETag"] == body["etag"]
    return status, body


def test_the_default_one_is_autoencoder_against_classifier(ab_test: Function, world: World) -> None:
    _, _, body = ab_test.call("GET", "/experiments")
    (row,) = body["experiments"]
    assert row == {
        "name": "default",
        "arms": [arm("A", 1), arm("B", 2)],
        "window_days": 30,
        "k": None,
        "mode": "fixed",
        "guardrails": [],
        "description": "",
        "owner": "",
        "traffic": 1.0,
        "layer": None,
        "state": "running",
        "shipped": None,
        "paired": False,
        "epoch": 1,
        "salt": "default:1",
        "bundle": world.bundle.version,
        "etag": '"1"',
    }


def test_what_was_put_is_listed(ab_test: Function) -> None:
    watched = [rail("skip_rate", 0.02, "lower")]
    fields = {"window_days": 14, "k": 20, "mode": "fixed", "guardrails": watched}
    status, row = put(ab_test, **fields)
    assert status == 201
    assert row == row | {"arms": TWO} | fields
    _, _, body = ab_test.call("GET", "/experiments")
    assert [it["name"] for it in body["experiments"]] == ["default", "test"]
    assert row in body["experiments"]


def test_a_guardrail_takes_its_direction_from_its_figure(ab_test: Function) -> None:
    rails = [rail("diversity", 0.1), rail("latency", 20), rail("listening_time", 30)]
    row = put(ab_test, guardrails=rails)[1]
    assert [it["better"] for it in row["guardrails"]] == ["higher", "lower", "higher"]


@pytest.mark.parametrize("mode", ["thompson", "interleave"])
def test_arms_have_no_share_where_none_is_allotted(ab_test: Function, mode: str) -> None:
    arms = [{"group": "A", "model_id": 1}, {"group": "B", "model_id": 2}]
    row = put(ab_test, mode=mode, arms=arms)[1]
    assert row["arms"] == WITHOUT_SHARES


@pytest.mark.parametrize(
    "fields",
    [
        {"guardrails": [LATENCY], "k": 20},
        {"mode": "thompson", "arms": [arm(group, share=None) for group in "ABC"]},
        {"mode": "interleave", "arms": WITHOUT_SHARES},
    ],
)
def test_what_was_listed_can_be_put_again(ab_test: Function, fields: dict[str, Any]) -> None:
    row = put(ab_test, **fields)[1]
    put_fields = ("arms", "window_days", "k", "mode", "guardrails")
    assert put(ab_test, **{name: row[name] for name in put_fields}) == (200, row)


def test_a_change_begins_a_new_epoch_with_a_new_salt(ab_test: Function) -> None:
    put(ab_test)
    status, row = put(ab_test, window_days=14)
    assert (status, row["epoch"], row["salt"]) == (200, 2, "test:2")


def test_the_same_again_changes_nothing(ab_test: Function) -> None:
    first = put(ab_test)[1]
    assert put(ab_test) == (200, first)


def test_a_new_epoch_is_of_the_bundle_that_is_served_then(
    ab_test: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = put(ab_test)[1]["bundle"]
    monkeypatch.setattr(type(world.bundle), "version", "another")
    assert put(ab_test, owner="me")[1]["bundle"] == first
    row = put(ab_test, window_days=14)[1]
    assert (row["epoch"], row["bundle"]) == (2, "another")


def test_a_change_leaves_the_records_of_the_epoch_before(ab_test: Function, world: World) -> None:
    world.play("1", world.tracks(0, 9))
    ab_test.call("POST", "/perform_ab_test", {"user_id": 1})
    put(ab_test, "/experiments/default", window_days=14)
    assert ab_test.call("GET", "/ab_test/results")[2]["results"] == []
    assert len(world.results.settled) == 1


def test_an_epoch_that_is_over_can_still_be_read(ab_test: Function, world: World) -> None:
    world.play("1", world.tracks(0, 9))
    put(ab_test, "/experiments/default", window_days=14)
    ab_test.call("POST", "/perform_ab_test", {"user_id": 1})
    put(ab_test, "/experiments/default", window_days=21)

    def listed(epoch: str) -> tuple[int, Any]:
        status, _, body = ab_test.call("GET", "/ab_test/results", query={"epoch": epoch})
        return status, body.get("results") or body.get("detail")

    (row,) = listed("1")[1]
    assert row["user_id"] == 1
    assert listed("2") == (200, None)
    assert listed("3") == (404, "experiment 'default' has had no epoch 3 yet")
    assert listed("0")[0] == 422
    report = world.reports.report("default", live=False, number=1)["experiment"]
    assert (report["epoch"], report["window_days"], report["users"]) == (1, 14, 1)
    with pytest.raises(UnknownExperiment):
        world.reports.report("default", live=False, number=3)


def test_each_experiment_is_replayed_listed_and_cleared_by_itself(
    ab_test: Function, world: World
) -> None:
    world.play("1", world.tracks(0, 9))
    put(ab_test)
    other = {"experiment": "test"}
    assert ab_test.call("POST", "/perform_ab_test", {"user_id": 1} | other)[0] == 200

    def listed(query: dict[str, str] | None = None) -> int:
        return len(ab_test.call("GET", "/ab_test/results", query=query)[2]["results"])

    assert (listed(), listed(other)) == (0, 1)
    ab_test.call("DELETE", "/ab_test/results")
    assert listed(other) == 1
    ab_test.call("DELETE", "/ab_test/results", query=other)
    assert listed(other) == 0


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(("name", "status"), [("nosuch", 404), ("default.live", 422)])
def test_results_of_no_experiment_are_refused(
    ab_test: Function, method: str, name: str, status: int
) -> None:
    assert ab_test.call(method, "/ab_test/results", query={"experiment": name})[0] == status


class TestIfMatch:
    def put(self, function: Function, tag: str, days: int = 30) -> int:
        event = {"If-Match": tag}
        status: int
        status, _, _ = function.call("PUT", NAME, {"arms": TWO, "window_days": days}, headers=event)
        return status

    def test_of_the_version_that_is_stored_changes_it(self, ab_test: Function) -> None:
        tag = put(ab_test)[1]["etag"]
        assert self.put(ab_test, tag, 14) == 200
        assert self.put(ab_test, "*", 15) == 200
        assert self.put(ab_test, f'"x", {put(ab_test)[1]["etag"]}', 16) == 200

    @pytest.mark.parametrize("tag", ['"x"', '"1"', "1", 'W/"2"'])
    def test_of_another_version_changes_nothing(self, ab_test: Function, tag: str) -> None:
        put(ab_test)
        put(ab_test, window_days=14)
        assert self.put(ab_test, tag, 15) == 412
        assert put(ab_test, window_days=14)[1]["epoch"] == 2

    @pytest.mark.parametrize("tag", ['"1"', "*"])
    def test_where_there_is_none_yet_fails(self, ab_test: Function, tag: str) -> None:
        assert self.put(ab_test, tag) == 412


class TestIfNoneMatch:
    ANY: ClassVar = {"If-None-Match": "*"}

    def test_creates_what_is_not_there(self, ab_test: Function) -> None:
        assert ab_test.call("PUT", NAME, {"arms": TWO}, headers=self.ANY)[0] == 201

    @pytest.mark.parametrize("days", [30, 14])
    def test_changes_nothing_of_what_is_there(self, ab_test: Function, days: int) -> None:
        first = put(ab_test)[1]
        body = {"arms": TWO, "window_days": days}
        status, _, problem = ab_test.call("PUT", NAME, body, headers=self.ANY)
        assert (status, problem["title"]) == (412, "Precondition failed")
        assert put(ab_test) == (200, first)

    def test_of_the_version_that_is_stored_fails(self, ab_test: Function) -> None:
        headers = {"If-None-Match": f'"x", {put(ab_test)[1]["etag"]}'}
        assert ab_test.call("PUT", NAME, {"arms": TWO}, headers=headers)[0] == 412
        assert ab_test.call("PUT", NAME, {"arms": TWO}, headers={"If-None-Match": '"x"'})[0] == 200

    def test_takes_a_weak_tag_for_the_version_that_it_names(self, ab_test: Function) -> None:
        headers = {"If-None-Match": f'"x", W/{put(ab_test)[1]["etag"]}'}
        body = {"arms": TWO, "window_days": 14}
        assert ab_test.call("PUT", NAME, body, headers=headers)[0] == 412
        assert put(ab_test)[1]["epoch"] == 1

    def test_lets_one_of_two_that_race_create_it(
        self, ab_test: Function, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save = world.stored_experiments.save

        def beaten(epoch: Epoch, replaces: str | None) -> bool:
            save(epoch, replaces)  # what the other one put is the very same
            return save(epoch, replaces)

        monkeypatch.setattr(world.stored_experiments, "save", beaten)
        assert ab_test.call("PUT", NAME, {"arms": TWO}, headers=self.ANY)[0] == 412
        assert put(ab_test)[1]["epoch"] == 1


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("value", ["", " ", ",", " , "])
def test_a_condition_that_names_no_version_is_malformed(
    ab_test: Function, header: str, value: str
) -> None:
    first = put(ab_test)[1]
    body = {"arms": TWO, "window_days": 14}
    status, _, problem = ab_test.call("PUT", NAME, body, headers={header: value})
    assert (status, problem["field"]) == (400, header)
    assert put(ab_test) == (200, first)


def following(world: World) -> tuple[Epoch, str]:
    """What somebody else would save next: another epoch, in place of the version that is stored."""
    found = world.stored_experiments.running("test")
    assert found
    return found[0].following("theirs"), found[1]


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
def test_whoever_won_is_told_so_though_somebody_else_has_changed_it_since(
    ab_test: Function, world: World, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    tag = put(ab_test)[1]["etag"] if header == "If-Match" else "*"
    save = world.stored_experiments.save

    def saved_and_changed(epoch: Epoch, replaces: str | None) -> bool:
        won = save(epoch, replaces)
        save(*following(world))
        return won

    monkeypatch.setattr(world.stored_experiments, "save", saved_and_changed)
    body = {"arms": TWO, "window_days": 14}
    status, _, row = ab_test.call("PUT", NAME, body, headers={header: tag})
    assert (status, row["bundle"]) == (200 if header == "If-Match" else 201, "theirs")


def test_a_swap_whose_answer_was_lost_counts_once(
    ab_test: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = world.stored_experiments.save

    def saved_though_it_seems_not(*arguments: Any) -> bool:
        save(*arguments)
        return False

    monkeypatch.setattr(world.stored_experiments, "save", saved_though_it_seems_not)
    assert put(ab_test)[0] == 201
    assert put(ab_test, window_days=14)[1]["epoch"] == 2


def test_a_swap_that_somebody_else_won_is_tried_on_what_they_made_of_it(
    ab_test: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(ab_test)
    save = world.stored_experiments.save
    theirs = [following(world)]

    def beaten_once(epoch: Epoch, replaces: str | None) -> bool:
        while theirs:
            save(*theirs.pop())
        return save(epoch, replaces)

    monkeypatch.setattr(world.stored_experiments, "save", beaten_once)
    assert put(ab_test, window_days=14)[1]["epoch"] == 3


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("arms", {"arms": [arm("A", share=0.4), arm("B")]}),
        ("arms", {"arms": [arm("A", share=0.5), arm("B", share=0.500001)]}),
        ("arms", {"arms": [arm("A", share=0.9999999)]}),
        ("arms", {"arms": [arm(f"g{place}", share=1 / 9) for place in range(9)]}),
        ("arms", {"arms": [arm("A"), arm("A", 2)]}),
        ("arms", {"arms": []}),
        ("arms", {"arms": "A"}),
        ("arms[1].model_id", {"arms": [arm("A"), arm("B", 99)]}),
        ("arms[1].group", {"arms": [arm("A"), arm("B+C")]}),
        ("arms[0].share", {"arms": [arm("A", share=0), arm("B", share=1)]}),
        ("arms[0].share", {"arms": [arm("A", share=-0.5), arm("B", share=1.5)]}),
        ("arms[0].share", {"arms": [arm("A") | {"share": "half"}, arm("B")]}),
        ("arms[1].share", {"arms": [arm("A"), arm("B", share=None)]}),
        ("arms[1].share", {"arms": [arm("A", share=1 - 5e-7), arm("B", share=5e-7)]}),
        ("arms[1].share", {"arms": [arm("A", share=5e-7), arm("B", share=1 - 5e-7)]}),
        ("arms[2].share", {"arms": [arm("A"), arm("B", share=0.4999999), arm("C", 1, 1e-7)]}),
        ("arms[0].share", {"mode": "thompson"}),
        ("arms[1].share", {"mode": "interleave", "arms": [arm("A", share=None), arm("B")]}),
        ("arms", {"mode": "interleave", "arms": [arm(g, share=None) for g in "ABC"]}),
        ("mode", {"mode": "random"}),
        ("window_days", {"window_days": 0}),
        ("window_days", {"window_days": 366}),
        ("k", {"k": 101}),
        ("guardrails[0].figure", {"guardrails": [rail("x", 1)]}),
        ("guardrails[0].better", {"guardrails": [rail("latency", 1, "higher")]}),
        ("guardrails[0].better", {"guardrails": [rail("skip_rate", 0.1, "higher")]}),
        ("guardrails[1].better", {"guardrails": [LATENCY, rail("diversity", 0.1, "lower")]}),
        ("guardrails[0].margin", {"guardrails": [rail("latency", 0)]}),
        ("guardrails[0].margin", {"guardrails": [rail("latency", -1)]}),
        ("guardrails[0].margin", {"guardrails": [rail("latency", 25_000)]}),
        ("guardrails[0].margin", {"guardrails": [rail("latency", 1e300)]}),
        ("guardrails[0].margin", {"guardrails": [rail("skip_rate", 1)]}),
        ("guardrails[0].margin", {"guardrails": [rail("skip_rate", 5e-324)]}),
        ("guardrails[1].margin", {"guardrails": [LATENCY, rail("diversity", 2)]}),
        ("guardrails[0].margin", {"guardrails": [rail("full_plays", 0)]}),
        ("guardrails[0].margin", {"guardrails": [rail("added_success", 1)]}),
        ("guardrails", {"guardrails": [LATENCY] * 2}),
        ("guardrails", {"guardrails": [LATENCY], "mode": "thompson", "arms": WITHOUT_SHARES}),
        ("guardrails", {"guardrails": [LATENCY], "mode": "interleave", "arms": WITHOUT_SHARES}),
        ("paired", {"paired": True, "mode": "thompson", "arms": WITHOUT_SHARES}),
        ("paired", {"paired": True, "mode": "interleave", "arms": WITHOUT_SHARES}),
        ("salt", {"salt": "mine"}),
    ],
)
def test_an_invalid_field_is_named(
    ab_test: Function, world: World, field: str, fields: dict[str, Any]
) -> None:
    status, body = put(ab_test, **fields)
    assert (status, body.get("field")) == (422, field)
    assert world.stored_experiments.running("test") is None


def test_a_margin_that_is_no_number_is_refused() -> None:
    guardrails = (Guardrail(Figure.LATENCY, math.nan),)
    with pytest.raises(InvalidRequest, match="to less than 25000 ms for latency"):
        check(replace(DEFAULT, guardrails=guardrails), {1, 2})


@pytest.mark.parametrize("name", ["Test", "te.st", "default.live", "a%2Fb", "x" * 65, "%C5%BC"])
def test_an_invalid_name_is_refused(ab_test: Function, name: str) -> None:
    status, body = put(ab_test, f"/experiments/{name}")
    assert (status, body["field"]) == (422, "name")


def test_eight_arms_whose_shares_are_rounded_are_fine(ab_test: Function) -> None:
    shares = [0.1] * 7 + [0.3]
    arms = [arm(f"g{place}", share=share) for place, share in enumerate(shares)]
    assert put(ab_test, arms=arms)[0] == 201


def test_an_experiment_that_was_stored_before_there_were_modes_is_read() -> None:
    stored = {
        "name": "default",
        "arms": [arm("A", 1), arm("B", 2)],
        "window": 30 * DAY,
    }
    read = msgspec.json.decode(json.dumps(stored), type=Experiment)
    assert read == DEFAULT


def test_an_experiment_that_was_stored_with_directions_is_read() -> None:
    stored = {
        "name": "default",
        "arms": [arm("A", 1), arm("B", 2)],
        "guardrails": [rail("skip_rate", 0.02, "lower")],
    }
    read = msgspec.json.decode(json.dumps(stored), type=Experiment)
    assert read.guardrails == (Guardrail(Figure.SKIP_RATE, 0.02),)


def test_a_record_that_was_stored_before_there_were_modes_is_read() -> None:
    exposure = {
        "user_id": "1",
        "group": "A",
        "model": "autoencoder",
        "bundle": "b",
        "tracks": ["t"],
        "as_of": 5,
        "created_at": 6,
        "error": None,
    }
    stored = {"exposure": exposure, "successful": True, "settled_at": 7}
    read = msgspec.json.decode(json.dumps(stored), type=Record)
    assert read == Record(Exposure("1", "A", "autoencoder", "b", ("t",), 5, 6), True, 7)
