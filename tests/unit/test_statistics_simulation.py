"""The simulations say of each look what the statistics say, and find what they should."""

import json
from pathlib import Path

import numpy as np
import pytest

from infra.simulations import adaptive, guardrails, intervals, paired, peeking, power
from infra.simulations.adaptive import Adaptive
from infra.simulations.experiments import (
    NEVER,
    ONE_BET,
    Looks,
    Scenario,
    Trend,
    evidence_at_share,
    first_decision,
    first_of,
    first_passing,
    posterior_of_b,
    posterior_stops,
    shares_are_off,
    simulate,
    winners,
    z_stops,
)
from segue.experiments.bets import log_bets
from segue.statistics.comparison import compare
from segue.statistics.counts import Counts
from segue.statistics.evalue import evidence, evidence_of_rates, log_evidence
from segue.statistics.sample_ratio import check_sample_ratio
from segue.statistics.verdict import Decision, judge
from tests.simulations import repeated


def looks_of(scenario: Scenario, experiments: int = 3, seed: int = 1) -> Looks:
    (looks,) = simulate(scenario, experiments, seed)
    return looks


def arms(looks: Looks, experiment: int, look: int) -> tuple[Counts, Counts]:
    sa, fa, sb, fb = (int(counts[experiment, look]) for counts in looks.counts)
    return Counts(sa, sa + fa), Counts(sb, sb + fb)


def decision(a: Counts, b: Counts) -> Decision:
    ratio = check_sample_ratio((a.users, b.users), (0.5, 0.5))
    return judge(a, b, evidence(a, b), ratio).decision


@pytest.mark.parametrize("share", [0.5, 0.4])
def test_every_look_is_what_the_statistics_say_of_its_counts(share: float) -> None:
    looks = looks_of(Scenario(0.4, 0.7, 400, share_b=share))
    plus, minus = evidence_at_share(looks, 0.5)
    winner, off = winners(looks), shares_are_off(looks)
    z, beliefs = z_stops(looks), posterior_of_b(looks)
    for experiment in range(3):
        for look in (0, 1, 10, 150, 399):
            at = experiment, look
            truth = compare(*arms(looks, *at))
            assert plus[at] == pytest.approx(truth.evidence_at_share.log_plus, abs=1e-9)
            assert minus[at] == pytest.approx(truth.evidence_at_share.log_minus, abs=1e-9)
            assert winner[at] == int(truth.evidence.log_plus >= ONE_BET)
            assert beliefs[at] == pytest.approx(truth.posterior.b_beats_a, abs=1e-9)
            assert z[at] == (truth.pooled_z < 0.05)
            assert off[at] == truth.sample_ratio.is_off


@pytest.mark.parametrize(
    "scenario", [Scenario(0.2, 0.7, 200, 10), Scenario(0.6, 0.1, 200, 10, 0.6)]
)
def test_a_verdict_falls_at_the_first_look_at_which_the_statistics_give_one(
    scenario: Scenario,
) -> None:
    looks = looks_of(scenario)
    rules = peeking.verdicts(looks, scenario)
    decisions = {Decision.A: "verdict: A", Decision.B: "verdict: B"}
    for experiment in range(3):
        said = [decision(*arms(looks, experiment, look)) for look in range(20)]
        first = next((at for at, it in enumerate(said) if it in decisions), NEVER)
        assert rules["verdict"][experiment] == first
        if first != NEVER:
            assert rules[decisions[said[first]]][experiment] == first
        assert (rules["verdict at the end"][experiment] == 0) == (said[-1] in decisions)
        assert (rules["withheld at the end"][experiment] == 0) == (said[-1] is Decision.WITHHELD)


