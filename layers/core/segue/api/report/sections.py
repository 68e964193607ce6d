"""The sections of the report's page: each has a heading, a line to read it by, and figures.

A section that the report has no figures for is an empty text.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from segue.api.report.charts import Axes, Band, Interval, Line, intervals, lines
from segue.api.report.markup import EVERY_LOOK, EVERY_LOOK_OF_MANY, ONE_LOOK, section, table
from segue.api.report.numerals import (
    MINUS,
    NO_BREAK,
    axis_points,
    axis_relative,
    count,
    extent,
    figure,
    in_unit,
    interval,
    loss,
    p_value,
    percent,
    percent1,
    points,
    power_of_ten,
    powers,
    ratio,
    relative,
    signed,
)

Document = Mapping[str, Any]

# Figures that are shares of something.
_SHARES = ("failed_calls", "skip_rate", "added_success")
# What is further from 0 is drawn up to here: one wide interval would flatten all others.
_LARGEST_LIFT = 0.5
# Positions in a list that have a row of their own; those behind share one.
_MOST_POSITIONS = 10


def rates(report: Document) -> str:
    """Each arm's rate of success; of interleaved lists, how many each arm won."""
    arms = list(enumerate(report["arms"]))
    if report["experiment"]["mode"] == "interleave":
        won = [[arm_name(place, arm), count(arm["users"])] for place, arm in arms]
        note = "Of the interleaved lists that were not a draw."
        return section("Lists won", note, table("Lists won", ["arm", "lists"], won))
    rows = [
        [
            arm_name(place, arm),
            ratio((arm["successes"], arm["users"])),
            percent1(arm["rate"]),
            interval(arm["interval"], percent1) if arm["users"] else "-",
        ]
        for place, arm in arms
    ]
    drawn = [
        Interval(arm["group"], place, arm["rate"], *arm["interval"])
        for place, arm in arms
        if arm["users"]
    ]
    return section(
        "Success rates",
        f"How many users {succeeded(report)}.",
        intervals("Each arm's rate of success with its 95 % interval", percent, drawn),
        table("Success rates", ["arm", "successes / users", "rate", "95 % interval"], rows),
        looks=ONE_LOOK,
    )


def beliefs(report: Document) -> str:
    """The posterior densities of the rates."""
    densities = report["densities"]
    if densities is None:
        return ""
    curves = [
        Line(place, list(zip(densities["rates"], curve, strict=True)))
        for place, curve in enumerate(densities["groups"].values())
    ]
    axes = Axes("rate", percent, percent, y_ticks=False)
    legend = "".join(f"<li>{arm_name(place, arm)}</li>" for place, arm in enumerate(report["arms"]))
    return section(
        "Where the true rates may lie",
        "The higher the curve, the likelier the rate (from uniform priors). For reading: "
        "the evidence decides.",
        f'<ul class="legend">{legend}</ul>',
        lines("How likely each rate of each arm is", axes, curves),
        looks=ONE_LOOK,
    )


def difference(course: Document, comparison: Document | None, report: Document) -> str:
    """The difference and the relative lift with their intervals; the former over the users, too.

    ``comparison``: the pair's figures by now, where the arms' rates can be compared.
    """
    known = [
        point
        for point in course["points"]
        if point.get("rate_A") is not None and point["rate_B"] is not None
    ]
    if comparison is None or not known:
        return ""
    title = f"Difference, {pair_name(course)}"
    chart = _difference_chart(known, _series(course, report))
    if is_withheld(report):
        note = "What was observed. While users are being lost, that is not what the arms make."
        return section(title, note, chart)
    rows = [
        [
            "difference",
            points(comparison["rate_B"] - comparison["rate_A"]),
            extent(comparison["cs"]),
        ],
        [
            "relative lift",
            "-" if comparison["lift"] is None else relative(comparison["lift"]),
            extent(comparison["lift_cs"], relative),
        ],
    ]
    return section(
        title,
        "Drawn is what was observed, and the range that holds the true difference. The lift is the "
        f"difference in percent of the rate of {escape(course['control'])}.",
        chart,
        table(title, ["", "observed", "95 % interval"], rows),
        looks=EVERY_LOOK,
    )


