"""GET /ab_test/overview: every epoch that ever began, and what holds among all of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from segue.api.report.overview import overview_page
from segue.domain.errors import UnknownPosition
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import Arm, Experiment, Mode
from segue.experiments.records import Exposure, Record
from segue.experiments.tally import Outcomes, Tally
from segue.reporting.document import document
from segue.reporting.overview import overview
from tests.unit.conftest import Function, World

OVERVIEW = "/ab_test/overview"
TWO = (Arm("A", 1, 0.5), Arm("B", 2, 0.5))
THREE = (Arm("A", 1, 0.5), Arm("B", 2, 0.25), Arm("C", 3, 0.25))
# Evidence of 27, which decides one test alone, and of millions.
WEAK: Mapping[str, Outcomes] = {"A": (100, 300), "B": (143, 300)}
STRONG: Mapping[str, Outcomes] = {"A": (60, 200), "B": (140, 200)}
NONE: Mapping[str, Outcomes] = {"A": (70, 200), "B": (72, 200)}


def epoch(name: str = "spring", number: int = 1, **settings: Any) -> Epoch:
    return Epoch(Experiment(name, **({"arms": TWO} | settings)), "bundle", number)


def sides(*counts: Mapping[str, Outcomes]) -> list[tuple[Epoch, Tally]]:
    """Epochs of one experiment after each other, with these counts."""
    return [
        (epoch(number=number), Tally(course={0: dict(it)} if it else {}))
        for number, it in enumerate(counts, start=1)
    ]


def verdicts(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [verdict for row in found["epochs"] for verdict in row["verdicts"]]


def shown(*counts: Mapping[str, Outcomes]) -> Mapping[str, Any]:
    return overview(sides(*counts), 0, len(counts))


class TestDiscoveries:
    def test_what_decides_alone_may_be_chance_among_many(self) -> None:
        alone = shown(WEAK)
        assert (alone["decided"], alone["discoveries"], alone["decisive"]) == (1, 1, 20)
        among = shown(WEAK, NONE, NONE)
        assert (among["verdicts"], among["decided"], among["discoveries"]) == (3, 1, 0)
        assert among["decisive"] == 60
        (first, *_) = verdicts(among)
        assert (first["decision"], first["discovery"]) == ("B is better", False)

    def test_stronger_evidence_beside_it_lowers_what_it_takes(self) -> None:
        found = shown(WEAK, STRONG, STRONG, STRONG)
        assert [it["discovery"] for it in verdicts(found)] == [True] * 4

    def test_a_side_without_outcomes_has_asked_nothing(self) -> None:
        found = shown(WEAK, {}, {})
        assert (found["verdicts"], found["discoveries"]) == (1, 1)
        assert len(found["epochs"]) == 3

    def test_a_withheld_decision_is_a_question_but_no_discovery(self) -> None:
        lost = {"A": (60, 200), "B": (280, 400)}
        found = shown(WEAK, lost)
        assert (found["verdicts"], found["decided"], found["discoveries"]) == (2, 1, 0)
        assert verdicts(found)[1]["decision"] == "decision withheld"

    def test_what_is_not_listed_counts_all_the_same(self) -> None:
        counts = sides(WEAK, NONE, NONE)
        page = overview(counts, 0, 1)
        assert len(page["epochs"]) == 1
        assert (page["verdicts"], page["discoveries"]) == (3, 0)

    def test_of_equal_arms_begun_again_and_again_hardly_any_is_a_discovery(self) -> None:
        random = np.random.default_rng(7)
        successes = random.binomial(500, 0.3, size=(300, 2)).tolist()
        found = shown(*({"A": (a, 500), "B": (b, 500)} for a, b in successes))
        assert found["verdicts"] == 300
        assert found["discoveries"] == 0

    def test_without_epochs_there_is_nothing_to_discover(self) -> None:
        found = overview([], 0, 20)
        assert (found["verdicts"], found["epochs"]) == (0, [])


class TestRows:
    def test_each_verdict_is_that_of_the_report(self) -> None:
        modes = [epoch("fixed", arms=THREE), epoch("interleave", mode=Mode.INTERLEAVE)]
        tallies = [
            Tally(course={0: {"A": (120, 400), "B": (140, 200), "C": (62, 200)}}),
            Tally(course={0: {"A": (40, 40), "B": (90, 90)}}, draws=7),
        ]
        found = overview(list(zip(modes, tallies, strict=True)), 0, 2)
        for row, of, tally in zip(found["epochs"], modes, tallies, strict=True):
            report = document(of, tally)
            told = [{k: v for k, v in it.items() if k != "discovery"} for it in row["verdicts"]]
            for mine, theirs in zip(told, report["verdicts"], strict=True):
                assert mine == pytest.approx(theirs)
            assert {k: v for k, v in row.items() if k != "verdicts"} == report["experiment"]

    def test_lost_users_are_told_of_what_is_decided(self) -> None:
        found = verdicts(shown(NONE, STRONG))
        assert [it["lost_users"] for it in found] == [None, 85]


class TestReports:
    def record(self, user: str, group: str, *, successful: bool) -> Record:
        return Record(Exposure(user, group, "m", "bundle", ("t",), 0, 0), successful, 0)

    @pytest.fixture
    def begun(self, world: World) -> Sequence[str]:
        """Of two experiments, one was started over; a user has an outcome in its first epoch."""
        world.stored_experiments.save(epoch("spring"), None)
        (_, tag) = world.stored_experiments.running("spring") or (None, None)
        world.results.add(epoch("spring").id, self.record("1", "A", successful=True))
        world.compactor.compact(epoch("spring").id)
        world.stored_experiments.save(epoch("spring", 2), tag)
        world.stored_experiments.save(epoch("autumn"), None)
        return [
            f"{name}/{number}/{side}"
            for name, number in (("autumn", 1), ("spring", 1), ("spring", 2))
            for side in ("live", "replay")
        ]

    def listed(self, page: Mapping[str, Any]) -> list[str]:
        return [f"{row['name']}/{row['epoch']}/{row['side']}" for row in page["epochs"]]

    def test_lists_epochs_that_are_over_beside_those_that_run(
        self, world: World, begun: Sequence[str]
    ) -> None:
        found = world.reports.overview(limit=20)
        assert self.listed(found) == begun
        assert [row["users"] for row in found["epochs"]] == [0, 0, 0, 1, 0, 0]
        assert found["next"] is None

    @pytest.mark.parametrize("limit", [1, 2, 5, 6])
    def test_page_by_page_it_lists_each_once(
        self, world: World, begun: Sequence[str], limit: int
    ) -> None:
        pages = [world.reports.overview(limit=limit)]
        while (position := pages[-1]["next"]) is not None:
            pages.append(world.reports.overview(limit=limit, after=position))
        assert [it for page in pages for it in self.listed(page)] == begun
        assert {page["verdicts"] for page in pages} == {1}

    def test_a_position_of_no_list_is_refused(self, world: World) -> None:
        with pytest.raises(UnknownPosition):
            world.reports.overview(limit=1, after="spring/9/live")

    def test_it_reads_no_records(
        self, world: World, begun: Sequence[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(world.reports, "_results", None)
        assert len(world.reports.overview(limit=20)["epochs"]) == len(begun)


class TestPage:
    def test_it_says_how_many_verdicts_hold_and_which(self) -> None:
        html = overview_page(shown(WEAK, NONE, NONE) | {"next": None}, 20)
        assert "3 arms were compared with a control so far" in html
        assert "<b>0</b> of them hold among all 3, which takes evidence of 60" in html
        assert html.count("does not") == 1
        assert '<a href="report?experiment=spring&amp;live=false&amp;epoch=1">spring</a>' in html

    def test_it_leads_to_the_next_page(self) -> None:
        found = shown(STRONG) | {"next": "spring/1/replay"}
        html = overview_page(found, 1)
        assert 'href="?format=html&amp;limit=1&amp;next=spring%2F1%2Freplay"' in html
        assert "Further epochs" not in overview_page(found | {"next": None}, 1)

    def test_before_the_first_epoch_it_says_so(self) -> None:
        html = overview_page(overview([], 0, 20) | {"next": None}, 20)
        assert "No epoch has an outcome yet." in html
        assert "<table" not in html

    def test_what_was_named_is_text_and_not_markup(self) -> None:
        arms = (Arm("A", 1, 0.5), Arm("B", 2, 0.5))
        found = overview([(replace(epoch(arms=arms), bundle="<b>"), Tally())], 0, 1)
        assert "bundle &lt;b&gt;" in overview_page(found | {"next": None}, 1)

    def test_it_needs_nothing_from_elsewhere(self) -> None:
        html = overview_page(shown(STRONG, {}) | {"next": None}, 20)
        assert not re.search(r"https?:|//|src=|<script|<link|@import|url\(", html)
        assert not re.search(r"\bnan\b|\binf\b|None", html)


class TestFunction:
    @pytest.fixture(autouse=True)
    def experiment(self, world: World) -> None:
        world.stored_experiments.save(epoch(), None)

    def test_a_program_is_given_json(self, ab_report: Function) -> None:
        status, headers, body = ab_report.call("GET", OVERVIEW, query={"limit": "1"})
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert headers["Vary"] == "Accept"
        assert [row["side"] for row in body["epochs"]] == ["live"]
        assert body["next"] == "spring/1/live"

    def test_a_browser_is_given_a_page(
        self, ab_report: Function, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tests.unit.conftest.json.loads", lambda text: text)
        status, headers, body = ab_report.call("GET", OVERVIEW, headers={"Accept": "text/html"})
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert body.startswith("<!doctype html>")

    @pytest.mark.parametrize(
        ("query", "status", "field"),
        [
            ({"limit": "0"}, 422, "limit"),
            ({"limit": "101"}, 422, "limit"),
            ({"next": "spring/9/live"}, 400, "next"),
            ({"format": "csv"}, 422, "format"),
        ],
    )
    def test_what_cannot_be_answered_is_named(
        self, ab_report: Function, query: dict[str, str], status: int, field: str
    ) -> None:
        found, _, body = ab_report.call("GET", OVERVIEW, query=query)
        assert (found, body["field"]) == (status, field)
