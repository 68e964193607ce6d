"""The process in which functions run: ``python -m infra.local.worker_process DESCRIPTOR``.

Like a sandbox of Lambda's, it imports its functions once and then answers one call at a time. It
lives as long as the other end of its connection is open: it ends with its parent, be it by SIGKILL.
"""

import io
import logging
import os
import sys
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any

from infra.local.functions import LambdaContext, handle


def main(connection: Connection) -> None:
    """Load the functions that come in first, say so with None, and answer the calls that follow.

    A call is ``(name of the function, event, request id)``, what goes back is an ``Answer``.
    """
    output = io.BufferedWriter(_Output(sys.stdout.fileno(), "w", closefd=False))
    sys.stdout = io.TextIOWrapper(output, encoding="utf-8", line_buffering=True)
    logging.captureWarnings(True)
    logging.basicConfig(level=logging.WARNING)
    messages: SimpleQueue[Any] = SimpleQueue()
    Thread(target=_receive, args=(connection, messages), daemon=True).start()
    functions = {function.name: function for function in messages.get()}
    handlers = {name: function.load() for name, function in functions.items()}
    connection.send(None)
    while True:
        name, event, request_id = messages.get()
        context = LambdaContext(name, request_id, functions[name].timeout)
        connection.send(handle(handlers[name], event, context))


class _Output(io.FileIO):
    """A file that passes over what it cannot write: a full disk must fail no call."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _receive(connection: Connection, messages: "SimpleQueue[Any]") -> None:
    """Beside the handlers, so that the parent's end is noticed in the middle of a call, too."""
    while True:
        try:
            messages.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
