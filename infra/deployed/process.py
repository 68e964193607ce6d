"""The emulator of AWS, as seen from the process that owns it."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from infra.local.child import answers, stop
from infra.local.environment import TEMPLATE
from infra.local.errors import LocalStackError
from infra.local.port import HOST, listen

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
    process: subprocess.Popen[bytes]

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
        if not answers(endpoint, _START_SECONDS):
            raise LocalStackError(f"the emulator did not start; see {log}")
        yield Emulator(endpoint, log, process)
    finally:
        stop(process, _STOP_SECONDS)


def _start(log: Path, port: int) -> subprocess.Popen[bytes]:
    with listen(port, "--port") as listener, log.open("w") as output:
        descriptor = listener.fileno()
        # In a session of its own: the terminal's Ctrl-C is for the parent, which still needs it.
        return subprocess.Popen(  # noqa: S603  # nothing here comes from outside
            [PYTHON, "-P", Path(__file__).with_name("emulator.py"), str(descriptor)],
            env=_settings(port),
            pass_fds=[descriptor],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


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
