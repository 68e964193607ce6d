"""A/B tests in replay: recommend as of the cut-off, judge by what was played afterwards."""

from dataclasses import dataclass

from segue.domain.errors import UnknownExperiment
from segue.experiments.experiment import DEFAULT_NAME, Experiment, default_experiment
from segue.experiments.outcome import window_of
from segue.experiments.records import Exposure, Record, RecordPage, digest_at
from segue.ports import Clock, ResultStore
from segue.services.epochs import Epochs
from segue.services.exposure import Exposer
from segue.services.settlement import Settlement, undisturbed_by_erasure


@dataclass(frozen=True, slots=True)
class Pending:
    """There is no outcome yet: the window ends at ``settles_at``, in milliseconds since 1970."""

    exposure: Exposure
    settles_at: int


class Experiments:
    """Performs tests and keeps their results."""

    def __init__(
        self,
        epochs: Epochs,
        exposer: Exposer,
        settlement: Settlement,
        results: ResultStore,
        clock: Clock,
    ) -> None:
        self._epochs = epochs
        self._exposer = exposer
        self._settlement = settlement
        self._results = results
        self._clock = clock

    def perform(self, user_id: str, name: str = DEFAULT_NAME) -> Record | Pending:
        """The user's outcome in the running epoch: found once, the same ever after.

        Recommends as of the cut-off of the epoch's bundle, which is the last moment that no model
        has seen beyond. Raises UnknownExperiment, UnknownUser, EpochConflict, BundleError and
        StoreUnavailable.
        """
        return undisturbed_by_erasure(lambda erasure: self._perform(user_id, name, erasure))

    def results(
        self, name: str = DEFAULT_NAME, *, live: bool = False, limit: int, after: str | None = None
    ) -> tuple[Experiment, RecordPage]:
        """The side's running epoch and a page of its records, behind the position ``after``.

        Raises UnknownExperiment, and UnknownPosition for one that no page of this list gave.
        """
        found = self._results.experiment(name)
        if found is None and name != DEFAULT_NAME:
            raise UnknownExperiment(f"there is no experiment {name!r}")
        experiment = found[0] if found else default_experiment("")
        experiment = experiment.live if live else experiment
        digest = "" if after is None else digest_at(experiment.salt, after)
        return experiment, self._results.records(experiment, limit=limit, after=digest)

    def clear(self, name: str = DEFAULT_NAME) -> None:
        """Begin the next epoch; the records so far stay where they are, and out of every answer.

        Raises UnknownExperiment.
        """
        self._epochs.begin_next(name)

    def _perform(self, user_id: str, name: str, erasure: str | None) -> Record | Pending:
        experiment = self._epochs.running(name)
        if record := self._results.record(experiment, user_id):
            return record
        pending = self._results.exposure(experiment, user_id)
        exposure = pending[0] if pending else self._expose(experiment, user_id)
        settles_at = window_of(experiment, exposure).end
        if self._clock.now() < settles_at:
            return Pending(self._results.add_exposure(experiment, exposure, erasure), settles_at)
        record = self._settlement.settle(experiment, exposure, erasure)
        if pending:
            self._results.drop_exposure(experiment, user_id, pending[1])
        return record

    def _expose(self, experiment: Experiment, user_id: str) -> Exposure:
        bundle = self._epochs.models_of(experiment)
        return self._exposer.expose(experiment, bundle, user_id, bundle.manifest.cutoff, None)
