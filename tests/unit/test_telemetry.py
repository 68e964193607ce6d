"""What the functions count and log, as CloudWatch reads it off their output."""

import json
from dataclasses import replace
from typing import Any

import pytest

from segue.domain.times import DAY
from segue.experiments.experiment import Mode
from segue.experiments.records import Exposure, Record
from tests.unit.conftest import Function, LambdaContext, World, load_function

METRICS = "_aws"


class Output:
    """The lines that a function printed since it was last asked."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def lines(self) -> list[dict[str, Any]]:
        printed = self._capsys.readouterr().out.splitlines()
        return [json.loads(line) for line in printed if line.startswith("{")]

    def metrics(self) -> dict[str, float]:
        """The values of the call's metrics; a cold start is counted on a line of its own."""
        (line,) = [it for it in self.lines() if METRICS in it and "ColdStart" not in it]
        declared = line[METRICS]["CloudWatchMetrics"][0]
        values = {it["Name"]: line[it["Name"]][0] for it in declared["Metrics"]}
        return values | {name: line[name] for name in declared["Dimensions"][0]}


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    return Output(capsys)


class TestPredictions:
    def ask(self, predict: Function, **body: Any) -> None:
        status, _, answer = predict.call("POST", "/models/1/predict", {"user_id": 1} | body)
        assert status == 200, answer

    def test_the_latency_of_each_model_is_told_apart(
        self, predict: Function, world: World, output: Output
    ) -> None:
        world.play("1", world.tracks(0, 10))
        self.ask(predict)
        metrics = output.metrics()
        assert metrics["model"] == "autoencoder"
        assert metrics["Latency"] > 0
        assert (metrics["Fallbacks"], metrics["Empty lists"]) == (0, 0)

    def test_an_answer_from_an_empty_history_is_a_fallback(
        self, predict: Function, world: World, output: Output
    ) -> None:
        world.join("1", "rock")
        self.ask(predict)
        assert output.metrics()["Fallbacks"] == 1

    def test_a_list_that_nothing_is_left_for_is_counted(
        self, predict: Function, world: World, output: Output
    ) -> None:
        world.play("1", world.tracks(0, 10))
        self.ask(predict, exclude=world.tracks(0, len(world.bundle.catalogue)))
        assert output.metrics()["Empty lists"] == 1


class TestFaults:
    def test_an_answer_of_5xx_is_counted_by_the_version_that_gave_it(
        self, predict: Function, output: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(predict.module, "recommender", None)
        status, _, _ = predict.call("GET", "/models")
        assert status == 500
        (faults,) = [line for line in output.lines() if "Faults" in line]
        counted = {name: faults[name] for name in ("Faults", "function_name", "version")}
        assert counted == {"Faults": [1], "function_name": "function", "version": "7"}

    def test_a_refusal_is_none(self, predict: Function, output: Output) -> None:
        assert predict.call("GET", "/tracks/unknown")[0] == 404
        assert [line for line in output.lines() if "Faults" in line] == []


class TestExperiments:
    def show(self, ab_test: Function) -> None:
        assert ab_test.call("GET", "/users/1/recommendations")[0] == 200

    def test_exposures_are_counted_and_lists_that_are_none_are_not(
        self, ab_test: Function, world: World, output: Output
    ) -> None:
        world.clock.time = world.cutoff + DAY
        world.play("1", world.tracks(0, 10))
        self.show(ab_test)
        shown = output.metrics()
        assert shown["Exposures"] == 1
        assert shown["model"] in {"autoencoder", "classifier"}
        world.clock.time += 31 * DAY
        self.show(ab_test)
        assert output.metrics()["Exposures"] == 0

    @pytest.mark.parametrize(("days", "name"), [(31, "Settled outcomes"), (1, "Pending outcomes")])
    def test_outcomes_are_counted_as_they_are(
        self, ab_test: Function, world: World, output: Output, days: int, name: str
    ) -> None:
        world.clock.time = world.cutoff + days * DAY
        world.play("1", world.tracks(0, 10))
        ab_test.call("POST", "/perform_ab_test", {"user_id": 1})
        metrics = output.metrics()
        assert metrics[name] == 1
        assert metrics["Model failures"] == 0

    def test_a_model_that_failed_is_counted(
        self,
        ab_test: Function,
        world: World,
        output: Output,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def fail(*_: object) -> None:
            raise ValueError

        for model in ("autoencoder.Autoencoder", "classifier.Classifier"):
            monkeypatch.setattr(f"segue.models.{model}.best", fail)
        world.play("1", world.tracks(0, 10))
        ab_test.call("POST", "/perform_ab_test", {"user_id": 1})
        assert output.metrics()["Model failures"] == 1


class TestSampleRatios:
    @pytest.fixture
    def ab_report(self, world: World, monkeypatch: pytest.MonkeyPatch) -> Function:
        function = load_function("ab_report", monkeypatch)
        monkeypatch.setattr(function.module, "reports", world.reports)
        return function

    def watch(self, function: Function) -> None:
        function.module.lambda_handler({"detail-type": "Scheduled Event"}, LambdaContext())

    def record(self, world: World, users: dict[str, int], *, live: bool = False) -> None:
        replay, beside = world.epochs.running().sides
        epoch = beside if live else replay
        for group, count in users.items():
            for user in range(count):
                exposure = Exposure(f"{group}{user}", group, "m", epoch.bundle, ("t",), 5, 6)
                world.results.add(epoch.id, Record(exposure, user % 2 == 0, 7))

    def test_arms_with_their_shares_of_users_alarm_nobody(
        self, ab_report: Function, world: World, output: Output
    ) -> None:
        self.record(world, {"A": 26, "B": 24})
        self.watch(ab_report)
        assert output.metrics()["Sample ratio mismatches"] == 0

    @pytest.mark.parametrize("side", ["replay", "live"])
    def test_an_arm_that_loses_users_is_counted_and_named(
        self,
        side: str,
        ab_report: Function,
        world: World,
        output: Output,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        self.record(world, {"A": 60, "B": 10}, live=side == "live")
        self.watch(ab_report)
        assert output.metrics()["Sample ratio mismatches"] == 1
        (log,) = [vars(it) for it in caplog.records if it.message == "sample ratio mismatch"]
        assert (log["experiment"], log["side"]) == ("default", side)
        assert log["users"] == {"A": 60, "B": 10}
        assert log["E"] > 20

    def test_shares_that_adapt_cannot_be_off(
        self, ab_report: Function, world: World, output: Output
    ) -> None:
        self.record(world, {"A": 60, "B": 10})
        ((epoch, tag),) = world.stored_experiments.all_running()
        adaptive = replace(epoch.experiment, mode=Mode.THOMPSON)
        world.stored_experiments.save(replace(epoch, experiment=adaptive), tag)
        self.watch(ab_report)
        assert output.metrics()["Sample ratio mismatches"] == 0

    def test_without_experiments_there_is_nothing_to_be_off(
        self, ab_report: Function, output: Output
    ) -> None:
        self.watch(ab_report)
        assert output.metrics()["Sample ratio mismatches"] == 0
