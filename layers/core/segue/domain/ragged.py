"""Rows of different lengths, one behind the other in one array."""

import numpy as np
from numpy.typing import NDArray


def entries(
    offsets: NDArray[np.integer], rows: NDArray[np.integer]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Every entry of each of the rows.

    offsets: (all rows + 1,); row r stands at ``offsets[r]:offsets[r + 1]`` of the array. Two arrays
    (entries,): the place of its row in ``rows``, ascending; and where the entry stands.
    """
    begins = offsets[rows].astype(np.intp)
    lengths = offsets[np.asarray(rows) + 1] - begins
    of_row = np.repeat(np.arange(len(rows)), lengths)
    # How far an entry is from where its row begins.
    within = np.arange(len(of_row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return of_row, begins[of_row] + within
