"""What is simulated: which models compete, before how many listeners, and what happens to them."""

from dataclasses import dataclass
from enum import StrEnum

from infra.simulator.faults import Fault

CONTROL, TREATMENT = "control", "treatment"


class Scenario(StrEnum):
    """What is checked beside counts and verdict; ``scenarios`` says how."""

    # Traffic grows while listeners ask.
    RAMPED = "ramped"
    # Listeners ask again after more listening.
    FRESH = "fresh"
    # Two experiments and a holdout share a layer.
    LAYERS = "layers"
    # Under Thompson sampling, both arms do better and better.
    DRIFT = "drift"
    # What the verdict names is shipped, and nothing else.
    SHIP = "ship"


@dataclass(frozen=True, slots=True)
class Plan:
    """Which models compete (the same one twice: an A/A test), before whom, and what happens.

    The experiment bears all of it in its name: another plan's listeners have no part in it. The
    same plan again asks and answers the same: it changes nothing, or goes on where it was stopped.
    """

    control: int
    treatment: int
    listeners: int
    seed: int
    fault: Fault | None = None
    scenario: Scenario | None = None

    @property
    def experiment(self) -> str:
        """Its name at the service."""
        parts = ["simulation", self.control, self.treatment, self.listeners, self.seed]
        return "-".join(str(it) for it in [*parts, self.fault, self.scenario] if it is not None)

    @property
    def models(self) -> dict[str, int]:
        """The model of each group."""
        return {CONTROL: self.control, TREATMENT: self.treatment}
