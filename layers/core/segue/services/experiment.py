"""A/B tests in replay: recommend as of the cut-off, judge by what was played afterwards."""

from segue.domain.errors import ExperimentStopped, UnknownExperiment, UserErased
from segue.experiments.epoch import Epoch, EpochId, Side
from segue.experiments.experiment import DEFAULT_NAME, State
from segue.experiments.records import Pending, Record, RecordPage, Result
from segue.ports import Clock, ExperimentStore, ResultStore
from segue.services.epochs import Epochs
from segue.services.exposure import Exposer
from segue.services.settlement import Settlement, undisturbed_by_erasure


class Experiments:
    """Performs tests and keeps their results."""

    def __init__(
        self,
        epochs: Epochs,
        exposer: Exposer,
        settlement: Settlement,
        experiments: ExperimentStore,
        results: ResultStore,
        clock: Clock,
    ) -> None:
        self._epochs = epochs
        self._exposer = exposer
        self._settlement = settlement
        self._experiments = experiments
        self._results = results
        self._clock = clock

    def perform(self, user_id: str, name: str = DEFAULT_NAME) -> Record | Pending:
        """The user's outcome in the running epoch: found once, the same ever after.

        Recommends as of the cut-off of the epoch's bundle, which is the last moment that no model
        has seen beyond. Pending while the window has not passed. Raises UnknownExperiment,
        ExperimentStopped, UnknownUser, EpochConflict, BundleError and StoreUnavailable.
        """
        return undisturbed_by_erasure(lambda erasure: self._perform(user_id, name, erasure))

    def results(
        self,
        name: str = DEFAULT_NAME,
        *,
        live: bool = False,
        number: int | None = None,
        limit: int,
        after: str | None = None,
    ) -> RecordPage:
        """A page of the records of an epoch's side, behind the position ``after``.

        The epoch is the one of this number, or the running one.

        Raises UnknownExperiment, and UnknownPosition for one that no page of this list gave.
        """
        found = self._experiments.running(name)
        if found is None and name != DEFAULT_NAME:
            raise UnknownExperiment(f"there is no experiment {name!r}")
        running = found[0].number if found else 1
        if number is not None and number > running:
            raise UnknownExperiment(f"experiment {name!r} has had no epoch {number} yet")
        epoch = EpochId(name, number or running, Side.LIVE if live else Side.REPLAY)
        return self._results.records(epoch, limit=limit, after=after)

    def clear(self, name: str = DEFAULT_NAME, by: str = "") -> None:
        """Begin the next epoch; the records so far stay where they are, and out of every answer.

        Raises UnknownExperiment.
        """
        self._epochs.begin_next(name, by)

    def _perform(self, user_id: str, name: str, erasure: str | None) -> Record | Pending:
        epoch = self._epochs.running(name)
        result = self._results.find(epoch.id, user_id) or self._begin(epoch, user_id, erasure)
        if isinstance(result, Record) or not self._has_passed(result):
            return result
        record = self._settlement.settle(epoch.id, result)
        if record is None:
            raise UserErased(None)
        return record

    def _begin(self, epoch: Epoch, user_id: str, erasure: str | None) -> Result:
        state = epoch.experiment.state
        if state is not State.RUNNING:
            raise ExperimentStopped(f"experiment {epoch.experiment.name!r} is {state}")
        bundle = self._epochs.models_of(epoch)
        pending = self._exposer.expose(epoch, bundle, user_id, bundle.manifest.cutoff)
        result = self._settlement.judge(epoch.id, pending) if self._has_passed(pending) else pending
        return self._results.add(epoch.id, result, erasure)

    def _has_passed(self, pending: Pending) -> bool:
        return self._clock.now() >= pending.settles_at
