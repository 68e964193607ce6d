"""Tests by the million decide just as the statistics do that they take short cuts past."""

import json
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from infra.simulations import aa
from infra.simulations.aa import Arms, Declared, Draws
from infra.simulations.experiments import Floats, Ints, Trend
from segue.experiments.bandit import EXPLORED
from segue.experiments.bets import log_bets
from segue.statistics.counts import Counts
from segue.statistics.evalue import DECISIVE, evidence_at, log_evidence, log_mean
from segue.statistics.fixed_horizon import pooled_z
from segue.statistics.multiplicity import decisive_together
from segue.statistics.posterior import posterior
from segue.statistics.power import users_needed
from segue.statistics.sample_ratio import check_sample_ratio
from tests.simulations import repeated


def drawn(users: int, tests: int, seed: int = 1) -> Draws:
    return aa.draw(users, tests, np.random.default_rng(seed))


def deciding(control: Ints, arm: Ints) -> Floats:
    """The logarithm of the evidence that decides, of (..., 2) successes and failures."""
    counts = np.concatenate([control, arm], axis=-1)
    distinct, places = np.unique(counts.reshape(-1, 4), axis=0, return_inverse=True)
    log_e: Floats = np.maximum(*log_evidence(*distinct.T)) - np.log(2)
    return log_e[places].reshape(counts.shape[:-1])


def looked_at_plainly(arms: Arms, draws: Draws) -> Declared:
    """Every look by itself: (tests, users, arms, 2) counts, the evidence of all of them."""
    _, users, tests = draws.shape
    number = len(arms.rates)
    counts = np.zeros((tests, users, number, 2), np.int64)
    for user in range(users):
        rates = arms.rates_at(user, users)
        for test in range(tests):
            arm = int(draws[0, user, test] * number)
            counts[test, user, arm, int(draws[1, user, test] >= rates[arm])] += 1
    counts = counts.cumsum(axis=1)
    pairs = [deciding(counts[:, :, 0], counts[:, :, arm]) for arm in range(1, number)]
    log_e = np.stack(pairs, axis=-1)
    rule, z_test = np.zeros((2, tests), np.bool_)
    for test, look in np.ndindex(tests, users):
        now = counts[test, look]
        assigned = now.sum(axis=1).tolist()
        off = check_sample_ratio(assigned, [1 / number] * number).is_off
        needed = decisive_together(log_e[test, look].tolist())
        rule[test] |= not off and log_e[test, look].max() >= np.log(needed)
        control, *others = (Counts(int(arm[0]), int(arm.sum())) for arm in now)
        z_test[test] |= any(pooled_z(control, other) < 0.05 for other in others)
    return rule, z_test


@pytest.mark.parametrize(
    ("arms", "users", "tests"),
    [
        (Arms((0.1, 0.9)), 30, 200),
        (Arms((0.4, 0.4), Trend.RISING), 60, 60),
        (Arms((0.95, 0.1, 0.05, 0.2)), 60, 60),
        (Arms((0.9, 0.8, 0.1, 0.9)), 60, 30),
    ],
)
def test_a_verdict_of_fixed_shares_is_that_of_every_look_by_itself(
    arms: Arms, users: int, tests: int
) -> None:
    draws = drawn(users, tests)
    rule, z_test = aa.fixed_shares(arms, draws)
    plain_rule, plain_z_test = looked_at_plainly(arms, draws)
    assert np.array_equal(rule, plain_rule)
    assert np.array_equal(z_test, plain_z_test)
    if len(set(arms.rates)) > 1:
        assert 0 < rule.sum() < tests


def test_what_the_table_says_is_never_less_than_the_evidence() -> None:
    users = 120
    extremes = np.stack(list(product((0, 1, 60), repeat=4)), axis=1)
    counts = np.hstack([np.random.default_rng(2).integers(0, 30, (4, 300)), extremes])
    (pair,) = aa._pairs(counts)
    log_e = np.maximum(*log_evidence(*pair.counts)) - np.log(2)
    assert np.all(aa._evidence_at_most(pair, users) >= log_e)


def test_the_pairs_are_decided_by_e_bh() -> None:
    log_e = np.random.default_rng(3).normal(np.log(30), 1, (4, 500))
    expected = [column.max() >= np.log(decisive_together(column.tolist())) for column in log_e.T]
    assert np.array_equal(aa.decided_together(list(log_e)), expected)
    assert 0 < sum(expected) < 500


def test_interleaving_is_that_of_every_list_by_itself() -> None:
    @cache
    def decides(won_by_a: int, won_by_b: int) -> bool:
        a, b = Counts(won_by_a, won_by_a), Counts(won_by_b, won_by_b)
        return evidence_at(a, b, 0.5).deciding >= DECISIVE

    lists, tests = 60, 300
    draws = drawn(lists, tests)
    rule, z_test = aa.interleaving(Arms(()), draws)
    won_by_b = (draws[0] < 0.5).cumsum(axis=0).T.tolist()
    for test in range(tests):
        so_far = list(enumerate(won_by_b[test], 1))
        assert rule[test] == any(decides(of_all - won, won) for of_all, won in so_far)
        significant = (abs(won - n / 2) > 1.959964 * np.sqrt(n / 4) for n, won in so_far)
        assert z_test[test] == any(significant)
    assert rule.any()


@pytest.mark.parametrize("arms", [Arms((0.1, 0.9)), Arms((0.3, 0.3), Trend.RISING)])
def test_thompson_sampling_is_that_of_every_user_by_itself(arms: Arms) -> None:
    users, tests = 50, 12
    draws = drawn(users, tests)
    rule, _ = aa.thompson(arms, draws)
    for test in range(tests):
        counts = [[0, 0], [0, 0]]
        owned = np.zeros(30)
        decided = False
        for user in range(users):
            a, b = (Counts(successes, users_of) for successes, users_of in counts)
            probability = (1 - EXPLORED) * posterior(a, b).b_beats_a + EXPLORED / 2
            in_b = bool(draws[0, user, test] < probability)
            success = bool(draws[1, user, test] < arms.rates_at(user, users)[int(in_b)])
            owned += log_bets(probability, in_arm=in_b, success=success)
            decided = decided or log_mean(owned.reshape(2, -1)).max() >= np.log(2 * DECISIVE)
            counts[in_b][0] += success
            counts[in_b][1] += 1
        assert rule[test] == decided
    if arms.rates[0] != arms.rates[1]:
        assert rule.sum() > 0


@pytest.mark.parametrize("rates", [(0.3, 0.7), (0.1, 0.3), (0.6, 0.8)])
def test_with_the_users_needed_four_in_five_tests_have_been_decided(
    rates: tuple[float, float],
) -> None:
    decided, _ = aa.fixed_shares(Arms(rates), drawn(round(users_needed(*rates)), 1_000))
    assert decided.mean() == pytest.approx(0.8, abs=0.05)


def test_the_command_prints_a_line_for_every_row_and_repeats_itself(tmp_path: Path) -> None:
    runs = repeated(aa.main, tmp_path, "--experiments", "300", "--users", "100")
    for run in runs:
        assert sum(line.startswith("| ") for line in run.printed.splitlines()) == 2 + len(aa.ROWS)
    for outcome in json.loads(runs[0].outcomes):
        assert outcome["rule"]["experiments"] == 300
        assert outcome["rule"]["count"] <= 15
        assert outcome["z_test"]["count"] > 45
