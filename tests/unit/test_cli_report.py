"""``segue report`` and ``segue simulate`` at the terminal, and how a service is asked."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from infra.cli import app
from infra.service import Service, ServiceError
from segue.domain.times import DAY
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import Arm, Experiment, Mode
from segue.experiments.records import Exposure, Record
from segue.experiments.tally import Tally
from segue.reporting.document import document
from segue.reporting.overview import overview
from segue_client import Client, Problem

HALVES = (Arm("control", 0, 0.5), Arm("treatment", 3, 0.5))
THIRDS = (Arm("old", 0, 0.5), Arm("new", 1, 0.25), Arm("newer", 2, 0.25))


class FakeService:
    """Notes requests, and answers each by the next of the given statuses and bodies."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        status, text = self.answers.pop(0)
        return httpx.Response(status, text=text)


def answering(monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, str]) -> FakeService:
    """Whoever asks any service from now on is answered that."""
    service = FakeService(*answers)
    client = partial(Client, transport=httpx.MockTransport(service))
    monkeypatch.setattr("infra.service.Client", client)
    return service


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def report(arms: tuple[Arm, ...], *counts: tuple[int, int], mode: Mode = Mode.FIXED) -> Any:
    """The service's document on so many successes of so many users of each arm."""
    records = [
        _record(arm.group, place < successes, mode)
        for arm, (successes, users) in zip(arms, counts, strict=True)
        for place in range(users)
    ]
    epoch = Epoch(Experiment("spring", arms, mode=mode), "bundle-1")
    return json.loads(json.dumps(document(epoch, Tally.of(records))))


def _record(group: str, successful: bool, mode: Mode) -> Record:
    owners, credit = ((group,), {group: 1}) if mode is Mode.INTERLEAVE else ((), {})
    propensities = {"control": 0.5, "treatment": 0.5} if mode is Mode.THOMPSON else {}
    exposure = Exposure(
        "user", group, "model", "bundle-1", ("track",), 0, 0, None, owners, None, {}, {},
        propensities,
    )  # fmt: skip
    return Record(exposure, successful, 31 * DAY, credit)


def printed(monkeypatch: pytest.MonkeyPatch, found: Any) -> list[str]:
    """The lines that ``segue report`` prints of it."""
    answering(monkeypatch, (200, json.dumps(found)))
    result = run("report")
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def row_of(group: str, lines: list[str]) -> str:
    """The row of the table that is about the group."""
    return next(line for line in lines if line.startswith(f" {group} "))


