"""All epochs that ever began as a page: what came of each, and what holds among all of them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import urlencode

from segue.api.report import markup
from segue.api.report.numerals import count, figure, p_value, percent
from segue.api.report.page import page_of, report_address

Document = Mapping[str, Any]

# What matters most comes first: on a phone the rest has to be scrolled to.
_HEADS = ("epoch", "verdict", "among all", "lost users", "evidence", "p", "users", "last outcome")
_NOTE = (
    "Among all: of the verdicts that hold, at most {rate} are false on average, however often "
    "one looks and whatever was begun anew. Lost users: the fewest users who, had their outcomes "
    "been lost and all spoken against the verdict, would overturn it."
)
_ARCHIVED = "Outcomes count here once they are archived, by the next quarter of an hour."


def overview_page(overview: Document, limit: int) -> str:
    """HTML of ``segue.reporting``'s overview, of which ``limit`` epochs are on a page."""
    rows = list(_rows(overview["epochs"]))
    title = "Every epoch that ever began"
    note = _NOTE.format(rate=percent(overview["false_discovery_rate"]))
    listed = markup.table(title, _HEADS, rows) if rows else ""
    body = (
        f'<header><h1>{title}</h1><p class="lead">{_lead(overview)}</p></header>'
        f"{markup.section('Verdicts', note, listed)}"
        f"{_further(overview['next'], limit)}<footer>{_ARCHIVED}</footer>"
    )
    return page_of(title, body)


def _lead(overview: Document) -> str:
    verdicts, decided, discoveries = (overview[it] for it in ("verdicts", "decided", "discoveries"))
    if not verdicts:
        return "No epoch has an outcome yet."
    arms = "arm was" if verdicts == 1 else "arms were"
    return (
        f"{count(verdicts)} {arms} compared with a control so far. "
        f"{count(decided)} of these tests {'is' if decided == 1 else 'are'} decided, each by "
        f"itself; <b>{count(discoveries)}</b> of them "
        f"{'holds' if discoveries == 1 else 'hold'} among all {count(verdicts)}, which takes "
        f"evidence of {count(math.ceil(overview['decisive']))}."
    )


def _rows(epochs: Sequence[Document]) -> Iterator[list[str]]:
    """One for each arm beside the control."""
    for epoch in epochs:
        for verdict in epoch["verdicts"]:
            yield [
                _epoch(epoch, verdict),
                *(_verdict(verdict) if epoch["users"] else "-----"),
                count(epoch["users"]),
                (epoch["last_settled"] or "-")[:10],
            ]


def _epoch(epoch: Document, verdict: Document) -> str:
    """The experiment, as a link to the report, and below it what tells the row from others."""
    address = report_address(epoch, "report", epoch=epoch["epoch"])
    details = (
        f"epoch {epoch['epoch']}, {epoch['side']}",
        f"{verdict['arm']} beside {verdict['control']}",
        epoch["mode"],
        f"bundle {epoch['bundle'][:12]}",
    )
    return (
        f"{markup.link(address, escape(epoch['name']))}<small>{escape('; '.join(details))}</small>"
    )


def _verdict(verdict: Document) -> list[str]:
    """The decision, whether it holds among all, what would overturn it, and what it rests on."""
    holds, lost = "-", "-"
    if verdict["better"]:
        held = verdict["discovery"]
        holds = f'<b class="{"held" if held else "not"}">{"holds" if held else "does not"}</b>'
    if verdict["lost_users"] is not None:
        lost = count(verdict["lost_users"])
    return [
        escape(verdict["decision"]),
        holds,
        lost,
        _evidence(verdict["log_evidence"]),
        p_value(verdict["p_anytime"]),
    ]


def _evidence(logarithm: float) -> str:
    digits = logarithm / math.log(10)
    return (
        f"10<sup>{count(math.floor(digits))}</sup>" if digits > 6 else figure(math.exp(logarithm))
    )


def _further(position: str | None, limit: int) -> str:
    if position is None:
        return ""
    query = escape(urlencode({"format": "html", "limit": limit, "next": position}))
    return f'<p class="downloads">{markup.link(f"?{query}", "Further epochs")}</p>'
