"""Judging contenders at one cut-off."""

from collections.abc import Mapping

import duckdb
import numpy as np
from numpy.typing import NDArray

from segue.domain.errors import InvalidData
from segue.domain.times import format_time
from segue.features.schema import Schema
from training.catalogue import EncodedCatalogue, Popularity, encode_catalogue
from training.evaluation.listeners import activity, kinds
from training.evaluation.lists import VIEWS, Lists, check_lists
from training.evaluation.metrics import Floats, known, mean_over_rows, measure, relevant
from training.evaluation.results import CutoffResults, Measures
from training.evaluation.split import Split
from training.evaluation.temporal import split_at


def prepare(
    connection: duckdb.DuckDBPyConnection, schema: Schema, cutoff: int
) -> tuple[EncodedCatalogue, Split]:
    """What all contenders start from. Raises InvalidData where there is nobody to judge."""
    encoded = encode_catalogue(connection, schema, Popularity(connection, cutoff))
    split = split_at(connection, encoded, cutoff)
    if not len(split.judged):
        raise InvalidData(
            "nobody with a play before the cut-off fully played anything in the 30 days from it "
            f"on: {format_time(cutoff)}"
        )
    return encoded, split


class Judge:
    """Measures lists by what came of a split. features: (tracks, width), for diversity."""

    def __init__(self, split: Split, features: NDArray[np.float16]) -> None:
        self._split = split
        self._truth = relevant(split)
        self._known = known(split, features)

    def measures(self, name: str, lists: Lists) -> Measures:
        """By view and measure. Raises ValueError where the lists break the rules."""
        check_lists(name, lists, self._split, next(iter(lists.values())).shape[1])
        return measure(lists, self._truth, self._known)

    def results(
        self, genres: Mapping[str, NDArray[np.int32]], measures: Mapping[str, Measures]
    ) -> CutoffResults:
        """The cut-off's results; those of further contenders can be added to ``measures``."""
        split = self._split
        return CutoffResults(
            cutoff=int(split.cutoff),
            listeners=split.users[split.judged],
            plays=activity(split),
            kinds=kinds(split, genres),
            measures=measures,
            played={view: self._played(view) for view in VIEWS},
        )

    def _played(self, view: str) -> Floats:
        rows, tracks = np.divmod(self._truth[view].pairs, self._split.tracks)
        return mean_over_rows(self._known.percentile[tracks], rows, len(self._split.judged))
