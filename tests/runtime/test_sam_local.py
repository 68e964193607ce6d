"""``sam local``, as the README has it: functions in containers, on the local stack's tables.

``make sam-local`` runs it, which takes minutes, where a Docker daemon answers, or where this user
can start one.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from infra.process import free_port, lines_until, serving
from tests.bundles import LISTENERS
from tests.runtime.docker import Docker, running, why_not
from tests.runtime.emulator import Runtime
from tests.runtime.support import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
# Of the sample events: the demo has them, the tests' data do not. And one who is in these.
LISTENER, ACTIVE = 429, 102

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def documented(beginning: str) -> str:
    """The README's line that begins so."""
    return re.findall(rf"^{beginning}.*", README, re.MULTILINE)[-1]


@dataclass(frozen=True)
class Sam:
    """SAM's command line with a daemon, and with the functions that were built."""

    program: Path
    template: Path
    docker: Docker

    def command(self, line: str, *more: str) -> list[str]:
        """A line of the README, about these functions and on this machine's bridge."""
        documented = shlex.split(line.replace("172.17.0.1", self.docker.bridge), comments=True)[1:]
        host = ("--add-host", f"host.docker.internal:{self.docker.bridge}")
        config = ("--config-file", str(ROOT / "samconfig.toml"))
        options = ("--template", str(self.template), *config, *host, *self.docker.options)
        return [str(self.program), *documented, *options, *more]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.docker.environment, "SAM_CLI_TELEMETRY": "0"}

    def invoke(self, line: str) -> Any:
        """What the function answers."""
        ended = subprocess.run(
            self.command(line), cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    @contextmanager
    def api(self) -> Iterator[str]:
        """Where ``sam local start-api`` answers."""
        port = free_port()
        process = subprocess.Popen(
            self.command(documented("sam local start-api"), "--port", str(port)),
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            lines, is_ready = lines_until("Running on", process)
            assert is_ready, "".join(lines)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()


@pytest.fixture(scope="module")
def docker(runtime: Runtime, build: Path) -> Iterator[Docker]:
    with running(runtime, build) as docker:
        yield docker


@pytest.fixture(scope="module")
def local_tables(
    docker: Docker, bundle_path: Path, data_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """``segue serve``, whose tables the containers find on port 4566 of the bridge."""
    port, stack_port = free_port(), free_port()
    state = tmp_path_factory.mktemp("served")
    options = ["--bundle", str(bundle_path), "--data", str(data_path), "--state", str(state)]
    options += ["--port", str(port), "--stack-port", str(stack_port)]
    with serving("serve", *options), forwarding(docker, stack_port):
        profile = {"favourite_genres": ["attic rock"]}
        url = f"http://127.0.0.1:{port}/users/{LISTENER}"
        httpx.put(url, json=profile, trust_env=False).raise_for_status()
        yield


@contextmanager
def forwarding(docker: Docker, stack_port: int) -> Iterator[None]:
    """The README's ``socat``, to this port."""
    line = documented("socat").replace("172.17.0.1", docker.bridge)
    command = [*shlex.split(line)[1:-2], f"TCP:127.0.0.1:{stack_port}"]
    # It begins a process for each connection, and all of them have to go.
    with subprocess.Popen(["socat", *command], start_new_session=True) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)


@pytest.fixture(scope="module")
def sam_local(sam: Path, build: Path, docker: Docker, local_tables: None) -> Sam:
    return Sam(sam, build / "template.yaml", docker)


def is_list(answer: Any) -> bool:
    return answer["statusCode"] == 200 and len(json.loads(answer["body"])) >= 5


def is_outcome(answer: Any) -> bool:
    outcomes = ({"Successful recommendation": it} for it in (0, 1))
    return answer["statusCode"] == 200 and json.loads(answer["body"]) in outcomes


@pytest.mark.parametrize(
    ("function", "is_right"),
    [
        ("PredictFunction", is_list),
        ("AbTestFunction", is_outcome),
        ("MaintenanceFunction", lambda answer: answer is None),
        ("BatchFunction", lambda answer: answer == {"lists": LISTENERS + 1}),
    ],
)
def test_a_function_answers_its_sample_event(
    sam_local: Sam, function: str, is_right: Callable[[Any], bool]
) -> None:
    answer = sam_local.invoke(documented(f"sam local invoke {function}"))
    assert is_right(answer), answer


def test_the_api_answers(sam_local: Sam) -> None:
    with sam_local.api() as url, httpx.Client(base_url=url, timeout=600, trust_env=False) as client:
        asked = {"user_id": ACTIVE, "k": 20, "explain": True}
        listed = client.post("/models/3/predict", json=asked)
        performed = client.post("/perform_ab_test", json={"user_id": ACTIVE})
        results = client.get("/ab_test/results")
    assert [it.status_code for it in (listed, performed, results)] == [200, 200, 200]
    assert len(listed.json()) == 20
    assert all(track["reason"]["text"] for track in listed.json())
    assert ACTIVE in [it["user_id"] for it in results.json()["results"]]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a daemon")
def test_a_daemon_of_our_own_goes_when_what_started_it_is_killed() -> None:
    code = (
        "from tests.runtime.docker import own_daemon\n"
        "with own_daemon() as docker: print(docker.environment['DOCKER_HOST'], flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().decode().strip().removeprefix("unix://")).parent
        assert folder.is_dir()
        daemon = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    _, alive = psutil.wait_procs(daemon, timeout=60)
    assert alive == []
    assert not folder.exists()
