"""What breaks first, and what it costs, at sizes that nobody has run: ``python -m
infra.benchmarks.plan``.

Arithmetic over what is measured: units and bytes of docs/cost.md, AWS's default quotas, and its
prices. Prints the table of docs/scale.md, or writes it there.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from infra.benchmarks.costs import GB_OF_TABLE, GB_SECOND, PER_MILLION
from infra.benchmarks.meter import Charge
from infra.benchmarks.pages import Section
from infra.cli.options import Json
from infra.cli.output import console, markdown_table, write_json

_MONTH = 30 * 86_400
_MEMORY = 1.728

# As docs/cost.md has them, for the hybrid: seconds of a prediction and of a call with 20 events;
# units that a prediction reads of sessions, profile and track changes.
PREDICTING, SENDING = 0.050, 0.020
SESSIONS, PROFILE, CHANGES = 9.5, 0.5, 1.0
# A listener of 300 plays a month, each fifth one skipped, in calls of 20 events; units written and
# read for an event; bytes that a year of them takes, digest included.
EVENTS, IN_CALL = 360, 20
WRITTEN, READ = 0.395, 0.209
STORED = 12 * 13_068 + 37_000
# Bytes of the demo's bundle for each of its 20,000 tracks: every model, and what people read.
OF_TRACK = 1_400
# A month, in dollars: what is paid whatever is asked, as docs/cost.md adds it up, without tables.
FIXED = 49.0
# API Gateway, Lambda's calls, logs, data out, the pointer: dollars for a million predictions.
PER_MILLION_CALLS = 3.50 + 0.20 + 0.90 + 0.09 + 0.10

PAGE = Section(
    "<!-- The plan, written by `python -m infra.benchmarks.plan`: -->\n\n",
    "\n<!-- End of the plan. -->\n",
)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a service is; every listener hears as much as any."""

    requests: int
    users: int
    tracks: int

    @property
    def events(self) -> float:
        """A second."""
        return self.users * EVENTS / _MONTH

    @property
    def calls(self) -> float:
        """To the API, a second."""
        return self.requests + self.events / IN_CALL

    @property
    def running(self) -> float:
        """Calls at the same time, on average: Little's law."""
        return self.requests * PREDICTING + self.events / IN_CALL * SENDING


SIZES = (
    Size(100, 1_000_000, 100_000),
    Size(1_000, 100_000_000, 10_000_000),
    Size(10_000, 100_000_000, 10_000_000),
)


@dataclass(frozen=True, slots=True)
class Limit:
    """What AWS allows unless asked for more, what a size needs of it, and what to do then."""

    name: str
    allowed: float
    need: Callable[[Size], float]
    remedy: str


LIMITS = (
    Limit(
        "bytes of function and layers, with the bundle in a layer",
        250e6,
        lambda size: 90e6 + OF_TRACK * size.tracks,
        "have the bundle in the bucket; instances copy it to their temporary storage",
    ),
    Limit(
        "bytes of temporary storage with SnapStart",
        512e6,
        lambda size: OF_TRACK * size.tracks,
        "without SnapStart up to 10 GB; beyond that only the head of the catalogue in all models",
    ),
    Limit(
        "units a second read of the items that name the latest change of tracks",
        16 * 3_000,
        lambda size: size.requests * CHANGES,
        "more copies: `_COPIES`",
    ),
    Limit(
        "units a second read of the table of sessions",
        40_000,
        lambda size: size.requests * SESSIONS + size.events * READ,
        "ask AWS for a higher quota of the table",
    ),
    Limit(
        "units a second written to the table of sessions",
        40_000,
        lambda size: size.events * WRITTEN,
        "ask AWS for a higher quota of the table",
    ),
    Limit(
        "calls a second of the API",
        10_000,
        lambda size: size.calls,
        "ask AWS for a higher quota of the account",
    ),
    Limit(
        "calls at the same time",
        1_000,
        lambda size: size.running,
        "ask AWS for more concurrency, twice the average",
    ),
)


def costs(size: Size) -> dict[str, float]:
    """Dollars a month, by what they are for."""
    predictions, events = size.requests * _MONTH / 1e6, size.events * _MONTH / 1e6
    read, written = PER_MILLION[Charge.READ], PER_MILLION[Charge.WRITE]
    return {
        "predictions: API, calls, logs": predictions * PER_MILLION_CALLS,
        "predictions: time": predictions * 1e6 * PREDICTING * _MEMORY * GB_SECOND,
        "predictions: tables": predictions * (SESSIONS + PROFILE + CHANGES) * read,
        "events: API, calls, time, logs": events * 0.27,
        "events: tables": events * (WRITTEN * written + READ * read),
        "a year of listening kept": size.users * STORED / 1e9 * GB_OF_TABLE,
        "whatever is asked": FIXED,
    }


def broken(size: Size) -> list[Limit]:
    """The limits that a size goes beyond, the furthest first."""
    beyond = [limit for limit in LIMITS if limit.need(size) > limit.allowed]
    return sorted(beyond, key=lambda limit: limit.allowed / limit.need(size))


def section(sizes: Sequence[Size]) -> str:
    """What the page has of it."""
    heads = [
        f"{it.requests:,} requests/s, {_short(it.users)} users, {_short(it.tracks)} tracks"
        for it in sizes
    ]
    limits = [
        (limit.name, _short(limit.allowed), *(_needed(limit, size) for size in sizes), limit.remedy)
        for limit in LIMITS
    ]
    paid = [costs(size) for size in sizes]
    dollars = [(name, *(f"{each[name]:,.0f}" for each in paid)) for name in paid[0]]
    dollars.append(("**together**", *(f"**{sum(each.values()):,.0f}**" for each in paid)))
    return "\n".join(
        [
            *markdown_table(("needed", "allowed", *heads, "then"), limits),
            "",
            *(_first(head, size) for head, size in zip(heads, sizes, strict=True)),
            "",
            *markdown_table(("dollars a month", *heads), dollars),
            "",
        ]
    )


def _first(head: str, size: Size) -> str:
    """What breaks first."""
    beyond = broken(size)
    if not beyond:
        return f"- **{head}**: nothing breaks."
    return f"- **{head}**: first to break: {', then '.join(limit.name for limit in beyond)}."


def _needed(limit: Limit, size: Size) -> str:
    """And how many times what is allowed, where that is too much."""
    need = limit.need(size)
    times = f" (**{need / limit.allowed:.1f} x**)" if need > limit.allowed else ""
    return f"{_short(need)}{times}"


def _short(number: float) -> str:
    """To two or three digits, with a letter for thousands and so on."""
    for unit, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= unit:
            return f"{number / unit:.3g}{letter}"
    return f"{number:.3g}"


def main(
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the tables into this page.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Work out what breaks first at three sizes, and what each costs."""
    written = section(SIZES)
    console(json_file).print(written)
    if page:
        PAGE.write(page, written)
    answer = [
        {
            "size": asdict(size),
            "needed": {limit.name: limit.need(size) for limit in LIMITS},
            "breaks": [limit.name for limit in broken(size)],
            "dollars_a_month": costs(size),
        }
        for size in SIZES
    ]
    write_json(json.dumps(answer, indent=2), json_file)


if __name__ == "__main__":
    typer.run(main)
