"""A/B tests in replay: recommend as of the cut-off, judge by what was played afterwards."""

from dataclasses import dataclass

from segue.domain.errors import EpochConflict, ModelFailed
from segue.domain.plays import label_plays
from segue.domain.times import Window
from segue.experiments.assignment import assign
from segue.experiments.experiment import DEFAULT_NAME, Arm, Experiment, default_experiment
from segue.experiments.records import Exposure, Record, RecordPage, is_success
from segue.models.bundle import Bundle
from segue.models.registry import model_name
from segue.ports import Clock, ModelStore, ResultStore, SessionStore
from segue.services.recommend import Query, Recommender


@dataclass(frozen=True, slots=True)
class Pending:
    """There is no outcome yet: the window ends at ``settles_at``, in milliseconds since 1970."""

    exposure: Exposure
    settles_at: int


class Experiments:
    """Performs tests and keeps their results."""

    def __init__(
        self,
        recommender: Recommender,
        sessions: SessionStore,
        models: ModelStore,
        results: ResultStore,
        clock: Clock,
    ) -> None:
        self._recommender = recommender
        self._sessions = sessions
        self._models = models
        self._results = results
        self._clock = clock

    def perform(self, user_id: str) -> Record | Pending:
        """The user's outcome in the running epoch: found once, the same ever after.

        Recommends as of the bundle's cut-off, which is the last moment that no model has seen
        beyond. Raises UnknownUser, EpochConflict, BundleError and StoreUnavailable.
        """
        bundle = self._models.current()
        experiment, _ = self._running(bundle)
        if record := self._results.record(experiment, user_id):
            return record
        exposure = self._results.exposure(experiment, user_id) or self._expose(
            experiment, bundle, user_id
        )
        window = Window(exposure.as_of, exposure.as_of + experiment.window)
        if self._clock.now() < window.end:
            return Pending(self._results.add_exposure(experiment, exposure), window.end)
        return self._results.add_record(experiment, self._settle(exposure, window))

    def results(self, *, limit: int, after: str = "") -> RecordPage:
        """A page of the running epoch's records."""
        found = self._results.experiment(DEFAULT_NAME)
        if found is None:
            return RecordPage((), None)
        return self._results.records(found[0], limit=limit, after=after)

    def clear(self) -> None:
        """Begin the next epoch; the records so far stay where they are, and out of every answer."""
        bundle = self._models.current()
        first, tag = self._running(bundle)
        experiment = first
        # A swap that fails may have been ours, its answer lost; a later epoch has cleared all the
        # same, and to go on would count as another attempt at the test.
        while experiment.epoch == first.epoch:
            following = experiment.next_epoch(bundle.version)
            if self._results.save_experiment(following, tag):
                return
            experiment, tag = self._running(bundle)

    def _running(self, bundle: Bundle) -> tuple[Experiment, str]:
        """The experiment and its version's tag; begun here where nobody has begun it yet."""
        while True:
            if found := self._results.experiment(DEFAULT_NAME):
                return found
            # Whoever else is first makes the same experiment, or one that we then read.
            self._results.save_experiment(default_experiment(bundle.version), None)

    def _expose(self, experiment: Experiment, bundle: Bundle, user_id: str) -> Exposure:
        _refuse_other_bundle(experiment, bundle)
        arm = assign(experiment, user_id)
        as_of = bundle.manifest.cutoff
        tracks, error = self._ask(arm, user_id, as_of)
        name = model_name(arm.model_id, bundle)
        now = self._clock.now()
        return Exposure(user_id, arm.group, name, bundle.version, tracks, as_of, now, error)

    def _ask(self, arm: Arm, user_id: str, as_of: int) -> tuple[tuple[str, ...], str | None]:
        """The arm's recommendation, or what failed: a model's failure counts against its arm."""
        query = Query(user_id, arm.model_id, as_of=as_of)
        try:
            return self._recommender.recommend(query).tracks, None
        except ModelFailed as error:
            return (), str(error)

    def _settle(self, exposure: Exposure, window: Window) -> Record:
        plays = label_plays(self._sessions.events(exposure.user_id, window))
        completed = {play.track_id for play in plays if play.completed}
        return Record(exposure, is_success(exposure, completed), self._clock.now())


def _refuse_other_bundle(experiment: Experiment, bundle: Bundle) -> None:
    if experiment.bundle != bundle.version:
        raise EpochConflict(
            f"epoch {experiment.epoch} compares the models of bundle {experiment.bundle}, and "
            f"bundle {bundle.version} is served now; results of both must not be mixed: begin a "
            "new epoch with DELETE /ab_test/results"
        )
