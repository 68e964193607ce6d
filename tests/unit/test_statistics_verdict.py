"""What a reader is told, and ``segue stats``, which tells it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from infra.cli import app
from segue.statistics.comparison import compare
from segue.statistics.counts import Counts
from segue.statistics.verdict import Decision, Verdict
from tests.unit.arms import ORACLES, at_a_known_share


def verdict(a: tuple[int, int], b: tuple[int, int], share: float = 0.5) -> Verdict:
    return compare(Counts(*a), Counts(*b), share).verdict


def test_what_serves_and_records_does_without_scipy() -> None:
    script = "import sys, segue.bootstrap; assert 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


class TestVerdict:
    def test_names_the_better_arm(self) -> None:
        assert verdict((300, 1000), (400, 1000)).decision is Decision.B
        assert verdict((400, 1000), (300, 1000)).decision is Decision.A
        assert str(verdict((300, 1000), (400, 1000))).startswith("B is better: ")

    def test_says_nothing_on_weak_evidence_however_small_the_p_value(self) -> None:
        found = verdict((6, 20), (14, 20))
        assert found.decision is Decision.NONE_YET
        assert "the evidence is 2.01" in found.reason
        assert "takes 20" in found.reason

    @pytest.mark.parametrize("successes", range(30, 40))
    def test_reason_p_value_interval_and_decision_speak_of_the_same_evidence(
        self, successes: int
    ) -> None:
        found = compare(Counts(14, 60), Counts(successes, 60))
        decided = found.verdict.decision is Decision.B
        assert decided == (found.evidence.deciding >= 20)
        assert decided == (found.evidence.p_value <= 0.05)
        assert decided == (found.confidence[0] > 0)
        told = float(found.verdict.reason.split()[3].rstrip(";").replace(",", ""))
        assert (told >= 20) == decided
        assert found.evidence.deciding * 0.99 < told <= found.evidence.deciding

    def test_the_mean_of_both_bets_does_not_decide(self) -> None:
        found = compare(Counts(14, 60), Counts(33, 60))
        assert found.evidence.value > 20 > found.evidence.deciding
        assert found.verdict.decision is Decision.NONE_YET
        assert found.evidence.p_value > 0.05

    @pytest.mark.parametrize(("a", "b"), [((0, 0), (0, 0)), ((0, 0), (3, 5)), ((3, 5), (0, 0))])
    def test_says_nothing_where_nothing_is_settled(
        self, a: tuple[int, int], b: tuple[int, int]
    ) -> None:
        found = verdict(a, b)
        assert found.decision is Decision.NONE_YET
        assert "settled" in found.reason

    def test_is_withheld_where_users_are_lost_however_strong_the_evidence(self) -> None:
        found = verdict((3000, 10_000), (5000, 9_500))
        assert found.decision is Decision.WITHHELD
        assert "10,000" in found.reason
        assert "9,500" in found.reason

    def test_a_share_that_is_meant_is_no_loss(self) -> None:
        assert verdict((300, 1000), (1200, 3000)).decision is Decision.WITHHELD
        assert verdict((300, 1000), (1200, 3000), share=0.75).decision is Decision.B

    def test_does_not_take_luck_with_users_for_a_difference(self) -> None:
        comparison = compare(Counts(4, 4), Counts(142, 142), 0.9)
        assert comparison.evidence_at_share.value > 20
        assert comparison.verdict.decision is Decision.NONE_YET


def stats(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["stats", *arguments])


class TestCommand:
    @pytest.mark.parametrize("oracle", ORACLES["two_arm"], ids=lambda o: str(o["data"]))
    def test_writes_the_oracles_as_json(self, oracle: dict[str, object]) -> None:
        successes_a, users_a, successes_b, users_b = oracle["data"]
        result = stats(f"{successes_a}/{users_a}", f"{successes_b}/{users_b}", "--json", "-")
        found = json.loads(result.stdout)
        assert oracle.keys() <= found.keys()
        for name, value in at_a_known_share(oracle).items():
            assert found[name] == pytest.approx(value, rel=1e-6, abs=6e-9)
        assert "Wilson" in result.stderr

    def test_prints_the_figures_and_the_verdict(self) -> None:
        lines = stats("300/1000", "400/1000").stdout.splitlines()
        assert lines[0].startswith("A: 300/1,000")
        assert lines[-1].startswith("B is better: ")
        text = "\n".join(lines)
        for figure in ("Newcombe", "Wilson", "Fisher", "P(B > A)", "At any time", "At one look"):
            assert figure in text

    def test_an_interval_that_ends_at_0_reads_as_holding_it(self) -> None:
        assert "at least 0, at most 0.6057" in stats("14/60", "33/60").stdout
        assert "at most 0, at least -0.6057" in stats("33/60", "14/60").stdout

    def test_gives_no_interval_where_the_decision_is_withheld(self) -> None:
        text = stats("3000/10000", "5000/9500").stdout
        assert "decision withheld" in text
        assert re.search(r"rate B - rate A +withheld", text)

    def test_tells_how_far_along_the_test_is(self) -> None:
        result = stats("700/1000", "700/1000", "--difference", "0.05")
        assert "5,494, of which there are 36%" in result.stdout

    def test_writes_json_without_infinities_at_any_size(self, tmp_path: Path) -> None:
        file = tmp_path / "found.json"
        assert stats("0/10000000", "10000000/10000000", "--json", str(file)).exit_code == 0

        def refuse(constant: str) -> None:
            raise AssertionError(constant)

        found = json.loads(file.read_text(), parse_constant=refuse)
        assert found["verdict"] == "B is better"

    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            (("6-20", "14/20"), "arm A"),
            (("6/20", "x/20"), "arm B"),
            (("6/20", "14/"), "arm B"),
            (("26/20", "14/20"), "26/20"),
            (("1/" + "9" * 5000, "14/20"), "arm A"),
            (("6/20", "14/20", "--share", "1"), "share"),
            (("6/20", "14/20", "--share", "nan"), "share"),
            (("6/20", "14/20", "--difference", "0.9"), "rate"),
        ],
    )
    def test_refuses_bad_input_in_one_line(self, arguments: tuple[str, ...], word: str) -> None:
        result = stats(*arguments)
        assert result.exit_code == 1
        (line,) = result.stderr.splitlines()
        assert line.startswith("segue: ")
        assert word in line
