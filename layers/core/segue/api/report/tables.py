"""The parts of the report's page that are tables, and the breakdowns."""

from collections.abc import Mapping
from html import escape
from typing import Any

from segue.api.report.charts import Interval, intervals
from segue.api.report.drawn import arm_name, pair_name
from segue.api.report.html import section, table
from segue.api.report.numerals import (
    axis_points,
    count,
    figure,
    interval,
    loss,
    p_value,
    percent,
    percent1,
    points,
    ratio,
    signed,
)

Document = Mapping[str, Any]


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


def _spaced(name: str) -> str:
    return name.replace("_", " ")
