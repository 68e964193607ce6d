"""Draws a summary for the terminal, and what was put aside."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from segue.domain.times import DAY, SECOND, format_time
from training.data.summary import Summary

MINUTE = 60 * SECOND
_FIRST = 5
_WIDTH = 100


def render(summary: Summary) -> RenderableType:
    """What the folder holds: its files, what is wrong with them, and what was heard."""
    return Group(_files(summary), *_faults(summary), _listening(summary))


def render_quarantine(path: Path, rows: int) -> RenderableType:
    """The first rows of a quarantine file, of so many, and why each is there."""
    noun = "row" if rows == 1 else "rows"
    lines = [Text(f"{rows:,} {noun} put aside, into {path}", style="italic")]
    with path.open("rb") as file:
        for entry in map(msgspec.json.decode, islice(file, _FIRST)):
            where = f"  {entry['file']}, line {entry['line']}: {'; '.join(entry['reasons'])}"
            lines.append(Text(where, style="red"))
            lines.append(Text(f"    {entry['record'][:_WIDTH]}", style="dim"))
    if rows > _FIRST:
        lines.append(Text("  ..."))
    return Group(*lines)


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
    table.add_column("file")
    table.add_column("what")
    table.add_column("rows", justify="right")
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


def _figures(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "tracks", _number(summary.tracks)
    yield "artists", _number(summary.artists)
    yield "users", _number(summary.users)
    yield "listeners (users with events)", _number(summary.listeners)
    yield "sessions", _number(summary.sessions)
    yield "events", _number(summary.events)
    for kind, count in summary.events_by_type.items():
        yield f"  {kind}", _number(count)
    if summary.first_event is not None and summary.last_event is not None:
        days = (summary.last_event - summary.first_event) / DAY
        yield "first event", format_time(summary.first_event)
        yield "last event", f"{format_time(summary.last_event)}, {days:,.1f} days later"
    yield "plays", _number(summary.plays)
    yield "  fully played", f"{summary.completed_share:.1%}"
    yield "  liked", f"{summary.liked_share:.1%}"
    yield "  of tracks not in the catalogue", _unknown(summary)
    yield "listener-track pairs played", f"{_number(summary.played_pairs)} ({summary.density:.2%})"
    minutes = summary.longest_session_ms / MINUTE
    yield "longest session", f"{minutes:,.0f} min"
    yield "most events in a session", _number(summary.longest_session_events)


def _unknown(summary: Summary) -> str:
    if summary.unknown_plays is None:
        return "there is no catalogue"
    return _number(summary.unknown_plays)


def _number(count: int) -> str:
    return f"{count:,}"
