"""Answers as pandas DataFrames; needs the extra ``frames``."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import pandas as pd


def to_frame(rows: Iterable[msgspec.Struct]) -> "pd.DataFrame":
    """A table with a row for each object and a column for each of its fields.

    Such as of ``client.all_results()``, ``client.search_tracks().tracks`` or
    ``client.predict(3, 429, explain=True).explained``. What is an object itself, as a reason is,
    stays in its cell, as a dictionary.
    """
    import pandas as pd

    return pd.DataFrame([msgspec.to_builtins(row, builtin_types=(datetime,)) for row in rows])
