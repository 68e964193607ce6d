"""An epoch of an experiment: what all records that may be counted together have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from segue.experiments.experiment import Experiment


class Side(StrEnum):
    """Which of two questions the records answer; they never meet.

    A replay asks what a listener would have played anyway; live, what they play when it is
    recommended to them.
    """

    REPLAY = "replay"
    LIVE = "live"


@dataclass(frozen=True, slots=True, order=True)
class EpochId:
    """Names an epoch, and one side of it: the number counts those of the experiment from 1."""

    experiment: str
    number: int
    side: Side

    @property
    def salt(self) -> str:
        """What a user's id is hashed with: a new one for each epoch, and for each side of it."""
        suffix = ".live" if self.side is Side.LIVE else ""
        return f"{self.experiment}{suffix}:{self.number}"


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an experiment: the how manieth, when, by whom and, where it was said, why.

    ``at`` is in milliseconds since 1970 UTC. ``figures``: of each side of the epoch, what had been
    settled and archived by then: each group's successes and users.
    """

    number: int = 1
    at: int = 0
    by: str = ""
    reason: str = ""
    figures: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Epoch:
    """The experiment as it stood after a change, the number of the epoch, and the side of it.

    ``bundle`` is the version of the models that the epoch is frozen to: results of different models
    must never be counted together. A change of that, or of what is ``FROZEN`` in the experiment,
    takes a new epoch.
    """

    experiment: Experiment
    bundle: str
    number: int = 1
    side: Side = Side.REPLAY
    change: Change = field(default_factory=Change)

    @property
    def id(self) -> EpochId:
        """What tells its records from all others."""
        return EpochId(self.experiment.name, self.number, self.side)

    @property
    def live(self) -> "Epoch":
        """Its live side."""
        return replace(self, side=Side.LIVE)

    @property
    def sides(self) -> "tuple[Epoch, Epoch]":
        """In replay and live."""
        return replace(self, side=Side.REPLAY), self.live

    def following(self, bundle: str) -> "Epoch":
        """The same experiment begun afresh: new records, a new salt, perhaps new models."""
        return replace(self, number=self.number + 1, bundle=bundle)
