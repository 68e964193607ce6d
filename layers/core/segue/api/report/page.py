"""The report as a page: the verdict first, in words; then what it rests on, drawn.

One document without scripts, fonts or anything else from another address.
"""

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from segue.api.report import markup
from segue.api.report.numerals import NO_BREAK, count, percent1
from segue.api.report.numerals import difference as difference_between
from segue.api.report.sections import (
    beliefs,
    breakdown,
    covariate,
    difference,
    evidence,
    guardrails,
    is_withheld,
    off_policy,
    one_look,
    power,
    rates,
    sample_ratio,
)

Document = Mapping[str, Any]

_STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
_SIDES = {
    "replay": "replay of what was played after the cut-off",
    "live": "live, on what listeners were shown",
}
_FOOTER = (
    "<footer>The verdict, the evidence, the shaded difference and the guardrails are right however "
    "often one looks. All other figures hold for one look. Results whose window has not passed do "
    "not count yet. pp: percentage points.</footer>"
)


def page(report: Document) -> str:
    """HTML of a document of ``segue.services.report``."""
    title = f"{_headline(report)} - {escape(report['experiment']['name'])}"
    sections = f'<div class="grid2">{"".join(_sections(report))}</div>'
    # A number and its unit stay in one line.
    body = f"{_header(report)}{sections}{_FOOTER}".replace(" %", f"{NO_BREAK}%")
    return markup.document(title, _STYLE, body)


def _header(report: Document) -> str:
    experiment = report["experiment"]
    reasons = "".join(
        f'<p class="reason">{_reason(verdict, report)} {_extent(course, report)}</p>'
        for verdict, course in zip(report["verdicts"], report["course"], strict=True)
    )
    return (
        f"<header><p>Experiment {escape(experiment['name'])}, {_SIDES[experiment['side']]}</p>"
        f'<h1 class="{_tone(report)}">{_headline(report)}</h1>{reasons}'
        f"{_facts(experiment)}{_attempts(experiment['epoch'])}</header>"
    )


def _headline(report: Document) -> str:
    verdicts = report["verdicts"]
    if len(verdicts) == 1:
        return _sentence(verdicts[0]["decision"])
    decided = [_beside_the_other(it) for it in verdicts if it["better"]]
    return _sentence("; ".join(decided) or verdicts[0]["decision"])


def _beside_the_other(verdict: Document) -> str:
    """Which arm is better than which, where there are several."""
    other = verdict["control"] if verdict["better"] == verdict["arm"] else verdict["arm"]
    return f"{verdict['decision']} than {other}"


def _tone(report: Document) -> str:
    if any(it["better"] for it in report["verdicts"]):
        return "yes"
    return "no" if is_withheld(report) else "wait"


def _reason(verdict: Document, report: Document) -> str:
    if len(report["verdicts"]) == 1:
        return f"{_sentence(verdict['reason'])}."
    pair = f"{verdict['arm']} against {verdict['control']}: {verdict['decision']}"
    return f"{escape(pair)}; {escape(verdict['reason'])}."


def _extent(course: Document, report: Document) -> str:
    """How large the difference is, as far as one can tell."""
    rates = {it["group"]: it["rate"] for it in report["arms"]}
    control, arm = rates[course["control"]], rates[course["arm"]]
    if control is None or arm is None:
        return ""
    last = course["points"][-1]
    rates_of_both = (
        f"{escape(course['control'])} succeeds with {percent1(control)} of its users, "
        f"{escape(course['arm'])} with {percent1(arm)}."
    )
    # While users are being lost, the interval is not one of what the arms make.
    if "low" not in last or is_withheld(report):
        return rates_of_both
    extent = difference_between((last["low"], last["high"]))
    return f"{rates_of_both} The difference is {extent}, with 95 % confidence at every look."


def _facts(experiment: Document) -> str:
    last = experiment["last_settled"]
    return markup.facts(
        {
            "Users with an outcome": count(experiment["users"]),
            "Attempt": f"no. {experiment['epoch']}",
            "Window": f"{experiment['window_days']:g} days",
            "Allocation": escape(experiment["mode"]),
            "Last settled": "-" if last is None else last[:10],
            "Models": escape(experiment["bundle"][:12]),
        }
    )


def _attempts(epoch: int) -> str:
    """Starting over until the result pleases is a look that no figure knows of."""
    if epoch == 1:
        return ""
    times = "once" if epoch == 2 else f"{epoch - 1} times"
    return (
        f'<p class="note">This experiment was started over {times}. Each attempt is another chance '
        "for equal arms to look different.</p>"
    )


def _sections(report: Document) -> Iterator[str]:
    yield rates(report)
    yield beliefs(report)
    for course in report["course"]:
        yield difference(course, report)
        yield evidence(course, report)
    yield guardrails(report)
    for found in report.get("breakdowns", ()):
        yield breakdown(found, report)
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
