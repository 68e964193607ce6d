"""The weekly chart: what is new and hot, and how it drifts."""

from __future__ import annotations

import numpy as np

from infra.demo.catalogue import Catalogue
from infra.demo.randomness import Floats, Ints, Rng, draw_distinct, stream

WEEKS = 40
LARGEST_CHART = 100
CHURN_PER_WEEK = 0.12
SHARE_OF_NEW_RELEASES = 0.6
NEW_FOR_DAYS = 60
# The first chart looks back further, so that it has something to stand on.
RECENT_DAYS = 400
RANK_OFFSET, RANK_POWER = 3.0, 1.1
SCORE_DECAY, SCORE_NOISE = 0.9, 0.25


def make_charts(seed: int, catalogue: Catalogue) -> Ints:
    """Tracks of each week's chart from 2022-01-01 on, best first, shape (WEEKS, chart size)."""
    rng = stream(seed, 2)
    size = max(10, min(LARGEST_CHART, len(catalogue.ids) // 20))
    recent = np.where(catalogue.release_day > -RECENT_DAYS, 1.0, 0.1)
    out = catalogue.release_day <= 0
    members = draw_distinct(rng, catalogue.appeal * recent * out, size)
    scores = rng.standard_normal(size)
    weeks = []
    for week in range(WEEKS):
        if week:
            members, scores = _next_week(rng, catalogue, 7 * week, members, scores)
        weeks.append(members[np.argsort(-np.round(scores, 6), kind="stable")])
    return np.stack(weeks)


def chart_weights(size: int) -> Floats:
    """Share of chart plays by rank, shape (size,), summing to one."""
    weights = (np.arange(size) + RANK_OFFSET) ** -RANK_POWER
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _next_week(
    rng: Rng, catalogue: Catalogue, day: int, members: Ints, scores: Floats
) -> tuple[Ints, Floats]:
    """The lowest leave, newcomers take their places, and everybody's score drifts."""
    scores = SCORE_DECAY * scores + SCORE_NOISE * rng.standard_normal(len(scores))
    leaving = max(1, round(CHURN_PER_WEEK * len(members)))
    staying = np.argsort(-np.round(scores, 6), kind="stable")[:-leaving]
    newcomers = _newcomers(rng, catalogue, day, members, leaving)
    fresh_scores = 0.6 + rng.standard_normal(len(newcomers))
    return (
        np.concatenate([members[staying], newcomers]),
        np.concatenate([scores[staying], fresh_scores]),
    )


def _newcomers(rng: Rng, catalogue: Catalogue, day: int, members: Ints, count: int) -> Ints:
    """New releases and old tracks that come up again, none of them in the chart already."""
    age = day - catalogue.release_day
    weights = np.where(age >= 0, catalogue.appeal, 0.0)
    weights[members] = 0.0
    new = weights * (age <= NEW_FOR_DAYS)
    from_new = min(round(SHARE_OF_NEW_RELEASES * count), int((new > 0).sum()))
    first = draw_distinct(rng, new, from_new)
    weights[first] = 0.0
    return np.concatenate([first, draw_distinct(rng, weights, count - from_new)])
