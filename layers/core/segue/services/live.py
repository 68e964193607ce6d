"""Live experiments: what a listener is really shown."""

from dataclasses import dataclass, replace

from segue.domain.errors import EpochConflict, ModelFailed
from segue.experiments.experiment import DEFAULT_NAME, Experiment
from segue.experiments.outcome import window_of
from segue.experiments.records import Exposure, recommendation_id
from segue.models.bundle import Bundle
from segue.ports import Availability, Clock, ModelStore, ResultStore
from segue.services.epochs import Epochs
from segue.services.exposure import Exposer
from segue.services.recommend import Query, Recommendation, Recommender
from segue.services.settlement import undisturbed_by_erasure


@dataclass(frozen=True, slots=True)
class Shown:
    """What to show. ``recommendation_id`` names the exposure, by whose tracks the arm is judged.

    It is None where this list is no part of the experiment, and shown for the listener's sake.
    ``tracks``: those of the exposure that are still available. ``explained``: what each arm says of
    those that it put on the list, None unless it was asked for.
    """

    experiment: Experiment
    exposure: Exposure
    recommendation_id: str | None
    tracks: tuple[str, ...]
    explained: tuple[Recommendation, ...] | None = None

    @property
    def settles_at(self) -> int:
        """When the outcome of an exposure is known, in milliseconds since 1970 UTC."""
        return window_of(self.experiment, self.exposure).end


class Live:
    """Recommends by experiment; ``as_of`` stands in for "now" (None: the clock)."""

    def __init__(
        self,
        epochs: Epochs,
        exposer: Exposer,
        recommender: Recommender,
        availability: Availability,
        models: ModelStore,
        results: ResultStore,
        clock: Clock,
        as_of: int | None = None,
    ) -> None:
        self._epochs = epochs
        self._exposer = exposer
        self._recommender = recommender
        self._availability = availability
        self._models = models
        self._results = results
        self._clock = clock
        self._as_of = as_of

    def recommend(
        self,
        user_id: str,
        k: int | None = None,
        name: str = DEFAULT_NAME,
        *,
        explain: bool = False,
    ) -> Shown:
        """The user's exposure in the running epoch, made once and shown till its window has passed.

        From then on, and where the epoch's models cannot be had any more, a new list each time,
        which is not recorded. Raises UnknownExperiment, UnknownUser, UnknownModel,
        ModelFailed, BundleError and StoreUnavailable.
        """
        shown = undisturbed_by_erasure(lambda erasure: self._recommend(user_id, k, name, erasure))
        return replace(shown, explained=self._explained(shown)) if explain else shown

    def _explained(self, shown: Shown) -> tuple[Recommendation, ...]:
        exposure, bundle = shown.exposure, self._bundle(shown.experiment)
        groups = exposure.owners or (exposure.group,) * len(exposure.tracks)
        owners = dict(zip(exposure.tracks, groups, strict=True))
        return tuple(
            self._recommender.explain(
                Query(exposure.user_id, arm.model_id, as_of=exposure.as_of), theirs, bundle
            )
            for arm in shown.experiment.arms
            if (theirs := [track for track in shown.tracks if owners[track] == arm.group])
        )

    def _recommend(self, user_id: str, k: int | None, name: str, erasure: str | None) -> Shown:
        experiment = self._epochs.running(name).live
        found = self._exposed(experiment, user_id)
        now = self._clock.now() if self._as_of is None else self._as_of
        if found and not found.failed and now < window_of(experiment, found).end:
            return self._shown(experiment, found, recorded=True)
        bundle = self._bundle(experiment)
        made = self._exposer.expose(experiment, bundle, user_id, now, k)
        if found or experiment.bundle != bundle.version:
            return self._shown(experiment, made, recorded=False)
        stored = self._results.add_exposure(experiment, made, erasure)
        return self._shown(experiment, stored, recorded=True)

    def _bundle(self, experiment: Experiment) -> Bundle:
        try:
            return self._epochs.models_of(experiment)
        except EpochConflict:
            return self._models.current()

    def _exposed(self, experiment: Experiment, user_id: str) -> Exposure | None:
        if pending := self._results.exposure(experiment, user_id):
            return pending[0]
        record = self._results.record(experiment, user_id)
        return record.exposure if record else None

    def _shown(self, experiment: Experiment, exposure: Exposure, *, recorded: bool) -> Shown:
        """Raises ModelFailed where there is nothing to show, now that it is on record."""
        if exposure.failed:
            raise ModelFailed(exposure.error)
        named = recommendation_id(experiment.salt, exposure.user_id) if recorded else None
        unavailable = self._availability.unavailable()
        tracks = tuple(track for track in exposure.tracks if track not in unavailable)
        return Shown(experiment, exposure, named, tracks)
