"""What every peer is: something that is fitted on a split and scores all tracks for its users."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from training.protocol.split import Split

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
Setting = Mapping[str, Any]

# Whatever draws at random starts here.
SEED = 7


class Unsuitable(Exception):
    """The data lacks what this peer works on; says what."""


class Peer(ABC):
    """A recommender to compare with.

    grid: the settings to choose among, the default first. repeats: whether the lists of view
    ``any`` may hold tracks that were heard already; where both are sound, that is chosen, too.
    """

    name: ClassVar[str]
    grid: ClassVar[Sequence[Setting]]
    repeats: ClassVar[Sequence[bool]]

    # With *args as well, type checkers let every peer name its own settings.
    @abstractmethod
    def fit(self, split: Split, *args: Any, **setting: Any) -> None:
        """Learn from what was known at the cut-off. Raises Unsuitable where that is not enough."""

    @abstractmethod
    def scores(self, users: IntArray) -> FloatArray:
        """(users, tracks), given positions of users: the higher, the better; -inf means never.

        Of tracks that score the same, the one that was fully played more often comes first; so a
        peer that knows nothing of a user scores all tracks alike, and recommends what is popular.
        """


def settings(**choices: Sequence[Any]) -> tuple[Setting, ...]:
    """Every combination; the first of each choice makes the default."""
    return tuple(dict(zip(choices, values, strict=True)) for values in product(*choices.values()))
