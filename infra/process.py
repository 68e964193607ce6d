"""The processes that run the service on this machine: how they start and end, and their ports."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

from segue.domain.errors import SegueError

HOST = "127.0.0.1"
# The command line, as it is called from a shell.
SEGUE = (sys.executable, "-c", "from infra.cli import main; main()")
# In the last line of those that every server prints at its start.
READY = "Ctrl-C stops"


class LocalStackError(SegueError):
    """The local stack cannot start: a port or the state folder is taken, or a part of it fails.

    The message is for the person at the terminal.
    """


def listen(port: int, option: str) -> socket.socket:
    """A socket that owns the port, and lets whoever connects wait until it is served.

    Raises LocalStackError, naming the ``option`` that chooses another port, where that is taken.
    """
    # With the protocol named, asyncio sends small answers at once (TCP_NODELAY); without, every
    # second packet of an answer waits 40 ms for the first one to be acknowledged.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        # Two sockets may be bound to one port; only one of them may listen.
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise LocalStackError(
            f"port {port} of {HOST} cannot be used ({error.strerror}); stop the program that "
            f"has it, or choose another {option}"
        ) from None
    return listener


def free_port() -> int:
    """A port that nobody listens on."""
    with listen(0, "") as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, SIGINT and SIGTERM raise KeyboardInterrupt.

    SIGINT, too, has to be told: a shell has its background jobs ignore it.
    """
    stopping = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(one, signal.default_int_handler) for one in stopping]
    try:
        yield
    finally:
        for one, handler in zip(stopping, before, strict=True):
            signal.signal(one, handler)


@contextmanager
def serving(
    *arguments: str, folder: Path | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a server of Segue's, ``serve`` or ``open``, in the folder, and stop it at the end.

    Yields its process and what it has printed, once it is ready. Raises LocalStackError.
    """
    command = [*SEGUE, *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=PIPE, text=True) as process:  # noqa: S603
        try:
            lines, is_ready = lines_until(READY, process)
            if not is_ready:
                raise LocalStackError(f"`segue {arguments[0]}` has ended; its own message says why")
            yield process, "".join(lines)
        finally:
            process.send_signal(signal.SIGINT)


def lines_until(words: str, process: subprocess.Popen[str]) -> tuple[list[str], bool]:
    """The lines that the process prints up to one with these words.

    And whether that one is there: where it is not, the process prints no more.
    """
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return lines, True
    return lines, False


def begin(
    command: Sequence[str],
    descriptor: int,
    log: Path,
    *,
    stdin: int = PIPE,
    stdout: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Start a child, which gets the descriptor, too; what it prints is added to the log.

    Where ``stdout`` is PIPE, only what goes to standard error is.
    """
    with log.open("a") as output:
        # In a session of its own: the terminal's Ctrl-C is for the parent, which still needs it.
        return subprocess.Popen(  # noqa: S603  # nothing here comes from outside
            command,
            env=environment,
            pass_fds=[descriptor],
            stdin=stdin,
            stdout=output if stdout is None else stdout,
            stderr=output,
            text=True,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[str], seconds: float) -> None:
    """Close the child's standard input, which ends it, and wait so long; then kill it."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
