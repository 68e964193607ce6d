"""``segue report --all``: every epoch that ever began, and which verdicts hold among all."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from infra.cli.output import count

if TYPE_CHECKING:
    from rich.console import Console

Document = Mapping[str, Any]

_ABSENT = "-"


def ask_for_overview(url: str) -> dict[str, Any]:
    """What a service says of all epochs, with those of every page."""
    from infra.service import connect

    with connect(url) as service:
        overview = service.overview()
        epochs, position = [*overview["epochs"]], overview["next"]
        while position is not None:
            page = service.overview(next=position)
            epochs += page["epochs"]
            position = page["next"]
    return overview | {"epochs": epochs, "next": None}


def show_overview(overview: Document, terminal: "Console") -> None:
    """Print how many verdicts hold among all, then a row for each arm beside its control."""
    from rich.box import SIMPLE
    from rich.table import Table

    terminal.print(
        f"{count(overview['verdicts'], 'verdict')} on epochs with outcomes: "
        f"{overview['decided']:,} decided, {overview['discoveries']:,} of them hold among all, "
        f"which takes evidence of {overview['decisive']:,.0f}"
    )
    table = Table(box=SIMPLE, pad_edge=False)
    for heading in ("epoch", "arms", "verdict", "among all"):
        table.add_column(heading)
    for heading in ("lost users", "evidence", "users"):
        table.add_column(heading, justify="right")
    for row in _rows(overview):
        table.add_row(*row)
    terminal.print(table)


def _rows(overview: Document) -> Iterator[tuple[str, ...]]:
    for epoch in overview["epochs"]:
        for verdict in epoch["verdicts"]:
            held = "holds" if verdict["discovery"] else "does not"
            lost = verdict["lost_users"]
            yield (
                f"{epoch['name']} {epoch['epoch']}, {epoch['side']}",
                f"{verdict['arm']} beside {verdict['control']}",
                verdict["decision"],
                held if verdict["better"] else _ABSENT,
                _ABSENT if lost is None else f"{lost:,}",
                f"{verdict['evidence']:.3g}",
                f"{epoch['users']:,}",
            )
