"""The API for listeners, deployed: whoever comes without a valid token is let nowhere."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import boto3
import httpx
import pytest

from infra.deployed import sam, stack
from infra.local.environment import point_aws_at
from infra.process import LocalStackError, free_port
from tests.e2e.conftest import built
from tests.unit.test_listeners import REQUESTS

pytestmark = pytest.mark.deployed

PARAMETERS = {
    "Stage": "dev",
    "JwtIssuer": "https://id.example.org/",
    "JwtAudience": "https://music.example.org",
}


@pytest.fixture(scope="module")
def listeners(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where listeners call; the issuer of their tokens is nowhere, so that none is valid."""
    try:
        stack.check_platform()
    except LocalStackError as error:
        pytest.skip(str(error))
    logs = tmp_path_factory.mktemp("listeners")
    with (
        patch.dict(os.environ),
        stack.running(logs / "emulator.log", free_port()) as emulator,
    ):
        point_aws_at(emulator.endpoint)
        outputs = sam.deploy(built(bundle_path), PARAMETERS, logs / "deploy.log")
        (api,) = boto3.client("apigatewayv2").get_apis()["Items"]
        assert api["ApiId"] in outputs["ListenersUrl"]
        yield f"{emulator.endpoint}/_aws/execute-api/{api['ApiId']}/$default"


@pytest.mark.parametrize(("method", "path"), sorted({(it[1], it[2]) for it in REQUESTS}))
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer made.up.token"}])
def test_no_route_is_answered_without_a_valid_token(
    listeners: str, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = httpx.request(method, listeners + path.format("429"), headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/ab_test/results", "/users", "/experiments", "/"])
def test_there_is_no_other_route(listeners: str, path: str) -> None:
    assert httpx.get(listeners + path).status_code == 404
