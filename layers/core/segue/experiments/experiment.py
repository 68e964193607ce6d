"""An experiment: which models compete, for whom, over what stretch of time."""

from dataclasses import dataclass, replace

from segue.domain.times import DAY


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the competing models and the share of users that it is allotted."""

    group: str
    model_id: int
    share: float


@dataclass(frozen=True, slots=True)
class Experiment:
    """What every record of an epoch has in common; a change of any of it takes a new epoch.

    ``arms[0]`` is the control. ``bundle`` is the version of the models that the epoch is frozen
    to: results of different models must never be counted together. ``window`` is how long after
    the recommendation a play counts, in milliseconds.
    """

    name: str
    arms: tuple[Arm, ...]
    bundle: str
    epoch: int = 1
    window: int = 30 * DAY

    def next_epoch(self, bundle: str) -> "Experiment":
        """The same experiment begun afresh: new records, a new salt, perhaps new models."""
        return replace(self, epoch=self.epoch + 1, bundle=bundle)


DEFAULT_NAME = "default"


def default_experiment(bundle: str) -> Experiment:
    """Autoencoder against classifier, half and half."""
    return Experiment(DEFAULT_NAME, (Arm("A", 1, 0.5), Arm("B", 2, 0.5)), bundle)
