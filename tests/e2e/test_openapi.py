"""The running service against its own OpenAPI document: no answer that it does not foresee.

``make fuzz`` sends thousands of requests to each route; ``make test`` a few.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.openapi import checks
from schemathesis.schemas import BaseSchema

from infra.demo import generate
from tests.bundles import TRACKS
from tests.e2e.conftest import Options, Serving

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]


@pytest.fixture(scope="module")
def api(
    tmp_path_factory: pytest.TempPathFactory, bundle_path: Path, answering: Serving
) -> Iterator[BaseSchema]:
    folder = tmp_path_factory.mktemp("openapi")
    generate(folder / "data", listeners=20, tracks=TRACKS)
    with answering(Options(bundle_path, folder / "state", folder / "data")) as service:
        yield schemathesis.openapi.from_url(f"{service.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
def test_every_answer_is_as_the_document_says(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=CHECKS)
