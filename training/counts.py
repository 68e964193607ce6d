"""How often each track was played, as known at a moment. The plays of all listeners count, also
where models are fitted on some listeners alone.

The database counts: what is read is a row a track, never a row a play.
"""

from collections.abc import Callable
from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.times import Window
from segue.models.hybrid.statistics import MONTH, WINDOWS
from training.data.queries import query

# As counts.sql says how much a track is played of late.
_HOT = 1e9


@dataclass(frozen=True)
class Counts:
    """Of each track, as known at a moment.

    full: (tracks, len(WINDOWS)) int64, full plays in each window. begun: (tracks,) int64, plays in
    the month. hot: (tracks,) float64, these, of which each counts half as much after every 3 days.
    """

    full: NDArray[np.int64]
    begun: NDArray[np.int64]
    hot: NDArray[np.float64]

    @property
    def ended(self) -> NDArray[np.int64]:
        """(tracks,) the full plays in the month."""
        return self.full[:, MONTH]

    def only(self, tracks: NDArray[np.bool_]) -> "Counts":
        """Those of the tracks that are chosen; positions move up."""
        return Counts(self.full[tracks], self.begun[tracks], self.hot[tracks])

    def with_unplayed(self) -> "Counts":
        """With one more track, which nobody has played."""
        return Counts(
            np.append(self.full, np.zeros((1, len(WINDOWS)), np.int64), axis=0),
            np.append(self.begun, 0),
            np.append(self.hot, 0.0),
        )


# The counts at a moment, in milliseconds since 1970 UTC.
CountAt = Callable[[int], Counts]


def count_at(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, as_of: int) -> Counts:
    """The counts of the catalogue's tracks at a moment, by all plays of the connection. Threads may
    ask at the same time."""
    with connection.cursor() as own:
        table = query(own, "counts.sql", Window.before(as_of, max(WINDOWS)))
    places = catalogue.positions(table["track_id"].to_pylist())
    known = places >= 0

    def column(name: str) -> NDArray[np.int64]:
        counts = np.zeros(len(catalogue), np.int64)
        counts[places[known]] = table[name].to_numpy()[known]
        return counts

    full = np.stack([column(f"full_{days}") for days in WINDOWS], axis=1)
    return Counts(full, column("begun"), column("hot") / _HOT)
