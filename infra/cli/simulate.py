"""``segue simulate``: listeners with known tastes, to check a service's report end to end."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import typer

from infra.cli.options import Data, Json
from infra.cli.output import console, write_json
from infra.cli.report import LOCAL_URL, Url, show
from segue.domain.errors import SegueError


class MismatchError(SegueError):
    """The service counts or does otherwise than it has to, by what its listeners know."""


def simulate(
    data: Data,
    url: Url = LOCAL_URL,
    control: Annotated[int, typer.Option(metavar="MODEL", help="Shown to one half.")] = 0,
    treatment: Annotated[
        int,
        typer.Option(metavar="MODEL", help="Shown to the other; control's again is an A/A test."),
    ] = 3,
    listeners: Annotated[int, typer.Option(min=2, help="How many listeners.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same listeners.")] = 7,
    fault: Annotated[
        Literal["sample-ratio", "duplicates"] | None,
        typer.Option(
            help="sample-ratio: of the treatment's listeners, those who heard nothing to its end "
            "ask to be erased. duplicates: every request comes twice at once, events in reverse, "
            "and all of it once more after the end."
        ),
    ] = None,
    scenario: Annotated[
        Literal["ramped", "fresh", "layers", "drift", "ship"] | None,
        typer.Option(
            help="ramped: traffic grows while listeners ask. fresh: they ask again after more "
            "listening. layers: two experiments and a holdout share a layer. drift: Thompson "
            "sampling, while both arms do better and better. ship: what the verdict names is "
            "shipped. Not together with --fault."
        ),
    ] = None,
    json_file: Json = None,
) -> None:
    """Let listeners of known taste use a running service, and check what it reports of them.

    The service must serve models that were trained on the demo data in DIR, and have their
    cut-off for now, as `segue serve` does. There outcomes are settled at once, on AWS by the
    hourly schedule, which is waited for. A simulation that was stopped goes on when it is called
    again.
    """
    from infra.progress import progress_bars
    from infra.service import Service
    from infra.simulator import Fault, Plan, Scenario
    from infra.simulator import simulate as play

    if fault and scenario:
        raise typer.BadParameter("take either --fault or --scenario")
    terminal = console(json_file)
    plan = Plan(
        control,
        treatment,
        listeners,
        seed,
        Fault(fault) if fault else None,
        Scenario(scenario) if scenario else None,
    )
    with progress_bars(terminal) as bars:
        answer = play(Service(url), data, plan, bars)
    show(answer["report"], terminal)
    terminal.print()
    for line in _lines(answer):
        terminal.print(line)
    write_json(json.dumps(answer, indent=2), json_file)
    if not answer["counts"]["exact"]:
        raise MismatchError("the service's counts are not what its listeners did")
    if failed := [it["what"] for it in answer["checks"] if it["expected"] != it["found"]]:
        raise MismatchError(f"otherwise than expected: {'; '.join(failed)}")


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    truth, counts = answer["truth"], answer["counts"]
    rates = ", ".join(f"{group} {rate:.3f}" for group, rate in truth["rates"].items())
    yield f"Truth: {rates}; treatment - control {truth['difference']:+.3f}"
    words = {True: "names the better one", False: "WRONG", None: "names none"}
    better = f"{truth['better']} is better" if truth["better"] else "neither is better"
    yield f"Verdict: {words[answer['right']]}; in truth, {better}"
    for group, (successes, users) in counts["listeners"].items():
        reported = "/".join(f"{count:,}" for count in counts["service"][group])
        yield f"Counts of {group}: {reported} reported, {successes:,}/{users:,} happened"
    for check in answer["checks"]:
        yield f"Check: {check['what']}: {check['expected']} expected, {check['found']} found"
