"""Live experiments: what a listener is really shown."""

from dataclasses import dataclass, replace

from segue.domain.errors import EpochConflict, ModelFailed
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import DEFAULT_NAME
from segue.experiments.records import Exposure, Pending, recommendation_id
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
    ``settles_at``: when the outcome of an exposure is known, in milliseconds since 1970 UTC.
    ``tracks``: those of the exposure that are still available. ``explained``: what each arm says of
    those that it put on the list, None unless it was asked for.
    """

    epoch: Epoch
    exposure: Exposure
    settles_at: int
    recommendation_id: str | None
    tracks: tuple[str, ...]
    explained: tuple[Recommendation, ...] | None = None


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
        exposure, bundle = shown.exposure, self._bundle(shown.epoch)
        groups = exposure.owners or (exposure.group,) * len(exposure.tracks)
        owners = dict(zip(exposure.tracks, groups, strict=True))
        return tuple(
            self._recommender.explain(
                Query(exposure.user_id, arm.model_id, as_of=exposure.as_of), theirs, bundle
            )
            for arm in shown.epoch.experiment.arms
            if (theirs := [track for track in shown.tracks if owners[track] == arm.group])
        )

    def _recommend(self, user_id: str, k: int | None, name: str, erasure: str | None) -> Shown:
        epoch = self._epochs.running(name).live
        found = self._results.find(epoch.id, user_id)
        now = self._clock.now() if self._as_of is None else self._as_of
        if isinstance(found, Pending) and not found.exposure.failed and now < found.settles_at:
            return self._shown(epoch, found, recorded=True)
        bundle = self._bundle(epoch)
        made = self._exposer.expose(epoch, bundle, user_id, now, k)
        if found or epoch.bundle != bundle.version:
            return self._shown(epoch, made, recorded=False)
        stored = self._results.add(epoch.id, made, erasure)
        # Another call's may have been faster, and settled by now.
        return self._shown(epoch, replace(made, exposure=stored.exposure), recorded=True)

    def _bundle(self, epoch: Epoch) -> Bundle:
        try:
            return self._epochs.models_of(epoch)
        except EpochConflict:
            return self._models.current()

    def _shown(self, epoch: Epoch, pending: Pending, *, recorded: bool) -> Shown:
        """Raises ModelFailed where there is nothing to show, now that it is on record."""
        exposure = pending.exposure
        if exposure.failed:
            raise ModelFailed(exposure.error)
        named = recommendation_id(epoch.id.salt, exposure.user_id) if recorded else None
        unavailable = self._availability.unavailable()
        tracks = tuple(track for track in exposure.tracks if track not in unavailable)
        return Shown(epoch, exposure, pending.settles_at, named, tracks)
