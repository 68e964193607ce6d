"""Runs functions in processes beside this one, so that a slow call holds up no other."""

import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import Pipe
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread

from infra.local.functions import Answer, Function, Invoke, failure
from infra.process import LocalStackError, begin

# So many calls run at once. Each process takes some 200 MB, with the demo's models.
_SHARED = 3

logger = logging.getLogger("segue.workers")


@contextmanager
def running(functions: Sequence[Function], log: Path) -> Iterator[dict[str, Invoke]]:
    """Run the functions; yields how to call each. What they print goes to the file ``log``.

    They share a few processes, but one with reserved concurrency has as many as that to itself.
    Raises LocalStackError where they cannot be loaded. At the end no process is left.
    """
    pools = [Workers([it for it in functions if not it.reserved], log, _SHARED)]
    pools += [Workers([it], log, it.reserved) for it in functions if it.reserved]
    try:
        for pool in pools:
            pool.begin()
        for pool in pools:
            pool.start()
        yield {name: partial(pool.submit, name) for pool in pools for name in pool.functions}
    finally:
        for pool in pools:
            pool.stop()


@dataclass(frozen=True, slots=True)
class _Call:
    function: Function
    event: bytes
    request_id: str
    answer: "Future[Answer]" = field(default_factory=Future)


class Workers:
    """So many processes with the same functions, which share one queue: the oldest call is next."""

    def __init__(self, functions: Sequence[Function], log: Path, count: int) -> None:
        self.functions = {function.name: function for function in functions}
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._workers = [_Worker(functions, log, self._calls) for _ in range(count)]

    def begin(self) -> None:
        """Begin the first process."""
        self._workers[0].begin()

    def start(self) -> None:
        """Wait until it is ready; the others follow. Raises LocalStackError where it ends."""
        self._workers[0].load()
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """End every process, in the middle of a call if need be."""
        for worker in self._workers:
            worker.stop()
            self._calls.put(None)
        for worker in self._workers:
            if worker.is_alive():
                worker.join()

    def submit(self, name: str, event: bytes, request_id: str) -> "Future[Answer]":
        """Have a function called with the event, which is JSON.

        A call whose answer is cancelled while it waits is never begun.
        """
        call = _Call(self.functions[name], event, request_id)
        self._calls.put(call)
        return call.answer


class _Worker(Thread):
    """Hands calls to a process, and begins another when that has ended."""

    def __init__(
        self, functions: Sequence[Function], log: Path, calls: "SimpleQueue[_Call | None]"
    ) -> None:
        super().__init__(daemon=True)
        self._functions = functions
        self._log = log
        self._calls = calls
        self._stopping = Event()
        self._process: _Process | None = None

    def begin(self) -> None:
        self._process = _Process(self._functions, self._log)
        if self._stopping.is_set():
            self._process.kill()

    def load(self) -> None:
        """Wait until the process is ready. Raises LocalStackError where it ends instead."""
        if not (self._process and self._process.is_loaded()):
            raise LocalStackError(f"the functions cannot be loaded; {self._log} says why")

    def run(self) -> None:
        self._ready()
        while (call := self._calls.get()) and (process := self._ready()):
            if call.answer.set_running_or_notify_cancel():
                self._answer(call, process)
            # Before the next call is taken, which another worker may answer sooner.
            self._ready()

    def stop(self) -> None:
        """End the process, and begin no other."""
        self._stopping.set()
        if self._process:
            self._process.kill()

    def _answer(self, call: _Call, process: "_Process") -> None:
        answer = process.answer(call)
        if self._stopping.is_set():
            return
        if not process.lives():
            logger.error("%s, request %s: %s", call.function.name, call.request_id, answer.payload)
        call.answer.set_result(answer)

    def _ready(self) -> "_Process | None":
        """The process, or another in its stead; None at the end."""
        while not self._stopping.is_set():
            if self._process and self._process.lives():
                return self._process
            self.begin()
            try:
                self.load()
            except LocalStackError:
                self._stopping.wait(1)  # else one that cannot start would be begun without pause
        return None


class _Process:
    """A process that has imported the functions, and answers one call at a time."""

    def __init__(self, functions: Sequence[Function], log: Path) -> None:
        self._connection, theirs = Pipe()
        number = theirs.fileno()
        command = [sys.executable, "-m", "infra.local.worker_process", str(number)]
        with theirs:
            self._process = begin(command, number, log, stdin=subprocess.DEVNULL)
            self._connection.send(functions)

    def is_loaded(self) -> bool:
        """Wait until the functions are; False where the process ends of it."""
        try:
            self._connection.recv()
        except (EOFError, OSError):
            self.kill()
            return False
        return True

    def lives(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def answer(self, call: _Call) -> Answer:
        """Its answer. Where there is none, the process has ended, and it is what Lambda says."""
        timeout = call.function.timeout
        try:
            self._connection.send((call.function.name, call.event, call.request_id))
            if self._connection.poll(timeout):
                answer: Answer = self._connection.recv()
                return answer
        except (EOFError, OSError):
            self.kill()
            return failure("Runtime.ExitError", "the function's process ended")
        self.kill()
        return failure("Sandbox.Timedout", f"the function took over {timeout:g} seconds")
