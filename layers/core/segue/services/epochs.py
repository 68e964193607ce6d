"""Experiments and their epochs: which run, and how one is changed without mixing results."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from segue.domain.errors import BundleError, EpochConflict, StaleVersion, UnknownExperiment
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import DEFAULT, DEFAULT_NAME, Experiment, check
from segue.models.bundle import Bundle
from segue.ports import ExperimentStore, ModelStore

# In place of versions' tags: whichever version there is.
ANY = "*"


@dataclass(frozen=True, slots=True)
class Saved:
    """An experiment's running epoch, the tag of that version, and whether it is the first one."""

    epoch: Epoch
    tag: str
    created: bool


class Epochs:
    """Everything raises StoreUnavailable; what needs the models, BundleError."""

    def __init__(self, models: ModelStore, experiments: ExperimentStore) -> None:
        self._models = models
        self._experiments = experiments

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

    def save(
        self, wanted: Experiment, if_match: Collection[str], if_none_match: Collection[str]
    ) -> Saved:
        """Let the experiment be as wanted, with the models that are served.

        Where that changes anything, a new epoch begins. ``if_match``: the tags of which the stored
        version must bear one; none: any, or none at all. ``if_none_match``: the tags of which it
        must bear none; ANY: there must be no version. Raises InvalidRequest naming the field, and
        StaleVersion.
        """
        bundle = self._models.current(fresh=True)
        check(wanted, bundle.manifest.models)
        while True:
            found = self._experiments.running(wanted.name)
            _refuse_stale(found[1] if found else None, if_match, if_none_match)
            before = found[0] if found else None
            if found and before == replace(found[0], experiment=wanted, bundle=bundle.version):
                return Saved(*found, created=False)
            following = Epoch(wanted, bundle.version, before.number + 1 if before else 1)
            swapped = self._experiments.save(following, found[1] if found else None)
            # A swap that failed may have been ours, its answer lost: what is stored decides. Not
            # with If-None-Match: two that race with the same must not both believe they created it.
            stored = self._experiments.running(wanted.name)
            lost = not if_none_match and stored is not None and stored[0] == following
            if stored and (swapped or lost):
                return Saved(*stored, created=before is None)

    def begin_next(self, name: str = DEFAULT_NAME) -> None:
        """Begin the next epoch, of the bundle that is served. Raises UnknownExperiment."""
        bundle = self._models.current(fresh=True)
        first, tag = self._running(name)
        epoch = first
        # A swap that fails may have been ours, its answer lost; a later epoch serves all the same,
        # and to go on would count as another attempt at the test.
        while epoch.number == first.number:
            if self._experiments.save(epoch.following(bundle.version), tag):
                return
            epoch, tag = self._running(name)

    def _running(self, name: str) -> tuple[Epoch, str]:
        while True:
            if found := self._experiments.running(name):
                return found
            if name != DEFAULT_NAME:
                raise UnknownExperiment(f"there is no experiment {name!r}")
            # Whoever else is first makes the same experiment, or one that we then read.
            bundle = self._models.current(fresh=True)
            self._experiments.save(Epoch(DEFAULT, bundle.version), None)


def _refuse_stale(
    tag: str | None, if_match: Collection[str], if_none_match: Collection[str]
) -> None:
    if if_match and not _bears(tag, if_match):
        raise StaleVersion("the experiment is not the version that If-Match names")
    if _bears(tag, if_none_match):
        raise StaleVersion(f"the experiment is there already, as version {tag}; nothing is changed")


def _bears(tag: str | None, tags: Collection[str]) -> bool:
    return tag is not None and (tag in tags or ANY in tags)
