"""A second opinion: every figure of a report on a fixed experiment, from the archive's files alone.

It imports nothing of Segue. Formulas are those of docs/statistics.md, computed by other means than
there: beta functions and tail probabilities in place of saddle points and continued fractions,
ever finer grids in place of Chandrupatla's method, bisection for ends of intervals, quadrature by
QUADPACK, and users one by one in place of sums. ``SECTIONS`` has a function for each part of the
report but ``shipping``, which is put together from other parts.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Context
from functools import cached_property
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import integrate, linalg, optimize, special, stats

Floats = NDArray[np.float64]
Json = dict[str, Any]
# Successes and failures of an arm.
Counts = tuple[int, int]

MINUTE, DAY = 60_000, 86_400_000
MODELS = {0: "popularity", 1: "autoencoder", 2: "classifier", 3: "hybrid"}
DECISIVE, CONCENTRATIONS = 20.0, np.array([20.0, 200.0, 2_000.0])
Z = stats.norm.ppf(0.975)


@dataclass(frozen=True)
class Archive:
    """An epoch as it was begun, the side of it, and its records: as JSON, all of them."""

    epoch: Json
    side: str
    records: Sequence[Json]

    @property
    def arms(self) -> Sequence[Json]:
        """The control first."""
        arms: Sequence[Json] = self.epoch["experiment"]["arms"]
        return arms

    @cached_property
    def pairs(self) -> "Sequence[Pair]":
        """Each arm beside the control."""
        control, *others = self.arms
        return [Pair(self, control, arm) for arm in others]

    def count(self, group: str, records: Sequence[Json] | None = None) -> Counts:
        """Successes and failures of a group."""
        outcomes = [
            it["successful"]
            for it in (self.records if records is None else records)
            if it["exposure"]["group"] == group
        ]
        return sum(outcomes), len(outcomes) - sum(outcomes)

    @cached_property
    def starts(self) -> list[int]:
        """The minutes in which outcomes were settled. Beyond 256, steps would be longer."""
        starts = sorted({it["settled_at"] // MINUTE * MINUTE for it in self.records})
        assert len(starts) <= 256
        return starts

    @cached_property
    def decisive(self) -> float:
        """What the evidence of every pair has to reach."""
        return e_bh([deciding(pair.log_bets) for pair in self.pairs])

    @cached_property
    def sample_ratio(self) -> Json:
        """Chi-square, and Dirichlet-multinomial beside multinomial probabilities."""
        users = [sum(self.count(arm["group"])) for arm in self.arms]
        shares = np.array([arm["share"] for arm in self.arms])
        test = stats.chisquare(users, shares * sum(users))
        log_e = stats.dirichlet_multinomial.logpmf(users, 100 * shares, np.array(sum(users)))
        log_e -= stats.multinomial.logpmf(users, sum(users), shares)
        return {
            "chi2": float(test.statistic),
            "p": float(test.pvalue),
            "E": math.exp(log_e),
            "log_E": float(log_e),
            "off": bool(test.pvalue < 0.001 or log_e >= math.log(DECISIVE)),
        }


@dataclass(frozen=True)
class Pair:
    """An arm beside the control, as B beside A."""

    archive: Archive
    control: Json
    arm: Json

    @property
    def groups(self) -> tuple[str, str]:
        """A's and B's."""
        return self.control["group"], self.arm["group"]

    @property
    def names(self) -> Json:
        """As the report's parts name both."""
        return {"control": self.groups[0], "arm": self.groups[1]}

    @property
    def share(self) -> float:
        """B's share of the users of both."""
        share: float = self.arm["share"] / (self.control["share"] + self.arm["share"])
        return share

    @cached_property
    def counts(self) -> tuple[Counts, Counts]:
        """A's and B's."""
        a, b = map(self.archive.count, self.groups)
        return a, b

    @cached_property
    def log_bets(self) -> tuple[float, float]:
        """``log E+`` and ``log E-``."""
        plus, minus = log_evidence(*(np.array([count], dtype=float) for count in self.counts))
        return float(plus[0]), float(minus[0])


def read(objects: Mapping[str, bytes], name: str, *, live: bool) -> Archive:
    """The running epoch of an experiment, from the bucket's objects by key."""
    epoch = json.loads(objects[f"ab/{name}/experiment.json"])
    folder = f"ab/{name}{'.live' if live else ''}/epoch={epoch['number']}/"
    manifest = json.loads(objects[f"{folder}manifest.json"])
    files = [BytesIO(objects[file["key"]]) for file in manifest["files"]]
    table = pa.concat_tables(map(pq.read_table, files))
    records = list(map(json.loads, table.column("record").to_pylist()))
    return Archive(epoch, "live" if live else "replay", records)


def recompute(archive: Archive) -> Json:
    """The whole report."""
    report = {name: section(archive) for name, section in SECTIONS.items()}
    return report | {"shipping": shipping(report)}


# Parts of the report


def verdicts(archive: Archive) -> list[Json]:
    """Of a test whose users are shared out as they were to be, with outcomes in all arms."""
    return [
        _verdict(pair, pair.log_bets, archive.decisive)
        | {"lost_users": lost_users(pair, archive.decisive)}
        for pair in archive.pairs
    ]


