"""Deploying the stack on this machine: what only AWS has works, and nothing is left running."""

import json
import socket
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import psutil
import pyarrow.parquet
import pytest

from infra.process import free_port
from segue.adapters.release import Version
from segue.services.release import CHECKS, NAME, Caller, RouteFailed, listener
from tests.e2e.conftest import PATIENCE, ROOT, Options, Service, deploy

pytestmark = pytest.mark.deployed

K, SHARDS = 5, 8

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


class TestReleases:
    """The check of a release, which only AWS begins by itself: here it is begun by hand."""

    @pytest.mark.parametrize("function_id", CHECKS)
    def test_the_version_that_serves_passes_again_and_again(
        self, served: Service, function_id: str
    ) -> None:
        for _ in range(2):
            check(served, function_id, "live")

    def test_a_version_that_cannot_do_its_work_does_not(self, served: Service) -> None:
        functions = client(served, "lambda")
        name = physical_name(functions, "AbReportFunction")
        before = functions.get_function_configuration(FunctionName=name)["Environment"]
        broken = {"Variables": before["Variables"] | {"BUCKET": "there-is-no-such-bucket"}}
        functions.update_function_configuration(FunctionName=name, Environment=broken)
        try:
            version = functions.publish_version(FunctionName=name)["Version"]
            with pytest.raises(RouteFailed, match="GET /ab_test/report was answered 503"):
                check(served, "AbReportFunction", version)
        finally:
            functions.update_function_configuration(FunctionName=name, Environment=before)


def check(service: Service, function_id: str, version: str) -> None:
    functions = client(service, "lambda")
    events = Version(functions, physical_name(functions, "EventsFunction"), "live")
    checked = Version(functions, physical_name(functions, function_id), version)
    with listener(Caller(events.send), f"{NAME}-{function_id}") as user_id:
        CHECKS[function_id](Caller(checked.send), user_id)


def physical_name(functions: Any, function_id: str) -> str:
    listed = functions.get_paginator("list_functions").paginate().search("Functions[].FunctionName")
    (name,) = (name for name in listed if f"-{function_id}" in name)
    return str(name)


class TestBatch:
    """The state machine that makes lists for everybody."""

    def test_gives_everybody_the_list_that_they_would_be_answered(self, served: Service) -> None:
        made = begin(served, "whole", serve=True).succeeds()
        lists = listed(served, "whole")
        assert len(made) == SHARDS
        assert sum(it["lists"] for it in made) == len(lists)
        assert Counter(it["user_id"] for it in lists) == Counter(users_of(served))
        for row in lists[::9]:
            asked = {"user_id": row["user_id"], "k": K}
            answer = served.request("POST", "/models/2/predict", asked).json()
            assert row["tracks"] == answer
        assert stored_lists(served) == {it["user_id"]: it["tracks"] for it in lists}
        path = f"/users/{lists[0]['user_id']}/recommendations"
        assert served.request("GET", f"{path}?k={K}&max_age=3600").status_code == 200

    def test_loses_nobody_and_lists_nobody_twice_when_workers_are_killed(
        self, served: Service
    ) -> None:
        execution = begin(served, "killed")
        while not listed(served, "killed"):
            assert execution.status() == "RUNNING"
        assert kill_functions(served, "BatchFunction")
        assert len(execution.succeeds()) == SHARDS
        assert Counter(it["user_id"] for it in listed(served, "killed")) == Counter(
            users_of(served)
        )


@dataclass(frozen=True)
class Execution:
    """One run of the state machine."""

    machines: Any
    arn: str

    def status(self) -> str:
        time.sleep(0.2)
        status: str = self.machines.describe_execution(executionArn=self.arn)["status"]
        return status

    def succeeds(self) -> list[dict[str, int]]:
        """What became of each shard, at the end."""
        deadline = time.monotonic() + PATIENCE
        while (status := self.status()) == "RUNNING":
            assert time.monotonic() < deadline
        ended = self.machines.describe_execution(executionArn=self.arn)
        assert status == "SUCCEEDED", ended
        made: list[dict[str, int]] = json.loads(ended["output"])
        return made


def begin(service: Service, name: str, **more: bool) -> Execution:
    machines = client(service, "stepfunctions")
    asked = json.dumps({"model": 2, "k": K, "shards": SHARDS} | more)
    machine = service.names["BatchMachineArn"]
    begun = machines.start_execution(stateMachineArn=machine, name=name, input=asked)
    return Execution(machines, begun["executionArn"])


def listed(service: Service, run: str) -> list[dict[str, Any]]:
    """The rows of all files of the run."""
    s3, bucket = client(service, "s3"), service.names["Bucket"]
    found = s3.list_objects_v2(Bucket=bucket, Prefix=f"lists/{run}/").get("Contents", [])
    bodies = [s3.get_object(Bucket=bucket, Key=it["Key"])["Body"].read() for it in found]
    tables = [pyarrow.parquet.read_table(BytesIO(body)) for body in bodies]
    return [row for table in tables for row in table.to_pylist()]


def users_of(service: Service) -> list[str]:
    found = client(service, "dynamodb").scan(TableName=service.names["UsersTable"])["Items"]
    return [item["user_id"]["S"] for item in found]


def stored_lists(service: Service) -> dict[str, list[str]]:
    """Of every user beside whose profile there is one."""
    found = client(service, "dynamodb").scan(TableName=service.names["UsersTable"])["Items"]
    return {
        item["user_id"]["S"]: [track["S"] for track in item["list_2"]["M"]["tracks"]["L"]]
        for item in found
        if "list_2" in item
    }


def kill_functions(service: Service, name: str) -> int:
    """Kill the processes of a function, in the middle of whatever they do; how many there were."""
    processes = psutil.Process(service.process.pid).children(recursive=True)
    killed = [it for it in processes if name in " ".join(it.cmdline())]
    for process in killed:
        process.kill()
    return len(killed)


def test_both_local_stacks_use_the_same_emulator() -> None:
    locks = (ROOT / "infra/requirements.txt", ROOT / "infra/deployed/requirements.txt")
    lines = [line for lock in locks for line in lock.read_text().split() if "ministack" in line]
    assert len(lines) == 2
    assert len(set(lines)) == 1
