"""The real service, as a process of its own on free ports.

It is ``segue serve``, or with ``pytest tests/e2e --service deployed`` the stack that SAM has built
and deployed onto an emulator of AWS, which is asked through its API Gateway.
"""

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import boto3
import httpx
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from infra.deployed import sam
from infra.deployed.stack import check_platform
from infra.local.environment import PREFIX, local_settings
from infra.process import READY, SEGUE, LocalStackError, free_port, lines_until
from infra.template import physical_name

ROOT = Path(__file__).parents[2]
# Generous: the machine may be busy with everything else.
PATIENCE = 120
ENVIRONMENT = os.environ | {
    "PYTHONPATH": f"{ROOT}:{ROOT / 'layers/core'}:{ROOT / 'clients/python'}"
}


def segue(
    *arguments: str, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; ``settings`` are further environment variables."""
    return subprocess.run(
        [*SEGUE, *arguments],
        cwd=ROOT,
        env=ENVIRONMENT | dict(settings or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--service", choices=("local", "deployed"), default="local")
    parser.addoption("--rounds", type=int, default=1, help="how often each fault happens")
    parser.addoption("--examples", type=int, default=15, help="requests to each route")
    parser.addoption("--seed", type=int, default=1, help="of when and where faults happen")


def pytest_configure(config: pytest.Config) -> None:
    hypothesis_settings.register_profile(
        "service",
        max_examples=config.getoption("--examples", 15),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    hypothesis_settings.load_profile("service")
    for line in (
        "local: about `segue serve` itself, its processes and its state folder",
        "deployed: about deploying the stack on this machine",
    ):
        config.addinivalue_line("markers", line)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about the other service."""
    other = {"local": "deployed", "deployed": "local"}[config.getoption("--service", "local")]
    left_out = [item for item in items if item.get_closest_marker(other)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@dataclass
class Service:
    """A running service. ``names`` holds those of its tables and bucket, by logical id.

    ``printed`` is what it said until it was ready.
    """

    process: subprocess.Popen[str]
    url: str
    stack_port: int
    names: Mapping[str, str]
    printed: str = ""

    def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return httpx.request(method, self.url + path, json=body, timeout=PATIENCE, trust_env=False)

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables by which a command finds the tables and the bucket."""
        return local_settings(f"http://127.0.0.1:{self.stack_port}") | {
            "SESSIONS_TABLE": self.names["SessionsTable"],
            "USERS_TABLE": self.names["UsersTable"],
            "TRACKS_TABLE": self.names["TracksTable"],
            "EXPOSURES_TABLE": self.names["ExposuresTable"],
            "BUCKET": self.names["Bucket"],
            "BUNDLE_KEY": self.names.get("BundleKeyArn", ""),
        }

    def kill(self) -> None:
        """Let nothing of it act any more: SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Ask it to stop; the exit code."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)


@dataclass(frozen=True)
class Options:
    """What the service is started with."""

    bundle: Path
    state: Path
    data: Path | None = None
    more: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, port: int, stack_port: int) -> list[str]:
        options = ["--bundle", str(self.bundle), "--state", str(self.state)]
        options += ["--data", str(self.data)] if self.data else []
        options += ["--port", str(port), "--stack-port", str(stack_port)]
        return [*SEGUE, "serve", *options, *self.more]


def start(options: Options, port: int | None = None, stack_port: int | None = None) -> Service:
    """Start ``segue serve``; it may not be ready yet, or never be."""
    port, stack_port = port or free_port(), stack_port or free_port()
    process = _begin(options.command(port, stack_port), options.environment)
    ids = ("SessionsTable", "UsersTable", "TracksTable", "ExposuresTable", "Bucket")
    names = {logical_id: physical_name(PREFIX, logical_id) for logical_id in ids}
    return Service(process, f"http://127.0.0.1:{port}", stack_port, names)


def _begin(
    command: list[str], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=ENVIRONMENT | dict(environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def client(service: Service, name: str) -> Any:
    """A client of its tables ("dynamodb") or its bucket ("s3")."""
    return boto3.client(
        name,
        endpoint_url=service.settings["AWS_ENDPOINT_URL"],
        region_name=service.settings["AWS_REGION"],
        aws_access_key_id=service.settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=service.settings["AWS_SECRET_ACCESS_KEY"],
    )


def stack_process(service: Service) -> int:
    """The number of the process that has the tables and the bucket."""
    (child,) = children(service, "stack_process")
    return child


def children(service: Service, module: str) -> list[int]:
    """The numbers of the processes that it has begun to run this module, the first one first."""
    # -ww: lines of any width.
    command = ["ps", "-ww", "-eo", "pid,ppid,args"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = (line.split(maxsplit=2) for line in listed.stdout.splitlines()[1:])
    parent = str(service.process.pid)
    return [int(pid) for pid, ppid, args in rows if ppid == parent and module in args]


def wait_until_ready(service: Service) -> None:
    service.printed = printed_until_ready(service.process)


def printed_until_ready(process: subprocess.Popen[str]) -> str:
    """What it says until then; fails the test where it ends instead."""
    lines, is_ready = lines_until(READY, process)
    if not is_ready:
        pytest.fail("".join([*lines, *process.communicate()]))
    return "".join(lines)


@contextmanager
def serving(options: Options) -> Iterator[Service]:
    """A ``segue serve`` that is ready; stopped at the end, if it still runs."""
    service = start(options)
    try:
        wait_until_ready(service)
        yield service
    finally:
        end(service.process)


@contextmanager
def deployed(options: Options) -> Iterator[Service]:
    """The deployed stack, ready, and gone at the end."""
    port, addresses = free_port(), options.state.with_suffix(".json")
    process = deploy(options, port, built(options.bundle), "--json", str(addresses))
    try:
        printed = printed_until_ready(process)
        where = json.loads(addresses.read_bytes())
        yield Service(process, where["url"], port, where["outputs"], printed)
    finally:
        end(process)


def deploy(options: Options, port: int, build: Path, *more: str) -> subprocess.Popen[str]:
    """Start to deploy; skips the test where the functions cannot run."""
    try:
        check_platform()
    except LocalStackError as error:
        pytest.skip(str(error))
    command = [sys.executable, "-m", "infra.deployed", "--port", str(port), "--build", str(build)]
    command += ["--bundle", str(options.bundle), "--state", str(options.state), *more]
    command += ["--data", str(options.data)] if options.data else []
    return _begin(command)


@cache
def built(bundle: Path) -> Path:
    """What ``sam build`` makes with this bundle, once a test run."""
    folder = Path(mkdtemp(prefix="segue-built-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sam.build(folder / "build", bundle, folder / "build.log")
    return folder / "build"


def end(process: subprocess.Popen[str]) -> None:
    """Stop it, if it still runs, and close what leads to it."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)


Serving = Callable[[Options], AbstractContextManager[Service]]


@pytest.fixture(scope="session")
def answering(pytestconfig: pytest.Config) -> Serving:
    """Serves what the options say, by the service that the tests were asked to be about."""
    return serving if pytestconfig.getoption("--service", "local") == "local" else deployed


@pytest.fixture
def options(tmp_path: Path, bundle_path: Path, data_path: Path) -> Options:
    """The tiny bundle and its data, and an empty state folder."""
    return Options(bundle_path, tmp_path / "state", data_path)


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory,
    bundle_path: Path,
    data_path: Path,
    answering: Serving,
) -> Iterator[Service]:
    """One service for all tests that leave it as it is."""
    state = tmp_path_factory.mktemp("served") / "state"
    with answering(Options(bundle_path, state, data_path)) as service:
        yield service


def perform(service: Service, user: int) -> int:
    """The outcome of the user's A/B test."""
    response = service.request("POST", "/perform_ab_test", {"user_id": user})
    assert response.status_code == 200, response.text
    outcome: int = response.json()["Successful recommendation"]
    return outcome


def results(service: Service) -> dict[int, int]:
    """The outcomes by user; fails where a user is listed twice."""
    rows = service.request("GET", "/ab_test/results").json()["results"]
    assert len({row["user_id"] for row in rows}) == len(rows)
    return {row["user_id"]: row["recomm_successful"] for row in rows}
