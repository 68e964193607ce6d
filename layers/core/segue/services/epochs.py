"""Experiments and their epochs: which run, and how one is changed without mixing results."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from segue.domain.errors import (
    BundleError,
    EpochConflict,
    ExperimentStopped,
    InvalidRequest,
    StaleVersion,
    UnknownExperiment,
    VersionNeeded,
)
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import (
    DEFAULT,
    DEFAULT_NAME,
    FROZEN,
    Arm,
    Experiment,
    State,
    check,
)
from segue.experiments.layers import ALL
from segue.models.bundle import Bundle
from segue.ports import ExperimentStore, ModelStore, ResultArchive
from segue.services.layers import Layers
from segue.services.life import Life

# In place of versions' tags: whichever version there is.
ANY = "*"


@dataclass(frozen=True, slots=True)
class Saved:
    """An experiment's running epoch, the tag of that version, and whether it is the first one."""

    epoch: Epoch
    tag: str
    created: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What a change would do: the epoch that runs then, and which fields it changes.

    ``users``: who have an outcome in the running epoch, in replay or live, as far as archived.
    ``moved``: the share of users who are in another group then.
    """

    epoch: int
    created: bool
    changed: tuple[str, ...]
    begins_epoch: bool
    users: int
    moved: float


class Epochs:
    """Everything raises StoreUnavailable; what needs the models, BundleError."""

    def __init__(
        self,
        models: ModelStore,
        experiments: ExperimentStore,
        archive: ResultArchive,
        layers: Layers,
        life: Life,
    ) -> None:
        self._models = models
        self._experiments = experiments
        self._archive = archive
        self._layers = layers
        self._life = life

    def running(self, name: str = DEFAULT_NAME) -> Epoch:
        """The epoch that runs; the default experiment is begun here where nobody has done so yet.

        Raises UnknownExperiment.
        """
        return self._running(name)[0]

    def models_of(self, epoch: Epoch) -> Bundle:
        """The bundle that the epoch is frozen to, whichever is active by now.

        Raises EpochConflict where it cannot be had any more.
        """
        try:
            return self._models.bundle(epoch.bundle)
        except BundleError as error:
            served = self._models.current()
            raise EpochConflict(
                f"epoch {epoch.number} compares the models of bundle {epoch.bundle}, "
                f"which cannot be had ({error}), and bundle {served.version} is served now; "
                "results of both must not be mixed: begin a new epoch with DELETE /ab_test/results"
            ) from error

    def all(self) -> list[tuple[Epoch, str]]:
        """Every experiment's running epoch with the tag of its version, by name."""
        self._running(DEFAULT_NAME)
        return sorted(self._experiments.all_running(), key=lambda found: found[0].experiment.name)

    def history(self, name: str) -> tuple[Epoch, str, list[Epoch]]:
        """The running epoch, the tag of its version, and the experiment after every change.

        Raises UnknownExperiment.
        """
        epoch, tag = self._running(name)
        return epoch, tag, self._experiments.versions(name)

    def plan(self, wanted: Experiment) -> Plan:
        """What ``save`` would do. Raises InvalidRequest naming the field."""
        bundle = self._models.current(fresh=True)
        found = self._checked(wanted, bundle)
        if found is None:
            return Plan(1, created=True, changed=(), begins_epoch=True, users=0, moved=0.0)
        before = found[0]
        changed = tuple(wanted.changes_from(before.experiment))
        begins = not FROZEN.isdisjoint(changed)
        users = sum(self._archive.read(side.id).tally.users for side in before.sides)
        return Plan(
            before.number + begins,
            created=False,
            changed=changed,
            begins_epoch=begins,
            users=users,
            moved=_moved(before.experiment.arms, wanted.arms) if begins else 0.0,
        )

    def save(
        self,
        wanted: Experiment,
        if_match: Collection[str] = (),
        if_none_match: Collection[str] = (),
        by: str = "",
    ) -> Saved:
        """Let the experiment be as wanted, and run.

        Where that changes anything that results depend on, a new epoch begins, with the models that
        are served. ``if_match``: the tags of which the stored version must bear one; needed where
        something is changed. ``if_none_match``: the tags of which it must bear none; ANY: there
        must be no version. ``by``: who asks for it. Raises InvalidRequest naming the field,
        StaleVersion, VersionNeeded, and ExperimentStopped for an archived one.
        """
        bundle = self._models.current(fresh=True)
        while True:
            found = self._checked(wanted, bundle)
            _refuse_stale(found[1] if found else None, if_match, if_none_match)
            following = _following(wanted, found[0] if found else None, bundle.version)
            if found and following == found[0]:
                return Saved(*found, created=False)
            if found and not if_match:
                raise VersionNeeded(
                    f"experiment {wanted.name!r} is there: to change it, send If-Match with its "
                    f"ETag, which is {found[1]} now; to create one needs none"
                )
            experiment = self._layers.admit(following.experiment)
            following = self._life.noted(replace(following, experiment=experiment), found, by)
            swapped = self._experiments.save(following, found[1] if found else None)
            # A swap that failed may have been ours, its answer lost: what is stored decides. Not
            # with If-None-Match: two that race with the same must not both believe they created it.
            stored = self._experiments.running(wanted.name)
            lost = not if_none_match and stored is not None and stored[0] == following
            if stored and (swapped or lost):
                return Saved(*stored, created=found is None)

    def begin_next(self, name: str = DEFAULT_NAME, by: str = "") -> None:
        """Begin the next epoch, of the bundle that is served. Raises UnknownExperiment."""
        bundle = self._models.current(fresh=True)
        first = self._running(name)[0].number
        self._life.change(
            name, by, lambda it: it.following(bundle.version) if it.number == first else it
        )

    def stop(self, name: str, *, archive: bool = False, by: str = "") -> None:
        """Assign nobody any more; what there is stays. Raises UnknownExperiment.

        ``archive``: for good, and let others of its layer have its users.
        """
        self._running(name)
        stopped = self._life.stop(name, archive=archive, by=by)
        if stopped.state is State.ARCHIVED:
            # Not before: until then, its users are in it.
            self._layers.release(stopped)

    def _checked(self, wanted: Experiment, bundle: Bundle) -> tuple[Epoch, str] | None:
        """What is stored of the experiment, if it may be changed to be as wanted."""
        check(wanted, bundle.manifest.models)
        found = self._experiments.running(wanted.name)
        if found is None:
            return None
        before = found[0].experiment
        if before.state is State.ARCHIVED:
            raise ExperimentStopped(f"experiment {wanted.name!r} is archived; make another one")
        if wanted.layer != before.layer:
            raise InvalidRequest(
                "an experiment stays in its layer; make another one", field="layer"
            )
        return found

    def _running(self, name: str) -> tuple[Epoch, str]:
        while True:
            if found := self._experiments.running(name):
                return found
            if name != DEFAULT_NAME:
                raise UnknownExperiment(f"there is no experiment {name!r}")
            # Whoever else is first makes the same experiment, or one that we then read.
            bundle = self._models.current(fresh=True)
            self._experiments.save(self._life.noted(Epoch(DEFAULT, bundle.version), None, ""), None)


