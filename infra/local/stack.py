"""The tables and the bucket of the local stack, as seen from the process that owns them."""

import fcntl
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock, Thread

from infra.local.stack_process import READY, SALVAGE
from infra.process import HOST, LocalStackError, begin, lines_until, stop

logger = logging.getLogger("segue.stack")

# With millions of events it may take this long to save them.
_STOP_SECONDS = 600


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Own the state folder, once a predecessor's tables are saved and their port is free.

    Raises LocalStackError where the folder is another's, or cannot be made.
    """
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
        with (state / "stack.lock").open("w") as saving:
            fcntl.flock(saving, fcntl.LOCK_EX)
        yield


@contextmanager
def running(
    state: Path,
    listener: socket.socket,
    *,
    salvage: bool = False,
    report: Callable[[str], None] = logger.warning,
) -> Iterator[str]:
    """Run the tables and the bucket, kept in the folder ``state``; yields their URL.

    Should their process die, it is begun again with all that it had; meanwhile the socket lets
    requests wait. With ``salvage``, what is damaged is set aside, and reported. At the end they
    have stopped and everything is saved. Raises LocalStackError where they cannot start.
    """
    keeper = _Keeper(state, listener, salvage=salvage)
    try:
        _wait_until_ready(keeper.process, report, state)
        keeper.start()
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        keeper.stop()


class _Keeper(Thread):
    """Owns the child process, and begins it again when it dies unasked."""

    def __init__(self, state: Path, listener: socket.socket, *, salvage: bool) -> None:
        super().__init__(daemon=True)
        self._state = state
        self._listener = listener
        self._stopping = Event()
        self._handover = Lock()
        self.process = _start(state, listener, *([SALVAGE] if salvage else []))

    def run(self) -> None:
        while True:
            self.process.wait()
            with self._handover:
                if self._stopping.is_set():
                    return
                assert self.process.stdout is not None
                said = self.process.stdout.read().removeprefix(f"{READY}\n")
                logger.error("the tables and the bucket died; they are begun again. %s", said)
                stop(self.process, _STOP_SECONDS)
                self.process = _start(self._state, self._listener)
            self._stopping.wait(1)  # else a process that cannot start would be begun without pause

    def stop(self) -> None:
        """Let the child save and go. Was it killed, the journal holds what was not saved."""
        self._stopping.set()
        with self._handover:
            stop(self.process, _STOP_SECONDS)


def _start(state: Path, listener: socket.socket, *more: str) -> subprocess.Popen[str]:
    descriptor = listener.fileno()
    command = [sys.executable, "-m", "infra.local.stack_process", str(state), str(descriptor)]
    return begin([*command, *more], descriptor, state / "stack.log", stdout=subprocess.PIPE)


def _wait_until_ready(
    process: subprocess.Popen[str], report: Callable[[str], None], state: Path
) -> None:
    """Raises LocalStackError with what the child said before it ended."""
    lines, is_ready = lines_until(READY, process)
    said = [line.strip() for line in lines]
    if not is_ready:
        reason = f"the tables and the bucket did not start; see {state / 'stack.log'}"
        raise LocalStackError(" ".join(said) or reason)
    for line in said[:-1]:
        report(line)
