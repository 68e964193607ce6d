"""The benchmark of lists for everybody: every way is there; how fast depends on the machine."""

from threadpoolctl import threadpool_limits

from infra.benchmarks.batch import measure
from segue.models.bundle import Bundle
from segue.models.names import NAMES


def test_every_model_is_measured_beside_the_peer(bundle: Bundle) -> None:
    with threadpool_limits(1):  # implicit warns of more
        rates = measure(bundle, 3, 2)
    assert [it.what for it in rates] == [
        "implicit, recommend",
        "ours, the same arrays",
        "implicit, recommend, from plays",
        *(f"{name}, {how}" for name in NAMES.values() for how in ("one by one", "in batches")),
    ]
    for rate in rates:
        for low, median, high in (rate.cpu, rate.wall):
            assert 0 < low <= median <= high