def _following(wanted: Experiment, before: Epoch | None, bundle: str) -> Epoch:
    """The epoch as it is to be; the one before, where nothing changes."""
    if before is None:
        return Epoch(wanted, bundle)
    experiment = _settings(wanted, before)
    if FROZEN.isdisjoint(experiment.changes_from(before.experiment)):
        return replace(before, experiment=experiment)
    return replace(before.following(bundle), experiment=experiment)


def _settings(wanted: Experiment, before: Epoch) -> Experiment:
    """As wanted, with the users that it has already, where as many are wanted."""
    stored = before.experiment
    slots = stored.slots if wanted.traffic == stored.traffic else ALL
    return replace(wanted, slots=slots)


def _moved(before: Sequence[Arm], after: Sequence[Arm]) -> float:
    """The share of users who are in another group once everybody is assigned anew."""
    shares = {arm.group: arm.share for arm in after}
    return 1 - sum(arm.share * shares.get(arm.group, 0.0) for arm in before)


def _refuse_stale(
    tag: str | None, if_match: Collection[str], if_none_match: Collection[str]
) -> None:
    if if_match and not _bears(tag, if_match):
        raise StaleVersion("the experiment is not the version that If-Match names")
    if _bears(tag, if_none_match):
        raise StaleVersion(f"the experiment is there already, as version {tag}; nothing is changed")


def _bears(tag: str | None, tags: Collection[str]) -> bool:
    return tag is not None and (tag in tags or ANY in tags)
