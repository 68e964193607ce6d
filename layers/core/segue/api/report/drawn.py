"""The parts of the report's page that are drawn: rates, beliefs, the difference, the evidence."""

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from segue.api.report.charts import Axes, Band, Interval, Line, intervals, lines
from segue.api.report.html import section, table
from segue.api.report.numerals import (
    MINUS,
    axis_points,
    count,
    interval,
    percent,
    percent1,
    power_of_ten,
    ratio,
)

Document = Mapping[str, Any]


def rates(report: Document) -> str:
    """Each arm's rate of success; of interleaved lists, how many each arm won."""
    arms = report["arms"]
    if arms[0]["interval"] is None:
        won = [[arm_name(place, it), count(it["users"])] for place, it in enumerate(arms)]
        note = "Of the interleaved lists that were not a draw."
        return section("Lists won", note, table(["arm", "lists"], won))
    rows = [
        [
            arm_name(place, it),
            ratio((it["successes"], it["users"])),
            percent1(it["rate"]),
            interval(it["interval"], percent1),
        ]
        for place, it in enumerate(arms)
    ]
    drawn = [
        Interval(it["group"], place, it["rate"], *it["interval"]) for place, it in enumerate(arms)
    ]
    chart = intervals("Each arm's rate of success with its 95 % interval", percent, drawn, None)
    heads = ["arm", "successes / users", "rate", "95 % interval"]
    return section(
        "Rates", "Users who fully played a recommended track.", chart, table(heads, rows)
    )


def beliefs(report: Document) -> str:
    """The posterior densities of the rates."""
    densities = report["densities"]
    if densities is None or not report["experiment"]["users"]:
        return ""
    curves = [
        Line(place, list(zip(densities["rates"], curve, strict=True)))
        for place, curve in enumerate(densities["groups"].values())
    ]
    axes = Axes("rate", percent, percent, y_ticks=False)
    legend = "".join(f"<li>{arm_name(place, it)}</li>" for place, it in enumerate(report["arms"]))
    return section(
        "Beliefs",
        "How likely each rate is, from uniform priors. For reading; the evidence decides.",
        f'<ul class="legend">{legend}</ul>',
        lines("How likely each rate of each arm is", axes, curves),
    )


def difference(course: Document, report: Document) -> str:
    """The observed difference and its confidence sequence, over the users so far."""
    known = [it for it in course["points"] if it.get("rate_A") is not None]
    known = [it for it in known if it["rate_B"] is not None]
    if not known:
        return ""
    # The first few users could mean anything; drawn in full, that would flatten all the rest.
    reach = max(abs(it[end]) for it in known[len(known) // 8 :] for end in ("low", "high"))
    band = [(it["users"], _clip(it["low"], reach), _clip(it["high"], reach)) for it in known]
    observed = [(it["users"], _clip(it["rate_B"] - it["rate_A"], reach)) for it in known]
    series = _series(course, report)
    meaning = (
        "but while users are being lost, that is not what the arms make."
        if is_withheld(report)
        else "the shade holds the true difference at every look."
    )
    axes = Axes("users", count, axis_points, 0.0, "no difference", x_least_step=1.0)
    title = "The difference and its confidence sequence over the users so far"
    return section(
        f"Difference, {pair_name(course)}",
        f"The line is what was observed; {meaning}",
        lines(title, axes, [Line(series, observed)], [Band(series, band)]),
    )


def evidence(course: Document, report: Document) -> str:
    """The evidence that decides over the users so far, on a logarithmic axis."""
    if not course["points"]:
        return ""
    decisive = course["decisive"]
    over_users = [(it["users"], it["log_evidence"] / math.log(10)) for it in course["points"]]
    mark = f"a decision takes {decisive:g}"
    axes = Axes(
        "users",
        count,
        power_of_ten,
        math.log10(decisive),
        mark,
        mark_label_at_start=True,
        x_least_step=1.0,
        y_least_step=1.0,
    )
    line = Line(_series(course, report), over_users)
    return section(
        f"Evidence, {pair_name(course)}",
        "Two bettors began with a half each, one on either arm; this is what the one ahead owns. "
        "Look as often as you like.",
        lines("The evidence over the users so far", axes, [line]),
    )


def is_withheld(report: Document) -> bool:
    """Whether decisions are withheld; it is all of them or none."""
    return bool(report["verdicts"][0]["decision"] == "decision withheld")


def arm_name(place: int, arm: Document) -> str:
    """An arm with its colour; which one is the control, unless its name says so."""
    control = ", control" if place == 0 and arm["group"] != "control" else ""
    return (
        f'<span class="key s{place}"></span>{escape(arm["group"])} '
        f"(model {arm['model_id']}{control})"
    )


def pair_name(pair: Document) -> str:
    """Whose rate the differences are of, and from whose."""
    return f"{escape(pair['arm'])} {MINUS} {escape(pair['control'])}"


def _series(pair: Document, report: Document) -> int:
    return [it["group"] for it in report["arms"]].index(pair["arm"])


def _clip(value: float, reach: float) -> float:
    return min(max(value, -reach), reach)
