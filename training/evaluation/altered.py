"""Our models on data that was altered: another future, and tracks held out of the past."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segue.domain.times import DAY
from segue.features.encoder import FloatArray
from segue.features.schema import Schema, load_schema
from segue.models.ranked import best
from training.catalogue import EncodedCatalogue, Popularity, encode_catalogue
from training.data import connect
from training.data.queries import COMPLETE, read_sql, write_query
from training.evaluation import answer
from training.evaluation.ablations import ablated, ablations
from training.evaluation.contenders import RANDOM
from training.evaluation.options import Options
from training.evaluation.own import Asked, fit_bundle
from training.evaluation.results import Judge, Measures, Results
from training.protocol.lists import VIEWS, Lists, lists_of
from training.protocol.split import Split
from training.protocol.temporal import prepare, split_at

# Fits at a split and lists for its judged listeners, contender by contender.
Fit = Callable[[duckdb.DuckDBPyConnection, Split, EncodedCatalogue], Mapping[str, Lists]]

# So many of the tracks that were played before the cut-off are held out of the past.
SHARE = 0.1
_MEASURES = ("hit", "ndcg", "recall")


def leaking(
    workspace: Path, other: Path, schema: Schema, cutoff: int, fit: Fit, seed: int
) -> list[str]:
    """The contenders of ``fit`` whose lists change with what happens from the cut-off on.

    Every one is fitted twice: on ``workspace``, and on a copy of it in ``other`` where all events
    from the cut-off on are garbage, and the outcomes likewise. Drawing at random must be seeded.
    """
    scramble(workspace, other, cutoff, seed)
    with connect(workspace) as connection:
        encoded = encode_catalogue(connection, schema, Popularity(connection, cutoff))
        split = split_at(connection, encoded, cutoff)
        expected = fit(connection, split, encoded)
    with connect(other) as connection:
        encoded = encode_catalogue(connection, schema, Popularity(connection, cutoff))
        found = fit(
            connection, _same_listeners(split_at(connection, encoded, cutoff), split, seed), encoded
        )
    return [name for name in expected if not _same(expected[name], found[name])]


def _same_listeners(garbled: Split, split: Split, seed: int) -> Split:
    """The garbled split, asking for the lists of the true one's listeners."""
    outcomes = np.random.default_rng(seed).integers(split.tracks, size=len(split.outcomes))
    return replace(
        garbled, judged=split.judged, offsets=split.offsets, outcomes=outcomes.astype(np.int32)
    )


def _same(expected: Lists, found: Lists) -> bool:
    return all(np.array_equal(expected[view], found[view]) for view in VIEWS)


def scramble(workspace: Path, other: Path, cutoff: int, seed: int) -> None:
    """Copy a workspace into ``other``, with garbage from the cut-off on.

    The events from then on keep their listeners, sessions and times; what happened, and to which
    track, is dealt out anew among them. And whatever was played in the day before the cut-off is
    skipped and liked at it, in sessions that so last beyond it.
    """
    events = pq.read_table(workspace / "events.parquet")
    time = events.column("time")
    past = events.filter(pc.less(time, cutoff))
    future = events.filter(pc.greater_equal(time, cutoff))
    order = pa.array(np.random.default_rng(seed).permutation(len(future)))
    for name in ("type", "track_id"):
        column = future.schema.get_field_index(name)
        future = future.set_column(column, future.field(name), future.column(name).take(order))
    late = past.filter(
        pc.and_(
            pc.greater_equal(past.column("time"), cutoff - DAY),
            pc.equal(past.column("type"), "PLAY"),
        )
    )
    turns = [_turn(late, kind, cutoff) for kind in ("SKIP", "LIKE")]
    with_events(workspace, other, pa.concat_tables([past, future, *turns]))


def with_events(workspace: Path, other: Path, events: pa.Table) -> None:
    """Copy a workspace into ``other``, with these events instead of its own."""
    other.mkdir(parents=True)
    for name in ("users.parquet", "tracks.parquet"):
        shutil.copyfile(workspace / name, other / name)
    pq.write_table(events, other / "events.parquet")
    with duckdb.connect() as connection:
        connection.register("events", events)
        write_query(connection, read_sql("plays.sql"), other / "plays.parquet")
    shutil.copyfile(workspace / COMPLETE, other / COMPLETE)


def _turn(late: pa.Table, kind: str, cutoff: int) -> pa.Table:
    """The plays as skips or likes at the cut-off."""
    values = {"time": pa.array(np.full(len(late), cutoff)), "type": pa.array([kind] * len(late))}
    for name, value in values.items():
        field = late.field(name)
        late = late.set_column(late.schema.get_field_index(name), field, value.cast(field.type))
    return late


