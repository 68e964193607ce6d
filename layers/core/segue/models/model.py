"""What every model is: something that scores the whole catalogue for one listener."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from segue.domain.users import User
from segue.features.encoder import FloatArray
from segue.features.listeners import History
from segue.models.bundle import Bundle
from segue.models.ranked import Forbidden, Ranked, best


@dataclass(frozen=True, slots=True)
class Listener:
    """A user and their plays, as far back as the model looks."""

    user: User
    history: History


@dataclass(frozen=True, slots=True)
class Contributions:
    """What the scores of some tracks are made of.

    heard: (n,) int32, the different tracks of the history that count. amounts: (n, tracks) float32,
    what each of them adds to the score of each track. others: what else adds to it, by name
    ("popularity", "profile"), each (tracks,) float32. Amounts of one model are of one unit.
    """

    heard: NDArray[np.int32]
    amounts: FloatArray
    others: Mapping[str, FloatArray] = field(default_factory=dict)


class Model(Protocol):
    """A model that was loaded from a bundle."""

    # So many days before the moment of the recommendation are in the listener's history.
    history_days: ClassVar[int]
    # Whether scores are logarithms of what is the more, the better; else they are no less than 0.
    # A boost by a factor is then a sum.
    logarithmic: ClassVar[bool] = False

    def __init__(self, bundle: Bundle) -> None: ...

    def score(self, listener: Listener) -> FloatArray:
        """(tracks,) float32: the higher, the better; -inf is "never".

        The history holds at least one play; without any, the cold start answers.
        """
        ...

    def best(self, listener: Listener, k: int, forbidden: Forbidden | None = None) -> Ranked:
        """The k tracks with the greatest scores that are not forbidden."""
        return best(self.score(listener), k, forbidden)

    def best_of_each(
        self, listeners: Sequence[Listener], k: int, forbidden: Forbidden | None = None
    ) -> list[Ranked]:
        """``best`` of every listener. A model may do for all at once what is the same for each."""
        return [self.best(listener, k, forbidden) for listener in listeners]

    def contributions(self, listener: Listener, tracks: NDArray[np.intp]) -> Contributions:
        """What the scores of these tracks are made of, for explanations."""
        ...
