"""Lambda without Docker: AWS's Runtime Interface Emulator around the runtime's own client."""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from socket import socket
from time import monotonic, sleep
from typing import Any

_INVOCATIONS = "/2015-03-31/functions/function/invocations"
_START_SECONDS = 30
_INVOKE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a function runs on: the emulator, CPython 3.13, and the packages Lambda provides."""

    emulator: Path
    python: Path
    packages: Path


@dataclass(frozen=True, slots=True)
class Function:
    """A function as deployed: ``task`` is its code (/var/task), ``opt`` its layers (/opt)."""

    handler: str
    task: Path
    opt: Path
    environment: Mapping[str, str]

    def with_environment(self, **variables: str) -> "Function":
        """The function with these environment variables changed."""
        return replace(self, environment={**self.environment, **variables})

    def with_code(self, task: Path, handler: str) -> "Function":
        """The function with other code on the same layers."""
        return replace(self, task=task, handler=handler)


class RunningFunction:
    """One warm instance. It takes one call at a time, as in Lambda."""

    def __init__(self, url: str, log: Path) -> None:
        self._url = url
        self._log = log

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """What the handler answered. AssertionError, with the log, if it raised or did not load."""
        answer = json.loads(self.ask(event))
        assert not (answer and "errorType" in answer), answer
        return answer

    def ask(self, event: Mapping[str, Any]) -> str:
        """What came back: the handler's answer as JSON, its exception, or that it timed out.

        For the emulator all of these are successes. AssertionError if the code did not load.
        """
        try:
            with urllib.request.urlopen(
                self._url, json.dumps(event).encode(), timeout=_INVOKE_SECONDS
            ) as response:
                text: str = response.read().decode()
        except urllib.error.HTTPError as error:
            error.close()
            raise AssertionError(self._log.read_text()) from error
        return text

    def logged(self) -> list[dict[str, Any]]:
        """The lines of JSON that it wrote: logs and metrics."""
        lines = self._log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@contextmanager
def running(runtime: Runtime, function: Function, log: Path) -> Iterator[RunningFunction]:
    """Start an instance, and stop all its processes at the end. Its output goes to ``log``."""
    port, control = _free_ports()
    command = [
        str(runtime.emulator),
        *("--log-level", "warn"),
        *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
        *("--runtime-api-address", f"127.0.0.1:{control}"),
        # Without -S, packages of the machine's Python could stand in for those of the layers.
        *(str(runtime.python), "-S", "-m", "awslambdaric", function.handler),
    ]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=function.task,
            env=_environment(runtime, function),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_until_listening(process, port, log)
        yield RunningFunction(f"http://127.0.0.1:{port}{_INVOCATIONS}", log)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment(runtime: Runtime, function: Function) -> dict[str, str]:
    """The variables that Lambda sets, and the function's own; nothing of this process's."""
    path = (function.task, function.opt / "python", runtime.packages)
    return {
        "AWS_LAMBDA_FUNCTION_NAME": function.task.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        "LAMBDA_TASK_ROOT": str(function.task),
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": str(function.opt / "lib"),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        # In Lambda all code is on read-only file systems.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "TZ": ":UTC",
        **function.environment,
    }


def _free_ports() -> tuple[int, int]:
    with socket() as one, socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = monotonic() + _START_SECONDS
    while monotonic() < deadline and process.poll() is None:
        with socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        sleep(0.02)
    raise AssertionError(f"the emulator did not start:\n{log.read_text(errors='replace')}")
