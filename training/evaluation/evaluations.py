"""What was measured of each listener, as a table: all means and intervals follow from it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from training.data.folder import whole_file
from training.evaluation.answer import Roles
from training.evaluation.results import Results
from training.protocol.listeners import KINDS
from training.protocol.lists import VIEWS
from training.protocol.metrics import PER_LISTENER
from training.tables import EVALUATIONS, Column

SUFFIX = ".parquet"


def write_evaluations(results: Results, roles: Roles, seed: int, path: Path) -> None:
    """Write ``tables.EVALUATIONS`` to a Parquet file. seed: the first one of our models."""
    with whole_file(path) as partial, pq.ParquetWriter(partial, EVALUATIONS) as writer:
        for name, role in _contenders(roles):
            for view in VIEWS:
                writer.write_table(_table(results, name, role, view, seed))


def _contenders(roles: Roles) -> Iterator[tuple[str, str]]:
    for names, role in (
        (roles.ours, "ours"),
        (roles.peers, "peer"),
        (roles.references, "reference"),
    ):
        for name in names:
            yield name, role


def _table(results: Results, name: str, role: str, view: str, seed: int) -> pa.Table:
    """Of one contender and view, without those who are not judged or got no list."""
    measures = {measure: results.values(name, view, measure) for measure in PER_LISTENER}
    draws, rows = np.nonzero(~np.isnan(measures["hit"]))
    columns = {
        Column.CUTOFF: results.cutoffs[rows],
        Column.USER_ID: np.char.decode(results.ids[rows], "utf-8"),
        Column.MODEL: np.full(len(rows), name),
        Column.ROLE: np.full(len(rows), role),
        Column.VIEW: np.full(len(rows), view),
        Column.SEED: seed + draws,
        Column.PLAYS: results.plays[rows],
        Column.KIND: np.array(KINDS)[results.kinds[rows]],
        **{measure: values[draws, rows] for measure, values in measures.items()},
        Column.PLAYED_POPULARITY: results.played(view)[draws, rows],
    }
    arrays = [pa.array(columns[of.name], from_pandas=True).cast(of.type) for of in EVALUATIONS]
    return pa.Table.from_arrays(arrays, schema=EVALUATIONS)
