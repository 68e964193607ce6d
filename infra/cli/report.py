"""``segue report``: what an A/B test of a running service says so far."""

import json
from collections.abc import Callable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.options import Json
from infra.cli.output import console, extent, write_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Url = Annotated[
    str,
    typer.Option(
        metavar="URL",
        help="Of the API. Elsewhere than on this machine, requests are signed by the credentials "
        "of the environment, as AWS wants them.",
    ),
]
LOCAL_URL = "http://127.0.0.1:8000"
Experiment = Annotated[str, typer.Option(metavar="NAME", help="Which one.")]
Live = Annotated[bool, typer.Option("--live", help="Of what listeners were shown, not of replays.")]

Document = Mapping[str, Any]

_ABSENT = "-"


def report(
    url: Url = LOCAL_URL,
    experiment: Experiment = "default",
    live: Live = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the page for a browser.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Say what an A/B test has shown so far: the verdict, and what it rests on."""
    from infra.service import connect

    with connect(url) as service:
        document = service.report(experiment=experiment, live=live)
        page = service.report_page(experiment=experiment, live=live) if html else ""
    show(document, console(json_file))
    write_json(json.dumps(document, indent=2), json_file)
    if html:
        # Its links are relative to where it comes from.
        base = f'<head><base href="{escape(url.rstrip("/"))}/ab_test/report">'
        page = page.replace("<head>", base, 1)
        html.write_text(page, encoding="utf-8")


def show(document: Document, terminal: "Console") -> None:
    """Print a report, the verdicts first."""
    for verdict in document["verdicts"]:
        terminal.print(f"{_beside(document, verdict)}{verdict['decision']}: {verdict['reason']}")
    terminal.print(_arms(document))
    for line in _lines(document):
        terminal.print(line)


def _beside(document: Document, part: Document) -> str:
    """Which pair it is about, where there are several."""
    several = len(document["verdicts"]) > 1
    return f"{part['arm']} beside {part['control']}: " if several else ""


def _arms(document: Document) -> "Table":
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("arm")
    for heading in ("model", "share", "users", "successes", "rate", "95 % interval"):
        table.add_column(heading, justify="right")
    for arm in document["arms"]:
        table.add_row(
            arm["group"],
            str(arm["model_id"]),
            _given(arm["share"], "{:.0%}".format),
            f"{arm['users']:,}",
            _given(arm["successes"], "{:,}".format),
            _given(arm["rate"], _number),
            _given(arm["interval"], _interval),
        )
    return table


def _lines(document: Document) -> Iterator[str]:
    """All else, as far as the mode of allocation has it."""
    withheld = document["verdicts"][0]["decision"] == "decision withheld"
    for it in document.get("comparisons", ()):
        names = f"{it['arm']} - {it['control']}"
        at_any_time = "withheld" if withheld else extent(it["cs"])
        yield f"{names}: {_difference(it)}, at any time {at_any_time}"
    if ratio := document.get("sample_ratio"):
        state = "OFF: users are being lost" if ratio["off"] else "as allotted"
        yield f"sample ratio: {state} (p = {ratio['p']:.2g}, E = {ratio['E']:.3g})"
    for it in document.get("power", ()):
        yield f"{_beside(document, it)}power: {_power(it)}"
    for it in document.get("guardrails", ()):
        figures = " against ".join(_given(it[f"mean_{arm}"], _number) for arm in ("arm", "control"))
        yield f"guardrail {it['figure']} of {it['arm']}: {it['state']} ({figures})"
    for it in document["off_policy"] or ():
        yield f"{it['group']} for everybody: {_number(it['rate'])} {_interval(it['interval'])}"
    yield _origin(document["experiment"])


def _difference(comparison: Document) -> str:
    if comparison["rate_A"] is None or comparison["rate_B"] is None:
        return _ABSENT
    return f"{comparison['rate_B'] - comparison['rate_A']:+.3f}"


def _power(power: Document) -> str:
    detectable = _given(power["detectable_difference"], _number)
    needed = [
        f"{it['difference']:g} takes {it['users']:,.0f} ({it['done']:.0%} are there)"
        for it in power["needed"]
    ]
    return "; ".join([f"these users can show a difference of {detectable}", *needed])


def _origin(experiment: Document) -> str:
    first, last = experiment["first_settled"], experiment["last_settled"]
    settled = f", settled {first} to {last}" if first else ""
    return (
        f"{experiment['name']}, {experiment['side']}, epoch {experiment['epoch']}, "
        f"{experiment['mode']}, window {experiment['window_days']:g} days, bundle "
        f"{experiment['bundle']}: {experiment['users']:,} users{settled}"
    )


def _given(value: Any, write: Callable[[Any], str]) -> str:
    return _ABSENT if value is None else write(value)


def _number(value: float) -> str:
    return f"{value:.3f}"


def _interval(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"[{low:.3f}, {high:.3f}]"
