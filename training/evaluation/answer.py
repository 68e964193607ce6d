"""From what was measured to the rows of the answer: plain values, ready for JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.own import HYBRID
from training.evaluation.results import Results, bootstrap
from training.protocol.listeners import KINDS
from training.protocol.lists import VIEWS
from training.protocol.metrics import ACCURACY, OVERALL, PER_LISTENER, Floats

Row = dict[str, Any]

DIGITS = 5
QUARTERS = 4


@dataclass(frozen=True)
class Roles:
    """Who is who: ours are compared with peers; references only show where the bounds lie."""

    ours: Sequence[str]
    peers: Sequence[str]
    references: Sequence[str]


def mean_rows(results: Results, names: Sequence[str], seed: int) -> list[Row]:
    """One row a contender and view: every measure, with its interval where it has one.

    ``evaluations`` counts pairs of a listener and a cut-off, ``users`` the different listeners.
    """
    rows = {(name, view): _start(results, name, view) for view in VIEWS for name in names}
    for view in VIEWS:
        for measure in PER_LISTENER:
            columns = [results.values(name, view, measure) for name in names]
            for name, told in zip(names, _bootstrap(columns, results, seed), strict=True):
                mean, low, high = told
                rows[name, view] |= {measure: mean, f"{measure}_low": low, f"{measure}_high": high}
    return list(rows.values())


def _start(results: Results, name: str, view: str) -> Row:
    judged = ~np.isnan(results.values(name, view, "hit")).all(0)
    return {
        "model": name,
        "view": view,
        "users": len(np.unique(results.listeners[judged])),
        "evaluations": int(judged.sum()),
        **{measure: _round(results.overall(name, view, measure)) for measure in OVERALL},
    }


def difference_rows(results: Results, roles: Roles, seed: int) -> list[Row]:
    """Each of our models less each peer and reference, over the evaluations that both have."""
    others = [*roles.peers, *roles.references]
    pairs = [(ours, other) for ours in roles.ours for other in others]
    rows = []
    for view in VIEWS:
        for measure in ACCURACY if pairs else ():
            values = {n: results.values(n, view, measure) for n in [*roles.ours, *others]}
            columns = [values[ours] - values[other] for ours, other in pairs]
            told = _bootstrap(columns, results, seed)
            for (ours, other), (mean, low, high) in zip(pairs, told, strict=True):
                row = {"model": ours, "peer": other, "view": view, "metric": measure}
                rows.append(row | {"mean": mean, "low": low, "high": high})
    return rows


def best_peer_rows(rows: Sequence[Row], differences: Sequence[Row], roles: Roles) -> list[Row]:
    """How each of our models does against the best peer of each view and measure.

    ``verdict``: "better" or "worse" where the whole interval lies on one side of 0, else "open".
    The best is chosen by the very figures it is compared by, which favours it and never us.
    """
    found = []
    for view in VIEWS:
        of_peers = [row for row in rows if row["view"] == view and row["model"] in roles.peers]
        for measure in ACCURACY:
            known = [row for row in of_peers if row[measure] is not None]
            if not known:
                continue
            best = max(known, key=lambda row: row[measure])["model"]
            found += [
                difference | {"verdict": _verdict(difference)}
                for difference in differences
                if (difference["view"], difference["metric"]) == (view, measure)
                and difference["peer"] == best
            ]
    return found


def _verdict(difference: Row) -> str:
    if difference["low"] is None:
        return "open"
    return "better" if difference["low"] > 0 else "worse" if difference["high"] < 0 else "open"


def source_rows(results: Results) -> list[Row]:
    """The nDCG of each source of the hybrid alone, by view; none where that was not asked."""
    apart = results.alone()
    return [
        {"source": name, "view": view, "ndcg": mean(apart.values(name, view, "ndcg"))}
        for view in VIEWS
        for name in apart.contenders
        if name != HYBRID
    ]


def best_source_rows(sources: Sequence[Row], results: Results, seed: int) -> list[Row]:
    """The best single source of each view, and what the hybrid has more than it, with a verdict.

    sources: see ``source_rows``. As with peers, the choice favours the source, and never us.
    """
    apart, found = results.alone(), []
    for view in VIEWS:
        known = [row for row in sources if row["view"] == view and row["ndcg"] is not None]
        if known:
            best = max(known, key=lambda row: row["ndcg"])
            hybrid, alone = (apart.values(n, view, "ndcg") for n in (HYBRID, best["source"]))
            ((more, low, high),) = _bootstrap([hybrid - alone], apart, seed)
            row = best | {"hybrid": mean(hybrid), "mean": more, "low": low, "high": high}
            found.append(row | {"verdict": _verdict(row)})
    return found


def activity_rows(results: Results, names: Sequence[str], seed: int) -> list[Row]:
    """Means by quarter of the evaluations, from those with the fewest plays before the cut-off.

    Equal numbers of plays fall into one quarter.
    """
    bounds = np.quantile(results.plays, np.arange(1, QUARTERS) / QUARTERS)
    quarter = np.searchsorted(bounds, results.plays, "left")
    groups = {
        f"{results.plays[quarter == q].min():,} to {results.plays[quarter == q].max():,}": q
        for q in np.unique(quarter)
    }
    labels = {label: quarter == q for label, q in groups.items()}
    return _group_rows(results, names, labels, "plays", seed)


def kind_rows(results: Results, names: Sequence[str], seed: int) -> list[Row]:
    """Means by kind of listener, see ``listeners.kinds``; kinds that do not occur are left out."""
    groups = {kind: results.kinds == place for place, kind in enumerate(KINDS)}
    present = {kind: chosen for kind, chosen in groups.items() if chosen.any()}
    return _group_rows(results, names, present, "kind", seed)


def _group_rows(
    results: Results,
    names: Sequence[str],
    groups: Mapping[str, NDArray[np.bool_]],
    key: str,
    seed: int,
) -> list[Row]:
    rows: dict[tuple[str, str, str], Row] = {}
    for view in VIEWS:
        for measure in ACCURACY:
            values = [results.values(name, view, measure) for name in names]
            cells = [(g, n) for g in groups for n in range(len(names))]
            columns = [np.where(groups[group], values[n], np.nan) for group, n in cells]
            told = _bootstrap(columns, results, seed)
            for (group, n), column, (mean, low, high) in zip(cells, columns, told, strict=True):
                row = rows.setdefault(
                    (names[n], view, group), {"model": names[n], "view": view, key: group}
                )
                row["evaluations"] = int(np.count_nonzero(~np.isnan(column).all(0)))
                row |= {measure: mean, f"{measure}_low": low, f"{measure}_high": high}
    return list(rows.values())


def played_rows(results: Results, seed: int) -> list[Row]:
    """How popular is what the listeners really played: what a list's popularity is held against."""
    told = _bootstrap([results.played(view) for view in VIEWS], results, seed)
    return [
        {"view": view, "popularity": mean, "popularity_low": low, "popularity_high": high}
        for view, (mean, low, high) in zip(VIEWS, told, strict=True)
    ]


