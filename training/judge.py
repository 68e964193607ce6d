"""How good a bundle's models are: recommend as of the cut-off, judge by the month after it."""

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from segue.domain.times import DAY
from segue.domain.users import User
from segue.features.encoder import FloatArray
from segue.models.bundle import Bundle
from segue.models.model import Listener
from segue.models.registry import load_model
from segue.ranking.filters import top
from training.data import query, set_cutoffs
from training.progress import Progress
from training.slices import read_slices
from training.users import read_users

K = 20

Metrics = dict[str, float]


@dataclass(frozen=True)
class Judgement:
    """hit@20 and nDCG@20 of each model by its number, and of popularity, for comparison."""

    models: Mapping[int, Metrics]
    popularity: Metrics


def judge(
    connection: duckdb.DuckDBPyConnection, bundle: Bundle, progress: Progress
) -> Judgement | None:
    """Over the listeners active before and after the cut-off, one cut-off, all tracks.

    None where the data does not reach a month beyond the cut-off.
    """
    cutoff = bundle.manifest.cutoff
    (last,) = connection.execute("SELECT MAX(time) FROM events").fetchall()[0]
    if last is None or last < cutoff + 29 * DAY:
        return None
    outcomes = _outcomes(connection, bundle, cutoff)
    (past,) = read_slices(connection, bundle.catalogue, [cutoff])
    users = read_users(connection)
    judged = sorted(outcomes.keys() & past.histories.keys())
    rows: dict[int, list[tuple[float, float]]] = {model: [] for model in bundle.manifest.models}
    control = []
    for done, user_id in enumerate(judged, 1):
        listener = Listener(users.get(user_id, User(user_id)), past.histories[user_id])
        for model_id, row in rows.items():
            row.append(_judge_one(load_model(model_id, bundle).score(listener), outcomes[user_id]))
        control.append(_judge_one(bundle.catalogue.popularity, outcomes[user_id]))
        progress("judging by the month after", done, len(judged))
    if not judged:
        return None
    return Judgement({model: _means(row) for model, row in rows.items()}, _means(control))


def _outcomes(
    connection: duckdb.DuckDBPyConnection, bundle: Bundle, cutoff: int
) -> dict[str, NDArray[np.int32]]:
    set_cutoffs(connection, [cutoff])
    table = query(connection, "outcomes.sql")
    positions = bundle.catalogue.positions(table.column("track_id").to_pylist())
    tracks: dict[str, list[int]] = {}
    for user_id, position in zip(table.column("user_id").to_pylist(), positions, strict=True):
        if position >= 0:
            tracks.setdefault(user_id, []).append(position)
    return {user_id: np.array(found, np.int32) for user_id, found in tracks.items()}


def _judge_one(scores: FloatArray, relevant: NDArray[np.int32]) -> tuple[float, float]:
    """(hit, nDCG) of the best K tracks, with gain 1 for each track that was fully played."""
    hits = np.isin(top(scores, K), relevant)
    gains = 1 / np.log2(np.arange(K) + 2)
    return float(hits.any()), float(gains[: len(hits)] @ hits / gains[: len(relevant)].sum())


def _means(rows: list[tuple[float, float]]) -> dict[str, float]:
    hit, ndcg = np.mean(rows, 0)
    return {
        "listeners": len(rows),
        "hit@20": round(float(hit), 4),
        "ndcg@20": round(float(ndcg), 4),
    }