def _verdict(pair: Pair, log_bets: tuple[float, float], decisive: float) -> Json:
    log_evidence, (plus, minus) = deciding(log_bets), log_bets
    better = None
    if log_evidence >= math.log(decisive):
        better = pair.groups[1] if plus > minus else pair.groups[0]
    evidence = math.exp(log_evidence)
    return {
        **pair.names,
        "decision": f"{better} is better" if better else "no decision yet",
        "better": better,
        "reason": f"the evidence is {in_words(evidence)}; a decision takes {decisive:g}",
        "evidence": evidence,
        "log_evidence": log_evidence,
        "p_anytime": min(1.0, 1 / evidence),
    }


def lost_users(pair: Pair, decisive: float) -> int | None:
    """The fewest who take the verdict back, shared out over both arms in every way there is."""
    if deciding(pair.log_bets) < math.log(decisive):
        return None
    other, winner = pair.counts if pair.log_bets[0] > pair.log_bets[1] else pair.counts[::-1]

    def is_overturned(users: int) -> bool:
        failures = np.arange(users + 1)
        left_other = np.stack([other[0] + users - failures, np.full(users + 1, other[1])], axis=1)
        left_winner = np.stack([np.full(users + 1, winner[0]), winner[1] + failures], axis=1)
        return bool(log_evidence_for_b(left_other, left_winner).min() < math.log(2 * decisive))

    too_few, enough = 0, 1
    while not is_overturned(enough):
        too_few, enough = enough, 2 * enough
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if is_overturned(middle) else (middle, enough)
    return enough


def in_words(evidence: float) -> str:
    """Rounded down: to three digits, or to whole numbers, or to its power of ten."""
    if evidence > 1e6:
        return f"10^{math.log10(evidence):,.0f}"
    if evidence > 1e3:
        return f"{math.floor(evidence):,}"
    return f"{float(Context(prec=3, rounding=ROUND_FLOOR).create_decimal(evidence)):.3g}"


def experiment(archive: Archive) -> Json:
    """Which epoch it is, and when outcomes were settled."""
    epoch, starts = archive.epoch, archive.starts
    return {
        "name": epoch["experiment"]["name"],
        "side": archive.side,
        "mode": epoch["experiment"]["mode"],
        "epoch": epoch["number"],
        "bundle": epoch["bundle"],
        "window_days": epoch["experiment"]["window"] / DAY,
        "users": len(archive.records),
        "first_settled": moment(starts[0]),
        "last_settled": moment(starts[-1] + MINUTE),
    }