def test_evidence_that_is_not_computed_would_not_have_decided() -> None:
    looks = looks_of(Scenario(0.5, 0.65, 600, look_every=10), 30)
    plus, minus = log_evidence(*looks.counts)
    expected = np.where(plus >= ONE_BET, 1, np.where(minus >= ONE_BET, -1, 0))
    assert np.array_equal(winners(looks), expected)
    assert 0 < np.abs(expected).sum() < expected.size
    at_share = np.maximum(*evidence_at_share(looks, 0.5)) >= ONE_BET
    assert np.array_equal(first_decision(looks, at_share), first_of(expected != 0))


def test_the_first_candidate_that_passes_is_found_and_no_other() -> None:
    random = np.random.default_rng(5)
    candidates, passing = random.random((2, 40, 60)) < np.array([0.4, 0.05])[:, None, None]
    first = first_passing(candidates, lambda place: passing[place])
    assert np.array_equal(first, first_of(candidates & passing))
    assert NEVER in first


def test_counts_only_grow_to_all_users() -> None:
    looks = looks_of(Scenario(0.3, 0.7, 500, look_every=10))
    counts = np.stack(looks.counts)
    assert counts.shape == (4, 3, 50)
    assert np.all(np.diff(counts, axis=2) >= 0)
    assert np.all(counts.sum(axis=0) == 10 * np.arange(1, 51))


@pytest.mark.parametrize(
    ("trend", "early", "late"),
    [(Trend.RISING, 0.275, 0.525), (Trend.STEP, 0.15, 0.65), (Trend.FALLING, 0.525, 0.275)],
)
def test_both_rates_follow_the_trend(trend: Trend, early: float, late: float) -> None:
    rate = 0.65 if trend is Trend.FALLING else 0.15
    looks = looks_of(Scenario(rate, rate, 400, trend=trend), 500)
    for successes, users in zip((looks.successes_a, looks.successes_b), looks.users, strict=True):
        half, whole = ((int(successes[:, at].sum()), int(users[:, at].sum())) for at in (199, 399))
        assert half[0] / half[1] == pytest.approx(early, abs=0.01)
        later = (whole[0] - half[0]) / (whole[1] - half[1])
        assert later == pytest.approx(late, abs=0.01)


def test_outcomes_that_settle_late_mix_the_rates_of_different_times() -> None:
    steps = [
        looks_of(Scenario(0.15, 0.15, 400, trend=Trend.STEP, lag=lag), 500).successes_a[:, 199]
        for lag in (0, 1000)
    ]
    assert steps[1].mean() > 1.5 * steps[0].mean()


def test_lost_failures_leave_a_higher_rate_and_fewer_users() -> None:
    looks = looks_of(Scenario(0.3, 0.3, 1000, look_every=1000, lost_b=0.5), 500)
    users_a, users_b = (int(users.sum()) for users in looks.users)
    assert users_b / (users_a + users_b) == pytest.approx(0.65 / 1.65, abs=0.01)
    assert looks.successes_b.sum() / users_b == pytest.approx(0.3 / 0.65, abs=0.01)
    assert looks.successes_a.sum() / users_a == pytest.approx(0.3, abs=0.01)


def test_peeking_finds_winners_among_equal_arms_but_for_the_verdict() -> None:
    scenario = Scenario(0.5, 0.5, 1000)
    outcome = peeking.run(scenario, 200, 3, peeking.with_naive_rules, lambda *_: None)
    met = {rule: tally.count for rule, tally in outcome.tallies.items()}
    assert met["z-test"] > 60
    assert met["P(B > A)"] > 60
    assert met["verdict"] <= 20
    looks = looks_of(scenario, 200, 3)
    assert met["z-test"] == z_stops(looks).any(axis=1).sum()
    assert met["P(B > A)"] == posterior_stops(looks).any(axis=1).sum()


def test_evidence_at_a_wrong_share_decides_and_the_evidence_does_not() -> None:
    scenario = Scenario(0.5, 0.5, 4_000, look_every=20, share_b=0.6)
    outcome = peeking.run(scenario, 100, 3, peeking.verdicts, lambda *_: None)
    assert outcome.tallies["E at the share"].count > 95
    assert outcome.tallies["evidence"].count <= 5
    assert outcome.tallies["withheld at the end"].count > 95