def judge_cold(
    workspace: Path, other: Path, schema: Path, cutoff: int, options: Options
) -> dict[str, Any]:
    """Fit our models on a copy of the workspace in ``other`` without the plays of some tracks.

    Answers how many ``tracks`` were held out, of how many ``all``, and ``rows`` as ``ColdJudge``
    has them: none where nobody played a held-out track after the cut-off.
    """
    ids = hold_out(workspace, other, cutoff, options.seed)
    with connect(other) as connection:
        encoded, whole = prepare(connection, load_schema(schema), cutoff)
        held = np.zeros(len(encoded.catalogue), np.bool_)
        held[encoded.catalogue.positions(ids)] = True
        told: dict[str, Any] = {"tracks": len(ids), "all": len(held), "rows": []}
        split = only(whole, held)
        if not len(split.judged):
            return told
        judge = ColdJudge(split, held, encoded.features, options.k)
        with fit_bundle(connection, encoded, schema, cutoff, options) as (bundle, _):
            asked = Asked(connection, bundle, split, options.k)
            for number, name in asked.models.items():
                judge.add(name, asked.scores(number, options.progress))
        for name, seen in ablations(encoded).items() if options.ablations else ():
            with ablated(connection, seen, schema, cutoff, options) as bundle:
                asked = Asked(connection, bundle, split, options.k)
                (number,) = asked.models
                judge.add(name, asked.scores(number, options.progress))
    random = np.random.default_rng(options.seed)
    judge.add(RANDOM, (random.random(len(held), np.float32) for _ in split.judged))
    return {**told, "rows": judge.rows(encoded.catalogue.genres, options.seed)}


def hold_out(workspace: Path, other: Path, cutoff: int, seed: int) -> list[str]:
    """Copy a workspace into ``other`` without what happened to some tracks before the cut-off.

    Answers the ids of these: a tenth of those that were played until then, drawn at random. What
    happens to them from the cut-off on stays, to judge by.
    """
    events = pq.read_table(workspace / "events.parquet")
    before = pc.less(events.column("time"), cutoff)
    played = sorted(filter(None, pc.unique(events.filter(before).column("track_id")).to_pylist()))
    drawn = np.random.default_rng(seed).choice(
        len(played), round(SHARE * len(played)), replace=False
    )
    held = [played[place] for place in sorted(drawn)]
    gone = pc.and_(before, pc.is_in(events.column("track_id"), pa.array(held, pa.string())))
    with_events(workspace, other, events.filter(pc.invert(gone)))
    return held


def only(split: Split, held: NDArray[np.bool_]) -> Split:
    """The split with nothing but the held-out tracks, (tracks,) bool, as what came of it."""
    rows = np.repeat(np.arange(len(split.judged)), np.diff(split.offsets))
    kept = held[split.outcomes]
    judged, counts = np.unique(rows[kept], return_counts=True)
    return replace(
        split,
        judged=split.judged[judged],
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        outcomes=split.outcomes[kept],
    )


@dataclass
class _Whole:
    """How the held-out tracks do among all: their places on full lists, and their ranks."""

    places: int = 0
    held: int = 0
    percentiles: list[float] = field(default_factory=list)


class ColdJudge:
    """Measures models on the held-out tracks.

    split: as ``only`` makes it. held: (tracks,) bool. features: (tracks, width), for diversity.
    """

    def __init__(
        self, split: Split, held: NDArray[np.bool_], features: NDArray[np.float16], k: int
    ) -> None:
        self._split = split
        self._held = held
        self._k = k
        self._judge = Judge(split, features)
        self._measures: dict[str, Measures] = {}
        self._whole: dict[str, _Whole] = {}

    def add(self, name: str, scores: Iterable[FloatArray]) -> None:
        """Judge a model by its scores, (tracks,) for each judged listener in turn."""
        self._whole[name] = whole = _Whole()
        lists = lists_of(self._split, self._watched(scores, whole), self._k)
        self._measures[name] = self._judge.measures(name, lists)

    def rows(
        self, genres: Mapping[str, NDArray[np.int32]], seed: int
    ) -> Sequence[Mapping[str, Any]]:
        """One a model: accuracy of lists of held-out tracks alone, with intervals;

        ``percentile``: which share of all tracks scored less than a held-out one that was then
        played, on average; ``in_lists``: which share of full lists is held-out tracks.
        """
        results = Results([self._judge.results(genres, self._measures)])
        told = answer.mean_rows(results, list(self._measures), seed)
        wanted = [f"{of}{bound}" for of in _MEASURES for bound in ("", "_low", "_high")]
        return [
            {name: row[name] for name in ("model", "users", *wanted)}
            | {
                "percentile": answer.mean(np.array(self._whole[row["model"]].percentiles)),
                "in_lists": _share(self._whole[row["model"]]),
            }
            for row in told
            if row["view"] == "any"
        ]

    def _watched(self, scores: Iterable[FloatArray], whole: _Whole) -> Iterator[FloatArray]:
        """The scores of the held-out tracks alone; notes how these do among all."""
        split = self._split
        ends = zip(split.offsets[:-1], split.offsets[1:], strict=True)
        for score, (start, end) in zip(scores, ends, strict=True):
            full = best(score, self._k).tracks
            whole.places += len(full)
            whole.held += int(self._held[full].sum())
            ranked = np.sort(score)
            below = np.searchsorted(ranked, score[split.outcomes[start:end]])
            whole.percentiles += (below / max(len(score) - 1, 1)).tolist()
            yield np.where(self._held, score, np.float32(-np.inf))


def _share(whole: _Whole) -> float:
    return round(whole.held / max(whole.places, 1), answer.DIGITS)
