"""Live experiments: what a listener is really shown."""

from dataclasses import dataclass, replace

from segue.domain.errors import EpochConflict, ModelFailed, UserErased
from segue.experiments.assignment import takes_part
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import DEFAULT_NAME, State
from segue.experiments.records import Exposure, Impression, Pending, Result
from segue.models.bundle import Bundle
from segue.models.registry import model_name
from segue.ports import Clock, ModelStore, ResultStore
from segue.services.epochs import Epochs
from segue.services.exposure import Exposer
from segue.services.recommend import Query, Recommendation, Recommender
from segue.services.settlement import undisturbed_by_erasure


@dataclass(frozen=True, slots=True)
class Shown:
    """What to show, and by which arm. ``recommendation_id`` names the list for as long as it counts
    what is played of it, that is, until ``settles_at``, in milliseconds since 1970 UTC.

    Both are None where this list is no part of the experiment, and shown for the listener's sake;
    ``group``, too, where the listener takes no part at all.
    ``explained``: what each arm says of the tracks that it put on the list, None unless asked for.
    """

    epoch: Epoch
    user_id: str
    group: str | None
    model: str
    impression: Impression
    recommendation_id: str | None = None
    settles_at: int | None = None
    explained: tuple[Recommendation, ...] | None = None


class Live:
    """Recommends by experiment; ``as_of`` stands in for "now" (None: the clock)."""

    def __init__(
        self,
        epochs: Epochs,
        exposer: Exposer,
        recommender: Recommender,
        models: ModelStore,
        results: ResultStore,
        clock: Clock,
        as_of: int | None = None,
    ) -> None:
        self._epochs = epochs
        self._exposer = exposer
        self._recommender = recommender
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
        max_age: int | None = None,
    ) -> Shown:
        """A list of the user's arm, which stays the same in the running epoch. The list is a fresh
        one, but where one of at most ``max_age`` milliseconds will do, see ``Query``.

        Who takes no part gets the control's model or, once an arm was shipped, that one's.

        The first one is the user's exposure, whose window begins with it; each other one is
        remembered beside it, unless it is the same. Not recorded: a list after the window, of other
        models than the epoch's where these cannot be had any more, and one for which there is no
        room. Raises UnknownExperiment, UnknownUser, UnknownModel, ModelFailed, BundleError and
        StoreUnavailable.
        """
        shown = undisturbed_by_erasure(
            lambda erasure: self._recommend(user_id, k, name, max_age, erasure)
        )
        return replace(shown, explained=self._explained(shown)) if explain else shown

    def _explained(self, shown: Shown) -> tuple[Recommendation, ...]:
        experiment, impression = shown.epoch.experiment, shown.impression
        group = shown.group or experiment.default_arm.group
        groups = impression.owners or (group,) * len(impression.tracks)
        owners = dict(zip(impression.tracks, groups, strict=True))
        bundle = self._bundle(shown.epoch) if shown.group else self._models.current()
        return tuple(
            self._recommender.explain(
                Query(shown.user_id, arm.model_id, as_of=impression.shown_at), theirs, bundle
            )
            for arm in experiment.arms
            if (theirs := [track for track, group in owners.items() if group == arm.group])
        )

    def _recommend(
        self, user_id: str, k: int | None, name: str, max_age: int | None, erasure: str | None
    ) -> Shown:
        epoch = self._epochs.running(name).live
        experiment = epoch.experiment
        now = self._clock.now() if self._as_of is None else self._as_of
        if experiment.state is not State.RUNNING or not takes_part(experiment, user_id):
            bundle, model_id = self._models.current(), experiment.default_arm.model_id
            query = Query(user_id, model_id, k or experiment.k, now, max_age=max_age)
            shown = Impression(now, self._recommender.tracks(query, bundle))
            return Shown(epoch, user_id, None, model_name(model_id, bundle), shown)
        return self._recommend_by_arm(epoch, user_id, k, now, max_age, erasure)

    def _recommend_by_arm(
        self,
        epoch: Epoch,
        user_id: str,
        k: int | None,
        now: int,
        max_age: int | None,
        erasure: str | None,
    ) -> Shown:
        found = self._results.find(epoch.id, user_id)
        bundle = self._bundle(epoch)
        if found:
            impression = self._exposer.another(epoch, bundle, found.exposure, now, k, max_age)
            result = self._remembered(epoch, bundle, found, impression)
            return _shown(epoch, found.exposure, impression, result)
        made = self._exposer.expose(epoch, bundle, user_id, now, k, max_age)
        if epoch.bundle != bundle.version:
            return _shown(epoch, made.exposure, made.exposure.impression, None)
        stored = self._results.add(epoch.id, made, erasure)
        # Another call's may have been faster, and settled by now.
        return _shown(epoch, stored.exposure, stored.exposure.impression, stored)

    def _remembered(
        self, epoch: Epoch, bundle: Bundle, found: Result, impression: Impression
    ) -> Result:
        """The user's result, with the list in it if it can be.

        Raises UserErased.
        """
        pending = _open(found, impression)
        if pending is None or epoch.bundle != bundle.version:
            return found
        if _holds(pending, impression) or not pending.has_room(impression):
            return found
        result = self._results.show(epoch.id, pending, impression)
        if result is None:
            raise UserErased(None)
        return result

    def _bundle(self, epoch: Epoch) -> Bundle:
        try:
            return self._epochs.models_of(epoch)
        except EpochConflict:
            return self._models.current()


def _shown(
    epoch: Epoch, exposure: Exposure, impression: Impression, result: Result | None
) -> Shown:
    """``result``: the user's, None where nothing is recorded.

    Raises ModelFailed where there is nothing to show.
    """
    if exposure.failed and not impression.tracks:
        raise ModelFailed(exposure.error)
    shown = Shown(epoch, exposure.user_id, exposure.group, exposure.model, impression)
    pending = _open(result, impression)
    if pending is None or not _holds(pending, impression):
        return shown
    named = impression.id(epoch.id.salt, exposure.user_id)
    return replace(shown, recommendation_id=named, settles_at=pending.settles_at)


def _open(result: Result | None, impression: Impression) -> Pending | None:
    """The pending exposure in whose window the list was shown, if there is one."""
    if isinstance(result, Pending) and impression.shown_at < result.settles_at:
        return result
    return None


def _holds(pending: Pending, impression: Impression) -> bool:
    return any(impression.is_same(other) for other in pending.impressions)
