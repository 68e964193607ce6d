"""The real ``segue serve``, as a process of its own on free ports."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ports import free_port

ROOT = Path(__file__).parents[2]
# Generous: the machine may be busy with everything else.
PATIENCE = 120
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'layers/core'}"}


def segue_command(*arguments: str) -> list[str]:
    """The command line as it is called from a shell."""
    return [sys.executable, "-c", "from infra.cli import main; main()", *arguments]


def segue(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        segue_command(*arguments),
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


@dataclass
class Service:
    """A running ``segue serve``."""

    process: subprocess.Popen[str]
    url: str
    stack_port: int

    def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return httpx.request(method, self.url + path, json=body, timeout=PATIENCE, trust_env=False)

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

    def command(self, port: int, stack_port: int) -> list[str]:
        options = ["--bundle", str(self.bundle), "--state", str(self.state)]
        options += ["--data", str(self.data)] if self.data else []
        options += ["--port", str(port), "--stack-port", str(stack_port)]
        return segue_command("serve", *options)


def start(options: Options, port: int | None = None, stack_port: int | None = None) -> Service:
    """Start the service; it may not be ready yet, or never be."""
    port, stack_port = port or free_port(), stack_port or free_port()
    process = subprocess.Popen(
        options.command(port, stack_port),
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Service(process, f"http://127.0.0.1:{port}", stack_port)


def wait_until_ready(service: Service) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and service.process.poll() is None:
        try:
            httpx.get(service.url, timeout=PATIENCE, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the service did not start: " + "".join(service.process.communicate()))


@contextmanager
def serving(options: Options) -> Iterator[Service]:
    """A service that is ready; stopped at the end, if it still runs."""
    service = start(options)
    try:
        wait_until_ready(service)
        yield service
    finally:
        if service.process.poll() is None:
            service.stop()
        service.process.communicate()


@pytest.fixture
def options(tmp_path: Path, bundle_path: Path, data_path: Path) -> Options:
    """The tiny bundle and its data, and an empty state folder."""
    return Options(bundle_path, tmp_path / "state", data_path)


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory, bundle_path: Path, data_path: Path
) -> Iterator[Service]:
    """One service for all tests that leave it as it is."""
    state = tmp_path_factory.mktemp("served") / "state"
    with serving(Options(bundle_path, state, data_path)) as service:
        yield service
