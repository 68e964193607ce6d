"""Stops between the calls of stores: to be killed there, or to let somebody else go on."""

from collections.abc import Callable, Iterable, Sequence
from threading import Semaphore, Thread
from typing import Any

from segue.experiments.epoch import EpochId
from segue.experiments.records import Record

Pause = Callable[[], None]


class Stepped:
    """A store that calls ``pause`` before each of its methods.

    What it notes of several users it notes of one at a time, as a store does that may stop between.
    """

    def __init__(self, store: Any, pause: Pause) -> None:
        self._store = store
        self._pause = pause

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*arguments: Any, **named: Any) -> Any:
            self._pause()
            return method(*arguments, **named)

        return call

    def note_archived(self, epoch: EpochId, records: Iterable[Record], batch: int) -> None:
        for record in records:
            self._pause()
            self._store.note_archived(epoch, [record], batch)


class Killed(BaseException):
    """No fault that anybody would handle."""


class Countdown:
    """Kills at the step after so many."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


class Actor:
    """Somebody who does a piece of work a step at a time."""

    def __init__(self, work: Callable[[Pause], object]) -> None:
        self._work = work
        self._resumed, self._paused = Semaphore(0), Semaphore(0)
        self._error: Exception | None = None
        self._done = False
        Thread(target=self._run, daemon=True).start()

    def resume(self) -> bool:
        """Let one step be done, if any is left; whether there are more."""
        if not self._done:
            self._resumed.release()
            self._paused.acquire()
        if self._error:
            raise self._error
        return not self._done

    def _run(self) -> None:
        self._resumed.acquire()
        try:
            self._work(self._pause)
        except Exception as error:  # noqa: BLE001
            self._error = error
        self._done = True
        self._paused.release()

    def _pause(self) -> None:
        self._paused.release()
        self._resumed.acquire()


def interleave(order: Sequence[int], *works: Callable[[Pause], object]) -> None:
    """Do all works, whose steps follow each other in the order that names whose turn it is."""
    actors = [Actor(work) for work in works]
    for turn in order:
        actors[turn].resume()
    for actor in actors:
        while actor.resume():
            pass
