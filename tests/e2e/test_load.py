"""The load test itself; how fast the service is depends on the machine."""

import pytest

from infra.benchmarks.load import measure_load
from tests.e2e.conftest import Service

pytestmark = pytest.mark.local


def test_asks_many_at_once_and_says_where_the_time_goes(served: Service) -> None:
    load = measure_load(served.url, served.process.pid, model=3, clients=3, requests=40)
    assert load.answers == {"200": 40}
    assert len(load.latencies) == 40
    assert set(load.busy) == {"gateway", "functions", "tables and bucket"}
    assert load.bottleneck in load.busy
    told = load.to_json()
    assert told["latency_ms"]["50"] <= told["latency_ms"]["99"] <= told["latency_ms"]["100"]


def test_an_answer_that_is_no_list_is_counted_apart(served: Service) -> None:
    load = measure_load(served.url, served.process.pid, model=99, clients=2, requests=10)
    assert load.answers == {"404": 10}
