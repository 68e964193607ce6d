"""What lists are worth to listeners whose pools are known, judged by many futures."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infra.demo.randomness import Bools, Floats, Ints, Rng, stream
from infra.progress import Report
from infra.simulations.pools import CUTOFF, KINDS, write_world
from segue.features.schema import load_schema
from training.data import connect, open_data
from training.evaluation.contenders import ORACLE, PeerRun, peer_name
from training.evaluation.options import Options
from training.evaluation.own import fit_and_recommend
from training.protocol.lists import VIEWS, Lists, lists_of
from training.protocol.metrics import accuracy, relevant
from training.protocol.split import Split
from training.protocol.temporal import prepare

K = 20
MEASURES = ("ndcg", "hit")
# What is asked of the hybrid where listeners are few, against the best peer.
ENOUGH = 0.97
QUANTILES = (0.05, 0.95)


@dataclass(frozen=True)
class Judged:
    """A world's outcome. kind: (judged,) places in KINDS. ours, peers: names.

    values: by contender, view and measure, (futures, judged), NaN where nothing counts.
    """

    kind: Ints
    ours: Sequence[str]
    peers: Sequence[str]
    values: Mapping[str, Mapping[str, Mapping[str, Floats]]]


@dataclass(frozen=True)
class Row:
    """A contender in a view: means over all worlds, futures and listeners.

    of_oracle: its nDCG against the oracle's; once: the same in a single future of a single world,
    the 5 % and the 95 % quantile. by_kind: nDCG and hit of each kind of listener.
    """

    model: str
    view: str
    ndcg: float
    hit: float
    of_oracle: float
    once: tuple[float, float]
    by_kind: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Luck:
    """What one future of one world makes of it, in a view.

    best_peer: the nDCG of whichever peer is then the best, on average, against the oracle's.
    enough: in which share of all futures a contender has 97 % of that, by name.
    """

    view: str
    best_peer: float
    enough: Mapping[str, float]


def judge_world(
    seed: int, listeners: int, tracks: int, futures: int, peers: Sequence[str], report: Report
) -> Judged:
    """Draw a world, fit everybody before the cut-off, and judge their lists by many futures."""
    with tempfile.TemporaryDirectory(prefix="segue-") as name:
        folder = Path(name)
        pools = write_world(folder / "data", seed, listeners, tracks)
        workspace = folder / "workspace"
        opened = open_data(folder / "data", workspace, split="temporal")
        options = Options(k=K, peers=peers, seed=seed, progress=report)
        peer_run = PeerRun(folder / "peers", options)
        with connect(workspace) as connection:
            encoded, split = prepare(connection, load_schema(opened.schema), CUTOFF)
            peer_run.prepare(encoded, split)
            own = fit_and_recommend(connection, split, encoded, opened.schema, options)
        peer_run.run()
        theirs = {
            peer_name(name, own.lists): found for name, found in peer_run.lists(CUTOFF).items()
        }
    kind = pools.kind[[int(user) for user in split.users[split.judged]]]
    places = [encoded.catalogue.positions(ids) for ids in pools.tracks]
    within = _within(kind, places, split.tracks)
    random = stream(seed, 21)
    lists = {**own.lists, **theirs, ORACLE: oracle_lists(split, within, random)}
    values = judge(lists, split, within, futures, random)
    return Judged(kind, list(own.lists), list(theirs), values)


def _within(kind: Ints, places: Sequence[NDArray[np.int32]], tracks: int) -> Bools:
    """(judged, tracks): which tracks are in the pool of each judged listener."""
    masks = np.zeros((len(KINDS), tracks), np.bool_)
    for mask, pool in zip(masks, places, strict=True):
        mask[pool] = True
    return masks[kind]


def oracle_lists(split: Split, within: Bools, random: Rng) -> Lists:
    """Any tracks of the pool, in any order; others only when there are no more."""
    scores = (pool + random.random(split.tracks, np.float32) for pool in within)
    return lists_of(split, scores, K)


def judge(
    lists: Mapping[str, Lists], split: Split, within: Bools, futures: int, random: Rng
) -> dict[str, dict[str, dict[str, Floats]]]:
    """``Judged.values`` of these lists."""
    shape = (futures, len(split.judged))
    values = {
        name: {view: {of: np.full(shape, np.nan) for of in MEASURES} for view in VIEWS}
        for name in lists
    }
    for future, drawn in enumerate(redrawn(split, within, futures, random)):
        truth = relevant(drawn)
        for name, found in lists.items():
            for view in VIEWS:
                judged = truth[view].counts > 0
                measured = accuracy(found[view], truth[view], split.tracks)
                for of in MEASURES:
                    values[name][view][of][future, judged] = measured[of][judged]
    return values


def redrawn(split: Split, within: Bools, futures: int, random: Rng) -> Iterator[Split]:
    """The split with other outcomes: as many different tracks, drawn evenly from the pools."""
    pools = [np.flatnonzero(pool) for pool in within]
    counts = np.diff(split.offsets)
    for _ in range(futures):
        drawn = [
            np.sort(random.choice(pool, count, replace=False))
            for pool, count in zip(pools, counts, strict=True)
        ]
        yield replace(split, outcomes=np.concatenate(drawn).astype(np.int32))


def rows(worlds: Sequence[Judged]) -> list[Row]:
    """Every contender that has lists in all worlds, in each view."""
    kind = np.concatenate([world.kind for world in worlds])
    return [_row(worlds, kind, name, view) for view in VIEWS for name in _everywhere(worlds)]


def _row(worlds: Sequence[Judged], kind: Ints, name: str, view: str) -> Row:
    ndcg, hit = (_all(worlds, name, view, of) for of in MEASURES)
    by_kind = {
        label: (_mean(ndcg[:, kind == place]), _mean(hit[:, kind == place]))
        for place, label in enumerate(KINDS)
    }
    share = _mean(ndcg) / _mean(_all(worlds, ORACLE, view, "ndcg"))
    found, best = _each(worlds, name, view), _each(worlds, ORACLE, view)
    low, high = np.quantile(found[best > 0] / best[best > 0], QUANTILES).tolist()
    return Row(name, view, _mean(ndcg), _mean(hit), share, (low, high), by_kind)


def luck(worlds: Sequence[Judged]) -> list[Luck]:
    """How the hybrid and the oracle compare with the best peer where a future comes but once."""
    found = []
    for view in VIEWS:
        means = {name: _each(worlds, name, view) for name in _everywhere(worlds)}
        best = np.max([means[name] for name in worlds[0].peers if name in means], axis=0)
        enough = {name: float(np.mean(means[name] >= ENOUGH * best)) for name in ("hybrid", ORACLE)}
        found.append(Luck(view, float(best.mean() / means[ORACLE].mean()), enough))
    return found


def _everywhere(worlds: Sequence[Judged]) -> list[str]:
    """A peer may fail in some world."""
    return [name for name in worlds[0].values if all(name in world.values for world in worlds)]


def _all(worlds: Sequence[Judged], name: str, view: str, of: str) -> Floats:
    """(futures, judged of all worlds)."""
    return np.concatenate([world.values[name][view][of] for world in worlds], 1)


def _each(worlds: Sequence[Judged], name: str, view: str) -> Floats:
    """(worlds x futures,) nDCG."""
    return np.concatenate([np.nanmean(world.values[name][view]["ndcg"], 1) for world in worlds])


def _mean(values: Floats) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
