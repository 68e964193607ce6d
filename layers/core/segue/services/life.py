"""The life of an experiment that is there: changed whoever else changes it, stopped, shipped."""

from collections.abc import Callable
from dataclasses import replace

from segue.domain.errors import ExperimentStopped, InvalidRequest, UnknownExperiment
from segue.experiments.epoch import Change, Epoch
from segue.experiments.experiment import Experiment, State
from segue.ports import Clock, ExperimentStore, ResultArchive


class Life:
    """Needs no models. Everything raises StoreUnavailable, and UnknownExperiment where there is no
    such experiment."""

    def __init__(self, experiments: ExperimentStore, archive: ResultArchive, clock: Clock) -> None:
        self._experiments = experiments
        self._archive = archive
        self._clock = clock

    def stop(self, name: str, *, archive: bool = False, by: str = "") -> Experiment:
        """Stop the experiment, or archive it; how it is then."""
        wanted = State.ARCHIVED if archive else State.STOPPED

        def stopped(epoch: Epoch) -> Epoch:
            experiment = epoch.experiment
            if experiment.state in (wanted, State.ARCHIVED):
                return epoch
            return replace(epoch, experiment=replace(experiment, state=wanted))

        return self.change(name, by, stopped).experiment

    def ship(self, name: str, group: str, by: str = "", reason: str = "") -> Experiment:
        """Stop the experiment, and let everybody have the group's model from now on.

        ``reason``: for the log. Raises ExperimentStopped for an archived one, and InvalidRequest
        for a group that it does not have.
        """

        def shipped(epoch: Epoch) -> Epoch:
            experiment = epoch.experiment
            if experiment.state is State.ARCHIVED:
                raise ExperimentStopped(f"experiment {name!r} is archived")
            if group not in {arm.group for arm in experiment.arms}:
                raise InvalidRequest(f"the experiment has no group {group!r}", field="group")
            stopped = replace(experiment, state=State.STOPPED, shipped=group)
            return replace(epoch, experiment=stopped)

        return self.change(name, by, shipped, reason).experiment

    def change(
        self, name: str, by: str, change: Callable[[Epoch], Epoch], reason: str = ""
    ) -> Epoch:
        """Change the running epoch; how it is then."""
        while True:
            found = self._experiments.running(name)
            if found is None:
                raise UnknownExperiment(f"there is no experiment {name!r}")
            following = change(found[0])
            # Also where an earlier try has done so, its answer lost.
            if following == found[0]:
                return following
            noted = self.noted(following, found, by, reason)
            if self._experiments.save(noted, found[1]):
                return noted

    def noted(
        self, following: Epoch, found: tuple[Epoch, str] | None, by: str, reason: str = ""
    ) -> Epoch:
        """With a note of the change, and of what the figures are."""
        now = self._clock.now()
        if found is None:
            return replace(following, change=Change(1, now, by, reason))
        before = found[0]
        figures = {
            side.side.value: self._archive.read(side.id).tally.outcomes() for side in before.sides
        }
        number = before.change.number + 1
        return replace(following, change=Change(number, now, by, reason, figures))
