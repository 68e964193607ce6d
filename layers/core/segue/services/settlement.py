"""Settles outcomes: one place for the replay of a test and for the schedule."""

from collections.abc import Callable
from typing import TypeVar

from segue.domain.errors import UserErased
from segue.domain.times import Window
from segue.experiments.epoch import EpochId
from segue.experiments.outcome import PAST, judge
from segue.experiments.records import Pending, Record
from segue.ports import Clock, ResultStore, SessionStore

# How many erasures of one user in a row are waited for.
_TRIES = 5

T = TypeVar("T")


class Settlement:
    """Judges exposures whose window has passed. Everything raises StoreUnavailable."""

    def __init__(self, sessions: SessionStore, results: ResultStore, clock: Clock) -> None:
        self._sessions = sessions
        self._results = results
        self._clock = clock

    def judge(self, epoch: EpochId, pending: Pending, *, fresh: bool = True) -> Record:
        """What came of it, going by what the user has played by now. One query for events.

        Not ``fresh``: at half the cost, where nobody has sent an event and waits for the outcome.
        """
        window = pending.window
        known = Window(max(0, window.start - PAST), window.end)
        events = self._sessions.events(pending.exposure.user_id, known, fresh=fresh)
        return judge(epoch, pending, events, self._clock.now())

    def settle(self, epoch: EpochId, pending: Pending, *, fresh: bool = True) -> Record | None:
        """The outcome that counts, recorded for good; None where the user has been erased."""
        return self._results.settle(epoch, self.judge(epoch, pending, fresh=fresh))


def undisturbed_by_erasure(attempt: Callable[[str | None], T]) -> T:
    """What an attempt answers during which the user was not erased.

    It is given the last erasure that is known, reads everything of the user anew, and raises
    UserErased with a later one. Raises UserErased where one erasure follows another.
    """
    erasure: str | None = None
    for _ in range(_TRIES):
        try:
            return attempt(erasure)
        except UserErased as error:
            erasure = error.erasure
    raise UserErased(erasure)
