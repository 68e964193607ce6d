"""The sections of the report's page, each a heading, a sentence to read it by, and what is shown.

A section that the report has no figures for is an empty text.
"""

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from segue.api.report.charts import Axes, Band, Interval, Line, intervals, lines
from segue.api.report.markup import section, table
from segue.api.report.numerals import (
    MINUS,
    axis_points,
    count,
    figure,
    interval,
    loss,
    p_value,
    percent,
    percent1,
    points,
    power_of_ten,
    ratio,
    signed,
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


def guardrails(report: Document) -> str:
    """Each watched figure of each arm beside the control's."""
    rows = [
        [
            f"{_spaced(it['figure'])}, {escape(it['arm'])}",
            f'<span class="{it["state"]}">{it["state"]}</span>',
            figure(it["mean_control"]),
            figure(it["mean_arm"]),
            "-" if it["interval"] is None else interval(it["interval"], signed),
            f"{it['better']}, within {it['margin']:g} {it['unit']}".rstrip(),
        ]
        for it in report.get("guardrails", ())
    ]
    if not rows:
        return ""
    heads = ["figure", "state", "control", "arm", "difference", "better is"]
    note = "What a better arm must not worsen. The intervals hold at every look."
    return section("Guardrails", note, table(heads, rows), wide=True)


def breakdown(found: Document, report: Document) -> str:
    """The difference in each segment of a trait."""
    arm, trait = escape(found["arm"]), _spaced(found["trait"])
    place = [it["group"] for it in report["arms"]].index(found["arm"])
    drawn = [
        Interval(it["value"], place, it["difference"], *it["interval"]) for it in found["segments"]
    ]
    verdict = "differ" if found["p_holm"] < 0.05 else "do not differ significantly"
    note = (
        f"Difference of {arm} from the control, 95 % intervals. The segments {verdict} "
        f"(p = {p_value(found['p_holm'])}, adjusted by Holm; one look)."
    )
    counts = [[escape(it["value"]), ratio(it["A"]), ratio(it["B"])] for it in found["segments"]]
    chart = intervals(f"The difference by {trait}", axis_points, drawn, 0.0)
    return section(
        f"By {escape(trait)}, {pair_name(found)}",
        note,
        chart,
        table(["segment", "control", arm], counts),
    )


def sample_ratio(report: Document) -> str:
    """The shares that users were allotted by, and those that were found."""
    found = report.get("sample_ratio")
    if found is None:
        return ""
    total = sum(it["assigned"] for it in report["arms"]) or 1
    rows = [
        [
            arm_name(place, it),
            percent1(it["share"]),
            percent1(it["assigned"] / total),
            count(it["assigned"]),
        ]
        for place, it in enumerate(report["arms"])
    ]
    state = "Off: users are being lost" if found["off"] else "As allotted"
    note = f"{state} (p = {p_value(found['p'])}, E = {figure(found['E'])})."
    note += " Users who still await their outcome count, too."
    return section("Shares of users", note, table(["arm", "allotted", "found", "users"], rows))


def power(found: Document) -> str:
    """How many users it takes, and the part of them that there is."""
    rows = [
        [points(it["difference"]), count(it["users"]), percent(round(min(it["done"], 1), 2))]
        for it in found["needed"]
    ]
    if not rows:
        return ""
    detectable = found["detectable_difference"]
    shown = "no gain yet" if detectable is None else f"a gain of {points(detectable)}"
    note = f"These users can show {shown}, at one look with 80 % power."
    heads = ["gain", "users it takes", "done"]
    return section(f"Power so far, {pair_name(found)}", note, table(heads, rows))


def one_look(found: Document) -> str:
    """The textbook figures."""
    control, arm = escape(found["control"]), escape(found["arm"])
    rows = [
        ["difference (Newcombe, 95 %)", interval(found["newcombe"], points)],
        ["p, Fisher", p_value(found["fisher_p"])],
        ["p, Boschloo", p_value(found["boschloo_p"])],
        ["p, pooled z", p_value(found["z_pooled_p"])],
        [f"P({arm} is better)", f"{found['p_B_gt_A']:.4f}"],
        [f"loss of choosing {control}", loss(found["loss_choose_A"])],
        [f"loss of choosing {arm}", loss(found["loss_choose_B"])],
    ]
    note = "Right for one look at a number of users that was set beforehand; not for deciding here."
    return section(f"At one look, {pair_name(found)}", note, table(["figure", "value"], rows))


def covariate(found: Document) -> str:
    """The difference adjusted by what was known before."""
    rows = [
        ["difference", points(found["difference"])],
        ["95 % interval", interval(found["interval"], points)],
        ["p, Welch", p_value(found["p"])],
        ["variance left", percent(found["variance_left"])],
    ]
    note = (
        f"Without what their plays before foretold, of {count(found['users'])} users who had any "
        "(CUPED; one look)."
    )
    return section(f"Adjusted, {pair_name(found)}", note, table(["figure", "value"], rows))


def off_policy(report: Document) -> str:
    """What each arm would have earned alone, from the log of an adaptive allocation."""
    rows = [
        [escape(it["group"]), percent1(it["rate"]), interval(it["interval"], percent1)]
        for it in report["off_policy"]
    ]
    if not rows:
        return ""
    note = "The rate if all users had been in the arm, by inverse propensities (one look)."
    return section("Off-policy", note, table(["arm", "rate", "95 % interval"], rows))


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


def _spaced(name: str) -> str:
    return name.replace("_", " ")
