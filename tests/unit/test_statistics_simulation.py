"""The simulations say of each look what the statistics say, and find what they should."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from infra.simulations import guardrails, peeking
from infra.simulations.experiments import (
    Looks,
    Scenario,
    evidence,
    posterior_of_b,
    posterior_stops,
    simulate,
    z_stops,
)
from segue.experiments.statistics.comparison import compare
from segue.experiments.statistics.counts import Counts
from segue.experiments.statistics.verdict import Decision


def looks_of(scenario: Scenario, experiments: int = 3, seed: int = 1) -> Looks:
    (looks,) = simulate(scenario, experiments, seed)
    return looks


def arms(looks: Looks, experiment: int, look: int) -> tuple[Counts, Counts]:
    sa, fa, sb, fb = (
        int(counts[experiment, look])
        for counts in (looks.successes_a, looks.failures_a, looks.successes_b, looks.failures_b)
    )
    return Counts(sa, sa + fa), Counts(sb, sb + fb)


@pytest.mark.parametrize("reached_b", [0.5, 0.4])
def test_every_look_is_what_the_statistics_say_of_its_counts(reached_b: float) -> None:
    looks = looks_of(Scenario(0.4, 0.7, 400, reached_b=reached_b))
    plus, minus = evidence(looks)
    rules = peeking.with_naive_rules(looks)
    beliefs = posterior_of_b(looks)
    for experiment in range(3):
        for look in (0, 1, 10, 150, 399):
            at = experiment, look
            found = compare(*arms(looks, *at))
            assert plus[at] == pytest.approx(found.evidence.log_plus, abs=1e-9)
            assert minus[at] == pytest.approx(found.evidence.log_minus, abs=1e-9)
            assert beliefs[at] == pytest.approx(found.posterior.b_beats_a, abs=1e-9)
            assert rules["z-test"][at] == (found.pooled_z < 0.05)
            assert rules["sample ratio off"][at] == found.sample_ratio.is_off
            assert rules["verdict: A"][at] == (found.verdict.decision is Decision.A)
            assert rules["verdict: B"][at] == (found.verdict.decision is Decision.B)


def test_counts_only_grow_to_all_users() -> None:
    looks = looks_of(Scenario(0.3, 0.7, 500, look_every=10))
    counts = np.stack([looks.successes_a, looks.failures_a, looks.successes_b, looks.failures_b])
    assert counts.shape == (4, 3, 50)
    assert np.all(np.diff(counts, axis=2) >= 0)
    assert np.all(counts.sum(axis=0) == 10 * np.arange(1, 51))


def test_peeking_finds_winners_among_equal_arms_but_for_the_verdict() -> None:
    scenario = Scenario(0.5, 0.5, 1000)
    outcome = peeking.run(scenario, 200, 3, peeking.with_naive_rules, lambda *_: None)
    found = {rule: tally.count for rule, tally in outcome.tallies.items()}
    assert found["z-test"] > 60
    assert found["P(B > A)"] > 60
    assert found["verdict"] <= 20
    looks = looks_of(scenario, 200, 3)
    assert found["z-test"] == z_stops(looks).any(axis=1).sum()
    assert found["P(B > A), at the end"] == posterior_stops(looks)[:, -1].sum()


def test_the_command_prints_three_tables_and_repeats_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peeking, "EQUAL_ARMS", (Scenario(0.5, 0.5, 100),))
    monkeypatch.setattr(peeking, "BETTER_B", (Scenario(0.2, 0.8, 300), Scenario(0.5, 0.51, 50)))
    monkeypatch.setattr(peeking, "LOST_USERS", (Scenario(0.5, 0.5, 500, reached_b=0.3),))
    command = Typer()
    command.command()(peeking.main)

    def outcomes(seed: int) -> str:
        file = tmp_path / "outcomes.json"
        arguments = ["--experiments", "20", "--seed", str(seed), "--json", str(file)]
        result = CliRunner().invoke(command, arguments)
        assert result.exit_code == 0, result.output
        assert result.stdout.count("\n| ---") == 3
        return file.read_text()

    first = outcomes(1)
    assert first == outcomes(1) != outcomes(2)
    _, better, hard, lost = json.loads(first)
    assert better["tallies"]["verdict: B"] == {"count": 20, "experiments": 20}
    assert hard["median_users"] is None
    assert lost["tallies"]["sample ratio off, at the end"]["count"] == 20


def test_guardrails_tell_arms_that_fail_from_equal_ones() -> None:
    scenarios = (guardrails.Scenario(0.0, 0.02, 1_000), guardrails.Scenario(0.0, 0.0, 1_000))
    failing, equal = (guardrails.run(it, 50, 1, lambda *_: None) for it in scenarios)
    assert failing.held.count <= 3
    assert equal.held.count == 50


def test_the_guardrails_command_prints_its_table_and_repeats_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenarios = (guardrails.Scenario(0.0, 0.5, 20), guardrails.Scenario(0.001, 0.001, 1_500, 100))
    monkeypatch.setattr(guardrails, "SCENARIOS", scenarios)
    command = Typer()
    command.command()(guardrails.main)

    def outcomes(seed: int) -> str:
        file = tmp_path / "outcomes.json"
        arguments = ["--experiments", "20", "--seed", str(seed), "--json", str(file)]
        result = CliRunner().invoke(command, arguments)
        assert result.exit_code == 0, result.output
        assert "| 0.0% / 50.0% | 20 | 0.0% (0.0% to 16.1%) | - |" in result.stdout
        return file.read_text()

    first = outcomes(1)
    assert first == outcomes(1) != outcomes(2)
