"""The Postman collection, the original service's 24 requests among it, run by newman."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.demo import generate
from infra.local.environment import TEMPLATE
from infra.template import load
from tests.bundles import TRACKS
from tests.e2e.conftest import ROOT, Options, Service, Serving

COLLECTION = ROOT / "docs" / "segue.postman_collection.json"
NEWMAN = ROOT / "tests" / "e2e" / "node_modules" / ".bin" / "newman"
# The collection's users go up to 505; the catalogue is the tiny bundle's.
LISTENERS = 410


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, bundle_path: Path, answering: Serving
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("postman")
    generate(folder / "data", listeners=LISTENERS, tracks=TRACKS)
    with answering(Options(bundle_path, folder / "state", folder / "data")) as running:
        yield running


@pytest.mark.skipif(not NEWMAN.is_file(), reason="newman is not installed: run `make e2e`")
def test_newman_finds_every_answer_as_it_should_be(service: Service, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    run = subprocess.run(
        [
            str(NEWMAN),
            "run",
            str(COLLECTION),
            *("--env-var", f"base_url={service.url}"),
            *("--reporters", "cli,json", "--reporter-json-export", str(report)),
        ],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout
    counts = json.loads(report.read_text())["run"]["stats"]
    assert counts["requests"]["total"] == len(list(requests()))
    assert counts["assertions"]["total"] >= counts["requests"]["total"]


def test_the_collection_begins_with_the_original_24_requests() -> None:
    original = json.loads(COLLECTION.read_text())["item"][0]["item"]
    methods = [request["request"]["method"] for request in original]
    assert methods == ["POST"] * 22 + ["GET", "DELETE"]


def test_the_collection_has_every_route_of_the_template() -> None:
    asked = {(method, path) for method, path in requests()}
    for route in load(TEMPLATE).routes():
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(route.path))
        assert any(m == route.method and re.fullmatch(pattern, path) for m, path in asked), route


def requests() -> Iterator[tuple[str, str]]:
    """Method and path of every request in the collection."""
    for folder in json.loads(COLLECTION.read_text())["item"]:
        for item in folder["item"]:
            yield item["request"]["method"], "/" + "/".join(item["request"]["url"]["path"])
