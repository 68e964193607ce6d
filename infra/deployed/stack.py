"""The emulator of AWS, as seen from the process that owns it."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import NoReturn

import urllib3

from infra.local.environment import TEMPLATE
from infra.process import HOST, LocalStackError, begin, listen, stop

ROOT = TEMPLATE.parent
PYTHON = ROOT / ".venv-stack" / "bin" / "python"

_START_SECONDS = 120
_STOP_SECONDS = 60


def check_platform() -> None:
    """Raises LocalStackError where the functions cannot run, for want of Linux or of Python."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise LocalStackError("the functions are built for Linux on x86_64, and run nowhere else")
    if not PYTHON.is_file():
        raise LocalStackError(
            "the functions need Python 3.13, on the PATH, in pyenv or in uv; with it, "
            "`make .venv-stack/done` makes what they run in"
        )


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator, and the URL at which it is all of AWS."""

    endpoint: str
    log: Path
    process: subprocess.Popen[str]

    def wait(self) -> NoReturn:
        """Wait until it ends unasked, and raise LocalStackError for it."""
        self.process.wait()
        raise LocalStackError(f"the emulator has ended by itself; see {self.log}")


@contextmanager
def running(log: Path, port: int) -> Iterator[Emulator]:
    """Run the emulator, on 127.0.0.1 alone.

    At the end it is gone, and all that it held. Raises LocalStackError where it cannot start.
    """
    endpoint = f"http://{HOST}:{port}"
    process = _start(log, port)
    try:
        if not _answers(endpoint):
            raise LocalStackError(f"the emulator did not start; see {log}")
        yield Emulator(endpoint, log, process)
    finally:
        stop(process, _STOP_SECONDS)


def _start(log: Path, port: int) -> subprocess.Popen[str]:
    with listen(port, "--port") as listener:
        descriptor = listener.fileno()
        command = [str(PYTHON), "-P", str(Path(__file__).with_name("emulator.py")), str(descriptor)]
        return begin(command, descriptor, log, environment=_settings(port))


def _answers(endpoint: str) -> bool:
    """Whether it does, once it has started; its listener holds the request until then."""
    try:
        answer = urllib3.request("GET", f"{endpoint}/_ministack/health", timeout=_START_SECONDS)
    except urllib3.exceptions.HTTPError:
        return False
    return answer.status == HTTPStatus.OK


def _settings(port: int) -> dict[str, str]:
    """The whole environment: the functions inherit it, and AWS's has nothing of the user's."""
    names = ("HOME", "PATH", "BUNDLE_POLL_SECONDS")
    inherited = {name: os.environ[name] for name in names if name in os.environ}
    return inherited | {
        "GATEWAY_PORT": str(port),
        "LOG_LEVEL": "WARNING",
        "NO_PROXY": "127.0.0.1,localhost",
        # Else it opens two more ports, on every interface.
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
    }