class TestReport:
    def test_begins_with_the_verdict(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = printed(monkeypatch, report(HALVES, (30, 100), (70, 100)))
        assert lines[0].startswith("treatment is better: the evidence is ")

    @pytest.mark.parametrize(
        ("mode", "counts", "said"),
        [
            (Mode.FIXED, ((60, 200), (140, 200)), "; 85 lost users would overturn it"),
            (Mode.INTERLEAVE, ((40, 40), (90, 90)), "; 11 lost lists would overturn it"),
            (Mode.FIXED, ((6, 20), (14, 20)), "; a decision takes 20"),
        ],
    )
    def test_says_how_few_lost_users_would_overturn_the_verdict(
        self,
        monkeypatch: pytest.MonkeyPatch,
        mode: Mode,
        counts: tuple[tuple[int, int], tuple[int, int]],
        said: str,
    ) -> None:
        assert printed(monkeypatch, report(HALVES, *counts, mode=mode))[0].endswith(said)

    def test_shows_the_paired_test_where_every_user_had_both_arms(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outcomes = {"control": (60, 150), "treatment": (88, 150)}
        tally = Tally(course={0: outcomes}, paired={"treatment": (100, 20, 80, 100)})
        epoch = Epoch(Experiment("spring", HALVES, paired=True), "bundle-1")
        lines = printed(monkeypatch, document(epoch, tally))
        (verdict,) = (n for n, it in enumerate(lines) if it.startswith("both arms for every user"))
        assert "treatment is better: the evidence is" in lines[verdict]
        assert lines[verdict + 1].startswith(
            "of 300 users, 80 succeeded with treatment alone, 20 with control alone: +0.200, "
        )

    def test_shows_arms_with_rates_and_intervals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = printed(monkeypatch, report(HALVES, (6, 20), (14, 20)))
        control, treatment = (row_of(group, lines) for group in ("control", "treatment"))
        assert treatment.split()[1:6] == ["3", "50%", "20", "14", "0.700"]
        assert control.rstrip().endswith("[0.145, 0.519]")

    def test_says_what_the_verdict_rests_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        text = "\n".join(printed(monkeypatch, report(HALVES, (6, 20), (14, 20))))
        assert "treatment - control: +0.400, at any time [-0.2738, 0.8401]" in text
        assert "sample ratio: as allotted (p = 1," in text
        assert "power: these users can show a difference of 0.695" in text
        assert "spring, replay, epoch 1, fixed, window 30 days, bundle bundle-1: 40 users" in text

    def test_withholds_what_a_sample_ratio_spoils(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = printed(monkeypatch, report(HALVES, (30, 100), (70, 300)))
        assert lines[0].startswith("decision withheld")
        assert any("sample ratio: OFF" in line for line in lines)
        assert any("at any time withheld" in line for line in lines)

    def test_names_the_pair_where_there_are_several(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = printed(monkeypatch, report(THIRDS, (60, 200), (80, 100), (30, 100)))
        assert lines[0].startswith("new beside old: new is better")
        assert lines[1].startswith("newer beside old: no decision yet")

    @pytest.mark.parametrize("mode", Mode)
    def test_has_something_to_say_before_anything_is_settled(
        self, monkeypatch: pytest.MonkeyPatch, mode: Mode
    ) -> None:
        lines = printed(monkeypatch, report(HALVES, (0, 0), (0, 0), mode=mode))
        assert lines[0].startswith("no decision yet")
        assert lines[-1].endswith(" 0 users")

    def test_shows_lists_won_where_they_were_interleaved(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines = printed(monkeypatch, report(HALVES, (5, 5), (60, 60), mode=Mode.INTERLEAVE))
        assert lines[0].startswith("treatment is better")
        assert row_of("treatment", lines).split()[2:] == ["-", "60", "-", "-", "-"]

    def test_estimates_each_arm_for_everybody_where_shares_adapted(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines = printed(monkeypatch, report(HALVES, (6, 20), (14, 20), mode=Mode.THOMPSON))
        assert any(line.startswith("treatment for everybody: 0.700 [") for line in lines)

    def test_asks_for_the_side_and_saves_both_forms(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        found = report(HALVES, (6, 20), (14, 20))
        service = answering(monkeypatch, (200, json.dumps(found)), (200, "<!doctype html><head>"))
        files = ("--html", tmp_path / "page.html", "--json", tmp_path / "report.json")
        assert run("report", "--experiment", "spring", "--live", *files).exit_code == 0
        asked = [dict(request.url.params) for request in service.requests]
        spring = {"experiment": "spring", "live": "true"}
        assert asked == [spring | {"format": "json"}, spring | {"format": "html"}]
        assert json.loads((tmp_path / "report.json").read_text()) == found
        base = '<base href="http://127.0.0.1:8000/ab_test/report">'
        assert (tmp_path / "page.html").read_text() == f"<!doctype html><head>{base}"

    def test_passes_on_why_the_service_refuses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(monkeypatch, (404, '{"detail": "there is no experiment \'x\'"}'))
        result = run("report", "--experiment", "x")
        assert result.exit_code == 1
        (line,) = result.stderr.splitlines()
        assert "404 there is no experiment 'x'" in line

    def test_refuses_what_is_no_address(self) -> None:
        result = run("report", "--url", "localhost:8000")
        assert result.exit_code == 1
        assert result.stderr.startswith("segue: --url: 'localhost:8000' is no address")

    def test_says_which_credentials_are_missing(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(variable, raising=False)
        for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(variable, str(tmp_path / "none"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        result = run("report", "--url", "https://abc123.execute-api.eu-west-1.amazonaws.com/prod")
        assert result.exit_code == 1
        assert result.stderr.startswith("segue: there are no AWS credentials")


class TestAll:
    def overview(self, *counts: tuple[tuple[int, int], tuple[int, int]]) -> dict[str, Any]:
        """The service's on an experiment for each pair of counts."""
        sides = [
            (
                Epoch(Experiment(f"e{n}", HALVES), "bundle-1"),
                Tally(course={0: dict(zip(("control", "treatment"), pair, strict=True))}),
            )
            for n, pair in enumerate(counts)
        ]
        found = overview(sides, 0, len(sides)) | {"next": None}
        return dict(json.loads(json.dumps(found)))

    def test_tells_which_verdicts_hold_among_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "120")
        undecided = [((6, 20), (14, 20))] * 8
        found = self.overview(((60, 200), (140, 200)), ((300, 1_000), (374, 1_000)), *undecided)
        answering(monkeypatch, (200, json.dumps(found)))
        result = run("report", "--all")
        assert result.exit_code == 0, result.stderr
        lines = result.stdout.splitlines()
        assert lines[0].startswith("10 verdicts on epochs with outcomes: 2 decided, 1 of them hold")
        rows = [re.split(r"\s{2,}", it.strip()) for it in lines if it.strip().startswith("e")][1:]
        assert [row[3] for row in rows] == ["holds", "does not", *["-"] * 8]
        assert rows[0][:5] == [
            "e0 1, replay", "treatment beside control", "treatment is better", "holds", "85",
        ]  # fmt: skip

    def test_asks_for_every_page(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        whole = self.overview(((6, 20), (14, 20)), ((8, 20), (13, 20)))
        first, second = (whole | {"epochs": [epoch]} for epoch in whole["epochs"])
        pages = [(200, json.dumps(it)) for it in (first | {"next": "e0/1/replay"}, second)]
        service = answering(monkeypatch, *pages)
        assert run("report", "--all", "--json", tmp_path / "all.json").exit_code == 0
        assert [it.url.params.get("next") for it in service.requests] == [None, "e0/1/replay"]
        assert json.loads((tmp_path / "all.json").read_text()) == whole

    @pytest.mark.parametrize(
        "option", [("--live",), ("--experiment", "x"), ("--html", "x"), ("--control", "x")]
    )
    def test_refuses_what_is_of_one_report(self, option: tuple[str, ...]) -> None:
        result = run("report", "--all", *option)
        assert result.exit_code == 2
        assert "--all is of every experiment" in result.stderr


class TestSimulate:
    @pytest.mark.parametrize(
        ("exact", "moved", "code"), [(True, 0, 0), (False, 0, 1), (True, 2, 1)]
    )
    def test_fails_where_the_service_does_otherwise_than_its_listeners_know(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, exact: bool, moved: int, code: int
    ) -> None:
        counts = {"control": [6, 20], "treatment": [14, 20]}
        answer = {
            "truth": {
                "rates": {"control": 0.3, "treatment": 0.7},
                "difference": 0.4,
                "better": "treatment",
            },
            "counts": {"listeners": counts, "service": counts, "exact": exact},
            "checks": [{"what": "listeners who moved", "expected": 0, "found": moved}],
            "right": None,
            "report": report(HALVES, (6, 20), (14, 20)),
        }
        monkeypatch.setattr("infra.simulator.simulate", lambda *_: answer)
        result = run("simulate", "--data", tmp_path, "--json", tmp_path / "answer.json")
        assert result.exit_code == code, result.stderr
        assert "Truth: control 0.300, treatment 0.700" in result.stdout
        assert "names none; in truth, treatment is better" in result.stdout
        assert f"Check: listeners who moved: 0 expected, {moved} found" in result.stdout
        assert json.loads((tmp_path / "answer.json").read_text()) == answer

    def test_takes_one_of_fault_and_scenario(self, tmp_path: Path) -> None:
        options = ("--data", tmp_path, "--fault", "duplicates", "--scenario", "ship")
        result = run("simulate", *options)
        assert result.exit_code == 2
        assert "--scenario" in result.stderr


class TestService:
    def test_asks_by_method_and_path(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fake = answering(monkeypatch, (200, '{"accepted": 0}'), (204, ""))
        service = Service("http://127.0.0.1:8000/")
        assert service.call("POST", "/users/1/events", {"events": []}) == {"accepted": 0}
        assert service.call("DELETE", "/users/1") is None
        post, delete = fake.requests
        assert post.content == b'{"events":[]}'
        assert str(delete.url) == "http://127.0.0.1:8000/users/1"

    @pytest.mark.parametrize("status", [403, 404])
    def test_leaves_maintenance_to_the_schedule_where_none_can_be_had(
        self, monkeypatch: pytest.MonkeyPatch, status: int
    ) -> None:
        answering(monkeypatch, (status, "{}"))
        assert Service("http://127.0.0.1").maintain() is False

    def test_tells_maintenance_that_failed_from_one_that_did_not(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failed = '{"errorMessage": "x.live: results: SlowDown", "errorType": "StoreUnavailable"}'
        answering(monkeypatch, (200, "null"), (200, failed))
        service = Service("http://127.0.0.1")
        assert service.maintain() is True
        with pytest.raises(ServiceError, match="SlowDown"):
            service.maintain()

    def test_begins_maintenance_only_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fake = answering(monkeypatch, (504, "{}"))
        with pytest.raises(Problem, match="504"):
            Service("http://127.0.0.1").maintain()
        assert len(fake.requests) == 1
