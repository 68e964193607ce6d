"""Everything held about one user: handed out, or erased everywhere."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from segue.domain.users import User
from segue.experiments.experiment import Experiment
from segue.experiments.records import Exposure, Record
from segue.ports import ResultStore, SessionStore, UserStore

# An epoch is asked for its share of the user by itself; most hold none.
_EPOCHS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Part:
    """What one epoch holds of the user: a record, or an exposure that awaits its outcome."""

    experiment: Experiment
    exposure: Exposure
    record: Record | None


@dataclass(frozen=True, slots=True)
class Dossier:
    """Everything but the events, which ``Ingest.events`` pages."""

    user: User | None
    parts: tuple[Part, ...]


class Privacy:
    """Everything raises StoreUnavailable; what has been done then is done, and can be repeated."""

    def __init__(self, sessions: SessionStore, users: UserStore, results: ResultStore) -> None:
        self._sessions = sessions
        self._users = users
        self._results = results

    def export(self, user_id: str) -> Dossier:
        """The profile, and what every epoch that there ever was holds of the user."""
        with ThreadPoolExecutor(_EPOCHS_AT_ONCE) as pool:
            found = pool.map(lambda epoch: self._part(epoch, user_id), self._epochs())
            parts = tuple(part for part in found if part)
        return Dossier(self._users.get(user_id), parts)

    def erase(self, user_id: str) -> None:
        """Erase events, profile, and the user's part in every epoch, counts included.

        The epochs last: a test that begins meanwhile finds no such user, and records nothing; one
        that had begun before is refused as it records.
        """
        self._sessions.delete(user_id)
        self._users.delete(user_id)
        with ThreadPoolExecutor(_EPOCHS_AT_ONCE) as pool:
            erasures = [
                pool.submit(self._results.erase, epoch, user_id) for epoch in self._epochs()
            ]
        for erasure in erasures:
            erasure.result()

    def _part(self, epoch: Experiment, user_id: str) -> Part | None:
        # In this order: what is settled in between moves from the one to the other.
        pending = self._results.exposure(epoch, user_id)
        if record := self._results.record(epoch, user_id):
            return Part(epoch, record.exposure, record)
        return Part(epoch, pending[0], None) if pending else None

    def _epochs(self) -> Iterator[Experiment]:
        for experiment, _ in self._results.all_experiments():
            for number in range(1, experiment.epoch + 1):
                epoch = replace(experiment, epoch=number)
                yield from (epoch, epoch.live)
