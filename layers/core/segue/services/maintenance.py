"""What has to be done from time to time: settle outcomes, archive records, clear up."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import sample

from segue.domain.errors import StoreUnavailable
from segue.experiments.epoch import EpochId
from segue.experiments.records import Pending
from segue.ports import Clock, ExperimentStore, ResultArchive, ResultStore
from segue.services.compaction import Compactor
from segue.services.settlement import Settlement

# Each waits for one user's events at a time.
_SETTLERS = 16

HasTime = Callable[[], bool]


@dataclass
class Work:
    """What a run did. ``faults`` says what it could not do; the next run tries again."""

    settled: int = 0
    archived: int = 0
    swept: int = 0
    faults: list[str] = field(default_factory=list)


class Maintenance:
    """Does the work that there is, a step at a time; whatever stops it, nothing is lost."""

    def __init__(
        self,
        settlement: Settlement,
        compactor: Compactor,
        experiments: ExperimentStore,
        results: ResultStore,
        archive: ResultArchive,
        clock: Clock,
    ) -> None:
        self._settlement = settlement
        self._compactor = compactor
        self._experiments = experiments
        self._results = results
        self._archive = archive
        self._clock = clock

    def run(self, has_time: HasTime, *, settle: bool = True) -> Work:
        """Settle and archive at least once, and more while there is time; then clear up.

        A fault in one of them does not keep the others from their turn. Without ``settle``, no
        outcome is settled.
        """
        work = Work()
        steps = [self._archive_records, self._sweep]
        for step in [self._settle, *steps] if settle else steps:
            try:
                step(work, has_time)
            except StoreUnavailable as error:
                work.faults.append(str(error))
        return work

    def _settle(self, work: Work, has_time: HasTime) -> None:
        """Record the outcome of exposures whose window has passed."""
        with ThreadPoolExecutor(_SETTLERS) as pool:
            for page in self._results.due(self._clock.now()):
                for outcome in pool.map(self._settle_one, page):
                    if isinstance(outcome, str):
                        work.faults.append(outcome)
                    else:
                        work.settled += outcome
                if not has_time():
                    return

    def _settle_one(self, due: tuple[EpochId, Pending]) -> bool | str:
        """Whether it was settled, and not erased meanwhile; or what prevented it."""
        try:
            return self._settlement.settle(*due, fresh=False) is not None
        except StoreUnavailable as error:
            return str(error)

    def _archive_records(self, work: Work, has_time: HasTime) -> None:
        while epochs := self._results.epochs_to_archive():
            before = work.archived
            # By lot: where time is short, no epoch is always the last.
            for epoch in sample(sorted(epochs), len(epochs)):
                work.archived += _attempt(work, epoch, self._compactor.compact)
                if not has_time():
                    return
            # Somebody else is at what is left, or it fails.
            if work.archived == before:
                return

    def _sweep(self, work: Work, has_time: HasTime) -> None:
        for running, _ in self._experiments.all_running():
            for epoch in running.sides:
                if not has_time():
                    return
                work.swept += _attempt(work, epoch.id, self._sweep_one)

    def _sweep_one(self, epoch: EpochId) -> int:
        return self._archive.sweep(epoch, self._clock.now())


def _attempt(work: Work, epoch: EpochId, step: Callable[[EpochId], int]) -> int:
    """What the step answers; 0 where it fails, so that other epochs have their turn."""
    try:
        return step(epoch)
    except StoreUnavailable as error:
        fault = f"{epoch.experiment}, {epoch.side}: {error}"
        if fault not in work.faults:
            work.faults.append(fault)
        return 0
