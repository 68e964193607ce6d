"""The running service against its own OpenAPI document: no answer that it does not foresee.

``make fuzz`` sends thousands of requests to each route, ``make test`` a few; as many that the
document allows as such that it does not.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import given
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from infra.demo import generate
from segue.api.openapi import document
from segue.api.routes import ROUTES, Route
from tests.bundles import TRACKS
from tests.e2e.conftest import Options, Service, Serving

API = schemathesis.openapi.from_dict(document())
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, bundle_path: Path, answering: Serving
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("openapi")
    generate(folder / "data", listeners=20, tracks=TRACKS)
    with answering(Options(bundle_path, folder / "state", folder / "data")) as running:
        yield running


# What takes nothing cannot be asked wrongly.
CASES = [(route, GenerationMode.POSITIVE) for route in ROUTES] + [
    (route, GenerationMode.NEGATIVE) for route in ROUTES if route.query or route.body
]


@pytest.mark.parametrize(
    ("route", "mode"), CASES, ids=[f"{it.method} {it.path} {mode.value}" for it, mode in CASES]
)
def test_every_answer_is_as_the_document_says(
    service: Service, route: Route, mode: GenerationMode
) -> None:
    @given(case=API[route.path][route.method].as_strategy(mode))
    def ask(case: schemathesis.Case) -> None:
        # A function has 25 s, and the last of thousands of cases find thousands of experiments.
        case.call_and_validate(base_url=service.url, checks=CHECKS, timeout=30)

    ask()