def moment(time_ms: int) -> str:
    """A time in milliseconds as the report writes it."""
    time = datetime.fromtimestamp(time_ms // 1_000, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time_ms % 1_000:03d}Z"


def arms(archive: Archive) -> list[Json]:
    """Each arm by itself."""
    return [
        {
            "group": arm["group"],
            "model_id": arm["model_id"],
            "model": MODELS.get(arm["model_id"]),
            "share": arm["share"],
            "users": sum(counts),
            "assigned": sum(counts),
            "successes": counts[0],
            "rate": counts[0] / sum(counts),
            "interval": list(wilson(counts)),
        }
        for arm in archive.arms
        if (counts := archive.count(arm["group"]))
    ]


def course(archive: Archive) -> list[Json]:
    """What was known of each pair after some of the steps, evenly spread over them."""
    starts = archive.starts
    points = min(len(starts), 60, 120 // len(archive.pairs))
    places = np.linspace(0, len(starts) - 1, points).round().astype(int)
    ends = [starts[place] + MINUTE for place in places]
    return [_course(pair, ends) for pair in archive.pairs]


def _course(pair: Pair, ends: Sequence[int]) -> Json:
    records, count = pair.archive.records, pair.archive.count
    counts = np.array(
        [
            [
                count(group, [it for it in records if it["settled_at"] < end])
                for group in pair.groups
            ]
            for end in ends
        ],
        dtype=float,
    )
    a, b = counts[:, 0], counts[:, 1]
    plus, minus = log_evidence(a, b)
    low, high = interval(a, b, plus, minus, pair.archive.decisive)
    points = [
        {
            "time": moment(end),
            "users": int(counts[row].sum()),
            "log_evidence": max(plus[row], minus[row]) - math.log(2),
            "rate_A": _rate(a[row]),
            "rate_B": _rate(b[row]),
            "low": low[row],
            "high": high[row],
        }
        for row, end in enumerate(ends)
    ]
    return {**pair.names, "decisive": pair.archive.decisive, "points": points}


def _rate(counts: Floats) -> float | None:
    return float(counts[0] / counts.sum()) if counts.any() else None


def densities(archive: Archive) -> Json:
    """Of each rate, from a uniform prior, where any of them is at all likely."""
    counts = {arm["group"]: archive.count(arm["group"]) for arm in archive.arms}
    good, bad = np.array(list(counts.values())).T
    low = stats.beta.ppf(0.0005, 1 + good, 1 + bad).min()
    high = stats.beta.ppf(0.9995, 1 + good, 1 + bad).max()
    rates = np.linspace(low, high, 200)
    groups = {
        group: list(
            np.exp(
                special.xlogy(good, rates)
                + special.xlog1py(bad, -rates)
                - special.betaln(1 + good, 1 + bad)
            )
        )
        for group, (good, bad) in counts.items()
    }
    return {"rates": list(rates), "groups": groups}


def positions(archive: Archive) -> list[Json]:
    """Full plays by the place in the list, and how many of them named their list."""
    plays, reported = (
        Counter((place, it["exposure"]["group"]) for it in archive.records for place in it[places])
        for places in ("positions", "reported")
    )
    at: dict[int, list[Json]] = {}
    for place, group in sorted(plays | reported):
        counts = {"full_plays": plays[place, group], "reported": reported[place, group]}
        at.setdefault(place, []).append({"group": group, **counts})
    return [{"position": place, "arms": counts} for place, counts in at.items()]


def off_policy(_: Archive) -> list[Json]:
    """There is none where allocation is fixed."""
    return []


def comparisons(archive: Archive) -> list[Json]:
    """All figures of two arms."""
    return [_comparison(pair, archive.decisive) for pair in archive.pairs]


def _comparison(pair: Pair, decisive: float) -> Json:
    a, b = pair.counts
    n_a, n_b = sum(a), sum(b)
    assert n_a + n_b > 400, "Boschloo's test, of fewer users, is not recomputed"
    plus, minus = pair.log_bets
    at_share = log_bet_on_b(pair.share, *map(_one, (a, b)))[0]
    against_share = log_bet_on_b(1 - pair.share, *map(_one, (b, a)))[0]
    rows = (_one(a), _one(b), np.array([plus]), np.array([minus]), decisive)
    low, high = interval(*rows)
    lift = interval(*rows, relative=True)
    rate_a, rate_b = a[0] / n_a, b[0] / n_b
    return {
        **pair.names,
        "data": [a[0], n_a, b[0], n_b],
        "share": pair.share,
        "rate_A": rate_a,
        "rate_B": rate_b,
        "E": (math.exp(plus) + math.exp(minus)) / 2,
        "E_plus": math.exp(plus),
        "E_minus": math.exp(minus),
        "log_E": math.log((math.exp(plus) + math.exp(minus)) / 2),
        "E_at_share": (math.exp(at_share) + math.exp(against_share)) / 2,
        "E_plus_at_share": math.exp(at_share),
        "E_minus_at_share": math.exp(against_share),
        "evidence": math.exp(deciding(pair.log_bets)),
        "p_anytime": min(1.0, math.exp(-deciding(pair.log_bets))),
        "cs": [low[0], high[0]],
        "lift": rate_b / rate_a - 1,
        "lift_cs": [end if math.isfinite(end) else None for (end,) in lift],
        "E0": evidence_of_rates(a, b),
        "fisher_p": fisher(a, b),
        "boschloo_p": None,
        "z_pooled_p": float(stats.chi2_contingency([a, b], correction=False).pvalue),
        "wilson_A": list(wilson(a)),
        "wilson_B": list(wilson(b)),
        "newcombe": list(newcombe(a, b)),
        **posterior(a, b),
        "detectable_difference": detectable(pair, decisive),
        "users_needed": None,
        "progress": None,
    }


def _one(counts: Counts) -> Floats:
    return np.array([counts], dtype=float)


def sample_ratio(archive: Archive) -> Json:
    """Whether the arms got their shares."""
    return archive.sample_ratio


def power(archive: Archive) -> list[Json]:
    """The users that gains take, and how many there are of them."""
    return [_power(pair, archive.decisive) for pair in archive.pairs]


def _power(pair: Pair, decisive: float) -> Json:
    a, b = pair.counts
    rate, users = a[0] / sum(a), sum(a) + sum(b)
    needed = {
        gain: users_needed(rate, rate + gain, pair.share, decisive)
        for gain in (0.01, 0.02, 0.05, 0.1)
        if rate + gain <= 1
    }
    return {
        **pair.names,
        "detectable_difference": detectable(pair, decisive),
        "needed": [
            {"difference": gain, "users": count, "done": users / count}
            for gain, count in needed.items()
        ],
    }


def guardrails(archive: Archive) -> list[Json]:
    """Each watched figure, failed calls first, of each arm beside the control."""
    margins = {"failed_calls": 0.01}
    margins |= {it["figure"]: it["margin"] for it in archive.epoch["experiment"]["guardrails"]}
    return [
        _guardrail(pair, figure, margin)
        for figure, margin in margins.items()
        for pair in archive.pairs
    ]


def metrics(archive: Archive) -> list[Json]:
    """What else the arms do to listeners, as far as records have it."""
    return [
        _metric(pair, figure, archive.decisive)
        for figure in ("added_success", "full_plays", "listening_time", "skip_rate")
        if any(figure in it["figures"] for it in archive.records)
        for pair in archive.pairs
    ]


def _metric(pair: Pair, figure: str, decisive: float) -> Json:
    unit, better, _ = FIGURES[figure]
    a, b = (_values(pair.archive, group, figure) for group in pair.groups)
    if figure == "added_success":
        difference, lift = _of_rates(*(_one((x.sum(), (1 - x).sum())) for x in (a, b)), decisive)
    else:
        difference = list(asymptotic(a, b, 1 / decisive))
        lift = list(asymptotic_lift(a, b, 1 / decisive))
    return {
        **pair.names,
        "metric": figure,
        "unit": unit,
        "better": better,
        "users": a.size + b.size,
        "mean_control": a.mean(),
        "mean_arm": b.mean(),
        "difference": b.mean() - a.mean(),
        "interval": difference,
        "lift": b.mean() / a.mean() - 1,
        "lift_interval": lift,
        "asymptotic": figure != "added_success",
    }


def _of_rates(a: Floats, b: Floats, decisive: float) -> tuple[list[float], list[float]]:
    """The intervals of a difference and of a lift that are known at both ends."""
    rows = (a, b, *log_evidence(a, b), decisive)
    ends = [[end for (end,) in interval(*rows, relative=relative)] for relative in (False, True)]
    assert np.isfinite(ends).all(), "a lift that has no highest value is not recomputed"
    return ends[0], ends[1]


# Of a figure: its unit, which way it should go, and its highest value.
FIGURES: Mapping[str, tuple[str, str, float]] = {
    "failed_calls": ("", "lower", 1.0),
    "skip_rate": ("", "lower", 1.0),
    "diversity": ("", "higher", 2.0),
    "latency": ("ms", "lower", 25_000.0),
    "added_success": ("", "higher", 1.0),
    "full_plays": ("", "higher", math.inf),
    "listening_time": ("min", "higher", math.inf),
}


def _guardrail(pair: Pair, figure: str, margin: float) -> Json:
    unit, better, highest = FIGURES[figure]
    a, b = (_values(pair.archive, group, figure) for group in pair.groups)
    if highest > 10:
        low, high = asymptotic(a, b)
    else:
        low, high = (highest * end for end in exact(a / highest, b / highest))
    worst, best = (-low, -high) if better == "higher" else (high, low)
    state = "held" if worst < margin else "broken" if best > margin else "not known yet"
    return {
        "arm": pair.groups[1],
        "figure": figure,
        "unit": unit,
        "better": better,
        "margin": margin,
        "mean_control": float(a.mean()),
        "mean_arm": float(b.mean()),
        "interval": [low, high],
        "state": state,
    }


def _values(archive: Archive, group: str, figure: str) -> Floats:
    """(users,) one value for each user of the group that has one."""
    found = []
    for record in archive.records:
        exposure = record["exposure"]
        known = {"failed_calls": float(exposure["error"] is not None)}
        known |= exposure["figures"] | record["figures"]
        if exposure["group"] == group and figure in known:
            found.append(known[figure])
    return np.array(found)


def breakdowns(archive: Archive) -> list[Json]:
    """By each trait; Holm's adjustment is over the traits of one pair."""
    return [row for pair in archive.pairs for row in _breakdowns(pair)]


def _breakdowns(pair: Pair) -> Iterator[Json]:
    records = pair.archive.records
    traits = sorted({trait for it in records for trait in it["exposure"]["traits"]})
    segments = {trait: _segments(pair, trait) for trait in traits}
    p_values = {trait: interaction(list(segments[trait].values())) for trait in traits}
    adjusted = dict(zip(traits, holm(list(p_values.values())), strict=True))
    for trait in traits:
        rows = [
            {
                "value": value,
                "A": [a[0], sum(a)],
                "B": [b[0], sum(b)],
                "difference": b[0] / sum(b) - a[0] / sum(a),
                "interval": list(newcombe(a, b)),
            }
            for value, (a, b) in segments[trait].items()
        ]
        yield {
            **pair.names,
            "trait": trait,
            "p": p_values[trait],
            "p_holm": adjusted[trait],
            "segments": rows,
        }


def _segments(pair: Pair, trait: str) -> dict[str, tuple[Counts, Counts]]:
    records, count = pair.archive.records, pair.archive.count
    values = sorted({it["exposure"]["traits"][trait] for it in records})
    found = {}
    for value in values:
        theirs = [it for it in records if it["exposure"]["traits"][trait] == value]
        found[value] = (count(pair.groups[0], theirs), count(pair.groups[1], theirs))
    return found


def covariate(archive: Archive) -> list[Json]:
    """By the share of plays that were completed before, to the next 5 %."""
    return [_covariate(pair, archive.decisive) for pair in archive.pairs]


def _covariate(pair: Pair, decisive: float) -> Json:
    """Lin 2013: each arm's regression, as it foretells all users of both."""
    (y_a, x_a), (y_b, x_b) = (_foretold(pair.archive, group) for group in pair.groups)
    of_all = np.concatenate([x_a, x_b])
    slopes, unexplained = [], 0.0
    for y, x in ((y_a, x_a), (y_b, x_b)):
        slope, *_ = linalg.lstsq(x, y)
        slopes.append(slope)
        unexplained += ((y - x @ slope) ** 2).mean() / (y.size - x.shape[1])
    gains = of_all @ (slopes[1] - slopes[0])
    difference, users = gains.mean(), gains.size
    variance = gains.var() / users + unexplained
    reach = math.sqrt(variance * widening(users, 1 / decisive))
    return {
        **pair.names,
        "users": users,
        "without_past": int(of_all[:, 2].sum()),
        "difference": difference,
        "interval": [difference - reach, difference + reach],
        "asymptotic": True,
        "variance_left": variance / (y_a.var(ddof=1) / y_a.size + y_b.var(ddof=1) / y_b.size),
    }


def _foretold(archive: Archive, group: str) -> tuple[Floats, Floats]:
    """(users,) outcomes of the group, and (users, 3): 1, what was known, whether nothing was."""
    outcomes, known = [], []
    for record in archive.records:
        if record["exposure"]["group"] == group:
            before = record["exposure"]["before"]
            outcomes.append(record["successful"])
            known.append((1, 0, 1) if before is None else (1, round(20 * before) / 20, 0))
    return np.array(outcomes, dtype=float), np.array(known, dtype=float)


def paired(archive: Archive) -> list[Json]:
    """Of a replay in which every arm made a list for every user."""
    if not archive.epoch["experiment"]["paired"]:
        return []
    counts = [
        Counter(tuple(it["successes"][group] for group in pair.groups) for it in archive.records)
        for pair in archive.pairs
    ]
    bets = [log_bets_of_pairs(it[True, False], it[False, True]) for it in counts]
    decisive = e_bh(list(map(deciding, bets)))
    return [_paired(*each, decisive) for each in zip(archive.pairs, counts, bets, strict=True)]


def _paired(
    pair: Pair, counts: Counter[tuple[bool, ...]], bets: tuple[float, float], decisive: float
) -> Json:
    users = counts.total()
    both, neither = counts[True, True], counts[False, False]
    a_only, b_only = counts[True, False], counts[False, True]
    # Either interval is right in 39 of 40 tests.
    ends = [
        apart * (2 * for_b - 1)
        for apart in rate_sequence(a_only + b_only, users, 2 * DECISIVE)
        for for_b in rate_sequence(b_only, a_only + b_only, 2 * DECISIVE)
    ]
    worse, better, share = (both + a_only) / users, (both + b_only) / users, pair.share
    if better < worse:
        worse, better, share = better, worse, 1 - share
    return {
        **_verdict(pair, bets, decisive),
        "users": users,
        "both": both,
        "control_only": a_only,
        "arm_only": b_only,
        "neither": neither,
        "difference": (b_only - a_only) / users,
        "interval": [min(ends), max(ends)],
        "users_needed_unpaired": users_needed(worse, better, share, decisive),
    }


SECTIONS: Mapping[str, Callable[[Archive], Any]] = {
    "verdicts": verdicts,
    "experiment": experiment,
    "arms": arms,
    "course": course,
    "densities": densities,
    "positions": positions,
    "off_policy": off_policy,
    "comparisons": comparisons,
    "sample_ratio": sample_ratio,
    "power": power,
    "metrics": metrics,
    "guardrails": guardrails,
    "breakdowns": breakdowns,
    "covariate": covariate,
    "paired": paired,
}


def shipping(report: Json) -> list[Json]:
    """Each arm that is better, and whose guardrails are all held, may be shipped."""
    found = []
    for verdict in report["verdicts"]:
        arm, reasons = verdict["arm"], []
        if verdict["better"] != arm:
            reasons.append(f"{verdict['decision']}: {verdict['reason']}")
        for rail in report["guardrails"]:
            if rail["arm"] == arm and rail["state"] != "held":
                known = {
                    "broken": "is broken: it is",
                    "not known yet": "is not known yet: it may be",
                }
                name = rail["figure"].replace("_", " ")
                by = f"{rail['margin']:g} {rail['unit']}".rstrip()
                reasons.append(f"guardrail {name} {known[rail['state']]} worse by more than {by}")
        found.append({"arm": arm, "ready": not reasons, "reasons": reasons})
    return found


# Formulas of the evidence and its intervals


def log_tail(a: Floats, b: Floats, x: Floats) -> Floats:
    """``log of the integral from x to 1 of (p / x)^(a-1) ((1-p) / (1-x))^(b-1) dp``.

    Where the beta distribution's tail underflows, by the hypergeometric series (DLMF 8.17.8).
    """
    a, b, x = np.broadcast_arrays(a, b, x)
    tail = special.betainc(b, a, 1 - x)
    with np.errstate(divide="ignore"):
        ratio: Floats = np.log(tail) + special.betaln(a, b)
    ratio -= (a - 1) * np.log(x) + (b - 1) * np.log1p(-x)
    far = tail < 1e-100
    ratio[far] = _log_series(a[far], b[far], x[far])
    return ratio


def _log_series(a: Floats, b: Floats, x: Floats) -> Floats:
    term, total = np.ones_like(x), np.ones_like(x)
    n = 0
    while (term > 1e-17 * total).any():
        term = term * (a + b + n) / (b + 1 + n) * (1 - x)
        total, n = total + term, n + 1
    found: Floats = np.log(x) + np.log1p(-x) - np.log(b) + np.log(total)
    return found


def log_bet_above(inside: Floats, outside: Floats, share: Floats, doubt: float = 0.0) -> Floats:
    """``log T>(x, y)``, one for each k along a new last axis."""
    inside, outside, share = (
        np.asarray(it, dtype=float)[..., None] for it in (inside, outside, share)
    )
    a, b = CONCENTRATIONS * share + doubt, CONCENTRATIONS * (1 - share) + doubt
    return log_tail(a + inside, b + outside, share) - log_tail(a, b, share)


def log_bet_on_b(share: Any, a: Floats, b: Floats) -> Floats:
    """``log E+(share)`` of counts (..., 2)."""
    bets = log_bet_above(b[..., 0], a[..., 0], share)
    bets = bets + log_bet_above(a[..., 1], b[..., 1], 1 - np.asarray(share))
    return _log_mean(bets)


def _log_mean(logarithms: Floats) -> Floats:
    """Over the last axis."""
    most = logarithms.max(axis=-1)
    mean: Floats = most + np.log(np.exp(logarithms - most[..., None]).mean(axis=-1))
    return mean


def log_evidence(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """``log E+`` and ``log E-`` of rows of counts."""
    return log_evidence_for_b(a, b), log_evidence_for_b(b, a)


def log_evidence_for_b(a: Floats, b: Floats) -> Floats:
    """``log E+`` of rows of counts: the least over shares from 1e-6 to 1 - 1e-6."""
    reach = float(special.logit(1 - 1e-6))
    return least(lambda logit: log_bet_on_b(special.expit(logit), a[:, None], b[:, None]), reach)


def deciding(log_bets: tuple[float, float]) -> float:
    """The logarithm of the evidence that decides: half of the stake is on either arm."""
    return max(log_bets) - math.log(2)


def e_bh(log_evidence: Sequence[float]) -> float:
    """What each of them has to reach among all (Wang & Ramdas 2022)."""
    values = sorted(log_evidence, reverse=True)
    thresholds = [DECISIVE * len(values) / k for k in range(1, len(values) + 1)]
    passed = [at for at, value in zip(thresholds, values, strict=True) if value >= math.log(at)]
    return min(passed, default=thresholds[0])


def least(f: Callable[[Floats], Floats], reach: float) -> Floats:
    """(rows,) the least of f on [-reach, reach]; f takes places (rows or 1, n) to (rows, n).

    The best of 41 places, and then of 9 between its neighbours, ever again.
    """
    places = np.linspace(-reach, reach, 41)[None]
    for _ in range(13):
        values = f(places)
        best = values.argmin(axis=1)[:, None]
        places = np.broadcast_to(places, values.shape)
        low, high = (
            np.take_along_axis(places, np.clip(best + step, 0, places.shape[1] - 1), axis=1)
            for step in (-1, 1)
        )
        places = low + (high - low) * np.linspace(0, 1, 9)
    found: Floats = values.min(axis=1)
    return found


def interval(
    a: Floats, b: Floats, plus: Floats, minus: Floats, decisive: float, *, relative: bool = False
) -> tuple[list[float], list[float]]:
    """Both ends for rows of counts; of the relative lift, the logarithm of 1 + lift is sought."""
    low = _lower_end(a, b, plus, minus, decisive, relative)
    high = -_lower_end(b, a, minus, plus, decisive, relative)
    if relative:
        low, high = np.expm1(low), np.expm1(high)
    return low.tolist(), high.tolist()


def _lower_end(
    a: Floats, b: Floats, plus: Floats, minus: Floats, decisive: float, relative: bool
) -> Floats:
    """The lowest difference, or logarithm of a ratio, that is left: by bisection."""
    rate_a, rate_b = (it[:, 0] / np.maximum(it.sum(axis=1), 1) for it in (a, b))
    b_wins, a_wins = (bet - math.log(2) >= math.log(decisive) for bet in (plus, minus))
    most = math.log(1e6) if relative else 1 - 1e-6
    observed = rate_b - rate_a
    if relative:
        observed = np.log(np.maximum(rate_b, 1e-300)) - np.log(np.maximum(rate_a, 1e-300))
    # F+ has to be less than this for a difference to be left.
    limit = np.log(4 * decisive - 2 * np.exp(np.where(b_wins, minus, plus)))
    inside = np.clip(np.where(b_wins, observed, np.minimum(observed, 0)), -most, most)
    outside = np.full_like(inside, -most)
    everything = log_bet_beyond(outside, a, b, relative) < limit
    nothing = log_bet_beyond(inside, a, b, relative) > limit
    outside = np.where(nothing, inside, outside)
    for _ in range(40):
        middle = (inside + outside) / 2
        is_left = log_bet_beyond(middle, a, b, relative) < limit
        inside, outside = np.where(is_left, middle, inside), np.where(is_left, outside, middle)
    end = np.where(everything, -math.inf if relative else -1.0, outside)
    # What decides excludes 0, and nothing else does.
    end = np.where(b_wins, np.maximum(end, math.nextafter(0, 1)), end)
    return np.where(b_wins | a_wins, end, np.minimum(end, 0))


def log_bet_beyond(d: Floats, a: Floats, b: Floats, relative: bool) -> Floats:
    """``log F+(d)`` of rows: that B succeeds more often than its rate, and A less often, at the
    rates that are d apart and leave least. Half a success and half a failure are added to the
    bettors' beliefs."""
    apart, ahead, behind = np.abs(d)[:, None], np.maximum(d, 0)[:, None], np.maximum(-d, 0)[:, None]

    def log_bet(logit: Floats) -> Floats:
        place = special.expit(logit)
        if relative:
            rate_a, rate_b = np.exp(-ahead) * place, np.exp(-behind) * place
        else:
            rate_a, rate_b = behind + (1 - apart) * place, ahead + (1 - apart) * place
        higher = log_bet_above(b[:, None, 0], b[:, None, 1], rate_b, 0.5)
        return _log_mean(higher + log_bet_above(a[:, None, 1], a[:, None, 0], 1 - rate_a, 0.5))

    return least(log_bet, 20.0)


def log_bets_of_pairs(a_only: int, b_only: int) -> tuple[float, float]:
    """Of users who succeeded with one arm alone: each arm is as likely to be the one."""
    a, b = np.array([a_only, 0.0]), np.array([b_only, 0.0])
    return float(log_bet_on_b(0.5, a, b)), float(log_bet_on_b(0.5, b, a))


def rate_sequence(successes: int, users: int, decisive: float) -> tuple[float, float]:
    """The rates beside which Jeffreys' mixture of rates is not ``decisive`` times as likely."""
    mixture = stats.betabinom.logpmf(successes, users, 0.5, 0.5)

    def excess(rate: float) -> float:
        return float(mixture - stats.binom.logpmf(successes, users, rate) - math.log(decisive))

    observed = successes / users
    low, high = (optimize.bisect(excess, observed, end, xtol=1e-13) for end in (1e-9, 1 - 1e-9))
    return low, high


def evidence_of_rates(a: Counts, b: Counts) -> float:
    """``E0``: two rates from uniform priors beside the one that fits best."""
    whole = np.add(a, b)
    two = sum(special.betaln(1 + good, 1 + bad) for good, bad in (a, b))
    return math.exp(two - special.xlogy(whole, whole / whole.sum()).sum())


# Formulas for one look


def wilson(counts: Counts) -> tuple[float, float]:
    """As SciPy has it."""
    found = stats.binomtest(counts[0], sum(counts)).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def newcombe(a: Counts, b: Counts) -> tuple[float, float]:
    """Method 10: from Wilson's intervals."""
    rate_a, rate_b = a[0] / sum(a), b[0] / sum(b)
    (low_a, high_a), (low_b, high_b) = wilson(a), wilson(b)
    difference = rate_b - rate_a
    return (
        difference - math.sqrt((rate_b - low_b) ** 2 + (high_a - rate_a) ** 2),
        difference + math.sqrt((high_b - rate_b) ** 2 + (rate_a - low_a) ** 2),
    )


def fisher(a: Counts, b: Counts) -> float:
    """The tables of these margins that are no likelier than this one."""
    successes, users = a[0] + b[0], sum(a) + sum(b)
    at = np.arange(max(0, successes - sum(b)), min(sum(a), successes) + 1)
    chances = stats.hypergeom.pmf(at, users, successes, sum(a))
    return float(chances[chances <= chances[at == a[0]] * (1 + 1e-7)].sum())


def posterior(a: Counts, b: Counts) -> Json:
    """From uniform priors: by integrals over the rates."""
    rate_a, rate_b = (stats.beta(1 + good, 1 + bad) for good, bad in (a, b))
    ends = [float(rate.ppf(q)) for rate in (rate_a, rate_b) for q in (1e-15, 0.5, 1 - 1e-15)]

    def integral(f: Callable[[float], float]) -> float:
        pieces = zip(sorted(ends)[:-1], sorted(ends)[1:], strict=True)
        return sum(integrate.quad(f, *piece, epsabs=1e-15, epsrel=1e-12)[0] for piece in pieces)

    return {
        "p_B_gt_A": integral(lambda t: rate_b.pdf(t) * rate_a.cdf(t)),
        "loss_choose_A": integral(lambda t: rate_a.cdf(t) * rate_b.sf(t)),
        "loss_choose_B": integral(lambda t: rate_b.cdf(t) * rate_a.sf(t)),
    }


def interaction(segments: Sequence[tuple[Counts, Counts]]) -> float:
    """The p-value of Cochran's Q, on Agresti and Caffo's rates."""
    differences, variances = [], []
    for pair in segments:
        (rate_a, n_a), (rate_b, n_b) = (
            ((good + 1) / (good + bad + 2), good + bad + 2) for good, bad in pair
        )
        differences.append(rate_b - rate_a)
        variances.append(rate_a * (1 - rate_a) / n_a + rate_b * (1 - rate_b) / n_b)
    mean = np.average(differences, weights=1 / np.array(variances))
    q = ((np.array(differences) - mean) ** 2 / variances).sum()
    return float(stats.chi2.sf(q, len(segments) - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """The least level at which each is rejected, step by step."""
    ranked = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, last = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(ranked):
        last = max(last, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = last
    return adjusted


# Formulas of power: the evidence of a test 0.64 standard errors below the truth

ONE_LOOK = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
TIMES = 0.5 * 128 ** (np.arange(29) / 28)


def users_needed(rate: float, better: float, share: float, decisive: float) -> float:
    """Of both arms, in 80 % of tests."""
    apart = 2 * (math.asin(math.sqrt(better)) - math.asin(math.sqrt(rate)))
    users = (ONE_LOOK / apart) ** 2 / (share * (1 - share)) * TIMES
    return first(users, _log_e_of_unlucky(rate, np.full(29, better), users, share), decisive)


def detectable(pair: Pair, decisive: float) -> float:
    """The smallest improvement over A's rate that the users so far can show."""
    a, b = pair.counts
    rate, users, share = a[0] / sum(a), sum(a) + sum(b), pair.share
    angle = 2 * math.asin(math.sqrt(rate)) + ONE_LOOK * np.sqrt(
        TIMES / (users * share * (1 - share))
    )
    better = np.sin(np.minimum(angle, math.pi) / 2) ** 2
    log_e = _log_e_of_unlucky(rate, better, np.full(29, float(users)), share)
    return first(better, log_e, decisive) - rate


def _log_e_of_unlucky(rate: float, better: Floats, users: Floats, share: float) -> Floats:
    n_a, n_b = (1 - share) * users, share * users
    error = np.sqrt(rate * (1 - rate) / n_a + better * (1 - better) / n_b)
    observed = np.maximum(better - rate - 0.64 * error, 0)
    overall = (1 - share) * rate + share * better
    of_a, of_b = overall - share * observed, overall + (1 - share) * observed
    a, b = (np.stack([n * it, n * (1 - it)], axis=-1) for n, it in ((n_a, of_a), (n_b, of_b)))
    off = np.arange(-4, 4.5, 0.5)[:, None] / np.sqrt(users * share * (1 - share))
    least_of_shares: Floats = log_bet_on_b(special.expit(special.logit(share) + off), a, b).min(0)
    return least_of_shares


def first(values: Floats, log_e: Floats, decisive: float) -> float:
    """Where the evidence first decides, on the line between two of the values."""
    wanted = math.log(2 * decisive)
    place = int(np.flatnonzero(log_e >= wanted)[0])
    assert place, "the first value is not recomputed"
    x, y = values[place - 1 : place + 1], log_e[place - 1 : place + 1]
    return float(x[0] + (wanted - y[0]) / (y[1] - y[0]) * (x[1] - x[0]))


# Formulas of guardrails


def asymptotic(a: Floats, b: Floats, level: float = 0.05) -> tuple[float, float]:
    """Waudby-Smith et al. 2024, equation 9, narrowest at 5,000 users."""
    assert min(a.size, b.size) >= 100, "intervals of fewer users are not recomputed"
    reach = math.sqrt((_variance(a) + _variance(b)) * widening(a.size + b.size, level))
    difference = b.mean() - a.mean()
    return difference - reach, difference + reach


def asymptotic_lift(a: Floats, b: Floats, level: float) -> tuple[float, float]:
    """Fieller 1954: the ratios r at which the interval of ``mean B - r mean A`` holds 0."""
    wide = widening(a.size + b.size, level)
    ends = np.roots(
        [
            a.mean() ** 2 - wide * _variance(a),
            -2 * a.mean() * b.mean(),
            b.mean() ** 2 - wide * _variance(b),
        ]
    )
    return max(ends.min(), 0.0) - 1, ends.max() - 1


def _variance(values: Floats) -> float:
    """Of their mean."""
    return float(values.var(ddof=1) / values.size)


def widening(users: int, level: float) -> float:
    """The square of the standard errors that an interval reaches."""
    tuning = (-2 * math.log(level) + math.log(-2 * math.log(level) + 1)) / 5_000
    scaled = users * tuning
    return 2 * (scaled + 1) / scaled * math.log(math.sqrt(scaled + 1) / level)


def exact(a: Floats, b: Floats) -> tuple[float, float]:
    """Of values in [0, 1]: the differences at which (U + V) / 2 stays below 20."""
    observed, against = float(b.mean() - a.mean()), evidence_against(a, b)

    def excess(d: float) -> float:
        return against(d) - math.log(DECISIVE)

    low, high = (
        optimize.brentq(excess, observed, border, xtol=1e-10) if excess(border) > 0 else border
        for border in (-1.0, 1.0)
    )
    return low, high


def evidence_against(a: Floats, b: Floats) -> Callable[[float], float]:
    """The logarithm of what both bettors own, by the difference that they bet against."""
    values = np.concatenate([a, b])
    prices = {s: -math.log1p(-s) - s for s in 0.8 / 2.0 ** np.arange(8)}
    log_prices = {s: _log_price(price, values) for s, price in prices.items()}
    sums = [(it.size, it.sum()) for it in (a, b)]

    def at(p: float, d: float) -> float:
        u, gains = 0.0, dict.fromkeys(prices, 0.0)
        for (n, total), mean in zip(sums, (p, min(max(p + d, 0), 1)), strict=True):
            u += special.betaln(0.5 + total, 100 + n - total) - special.betaln(0.5, 100)
            u -= special.xlogy(total, mean) + special.xlog1py(n - total, -mean)
            for s in prices:
                gain = abs(s * (total - n * mean))
                gains[s] += gain + math.log1p(math.exp(-2 * gain)) - math.log(2)
        v = special.logsumexp([gains[s] + log_prices[s] for s in prices]) - math.log(len(prices))
        return float(np.logaddexp(u, v) - math.log(2))

    def against(d: float) -> float:
        ends = max(0.0, -d), min(1.0, 1 - d)
        inside = optimize.minimize_scalar(at, bounds=ends, args=(d,), options={"xatol": 1e-9})
        return min(inside.fun, *(at(p, d) for p in ends))

    return against


def _log_price(price: float, values: Floats) -> float:
    """Of a stake: ``log of the mean over c of exp(-price sum of (x - c)^2)``."""
    mean, n = float(values.mean()), values.size
    spread = float(((values - mean) ** 2).sum())
    average, _ = integrate.quad(
        lambda c: math.exp(-price * n * (c - mean) ** 2), 0, 1, points=[mean], epsabs=0, limit=500
    )
    return math.log(average) - price * spread
