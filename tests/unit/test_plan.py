"""The plan for sizes that nobody has run."""

from pathlib import Path

import pytest

from infra.benchmarks.plan import (
    LIMITS,
    PAGE,
    READ,
    SESSIONS,
    SIZES,
    STORED,
    WRITTEN,
    Size,
    broken,
    costs,
    section,
)

ROOT = Path(__file__).parents[2]


def test_the_page_says_what_is_computed() -> None:
    assert PAGE.read(ROOT / "docs" / "scale.md") == section(SIZES)


def test_a_small_service_stays_within_every_limit_and_a_large_one_does_not() -> None:
    assert broken(Size(10, 100_000, 20_000)) == []
    beyond = broken(Size(100_000, 1_000_000_000, 100_000_000))
    assert len(beyond) == len(LIMITS)
    size = Size(10_000, 100_000_000, 10_000_000)
    exceeded = [limit.need(size) / limit.allowed for limit in broken(size)]
    assert exceeded == sorted(exceeded, reverse=True)
    assert min(exceeded) > 1


@pytest.mark.parametrize("times", [2, 10])
def test_what_is_asked_more_often_costs_as_much_more(times: int) -> None:
    once, often = costs(Size(100, 1_000, 1)), costs(Size(100 * times, 1_000, 1))
    for name, dollars in once.items():
        of_requests = name.startswith("predictions")
        assert often[name] == pytest.approx(dollars * (times if of_requests else 1))


def test_rests_on_the_figures_of_the_page_of_costs() -> None:
    page = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("|")}
    assert "5 and what came after it 4.5" in rows["DynamoDB, sessions"]
    assert SESSIONS == 5 + 4.5
    assert "half a unit" in rows["DynamoDB, profile"]
    assert "1 unit" in rows["DynamoDB, whether any track was taken out"]
    assert "250,000 units" in rows["DynamoDB, writes"]
    assert "150,000 units" in rows["DynamoDB, reads"]
    assert "145,000 and 59,000 units" in rows["DynamoDB, digests"]
    assert pytest.approx((0.250 + 0.145, 0.150 + 0.059)) == (WRITTEN, READ)
    assert "13,068 bytes" in page
    assert "37 KB" in page
    assert STORED == 12 * 13_068 + 37_000
