"""How far a long job is, and how a loss went."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

# Called with the phase's name, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass
class Curve:
    """Loss by epoch, and the weights of the epoch with the least validation loss.

    ``finished`` after ``patience`` epochs that brought nothing better. ``begun``: the first entry
    is of the weights that training began with, before any epoch.
    """

    patience: int
    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    begun: bool = False
    _weights: dict[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> int:
        """The epoch with the least validation loss, from 0."""
        return self.validation.index(min(self.validation))

    @property
    def finished(self) -> bool:
        return len(self.validation) - 1 - self.best >= self.patience

    def begin(self, train: float, validation: float, network: nn.Module) -> None:
        """Note the losses of weights that were trained before: they are kept where no epoch brings
        better ones."""
        self.begun = True
        self.add(train, validation, network)

    def add(self, train: float, validation: float, network: nn.Module) -> None:
        """Note an epoch; keeps the weights where it is the best so far."""
        self.train.append(train)
        self.validation.append(validation)
        if self.best == len(self.validation) - 1:
            self._weights = copy.deepcopy(network.state_dict())

    def restore(self, network: nn.Module) -> None:
        """Put the best epoch's weights back."""
        network.load_state_dict(self._weights)

    def metrics(self) -> dict[str, float | int]:
        """For the manifest: how many epochs there were, and the losses of the best."""
        train, validation = self.train[self.best], self.validation[self.best]
        return {
            "epochs": len(self.train) - self.begun,
            "train_loss": round(train, 6),
            "validation_loss": round(validation, 6),
        }
