"""What every model is: something that scores the whole catalogue for one listener."""

from dataclasses import dataclass
from typing import Protocol

from segue.domain.users import User
from segue.features.encoder import FloatArray
from segue.features.listeners import History
from segue.models.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Listener:
    """A user and their window of plays."""

    user: User
    history: History


class Model(Protocol):
    """A model that was loaded from a bundle."""

    def __init__(self, bundle: Bundle) -> None: ...

    def score(self, listener: Listener) -> FloatArray:
        """(tracks,) float32: the higher, the better; only the order and -inf ("never") matter.

        The history holds at least one play; without any, the cold start answers.
        """
        ...