class TestThompsonSampling:
    def test_a_batch_moves_the_bets_as_its_users_do_one_by_one(self) -> None:
        users = np.array([[3, 5, 2, 4]])
        cells = [(False, True), (False, False), (True, True), (True, False)]
        one_by_one = sum(
            count * np.array(log_bets(0.3, in_arm=in_b, success=success))
            for count, (in_b, success) in zip(users[0], cells, strict=True)
        )
        together = adaptive.log_fortunes(np.array([0.3]), users)
        assert together[0] == pytest.approx(one_by_one, abs=1e-9)

    def test_the_bets_on_b_come_first(self) -> None:
        course = adaptive.simulate(Adaptive(0.2, 0.6, users=1_000), 20, 1)
        assert np.all(course.on_b[:, -1] > ONE_BET)
        assert np.all(course.on_a[:, -1] < 0)
        users_a, users_b = course.looks.users
        assert np.all(users_b[:, -1] > 3 * users_a[:, -1])

    def test_first_users_are_shared_evenly_until_an_outcome_has_settled(self) -> None:
        course = adaptive.simulate(Adaptive(0.1, 0.9, users=400, lag=200), 200, 1)
        users_a, users_b = (users[:, 9].sum() for users in course.looks.users)
        assert users_b / (users_a + users_b) == pytest.approx(0.5, abs=0.02)
        assert np.all(sum(course.looks.users)[:, -1] == 400)

    def test_two_rates_find_a_winner_where_both_rise_and_the_bets_do_not(self) -> None:
        scenario = Adaptive(0.15, 0.15, Trend.RISING)
        outcome = peeking.run_adaptive(scenario, 100, 1)
        assert outcome.tallies["E0"].count > 60
        assert outcome.tallies["bets"].count <= 5

    def test_evidence_of_rates_is_the_statistics(self) -> None:
        looks = adaptive.simulate(Adaptive(0.3, 0.5, users=200), 2, 1).looks
        expected = evidence_of_rates(*arms(looks, 1, 9))
        assert np.exp(adaptive.log_evidence_of_rates(looks)[1, 9]) == pytest.approx(expected)


class TestIntervals:
    @pytest.mark.parametrize("rates", [(0.3, 0.3), (0.2, 0.5), (0.5, 0.2)])
    def test_a_miss_is_found_at_the_first_look_that_misses(
        self, rates: tuple[float, float]
    ) -> None:
        scenario = Scenario(*rates, 100, look_every=10)
        # The truth is one thing, the experiments are another: so the interval misses it in time.
        looks = looks_of(Scenario(0.1, 0.9, 100, look_every=10), 5)
        low, high = intervals.limits(looks)
        difference = rates[1] - rates[0]
        expected = first_of((low > difference) | (high < difference))
        assert np.array_equal(intervals.first_miss(looks, scenario), expected)
        assert np.all(expected != NEVER)

    def test_it_rarely_misses_and_agrees_with_the_verdict(self) -> None:
        coverage = intervals.cover(Scenario(0.3, 0.5, 400, look_every=10), 100, 1)
        assert coverage.missed <= 5
        assert coverage.compared > 13
        assert coverage.disagreements == 0
        assert 1 < coverage.width / coverage.newcombe < 3


def test_the_command_prints_six_tables_and_repeats_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peeking, "EQUAL_ARMS", (Scenario(0.5, 0.5, 100),))
    monkeypatch.setattr(peeking, "BETTER_B", (Scenario(0.2, 0.8, 300), Scenario(0.5, 0.51, 50)))
    monkeypatch.setattr(peeking, "WRONG_SHARE", (Scenario(0.5, 0.5, 500, share_b=0.3),))
    monkeypatch.setattr(peeking, "UNSTEADY", {"late": Scenario(0.5, 0.5, 100, lag=20)})
    monkeypatch.setattr(peeking, "THOMPSON", (Adaptive(0.5, 0.5, lag=20, users=100),))
    monkeypatch.setattr(peeking, "INTERVALS", (Scenario(0.5, 0.5, 50, look_every=10),))
    runs = repeated(peeking.main, tmp_path, "--experiments", "20")
    assert [run.printed.count("\n| ---") for run in runs] == [6, 6, 6]
    _, better, hard, wrong, _, _, interval = json.loads(runs[0].outcomes)
    assert better["tallies"]["verdict: B"] == {"count": 20, "experiments": 20}
    assert "verdict" not in hard["median_users"]
    assert wrong["tallies"]["withheld at the end"]["count"] == 20
    assert interval["experiments"] == 10


