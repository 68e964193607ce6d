"""``segue convert``: from what other services export to a data folder."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.options import Json, read_pairs
from infra.cli.output import console, count, write_json
from segue.domain.times import DAY, format_time

if TYPE_CHECKING:
    from training.data import Conversion

# Training learns from what lies a month before the end, and judges by that month.
_ENOUGH_DAYS = 60


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A file or a folder: Spotify's extended streaming history, listens of "
            "ListenBrainz, Last.fm's table of plays, or CSV or Parquet with a row for each play.",
        ),
    ],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="An empty or a new folder.")],
    columns: Annotated[
        str,
        typer.Option(
            metavar="FIELD=COLUMN,...",
            help="Which column of a table holds what, where it is not called so. Fields: user, "
            "time, track_id, track, artist_id, artist, album, genres, duration_ms, played_ms, "
            "skipped.",
        ),
    ] = "",
    user: Annotated[
        str, typer.Option(help="The listener, where the export does not name one.")
    ] = "me",
    by_folder: Annotated[
        bool,
        typer.Option(
            "--by-folder", help="Each folder in SOURCE is the export of the listener of that name."
        ),
    ] = False,
    json_file: Json = None,
) -> None:
    """Make a data folder of an export of listening. What of it cannot be used is put aside."""
    from infra.progress import progress_bars
    from training.data import convert as convert_export
    from training.data import render_quarantine

    out = console(json_file)
    with progress_bars(out) as report:
        conversion = convert_export(
            source,
            directory,
            columns=read_pairs(columns, "FIELD=COLUMN,FIELD=COLUMN"),
            user=user,
            by_folder=by_folder,
            progress=partial(report, "reading the export"),
        )
    for line in (*_found(conversion), *_missing(conversion)):
        out.print(line)
    if conversion.quarantine:
        rows = sum(conversion.reasons.values())
        out.print(render_quarantine(conversion.quarantine, rows))
    out.print(_NEXT.format(directory=directory))
    write_json(conversion.to_json(), json_file)


def _found(found: "Conversion") -> Iterator[str]:
    days = (format_time(time)[:10] for time in (found.first_play, found.last_play))
    yield f"{found.form}: {count(found.read, 'row')} in {count(len(found.files), 'file')}"
    yield (
        f"{count(found.plays, 'play')} of {count(found.tracks, 'track')} by "
        f"{count(found.artists, 'artist')}; {count(found.listeners, 'listener')}, "
        f"{count(found.sessions, 'session')}; {' to '.join(days)}"
    )
    yield f"Ended early, so each is followed by a SKIP: {count(found.skips, 'play')}"
    if found.repeats:
        yield f"There before, so not counted again: {count(found.repeats, 'row')}"
    if found.not_read:
        yield f"Not read: {', '.join(found.not_read)}"


def _missing(found: "Conversion") -> Iterator[str]:
    """What the models do without, and what that means."""
    known = {
        "artist": found.artists,
        "album": found.with_album,
        "genres": found.with_genres,
        "length": found.with_duration,
    }
    features = ", ".join(name for name, count in known.items() if count)
    yield f"Missing: audio features, popularity and release dates; features of a track: {features}"
    if not found.with_genres:
        yield "Missing: genres, so who has played nothing is recommended what is popular"
    if not found.skips:
        yield "Missing: skips, so every play counts as full"
    if found.listeners == 1:
        yield (
            "One listener: there is nobody else to learn from, and no track that they have not "
            "played; ask for what they will play again, not for novelty"
        )
    if found.last_play - found.first_play < _ENOUGH_DAYS * DAY:
        yield (
            f"Less than {_ENOUGH_DAYS} days: too few to learn much from, or to judge by the last 30"
        )


_NEXT = """
Next:
  segue data check {directory}
  segue train --data {directory} --out BUNDLE
  segue serve --data {directory} --bundle BUNDLE --state STATE
(or all at once: make run DATA={directory}). More: docs/data.md"""
