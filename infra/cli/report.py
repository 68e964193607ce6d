"""``segue report``: what an A/B test of a running service says so far."""

import json
from collections.abc import Callable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.options import STATE, Json, read_pairs
from infra.cli.output import console, count, extent, write_json
from infra.cli.overview import ask_for_overview, show_overview
from segue.experiments.experiment import DEFAULT_NAME

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
    experiment: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which one; without a name, default. With --from: which one of those in FILE, or "
            "what to call it.",
        ),
    ] = None,
    live: Live = False,
    all_epochs: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Of every epoch that ever began, in replay and live: its verdict, and whether it "
            "holds among all of them.",
        ),
    ] = False,
    exposures: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Ask no service: judge an experiment whose users others assigned. A table (CSV, "
            "Parquet or JSON Lines) of user, arm, time of exposure, and outcome (1 or 0).",
        ),
    ] = None,
    outcomes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Of --from without outcomes: a table of user and time, a row for each success.",
        ),
    ] = None,
    window_days: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=365,
            help="Of --from: how long after the first exposure an outcome counts. Who has not had "
            "as long is not judged yet.",
        ),
    ] = None,
    columns: Annotated[
        str,
        typer.Option(
            metavar="FIELD=COLUMN,...",
            help="Of --from: which column holds what, where it is not called so. Fields: user, "
            "arm, time, outcome, experiment.",
        ),
    ] = "",
    control: Annotated[
        str | None,
        typer.Option(
            metavar="ARM",
            help="Of --from: the arm to compare the others with; else the one called control, "
            "__c__, 0 or A, or the first by name.",
        ),
    ] = None,
    shares: Annotated[
        str,
        typer.Option(
            metavar="ARM=SHARE,...",
            help="Of --from: the arms to compare, and their shares of users as allotted; else all "
            "arms, and equal shares.",
        ),
    ] = "",
    quarantine: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Of --from: where the rows go that cannot be used."),
    ] = STATE / "quarantine.jsonl",
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the page for a browser.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Say what an A/B test has shown so far: the verdict, and what it rests on."""
    if all_epochs:
        of_one = (experiment, live, exposures, outcomes, window_days, columns, control, shares)
        if any(of_one) or html:
            raise typer.BadParameter(
                "--all is of every experiment, and takes --url and --json only"
            )
        overview = ask_for_overview(url)
        show_overview(overview, console(json_file))
        write_json(json.dumps(overview, indent=2), json_file)
        return
    document: Document
    if exposures:
        if live:
            raise typer.BadParameter("--live is of a service; leave it out with --from")
        from infra.assigned import judge
        from segue.api.report.page import page as page_of

        document = judge(
            exposures,
            outcomes,
            quarantine=quarantine,
            columns=read_pairs(columns, "FIELD=COLUMN,FIELD=COLUMN"),
            experiment=experiment,
            control=control,
            shares=_shares(shares),
            window_days=window_days,
        )
        page = page_of(document) if html else ""
    elif outcomes or window_days or columns or control or shares:
        raise typer.BadParameter(
            "--outcomes, --window-days, --columns, --control and --shares need --from FILE"
        )
    else:
        document, page = _asked(url, experiment or DEFAULT_NAME, live=live, with_page=bool(html))
    show(document, console(json_file))
    write_json(json.dumps(document, indent=2), json_file)
    if html:
        html.write_text(page, encoding="utf-8")


def _asked(url: str, experiment: str, *, live: bool, with_page: bool) -> tuple[Document, str]:
    """The report of a service, and its page, where it is wanted."""
    from infra.service import connect

    with connect(url) as service:
        document = service.report(experiment=experiment, live=live)
        page = service.report_page(experiment=experiment, live=live) if with_page else ""
    # Its links are relative to where it comes from.
    base = f'<head><base href="{escape(url.rstrip("/"))}/ab_test/report">'
    return document, page.replace("<head>", base, 1)


def _shares(text: str) -> dict[str, float] | None:
    """None where none are given."""
    pairs = read_pairs(text, "ARM=SHARE,ARM=SHARE")
    try:
        return {arm: float(share) for arm, share in pairs.items()} or None
    except ValueError:
        raise typer.BadParameter(f"{text!r}: shares are numbers, as in 0.5") from None


def show(document: Document, terminal: "Console") -> None:
    """Print a report, the verdicts first."""
    for verdict in document["verdicts"]:
        terminal.print(f"{_verdict(document, verdict)}{_lost_users(document, verdict)}")
    for note in document.get("notes", ()):
        terminal.print(note)
    terminal.print(_arms(document))
    for line in _lines(document):
        terminal.print(line)


def _verdict(document: Document, part: Document) -> str:
    return f"{_beside(document, part)}{part['decision']}: {part['reason']}"


def _lost_users(document: Document, verdict: Document) -> str:
    """How few of them would overturn it, where that is known."""
    if verdict["lost_users"] is None:
        return ""
    noun = "list" if document["experiment"]["mode"] == "interleave" else "user"
    return f"; {count(verdict['lost_users'], f'lost {noun}')} would overturn it"


def _beside(document: Document, part: Document) -> str:
    """Which pair it is about, where there are several."""
    several = len(document["verdicts"]) > 1
    return f"{part['arm']} beside {part['control']}: " if several else ""


def _arms(document: Document) -> "Table":
    from rich.box import SIMPLE
    from rich.table import Table

    # Of arms that others assigned, no model is known.
    models = [str(arm["model_id"]) for arm in document["arms"] if arm["model_id"] is not None]
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("arm")
    for heading in (
        *(["model"] if models else []),
        "share",
        "users",
        "successes",
        "rate",
        "95 % interval",
    ):
        table.add_column(heading, justify="right")
    for place, arm in enumerate(document["arms"]):
        table.add_row(
            arm["group"],
            *models[place : place + 1],
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
    yield from _paired(document)
    if ratio := document.get("sample_ratio"):
        state = "OFF: users are being lost" if ratio["off"] else "as allotted"
        yield f"sample ratio: {state} (p = {ratio['p']:.2g}, E = {ratio['E']:.3g})"
    for it in document.get("power", ()):
        yield f"{_beside(document, it)}power: {_power(it)}"
    for it in document.get("guardrails", ()):
        figures = " against ".join(_given(it[f"mean_{arm}"], _number) for arm in ("arm", "control"))
        yield f"guardrail {it['figure']} of {it['arm']}: {it['state']} ({figures})"
    if not withheld:
        yield from map(_metric, document.get("metrics", ()))
    for it in document.get("shipping", ()):
        against = "; ".join(it["reasons"])
        yield f"ship {it['arm']}: {f'no ({against})' if against else 'yes'}"
    for it in document["off_policy"] or ():
        yield f"{it['group']} for everybody: {_number(it['rate'])} {_interval(it['interval'])}"
    yield _origin(document["experiment"])


def _difference(comparison: Document) -> str:
    if comparison["rate_A"] is None or comparison["rate_B"] is None:
        return _ABSENT
    return f"{comparison['rate_B'] - comparison['rate_A']:+.3f}"


def _paired(document: Document) -> Iterator[str]:
    """The verdict of users who compared both arms, and what it rests on."""
    for it in document.get("paired", ()):
        yield f"both arms for every user: {_verdict(document, it)}"
        needed = it["users_needed_unpaired"]
        unpaired = f"; with one arm for each, it would take {needed:,.0f} users" if needed else ""
        yield (
            f"of {count(it['users'], 'user')}, {it['arm_only']:,} succeeded with {it['arm']} "
            f"alone, {it['control_only']:,} with {it['control']} alone: "
            f"{it['difference']:+.3f}, at any time {extent(it['interval'])}{unpaired}"
        )


def _metric(metric: Document) -> str:
    figures = " against ".join(_given(metric[f"mean_{arm}"], _number) for arm in ("arm", "control"))
    name = f"{metric['metric']} of {metric['arm']}: {figures} {metric['unit']}".rstrip()
    kind = " (asymptotic)" if metric["asymptotic"] else ""
    return f"{name}, difference at any time {_given(metric['interval'], _interval)}{kind}"


def _power(power: Document) -> str:
    detectable = _given(power["detectable_difference"], _number)
    needed = [
        f"{it['difference']:g} takes {it['users']:,.0f} ({it['done']:.0%} are there)"
        for it in power["needed"]
    ]
    return "; ".join([f"these users can show a difference of {detectable}", *needed])


def _origin(experiment: Document) -> str:
    """Which experiment it is, and how far it has come; as far as that is known."""
    days, first = experiment["window_days"], experiment["first_settled"]
    parts = (
        experiment["name"],
        experiment["side"] or "assigned elsewhere",
        f"epoch {experiment['epoch']}" if experiment["epoch"] else "",
        experiment["mode"],
        f"window {days:g} days" if days else "",
        f"bundle {experiment['bundle']}" if experiment["bundle"] else "",
    )
    counted = "settled" if days else "exposed"
    settled = f", {counted} {first} to {experiment['last_settled']}" if first else ""
    return f"{', '.join(filter(None, parts))}: {experiment['users']:,} users{settled}"


def _given(value: Any, write: Callable[[Any], str]) -> str:
    return _ABSENT if value is None else write(value)


def _number(value: float) -> str:
    return f"{value:.3f}"


def _interval(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"[{low:.3f}, {high:.3f}]"
