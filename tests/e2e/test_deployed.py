"""Deploying the stack on this machine: what only AWS has works, and nothing is left running."""

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.e2e.conftest import PATIENCE, ROOT, Options, Service, deploy
from tests.ports import free_port

pytestmark = pytest.mark.deployed

# As EventBridge sends it.
SCHEDULED = json.dumps(
    {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2022-09-01T00:00:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/segue-dev"],
        "detail": {},
    }
)


def refusal(process: subprocess.Popen[str]) -> str:
    """The one line on standard error."""
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    (line,) = stderr.splitlines()
    return str(line)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(listening: bool, port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while listens(port) is not listening:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def client(service: Service, name: str) -> Any:
    settings = service.settings
    return boto3.client(
        name,
        endpoint_url=settings["AWS_ENDPOINT_URL"],
        region_name=settings["AWS_REGION"],
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
    )


def test_a_port_that_is_taken_is_named(options: Options, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = refusal(deploy(options, port, tmp_path))
    assert str(port) in line
    assert "--port" in line


def test_a_missing_bundle_is_named(options: Options, tmp_path: Path) -> None:
    bundle = tmp_path / "nothing"
    line = refusal(deploy(Options(bundle, options.state), free_port(), tmp_path))
    assert str(bundle / "manifest.json") in line


def test_what_sam_refuses_is_told(options: Options, tmp_path: Path) -> None:
    port, build = free_port(), tmp_path / "build"
    build.mkdir()
    (build / "template.yaml").write_text("Resources: {Thing: {Type: AWS::Unheard::Of}}")
    line = refusal(deploy(options, port, build))
    assert "sam deploy" in line
    assert str(options.state / "deploy.log") in line
    assert not listens(port)


def test_the_emulator_goes_when_what_started_it_is_killed(options: Options, tmp_path: Path) -> None:
    port = free_port()
    process = deploy(options, port, tmp_path)
    wait_until(True, port)
    process.kill()
    process.communicate()
    wait_until(False, port)


def test_what_the_schedules_call_works(served: Service) -> None:
    events, functions = client(served, "events"), client(served, "lambda")
    rules = [rule["Name"] for rule in events.list_rules()["Rules"]]
    targets = [it for rule in rules for it in events.list_targets_by_rule(Rule=rule)["Targets"]]
    assert any("MaintenanceFunction" in target["Arn"] for target in targets)
    for target in targets:
        answer = functions.invoke(FunctionName=target["Arn"], Payload=SCHEDULED)
        assert "FunctionError" not in answer, answer["Payload"].read()


def test_both_local_stacks_use_the_same_emulator() -> None:
    locks = (ROOT / "infra/requirements.txt", ROOT / "infra/deployed/requirements.txt")
    lines = [line for lock in locks for line in lock.read_text().split() if "ministack" in line]
    assert len(lines) == 2
    assert len(set(lines)) == 1
