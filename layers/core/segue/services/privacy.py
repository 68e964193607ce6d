"""Everything held about one user: handed out, or erased everywhere."""

from dataclasses import dataclass

from segue.domain.users import User
from segue.experiments.epoch import EpochId
from segue.experiments.records import Result
from segue.ports import ResultArchive, ResultStore, SessionStore, UserStore

# A result that was being written as the erasure began may be seen only when one looks again.
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Dossier:
    """Everything but the events, which ``Ingest.events`` pages: the profile, and of each epoch
    that the user took part in, what came of it."""

    user: User | None
    results: tuple[tuple[EpochId, Result], ...]


class Privacy:
    """Everything raises StoreUnavailable; what has been done then is done, and can be repeated."""

    def __init__(
        self,
        sessions: SessionStore,
        users: UserStore,
        results: ResultStore,
        archive: ResultArchive,
    ) -> None:
        self._sessions = sessions
        self._users = users
        self._results = results
        self._archive = archive

    def export(self, user_id: str) -> Dossier:
        """The profile, and what every epoch that there ever was holds of the user."""
        return Dossier(self._users.get(user_id), tuple(self._results.of_user(user_id)))

    def erase(self, user_id: str) -> None:
        """Erase events, profile, and the user's part in every epoch, counts included.

        The epochs last: a test that begins meanwhile finds no such user, and records nothing; one
        that had begun before is refused as it records.
        """
        # The first mark is for a restore that is under way: it looks for marks when it has ended.
        self._results.begin_erasure(user_id)
        self._sessions.delete(user_id)
        self._users.delete(user_id)
        for _ in range(_ROUNDS):
            epochs = self._results.begin_erasure(user_id)
            if not epochs:
                return
            for epoch in epochs:
                self._erase_from(epoch, user_id)

    def _erase_from(self, epoch: EpochId, user_id: str) -> None:
        batch = self._results.seal(epoch, user_id)
        self._archive.erase(epoch, user_id, batch)
        # A compaction that was under way may have archived the record and noted that since.
        if batch is None and (batch := self._results.seal(epoch, user_id)) is not None:
            self._archive.erase(epoch, user_id, batch)
        self._results.forget(epoch, user_id)
