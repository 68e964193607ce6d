"""What the first prediction of a fresh process may bring along: what it needs, and no more."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from infra.benchmarks.cold_start import first_prediction
from infra.benchmarks.local_world import LocalWorld, local_world
from segue.models.bundle import Bundle

INSTALLED = {
    "aws_lambda_powertools",
    "boto3",
    "botocore",
    "certifi",
    "dateutil",
    "jmespath",
    "msgspec",
    "numpy",
    "onnxruntime",
    "s3transfer",
    "six",
    "snapshot_restore_py",
    "typing_extensions",
    "urllib3",
}
# What turns a listener's events into a list is needed whole, but for what people read of tracks,
# and what few requests ask for; of the rest, what is named here.
WHOLE = ("domain", "features", "models", "ranking")
FOR_FEW = {
    "domain.descriptions",
    "domain.expressions",
    "domain.texts",
    "domain.words",
    "models.descriptions",
    "ranking.attributes",
    "ranking.evaluation",
    "ranking.explanations",
    "ranking.search",
}
NAMED = {
    "adapters.aws",
    "adapters.bundles",
    "adapters.clock",
    "adapters.digests",
    "adapters.directory",
    "adapters.dynamodb",
    "adapters.model_store",
    "adapters.objects",
    "adapters.packing",
    "adapters.sessions",
    "adapters.signatures",
    "adapters.tracks",
    "api.app",
    "api.cors",
    "api.http",
    "api.problems",
    "api.recommendations",
    "api.snapshots",
    "api.telemetry",
    "api.tracks",
    "bootstrap",
    "config",
    "ports",
    "services.recommend",
}
# Each takes as long to import as a request to AWS, or longer.
SLOW = {"difflib", "numpy.ma", "numpy.random", "tomllib"}
# It has no network.
POPULARITY = 0


@pytest.fixture(scope="module")
def world(bundle: Bundle) -> Iterator[LocalWorld]:
    with local_world(bundle, seed=7, listeners=1) as world:
        yield world


@pytest.fixture(scope="module", params=[0, 1, 2, 3])
def start(world: LocalWorld, request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """What there is in a process that has answered the first prediction, by each model."""
    return {"model": request.param, **first_prediction(world, request.param)}


def test_imports_no_module_of_ours_that_is_not_needed(start: Mapping[str, Any]) -> None:
    ours = {name.removeprefix("segue.") for name in start["modules"] if name.startswith("segue.")}
    packages = {name.partition(".")[0] for name in NAMED}
    further = {it for it in ours if it.partition(".")[0] not in WHOLE} - NAMED - packages
    unneeded = further | (ours & FOR_FEW)
    assert not unneeded, f"imported, and slows down every cold start: {sorted(unneeded)}"


def test_imports_no_package_that_is_not_needed(start: Mapping[str, Any]) -> None:
    unneeded = {name for name in start["packages"] if not name.startswith("_")} - INSTALLED
    assert not unneeded, f"imported, and slows down every cold start: {sorted(unneeded)}"


def test_imports_nothing_that_is_slow(start: Mapping[str, Any]) -> None:
    assert not SLOW.intersection(start["modules"])


def test_maps_every_array_once(start: Mapping[str, Any], bundle: Bundle) -> None:
    arrays = [name for name in bundle.manifest.files if name.endswith(".npy")]
    assert start["mapped_arrays"] <= len(arrays)


def test_makes_the_network_of_the_model_that_is_asked_and_no_other(
    start: Mapping[str, Any],
) -> None:
    assert start["networks"] == (start["model"] != POPULARITY)


def test_makes_one_client_of_each_service(start: Mapping[str, Any]) -> None:
    assert start["clients"] == ["dynamodb", "s3"]
