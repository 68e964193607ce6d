"""What is asked of the tables does not grow with the exposures that are pending."""

import pytest

from infra.benchmarks.pending import World
from infra.local.environment import local_settings


def test_ten_times_as_many_pending_take_no_more_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in local_settings("http://127.0.0.1").items():
        monkeypatch.setenv(name, value)
    world = World()
    world.grow(200)
    few = world.ask()
    world.grow(2_000)
    many = world.ask()
    assert (few.pending, many.pending) == (200, 2_000)
    assert few.to_settle == many.to_settle == {"Query": 16, "BatchGetItem": 1, "UpdateItem": 10}
    # The report reads as many users as make a thousand, and what is not archived.
    assert many.for_report["BatchGetItem"] <= 11
    assert many.for_report["Query"] <= 16 + 26
