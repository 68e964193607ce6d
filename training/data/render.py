"""Draws a summary for the terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from segue.domain.times import DAY, format_time
from training.data.summary import FileSummary, Summary


def render(summary: Summary) -> RenderableType:
    """What the folder holds: its files, what is wrong with them, and what was heard."""
    return Group(_files(summary), *_faults(summary), _listening(summary))


def _files(summary: Summary) -> Table:
    table = Table(title=f"Files of {summary.folder}", title_justify="left")
    table.add_column("file")
    for heading in ("read", "kept", "repeats", "quarantined"):
        table.add_column(heading, justify="right")
    for name, file in summary.files.items():
        if file.file is None:
            table.add_row(f"no {name}", style="yellow")
        else:
            counts = (file.read, file.kept, file.repeats, file.quarantined)
            table.add_row(Text(file.file), *map(_number, counts))
    return table


def _faults(summary: Summary) -> list[Table]:
    table = Table(title="Not used, or read as missing", title_justify="left")
    for heading, justify in (("file", "left"), ("what", "left"), ("rows", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for file in summary.files.values():
        for reason, rows in file.reasons.items():
            table.add_row(Text(str(file.file)), Text(reason), _number(rows), style="red")
        for warning, rows in file.warnings.items():
            table.add_row(Text(str(file.file)), Text(warning), _number(rows), style="yellow")
    return [table] if table.row_count else []


def _listening(summary: Summary) -> Table:
    table = Table(title="Listening", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for label, figure in _figures(summary):
        table.add_row(label, figure)
    return table


def _figures(summary: Summary) -> list[tuple[str, str]]:
    unknown = summary.unknown_plays
    return [
        ("tracks / artists", f"{_number(summary.tracks)} / {_number(summary.artists)}"),
        ("users / of them with events", f"{_number(summary.users)} / {_number(summary.listeners)}"),
        ("sessions", _number(summary.sessions)),
        *((f"{kind} events", _number(count)) for kind, count in summary.events_by_type.items()),
    ]


def _number(count: int) -> str:
    return f"{count:,}"
