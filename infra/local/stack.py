"""The tables and the bucket of the local stack, as seen from the process that owns them."""

import errno
import fcntl
import logging
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock, Thread

from infra.local.child import answers, stop
from infra.local.errors import LocalStackError
from infra.local.port import HOST

logger = logging.getLogger("segue.stack")

# A predecessor with millions of events may take this long to save them, and so may this one.
_START_SECONDS = 600
_STOP_SECONDS = 600


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Own the state folder. Raises LocalStackError where it is another's, or cannot be made."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = (state / "serve.lock").open("w")
    except OSError as error:
        raise LocalStackError(f"the state folder {state} cannot be used: {error}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalStackError(
                f"the state folder {state} is in use by another local stack; stop that one, "
                "or choose another folder with --state"
            ) from None
        yield


@contextmanager
def running(state: Path, port: int) -> Iterator[str]:
    """Run the tables and the bucket, kept in the folder ``state``; yields their URL.

    Should their process die, it is begun again with all that it had. At the end they have stopped
    and everything is saved. Raises LocalStackError where they cannot start.
    """
    endpoint = f"http://{HOST}:{port}"
    keeper = _Keeper(state, port)
    try:
        if not (_listens(keeper.process) and answers(endpoint, _START_SECONDS)):
            raise LocalStackError(_reason(keeper.stop(), state, endpoint))
        keeper.start()
        yield endpoint
    finally:
        keeper.stop()


class _Keeper(Thread):
    """Owns the child process, and begins it again when it dies unasked."""

    def __init__(self, state: Path, port: int) -> None:
        super().__init__(daemon=True)
        self._state = state
        self._port = port
        self._stopping = Event()
        self._handover = Lock()
        self.process = _start(state, port)

    def run(self) -> None:
        while True:
            self.process.wait()
            with self._handover:
                if self._stopping.is_set():
                    return
                logger.error("the tables and the bucket died; they are begun again")
                _stop(self.process)
                self.process = _start(self._state, self._port)
            self._stopping.wait(1)  # else a process that cannot start would be begun without pause

    def stop(self) -> int:
        """Let the child save and go; the exit status."""
        self._stopping.set()
        with self._handover:
            return _stop(self.process)


def _start(state: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "infra.local.stack_process", str(state), str(port)]
    with (state / "stack.log").open("a") as log:
        # In a session of its own: the terminal's Ctrl-C is for the parent, which still needs it.
        return subprocess.Popen(  # noqa: S603  # nothing here comes from outside
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )


def _listens(process: subprocess.Popen[bytes]) -> bool:
    """Wait until the port is the child's own: another program's might answer just as well."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
    return bool(ready and process.stdout.readline())


def _reason(status: int, state: Path, endpoint: str) -> str:
    if status == errno.EADDRINUSE:
        return f"another program uses {endpoint}; stop it, or choose another --stack-port"
    return f"the tables and the bucket did not start; see {state / 'stack.log'}"


def _stop(process: subprocess.Popen[bytes]) -> int:
    """Let the child end; the exit status. Was it killed, the journal holds what was not saved."""
    assert process.stdout is not None
    status = stop(process, _STOP_SECONDS)
    process.stdout.close()
    return status