def test_guardrails_tell_arms_that_fail_from_equal_ones() -> None:
    scenarios = (guardrails.Scenario(0.0, 0.02, 1_000), guardrails.Scenario(0.0, 0.0, 1_000))
    failing, equal = (guardrails.run(it, 50, 1, lambda *_: None) for it in scenarios)
    assert failing.held.count <= 3
    assert equal.held.count == 50


def test_pairs_take_fewer_users_where_the_arms_are_alike_for_most() -> None:
    scenario = paired.Scenario(0.2, 0.02, 0.2, 1_000)
    found = paired.run(scenario, 20, 1, lambda *_: None)
    assert found.paired.b.count == found.unpaired.b.count == 20
    assert found.paired.median_users
    assert found.unpaired.median_users
    assert found.paired.median_users < found.unpaired.median_users


def test_the_command_of_pairs_prints_its_table_and_repeats_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenarios = (paired.Scenario(0.1, 0.1, 0.3, 600), paired.Scenario(0.2, 0.0, 0.0, 100))
    monkeypatch.setattr(paired, "SCENARIOS", scenarios)
    for run in repeated(paired.main, tmp_path, "--experiments", "20"):
        assert "| 0.2 / 0.4 | 40% | 600 | 100.0%" in run.printed
        assert "| 0.2 / 0.2 | 0% | 100 | 0.0% (0.0% to 16.1%) | 0.0%" in run.printed


def test_the_guardrails_command_prints_its_table_and_repeats_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenarios = (guardrails.Scenario(0.0, 0.5, 20), guardrails.Scenario(0.001, 0.001, 1_500, 100))
    monkeypatch.setattr(guardrails, "SCENARIOS", scenarios)
    for run in repeated(guardrails.main, tmp_path, "--experiments", "20"):
        assert "| 0.0% / 50.0% | 20 | 0.0% (0.0% to 16.1%) | - |" in run.printed


class TestPower:
    def test_what_is_not_looked_at_would_not_have_decided(self) -> None:
        looks = looks_of(Scenario(0.4, 0.6, 400, look_every=10), 30)
        may_decide = power._may_decide(looks, 20)
        assert not np.any(winners(looks)[~may_decide])
        assert 0 < may_decide.sum() < may_decide.size

    def test_only_tests_that_find_the_better_arm_are_counted(self) -> None:
        looks = power.looks_until(2_000)
        random = np.random.default_rng(1)
        users = power.decided_at(power.Test(0.6, 0.3), looks, 50, random)
        assert np.all(np.isin(users, looks))
        equal = power.decided_at(power.Test(0.5, 0.5), looks, 50, random)
        assert np.mean(np.isinf(equal)) > 0.9

    def test_the_command_prints_its_table_and_repeats_itself(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tests = (power.Test(0.2, 0.8), power.Test(0.9, 0.5, share=0.3, decisive=60))
        monkeypatch.setattr(power, "TESTS", tests)
        runs = repeated(power.main, tmp_path, "--experiments", "200")
        assert all("| 0.9 / 0.5 | 0.3 | 60 | " in run.printed for run in runs)
        for outcome in json.loads(runs[0].outcomes):
            assert outcome["decided"]["count"] / 200 == pytest.approx(0.8, abs=0.1)
            assert outcome["simulated"] == pytest.approx(outcome["said"], rel=0.2)