def _difference_chart(known: Sequence[Document], series: int) -> str:
    """Over the users so far; of a single moment, its interval."""
    now = known[-1]
    if len(known) == 1:
        observed = now["rate_B"] - now["rate_A"]
        row = Interval("now", series, observed, now["low"], now["high"])
        return intervals("The difference with its interval", axis_points, [row], 0.0)
    # The first few users could mean anything; drawn in full, that would flatten all the rest.
    reach: float = max(
        abs(point[end]) for point in known[len(known) // 8 :] for end in ("low", "high")
    )

    def clip(value: float) -> float:
        return max(-reach, min(value, reach))

    band = [(point["users"], clip(point["low"]), clip(point["high"])) for point in known]
    line = [(point["users"], clip(point["rate_B"] - point["rate_A"])) for point in known]
    axes = Axes("users", count, axis_points, 0.0, "no difference", x_least_step=1.0)
    title = "The difference and the range of the true one, over the users so far"
    return lines(title, axes, [Line(series, line)], [Band(series, band)])


def evidence(course: Document, report: Document) -> str:
    """The evidence that decides over the users so far, on a logarithmic axis."""
    if not course["points"]:
        return ""
    decisive = math.log10(course["decisive"])
    over_users = [
        (point["users"], point["log_evidence"] / math.log(10)) for point in course["points"]
    ]
    series = _series(course, report)
    if len(over_users) == 1:
        ((_, now),) = over_users
        row = Interval("now", series, now, min(now, 0.0), max(now, 0.0))
        title = "The evidence, beside what a decision takes"
        chart = intervals(title, power_of_ten, [row], decisive, x_least_step=1.0)
    else:
        axes = Axes(
            "users",
            count,
            power_of_ten,
            decisive,
            f"a decision takes {course['decisive']:g}",
            mark_label_at_start=True,
            x_least_step=1.0,
            y_least_step=1.0,
        )
        chart = lines("The evidence over the users so far", axes, [Line(series, over_users)])
    return section(
        f"Evidence, {pair_name(course)}",
        f"How strongly the outcomes speak for the arm that is ahead. At {course['decisive']:g} "
        "(dashed) it is declared better: of tests of equal arms, at most 1 in 20 ever gets there.",
        chart,
        looks=EVERY_LOOK,
    )


def guardrails(report: Document) -> str:
    """Each watched figure of each arm beside the control's."""
    several = len(report["arms"]) > 2
    rows = [_guardrail(rail, several=several) for rail in report.get("guardrails", ())]
    if not rows:
        return ""
    heads = ["figure", "control", "arm", "difference"]
    return section(
        "Guardrails",
        "What must not get worse. Held: it has surely not worsened by more than it may. Broken: "
        "it surely has.",
        table("Guardrails", heads, rows),
        looks=EVERY_LOOK,
        wide=True,
    )


def _guardrail(rail: Document, *, several: bool) -> list[str]:
    form, change = _forms(rail["figure"], rail["unit"])
    arm = f", {escape(rail['arm'])}" if several else ""
    state, css = rail["state"], rail["state"].split()[0]
    rule = f"{rail['better']} is better; may worsen by {change(rail['margin']).lstrip('+')}"
    known = rail["mean_control"] is not None and rail["mean_arm"] is not None
    return [
        f'{_spaced(rail["figure"])}{arm}: <b class="{css}">{state}</b><small>{rule}</small>',
        "-" if rail["mean_control"] is None else form(rail["mean_control"]),
        "-" if rail["mean_arm"] is None else form(rail["mean_arm"]),
        interval(rail["interval"], change) if known and rail["interval"] else "-",
    ]


def _forms(figure_name: str, unit: str) -> tuple[Callable[[float], str], Callable[[float], str]]:
    """How the figure reads, and how a difference of it does."""
    if figure_name in _SHARES:
        return percent, axis_points
    return in_unit(figure, unit), in_unit(signed, unit)


def metrics(course: Document, comparison: Document | None, report: Document) -> str:
    """What else the arm does to its listeners, beside the rate of success."""
    pair = (course["control"], course["arm"])
    found = [it for it in report.get("metrics", ()) if (it["control"], it["arm"]) == pair]
    # While users are being lost, no interval is one of what the arms make.
    if comparison is None or not found or is_withheld(report):
        return ""
    title = f"Metrics, {pair_name(course)}"
    success = ("success", comparison["lift"], comparison["lift_cs"])
    lifts = [success, *((it["metric"], it["lift"], it["lift_interval"]) for it in found)]
    series = _series(course, report)
    drawn = [
        Interval(_spaced(name), series, *(_up_to_the_largest(end) for end in (lift, *ends)))
        for name, lift, ends in lifts
        if lift is not None and ends and ends[1] is not None
    ]
    arms = f"{escape(course['control'])} / {escape(course['arm'])}"
    return section(
        title,
        "What else changes for a listener; the rate of success alone decides. Drawn are relative "
        f"lifts with their 95 % intervals, up to {percent(_LARGEST_LIFT)} either way.",
        intervals("Relative lift of each metric", axis_relative, drawn, 0.0),
        table(title, ["metric", arms, "difference", "lift"], [_metric(it) for it in found]),
        looks=EVERY_LOOK_OF_MANY,
        wide=True,
    )


def _up_to_the_largest(lift: float) -> float:
    return max(-_LARGEST_LIFT, min(lift, _LARGEST_LIFT))


def _metric(found: Document) -> list[str]:
    form, change = _forms(found["metric"], found["unit"])
    kind = "asymptotic" if found["asymptotic"] else "exact"
    means = (found["mean_control"], found["mean_arm"])
    ends, lift_ends = found["interval"], found["lift_interval"]
    return [
        f"{_spaced(found['metric'])}<small>{found['better']} is better; {kind}</small>",
        "-" if None in means else interval(means, form, " / "),
        _with_interval(found["difference"], ends and extent(ends, change), change),
        _with_interval(found["lift"], lift_ends and extent(lift_ends, relative), relative),
    ]


def _with_interval(value: float | None, ends: str | None, form: Callable[[float], str]) -> str:
    if value is None:
        return "-"
    return f"{form(value)}<small>{ends or 'too few users yet'}</small>"


def breakdown(found: Document, report: Document) -> str:
    """The difference in each segment of a trait."""
    arm, trait = escape(found["arm"]), escape(_spaced(found["trait"]))
    series, title = _series(found, report), f"By {trait}, {pair_name(found)}"
    drawn = [
        Interval(segment["value"], series, segment["difference"], *segment["interval"])
        for segment in found["segments"]
    ]
    counts = [
        [escape(segment["value"]), ratio(segment["A"]), ratio(segment["B"])]
        for segment in found["segments"]
    ]
    verdict = "differ" if found["p_holm"] < 0.05 else "do not differ by more than chance may do"
    return section(
        title,
        f"The difference among users of each kind, with 95 % intervals. These {verdict} "
        f"(p = {p_value(found['p_holm'])}, adjusted by Holm).",
        intervals(f"The difference by {found['trait']}", axis_points, drawn, 0.0),
        table(title, ["segment", escape(found["control"]), arm], counts),
        looks=ONE_LOOK,
    )


def sample_ratio(report: Document) -> str:
    """The shares that users were allotted by, and those that were found."""
    found = report.get("sample_ratio")
    if found is None:
        return ""
    total = sum(arm["assigned"] for arm in report["arms"]) or 1
    rows = [
        [
            arm_name(place, arm),
            percent1(arm["share"]),
            percent1(arm["assigned"] / total),
            count(arm["assigned"]),
        ]
        for place, arm in enumerate(report["arms"])
    ]
    state = "Off: users are being lost" if found["off"] else "As allotted"
    title = "Shares of users"
    return section(
        title,
        f"{state} (p = {p_value(found['p'])}, E = {figure(found['E'])}). Users who still await "
        "their outcome count, too.",
        table(title, ["arm", "allotted", "found", "users"], rows),
    )


def power(found: Document) -> str:
    """How many users it takes, and the part of them that there is."""
    rows = [
        [points(gain["difference"]), count(gain["users"]), percent(round(min(gain["done"], 1), 2))]
        for gain in found["needed"]
    ]
    if not rows:
        return ""
    detectable = found["detectable_difference"]
    shown = "no gain yet" if detectable is None else f"a gain of {points(detectable)}"
    title = f"How many users it takes, {pair_name(found)}"
    return section(
        title,
        f"These users can show {shown}. With so many users, 80 % of tests have been decided for "
        "the better arm, looked at after every user.",
        table(title, ["gain", "users it takes", "done"], rows),
    )


def one_look(found: Document) -> str:
    """The textbook figures."""
    if found["rate_A"] is None or found["rate_B"] is None:
        return ""
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
    title = f"Textbook figures, {pair_name(found)}"
    return section(
        title,
        "For a number of users that was set beforehand; not for deciding here.",
        table(title, ["figure", "value"], rows),
        looks=ONE_LOOK,
    )


def covariate(found: Document) -> str:
    """The difference adjusted by what was known before."""
    rows = [
        ["difference", points(found["difference"])],
        ["95 % interval, asymptotic", interval(found["interval"], points)],
        ["variance left", percent(found["variance_left"])],
    ]
    title = f"Adjusted for earlier plays, {pair_name(found)}"
    return section(
        title,
        "The difference without what earlier plays foretold (regression, as in CUPED), of all "
        f"{count(found['users'])} users; {count(found['without_past'])} of them had no earlier "
        "plays.",
        table(title, ["figure", "value"], rows),
        looks=EVERY_LOOK_OF_MANY,
    )


def paired(found: Document) -> str:
    """The paired test of a replay: what users say who compared both arms."""
    control, arm = escape(found["control"]), escape(found["arm"])
    title = f"Both arms for every user: {arm} against {control}"
    rows = [
        ["both arms", count(found["both"])],
        [f"{control} alone", count(found["control_only"])],
        [f"{arm} alone", count(found["arm_only"])],
        ["neither", count(found["neither"])],
    ]
    verdict = f"{found['decision']}: {found['reason']}"
    reach = interval(found["interval"], points)
    sentences = (
        f"{powers(escape(verdict[0].upper() + verdict[1:]))}.",
        "Evidence are the users for whom one arm succeeded and not the other.",
        f"The difference is {points(found['difference'])} (95 % interval {reach}).",
        _unpaired(found),
    )
    content = table(title, ["succeeded with", "users"], rows)
    return section(title, " ".join(filter(None, sentences)), content, looks=EVERY_LOOK)


def _unpaired(found: Document) -> str:
    """What the same would take with one arm for each user."""
    needed = found["users_needed_unpaired"]
    if needed is None:
        return ""
    return (
        f"There are {count(found['users'])} users; with one arm for each, it would take "
        f"{count(needed)} to find a difference as large as this (power 80 %)."
    )


def positions(report: Document) -> str:
    """Full plays by the position in the list, and how many of them named their list."""
    hits = _hits_by_position(report["positions"])
    # Interleaved lists are those of both arms, and have the colour of the second.
    series = dict.fromkeys(hits, 1) | {
        arm["group"]: place for place, arm in enumerate(report["arms"])
    }
    groups = sorted(hits, key=series.__getitem__)
    plays, named = (sum(it[n] for group in groups for it in hits[group]) for n in (0, 1))
    if not plays:
        return ""
    title = "Positions in the list"
    heads = [f'<span class="key s{series[group]}"></span>{escape(group)}' for group in groups]
    rows = [
        [label, *(_plays(hits[group][places], with_named=named > 0) for group in groups)]
        for label, places in _position_rows(len(hits[groups[0]]))
    ]
    brackets = " In brackets: those that named their list, and so were surely played from it."
    return section(
        title,
        "Full plays of recommended tracks by where they stood in the list. The chart has each "
        f"position's share of them.{brackets if named else ''}",
        _positions_chart([(series[group], hits[group]) for group in groups]),
        table(title, ["position", *heads], rows),
    )


def _hits_by_position(places: Sequence[Document]) -> dict[str, list[tuple[int, int]]]:
    """Of each group, full plays and those that named their list, at each position from 1 on."""
    last = max((place["position"] for place in places), default=0)
    hits: dict[str, list[tuple[int, int]]] = {}
    for place in places:
        for arm in place["arms"]:
            of_group = hits.setdefault(arm["group"], [(0, 0)] * last)
            of_group[place["position"] - 1] = (arm["full_plays"], arm["reported"])
    return hits


def _position_rows(last: int) -> Iterator[tuple[str, slice]]:
    """What the rows of the table are called, and which positions each sums up."""
    for position in range(min(last, _MOST_POSITIONS)):
        yield str(position + 1), slice(position, position + 1)
    if last > _MOST_POSITIONS:
        yield f"{_MOST_POSITIONS + 1} to {last}", slice(_MOST_POSITIONS, last)


def _plays(hits: Sequence[tuple[int, int]], *, with_named: bool) -> str:
    plays, named = (sum(each) for each in zip(*hits, strict=True))
    return f"{count(plays)} ({count(named)})" if with_named else count(plays)


def _positions_chart(groups: Sequence[tuple[int, Sequence[tuple[int, int]]]]) -> str:
    """The share of a group's full plays at each position; none of a single position."""
    drawn = []
    for series, hits in groups:
        total = sum(plays for plays, _ in hits) or 1
        shares = [(position, plays / total) for position, (plays, _) in enumerate(hits, start=1)]
        drawn.append(Line(series, shares))
    if len(drawn[0].points) < 2:
        return ""
    axes = Axes("position", count, percent, mark=0.0, x_least_step=1.0)
    return lines("The share of full plays at each position", axes, drawn)


def off_policy(report: Document) -> str:
    """What each arm would have earned alone, from the log of an adaptive allocation."""
    rows = [
        [escape(arm["group"]), percent1(arm["rate"]), interval(arm["interval"], percent1)]
        for arm in report["off_policy"]
    ]
    if not rows:
        return ""
    title = "If all users had been in one arm"
    note = "The rate that each arm would have had alone, by inverse propensities."
    content = table(title, ["arm", "rate", "95 % interval"], rows)
    return section(title, note, content, looks=ONE_LOOK)


def is_withheld(report: Document) -> bool:
    """Whether decisions are withheld; it is all of them or none."""
    return bool(report["verdicts"][0]["decision"] == "decision withheld")


def succeeded(report: Document) -> str:
    """What users did who count as a success; of those assigned elsewhere, it is not known."""
    own = report["experiment"]["side"] is not None
    return "fully played a recommended track" if own else "succeeded"


def arm_name(place: int, arm: Document) -> str:
    """The arm with its colour, which one is the control, and its model: ``A, control: hybrid (3)``.

    Nothing is said twice, and nothing of a model where there is none.
    """
    group, model = escape(arm["group"]), escape(arm["model"] or "model")
    control = ", control" if place == 0 and group != "control" else ""
    key = f'<span class="key s{place}"></span>'
    if arm["model_id"] is None:
        return f"{key}{group}{control}"
    of_model = "" if group == model and not control else f": {model}"
    return f"{key}{group}{control}{of_model}{NO_BREAK}({arm['model_id']})"


def pair_name(pair: Document) -> str:
    """Whose rate the differences are of, and from whose."""
    return f"{escape(pair['arm'])} {MINUS} {escape(pair['control'])}"


def _series(pair: Document, report: Document) -> int:
    return [arm["group"] for arm in report["arms"]].index(pair["arm"])


def _spaced(name: str) -> str:
    return name.replace("_", " ")
