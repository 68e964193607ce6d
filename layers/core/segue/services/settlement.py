"""Settles outcomes: one place for the replay of a test and for the schedule."""

from collections.abc import Callable
from typing import TypeVar

from segue.domain.errors import UserErased
from segue.experiments.experiment import Experiment
from segue.experiments.outcome import judge, window_of
from segue.experiments.records import Exposure, Record
from segue.ports import Clock, ResultStore, SessionStore

# How many erasures of one user in a row are waited for.
_TRIES = 5

T = TypeVar("T")


class Settlement:
    """Records outcomes for good. Everything raises StoreUnavailable."""

    def __init__(self, sessions: SessionStore, results: ResultStore, clock: Clock) -> None:
        self._sessions = sessions
        self._results = results
        self._clock = clock

    def settle(
        self, experiment: Experiment, exposure: Exposure, erasure: str | None = None
    ) -> Record:
        """The outcome that counts of an exposure whose window has passed.

        ``experiment``: the epoch of the exposure, and the live side of it for a live one.
        ``erasure``: the last one that was known when the exposure was made or read. Raises
        UserErased, and records nothing, where there has been another since.
        """
        window = window_of(experiment, exposure)
        events = self._sessions.events(exposure.user_id, window)
        record = judge(exposure, events, self._clock.now())
        return self._results.add_record(experiment, record, erasure)

    def settle_pending(self, experiment: Experiment, exposure: Exposure, tag: str) -> bool:
        """Settle a pending exposure and drop the version of it that bears the tag.

        False, and nothing is recorded, where the user was erased since it was read.
        """

        def attempt(erasure: str | None) -> bool:
            # An exposure that is still there beside the erasure was made after it.
            if erasure:
                found = self._results.exposure(experiment, exposure.user_id)
                if found is None or found[0] != exposure:
                    return False
            self.settle(experiment, exposure, erasure)
            return True

        settled = undisturbed_by_erasure(attempt)
        if settled:
            self._results.drop_exposure(experiment, exposure.user_id, tag)
        return settled


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
