"""Model 0: what most listeners play. The control, which every other model has to beat."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray
from segue.models.bundle import Bundle
from segue.models.model import Contributions, Listener, Model
from segue.models.ranked import Forbidden, Ranked, best


class Popularity(Model):
    """Scores every track alike for every listener."""

    # None of it is looked at; but whoever has played nothing lately gets the cold start of all
    # models, so that the arms of a test differ by their models alone.
    history_days: ClassVar[int] = 30

    def __init__(self, bundle: Bundle) -> None:
        self._popularity = bundle.catalogue.popularity

    def score(self, listener: Listener) -> FloatArray:  # noqa: ARG002
        return self._popularity

    def best_of_each(
        self, listeners: Sequence[Listener], k: int, forbidden: Forbidden | None = None
    ) -> list[Ranked]:
        """The same list for all."""
        return [best(self._popularity, k, forbidden)] * len(listeners)

    def contributions(self, listener: Listener, tracks: NDArray[np.intp]) -> Contributions:  # noqa: ARG002
        """Popularity, and nothing else."""
        heard = np.empty(0, np.int32)
        amounts = np.empty((0, len(tracks)), np.float32)
        return Contributions(heard, amounts, {"popularity": self._popularity[tracks]})
