"""What has to be done from time to time: settle outcomes, compact records, clear up."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from secrets import token_hex

from segue.domain.errors import StoreUnavailable
from segue.experiments.experiment import Experiment
from segue.experiments.outcome import window_of
from segue.experiments.records import Exposure
from segue.ports import Clock, ResultArchive, ResultStore
from segue.services.settlement import Settlement

# Each waits for one user's events at a time.
_SETTLERS = 16

HasTime = Callable[[], bool]


@dataclass
class Work:
    """What a run did. ``faults`` says what it could not do; the next run tries again."""

    settled: int
    archived: int
    swept: int
    faults: list[str]


class Maintenance:
    """Does the work that there is, a step at a time; whatever stops it, nothing is lost."""

    def __init__(
        self, settlement: Settlement, results: ResultStore, archive: ResultArchive, clock: Clock
    ) -> None:
        self._settlement = settlement
        self._results = results
        self._archive = archive
        self._clock = clock

    def run(self, has_time: HasTime, *, settle: bool = True) -> Work:
        """One step of each kind for every running epoch, and more while there is time.

        A fault in one of them does not keep the others from their turn. Without ``settle``, no
        outcome is settled.
        """
        work = Work(0, 0, 0, [])
        found = [experiment for experiment, _ in self._results.all_experiments()]
        sides = [side for experiment in found for side in (experiment, experiment.live)]
        steps = [self._compact, self._sweep]
        for step in [self._settle, *steps] if settle else steps:
            for side in sides:
                try:
                    step(side, work, has_time)
                except StoreUnavailable as error:
                    work.faults.append(f"{side.base_name}, {side.side}: {error}")
        return work

    def _settle(self, experiment: Experiment, work: Work, has_time: HasTime) -> None:
        """Record the outcome of exposures whose window has passed."""
        with ThreadPoolExecutor(_SETTLERS) as pool:
            for page in self._pages(experiment):
                now = self._clock.now()
                due = [pair for pair in page if now >= window_of(experiment, pair[0]).end]
                settled = pool.map(
                    lambda pair: self._settlement.settle_pending(experiment, *pair), due
                )
                work.settled += sum(settled)
                if not has_time():
                    return

    def _pages(self, experiment: Experiment) -> Iterator[list[tuple[Exposure, str]]]:
        """All pending exposures, from a position drawn by lot on and around to it again.

        A run that always began at the first would never reach the last where time is short.
        """
        start = token_hex(32)
        for begin, end in ((start, None), ("", start)):
            after: str | None = begin
            while after is not None:
                page, after = self._results.exposures(experiment, after=after)
                yield page
                if after and end and after >= end:
                    break

    def _compact(self, experiment: Experiment, work: Work, has_time: HasTime) -> None:
        after: str | None = ""
        while after is not None:
            batch = self._archive.compact(experiment, after)
            work.archived += batch.archived
            work.faults += [f"{key} is no record" for key in batch.unreadable]
            after = batch.next if has_time() else None

    def _sweep(self, experiment: Experiment, work: Work, has_time: HasTime) -> None:
        if has_time():
            work.swept += self._archive.sweep(experiment, self._clock.now())
