"""The report as a page: the verdict first, in words; then what it rests on, drawn.

One document without scripts, fonts or anything else from another address. Its links are relative:
a deployed stage has a path of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from segue.api.http import MAX_PAGE
from segue.api.report import markup
from segue.api.report.numerals import NO_BREAK, count, extent, percent1, points, powers, relative
from segue.api.report.sections import (
    beliefs,
    breakdown,
    covariate,
    difference,
    evidence,
    guardrails,
    is_withheld,
    metrics,
    off_policy,
    one_look,
    paired,
    positions,
    power,
    rates,
    sample_ratio,
    succeeded,
)

Document = Mapping[str, Any]

_STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
_SIDES = {
    "replay": "replay of what was played after the cut-off",
    "live": "live, on what listeners were shown",
}
_ELSEWHERE = "assigned elsewhere"
_LOOKS = (
    "Right at every look: look as often as you like, and stop when decided. With many users, "
    "asymptotic: the more users, the nearer is that to what is promised. Right for one look: only "
    "at a number of users that was set beforehand."
)


def page(report: Document, experiments: Sequence[Document] = ()) -> str:
    """HTML of a report; ``experiments``: what there is to choose from, by name, of both sides.

    Both are documents of ``segue.reporting``. Without experiments there are no links. A report on
    users whom others assigned has neither a side nor models; its ``notes`` say what was made of
    their files.
    """
    shown = report["experiment"]
    content = "".join(_sections(report))
    downloads = _downloads(shown) if experiments else ""
    body = (
        f"<header>{_picker(experiments, shown)}"
        f'<h1 class="{_tone(report)}">{_headline(report)}</h1>{"".join(_leads(report))}'
        f"{_facts(shown)}{_attempts(shown['epoch'])}{_notes(report)}{downloads}</header>"
        f'<div class="grid2">{content}</div>{_footer(shown)}'
    )
    return page_of(f"{_headline(report)} - {escape(shown['name'])}", body)


def no_report(reason: str, experiments: Sequence[Document]) -> str:
    """HTML in place of a report that there is not, from which one gets on to those there are."""
    advice = (
        "Choose one of these:"
        if experiments
        else (
            "No experiment has been begun yet. PUT /experiments/{name} begins one, and the first "
            "POST /perform_ab_test the one called default."
        )
    )
    choices = f"<section>{_choices(experiments)}</section>" if experiments else ""
    header = f'<h1 class="wait">{_sentence(reason)}</h1><p class="lead">{advice}</p>'
    return page_of("No report", f"<header>{header}</header>{choices}")


def page_of(title: str, body: str) -> str:
    """A page in the style of the report, of HTML."""
    # A number and its unit stay in one line.
    return markup.document(title, _STYLE, body.replace(" %", f"{NO_BREAK}%"))


def _picker(experiments: Sequence[Document], shown: Document) -> str:
    """Which experiment is shown, and a list to choose another from, where there is one."""
    name = f"Experiment <b>{escape(shown['name'])}</b>, {_SIDES.get(shown['side'], _ELSEWHERE)}"
    if not experiments:
        return f"<p>{name}</p>"
    choices = _choices(experiments, shown)
    return (
        f"<nav><details><summary>{name} <span>Choose another</span></summary>{choices}"
        "</details></nav>"
    )


def _choices(experiments: Sequence[Document], shown: Document | None = None) -> str:
    """Every experiment with links to its reports, which say how far each has come."""
    here = shown and _side(shown)
    items = []
    for name, sides in groupby(experiments, lambda experiment: experiment["name"]):
        links = (
            # The report counts what is not archived yet, too.
            _choice(shown if shown and _is_same(side, shown) else side, current=_side(side) == here)
            for side in sides
        )
        items.append(f"<li><b>{escape(name)}</b>{''.join(links)}</li>")
    return f'<ul class="choices">{"".join(items)}</ul>'


def _side(experiment: Document) -> tuple[str, str]:
    return experiment["name"], experiment["side"]


def _is_same(one: Document, other: Document) -> bool:
    return (*_side(one), one["epoch"]) == (*_side(other), other["epoch"])


def _choice(experiment: Document, *, current: bool) -> str:
    link = markup.link(report_address(experiment), _progress(experiment), current=current)
    return f"<span>{experiment['side']}: {link}</span>"


def _progress(experiment: Document) -> str:
    """How many users have an outcome, and from when to when outcomes were settled."""
    users, first, last = (experiment[it] for it in ("users", "first_settled", "last_settled"))
    if not users:
        return "no outcome yet"
    days = f"{first[:10]} to {last[:10]}" if first[:10] != last[:10] else first[:10]
    return f"{count(users)} user{'s' if users > 1 else ''}, {days}"


def report_address(experiment: Document, route: str = "", **others: str | int) -> str:
    """Of the side of the experiment at a route of ``/ab_test``; by default the one of the page."""
    live = "true" if experiment["side"] == "live" else "false"
    query = urlencode({"experiment": experiment["name"], "live": live, **others})
    return f"{route}?{escape(query)}"


def _downloads(experiment: Document) -> str:
    report = markup.link(report_address(experiment, format="json"), "This report as JSON")
    results = report_address(experiment, "results", format="csv", limit=MAX_PAGE)
    users = experiment["users"]
    some = f" (the first {MAX_PAGE:,})" if users > MAX_PAGE else ""
    links = (
        report,
        markup.link(results, f"Results as CSV{some}"),
        markup.link("overview", "Every epoch that ever began"),
    )
    return f'<p class="downloads">{" ".join(links)}</p>'


def _headline(report: Document) -> str:
    verdicts = report["verdicts"]
    if len(verdicts) == 1:
        return _sentence(verdicts[0]["decision"])
    decided = [_beside_the_other(verdict) for verdict in verdicts if verdict["better"]]
    return _sentence("; ".join(decided) or verdicts[0]["decision"])


def _beside_the_other(verdict: Document) -> str:
    """Which arm is better than which, where there are several."""
    other = verdict["control"] if verdict["better"] == verdict["arm"] else verdict["arm"]
    return f"{verdict['decision']} than {other}"


def _tone(report: Document) -> str:
    better = [verdict["better"] for verdict in report["verdicts"] if verdict["better"]]
    if better and not any(_is_held_back(arm, report) for arm in better):
        return "yes"
    return "no" if is_withheld(report) else "wait"


def _is_held_back(arm: str, report: Document) -> bool:
    """Whether something is known that speaks against shipping it."""
    return any(it["arm"] == arm and not it["ready"] for it in report["shipping"])


def _leads(report: Document) -> Iterator[str]:
    """Of each pair of arms: what was counted, whether one may act on it, and what is true."""
    several = len(report["verdicts"]) > 1
    for verdict, comparison in zip(report["verdicts"], _comparisons(report), strict=True):
        pair = f"{verdict['arm']} against {verdict['control']}: {verdict['decision']}"
        yield f'<h2 class="pair">{escape(pair)}</h2>' if several else ""
        sentences = (
            _outcome(verdict, comparison, report),
            _advice(verdict, report),
            _shipping(verdict, report),
            _extent(comparison, report),
        )
        yield "".join(f'<p class="lead">{sentence}</p>' for sentence in sentences if sentence)


def _comparisons(report: Document) -> Sequence[Document | None]:
    """Of each pair the figures that compare rates; None where the mode leaves none to compare."""
    return report.get("comparisons") or [None] * len(report["verdicts"])


def _outcome(verdict: Document, comparison: Document | None, report: Document) -> str:
    """What was counted."""
    arms = {arm["group"]: arm for arm in report["arms"]}
    control, arm = arms[verdict["control"]], arms[verdict["arm"]]
    if report["experiment"]["mode"] == "interleave":
        lists = control["users"] + arm["users"]
        return f"{_called(arm)} won {count(arm['users'])} of {count(lists)} lists." if lists else ""
    if control["rate"] is None or arm["rate"] is None:
        return ""
    gain = points(arm["rate"] - control["rate"]).replace("pp", "percentage points")
    if comparison and comparison["lift"]:
        more = "more" if comparison["lift"] > 0 else "fewer"
        gain += f", or {relative(abs(comparison['lift'])).lstrip('+')} {more}"
    return (
        f"{percent1(arm['rate'])} of the users in {_called(arm)} {succeeded(report)}, "
        f"and {percent1(control['rate'])} of those in {_called(control)}: <b>{gain}</b>."
    )


def _called(arm: Document) -> str:
    """The arm, and its model where it has one that it is not called after."""
    group = escape(arm["group"])
    if arm["model_id"] is None:
        return group
    model = escape(arm["model"] or f"model {arm['model_id']}")
    return group if group == model else f"{group} ({model})"


def _extent(comparison: Document | None, report: Document) -> str:
    """How large the difference is, as far as one can tell."""
    # While users are being lost, the interval is not one of what the arms make.
    if comparison is None or is_withheld(report):
        return ""
    if comparison["rate_A"] is None or comparison["rate_B"] is None:
        return ""
    return (
        "With 95 % confidence, however often one looks, the true difference is "
        f"{extent(comparison['cs'])}, or {extent(comparison['lift_cs'], relative)}."
    )


def _advice(verdict: Document, report: Document) -> str:
    """Whether one may act on it."""
    reason = powers(escape(verdict["reason"]))
    if verdict["better"]:
        held_back = _is_held_back(verdict["better"], report)
        start = "This is hardly chance" if held_back else "You may act on this"
        return (
            f"{start}: {reason}, and of tests of equal arms at most 1 in 20 ever gets there."
            f"{_safety(verdict, report)}"
        )
    if is_withheld(report):
        return f"{_sentence(verdict['reason'])}."
    pair = (verdict["control"], verdict["arm"])
    if not all(arm["users"] for arm in report["arms"] if arm["group"] in pair):
        window = _window(report["experiment"])
        counted = f": users count once their window of {window} has passed" if window else ""
        return f"Not both arms have an outcome{counted}."
    return f"This may still be chance: {reason}. Let the test run on."


def _shipping(verdict: Document, report: Document) -> str:
    """Whether the arm may be shipped, where it is better or a guardrail is broken."""
    rails = [it for it in report.get("guardrails", ()) if it["arm"] == verdict["arm"]]
    broken = any(rail["state"] == "broken" for rail in rails)
    for found in report["shipping"]:
        if found["arm"] != verdict["arm"] or not (broken or verdict["better"] == found["arm"]):
            continue
        arm = escape(found["arm"])
        if found["ready"]:
            held = " Every guardrail is held." if rails else ""
            return f"<b>You may ship {arm}.</b>{held}"
        against = f"<b>Do not ship {arm}{'' if broken else ' yet'}.</b>"
        return " ".join([against, *(f"{_sentence(reason)}." for reason in found["reasons"])])
    return ""


def _safety(verdict: Document, report: Document) -> str:
    """How few lost users would overturn it."""
    lost = verdict["lost_users"]
    if lost is None:
        return ""
    if report["experiment"]["mode"] == "interleave":
        return f" It would take {count(lost)} lost lists to overturn it, all won by the other arm."
    users = "1 lost user" if lost == 1 else f"{count(lost)} lost users"
    return f" It would take {users} to overturn it, if every one spoke against it."


def _window(experiment: Document) -> str:
    """Empty where outcomes came without one."""
    days = experiment["window_days"]
    return "" if days is None else f"{days:g} days"


def _facts(experiment: Document) -> str:
    window = _window(experiment)
    # Without a window, a user is counted as of the exposure.
    counted = "outcome" if window else "exposure"
    found = {
        "Users with an outcome": count(experiment["users"]),
        "Attempt": f"no. {experiment['epoch']}" if experiment["epoch"] else "",
        "Window": window,
        "Allocation": escape(experiment["mode"]),
        f"First {counted}": (experiment["first_settled"] or "-")[:10],
        f"Last {counted}": (experiment["last_settled"] or "-")[:10],
        "Bundle": escape((experiment["bundle"] or "")[:12]),
    }
    return markup.facts({name: value for name, value in found.items() if value})


def _attempts(epoch: int | None) -> str:
    """Starting over until the result pleases is a look that no figure knows of."""
    if epoch is None or epoch == 1:
        return ""
    times = "once" if epoch == 2 else f"{epoch - 1} times"
    return (
        f'<p class="note">This experiment was started over {times}. Each attempt is another chance '
        "for equal arms to look different.</p>"
    )


def _notes(report: Document) -> str:
    """What was made of the files of others."""
    return "".join(f'<p class="note">{escape(note)}</p>' for note in report.get("notes", ()))


def _footer(experiment: Document) -> str:
    counted = " Users count once their window has passed." if _window(experiment) else ""
    return f"<footer>{_LOOKS}{counted} pp: percentage points.</footer>"


def _sections(report: Document) -> Iterator[str]:
    if not report["experiment"]["users"]:
        yield sample_ratio(report)
        return
    yield rates(report)
    yield beliefs(report)
    for course, comparison in zip(report["course"], _comparisons(report), strict=True):
        yield difference(course, comparison, report)
        yield evidence(course, report)
        yield metrics(course, comparison, report)
    yield guardrails(report)
    for found in report.get("paired", ()):
        yield paired(found)
    for found in report.get("breakdowns", ()):
        yield breakdown(found, report)
    yield positions(report)
    yield sample_ratio(report)
    for found in report.get("power", ()):
        yield power(found)
    for found in report.get("comparisons", ()):
        yield one_look(found)
    for found in report.get("covariate", ()):
        yield covariate(found)
    yield off_policy(report)


def _sentence(text: str) -> str:
    return escape(text[0].upper() + text[1:])
