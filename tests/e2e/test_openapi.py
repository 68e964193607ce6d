"""The running service against its own OpenAPI document: no answer that it does not foresee.

``make fuzz`` sends thousands of requests to each route, ``make test`` a few; as many that the
document allows as such that it does not.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

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

_FEW = 100

API = schemathesis.openapi.from_dict(document())
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]


def _scope(fixture_name: str, config: pytest.Config) -> Literal["function", "module"]:
    """Thousands of requests leave thousands of experiments behind, which are not what those to the
    next route are about: each then has a service of its own."""
    return "function" if config.getoption("--examples", 0) > _FEW else "module"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("openapi")
    generate(folder / "data", listeners=20, tracks=TRACKS)
    return folder / "data"


@pytest.fixture(scope=_scope)
def service(
    tmp_path_factory: pytest.TempPathFactory, bundle_path: Path, data: Path, answering: Serving
) -> Iterator[Service]:
    state = tmp_path_factory.mktemp("openapi") / "state"
    with answering(Options(bundle_path, state, data)) as running:
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
        # As long as a function may take.
        case.call_and_validate(base_url=service.url, checks=CHECKS, timeout=30)

    ask()