def add_shares(rows: Sequence[Row], oracle: str) -> None:
    """Note in each row which share of the oracle's nDCG in the same view it reaches."""
    ceiling = {row["view"]: row["ndcg"] for row in rows if row["model"] == oracle}
    for row in rows:
        top, reached = ceiling.get(row["view"]), row["ndcg"]
        row["share_of_oracle"] = _round(reached / top) if top and reached is not None else None


def resampled(answer: Mapping[str, Any]) -> str:
    """What the intervals of an answer resample, for those who read it."""
    return "listeners and seeds" if answer["seeds"] > 1 else "listeners"


def mean(values: Floats) -> float | None:
    """Of those that are known."""
    known = values[~np.isnan(values)]
    return _round(known.mean()) if len(known) else None


def _bootstrap(
    columns: Sequence[Floats], results: Results, seed: int
) -> Iterator[tuple[float | None, float | None, float | None]]:
    if not columns:
        return
    told = bootstrap(np.stack(columns, 2), results.listeners, seed)
    for mean, low, high in zip(told.mean, told.low, told.high, strict=True):
        yield _round(mean), _round(low), _round(high)


def _round(value: float) -> float | None:
    """None, which JSON has, for NaN, which it has not."""
    return None if np.isnan(value) else round(float(value), DIGITS)
