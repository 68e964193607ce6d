"""Makes a data folder of what other services export: plays in, tables out.

Rows are read one after another and put down as plays; what concerns all of them, such as sessions,
is left to SQL.
"""

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import msgspec

from segue.domain.errors import InvalidData
from training.data.exports import PLAY_COLUMNS, Parse, pages_apart, parser_of
from training.data.folder import whole_or_nothing
from training.data.forms import (
    EXPORTS,
    LISTENING,
    SCHEMA,
    Export,
    advice,
    export_of,
    files_in,
    layout_of,
)
from training.data.intake import Intake, Progress
from training.data.parquet import TableWriter, count_rows
from training.data.quarantine import Quarantine
from training.data.queries import create_view, open_database, read_sql, write_query
from training.data.sources import Source
from training.data.summary import FileSummary
from training.data.workspace import MEMORY_LIMIT, QUARANTINE

# Whose plays they are, where neither the export nor the caller says so.
SOMEBODY = "me"
PLAYS = "plays.parquet"

# Of several names the one of the latest play; of equally late ones the last in the alphabet.
_LATEST = "MAX_BY({0}, ROW(time, {0})) FILTER ({0} IS NOT NULL)"
_TRACKS = f"""
SELECT
    track_id AS id,
    {_LATEST.format("track")} AS name,
    {_LATEST.format("artist_id")} AS id_artist,
    {_LATEST.format("album")} AS album,
    -- Or else how long it lasts when it is played to the end.
    COALESCE(
        {_LATEST.format("duration_ms")},
        QUANTILE_DISC(played_ms, 0.5) FILTER (completed AND played_ms > 0)
    ) AS duration_ms
FROM plays GROUP BY track_id ORDER BY id
"""  # noqa: S608
_ARTISTS = f"""
SELECT
    artist_id AS id,
    {_LATEST.format("artist")} AS name,
    COALESCE(LIST_SORT(LIST_DISTINCT(FLATTEN(LIST(genres) FILTER (LEN(genres) > 0)))), []) AS genres
FROM plays WHERE artist_id IS NOT NULL GROUP BY artist_id ORDER BY id
"""  # noqa: S608
_FIGURES = """
SELECT
    COUNT(*) AS plays,
    COUNT(*) FILTER (NOT completed) AS skips,
    COUNT(DISTINCT user_id) AS listeners,
    MIN(time) AS first_play,
    MAX(time) AS last_play,
    (SELECT COUNT(DISTINCT session_id) FROM sessions) AS sessions,
    (SELECT COUNT(*) FROM tracks) AS tracks,
    (SELECT COUNT(*) FROM artists) AS artists,
    (SELECT COUNT(album) FROM tracks) AS with_album,
    (SELECT COUNT(duration_ms) FROM tracks) AS with_duration,
    (SELECT COUNT(*) FROM artists WHERE LEN(genres) > 0) AS with_genres
FROM heard
"""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was found and written. Times are milliseconds since 1970 UTC.

    files: what became of each file's rows, by its name. repeats: plays that were there before.
    skips: plays that ended early. not_read: files of no form or of another. with_album and so on:
    how many tracks, or of genres artists, have any. quarantine: where the rows are that cannot be
    used; None where there is none.
    """

    form: str
    files: Mapping[str, FileSummary]
    not_read: tuple[str, ...]
    repeats: int
    quarantine: Path | None
    plays: int
    skips: int
    listeners: int
    first_play: int
    last_play: int
    sessions: int
    tracks: int
    artists: int
    with_album: int
    with_duration: int
    with_genres: int

    @property
    def read(self) -> int:
        """Rows of all files."""
        return sum(file.read for file in self.files.values())

    @property
    def reasons(self) -> dict[str, int]:
        """Why rows cannot be used, and how many, most frequent first."""
        return _reasons(self.files)

    def to_json(self) -> str:
        """All of it as one JSON object."""
        encoded = msgspec.json.encode(asdict(self) | {"read": self.read}, enc_hook=str)
        return msgspec.json.format(encoded, indent=2).decode()


def convert(
    source: Path,
    directory: Path,
    *,
    columns: Mapping[str, str] | None = None,
    user: str = SOMEBODY,
    by_folder: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Write the export in ``source``, a file or a folder, as a data folder.

    ``directory`` must not exist yet, or be empty; it appears whole or not at all. columns: which
    column of a table has which of ``exports.FIELDS``, where it is not called so. user: whose the
    plays are where the export does not say it; by_folder: each folder in ``source`` is the export
    of the listener of that name. The same export gives the same bytes.

    Raises InvalidData where there is no export, or not a play in it, FileExistsError where
    something is in the way.
    """
    sources, export, not_read = _sources(source)
    parse = parser_of(export, columns or {})
    if export == "table":
        _check_columns(sources, columns or {})
    elif columns:
        raise InvalidData(f"{source}: what {EXPORTS[export]} hold is known; leave out --columns")
    with whole_or_nothing(directory) as unfinished:
        staged = unfinished / ".staged"
        staged.mkdir()
        with Quarantine(unfinished / QUARANTINE) as quarantine:
            intake = Intake(sources, quarantine, progress, tables=sources)
            owners = {name: _folder(name) if by_folder else user for name in sources}
            plays = _stage(intake, parse, owners, staged / PLAYS)
        files = {name: tally.summary() for name, tally in intake.tallies.items()}
        if not plays:
            raise InvalidData(_nothing(source, files))
        rejected = any(file.quarantined for file in files.values())
        if not rejected:
            (unfinished / QUARANTINE).unlink()
        figures = _write_tables(staged, unfinished)
        shutil.rmtree(staged)
        shutil.copyfile(LISTENING, unfinished / SCHEMA)
    return Conversion(
        form=EXPORTS[export],
        files=files,
        not_read=not_read,
        repeats=plays - figures["plays"],
        quarantine=directory / QUARANTINE if rejected else None,
        **figures,
    )


def _stage(intake: Intake, parse: Parse, owners: Mapping[str, str], path: Path) -> int:
    """Write the plays as they come, repeats included; answers how many there are."""
    with TableWriter(path, PLAY_COLUMNS) as table:
        for name, owner in owners.items():
            rows = pages_apart(intake.rows(name), intake.tallies[name])
            for _, play in intake.accepted(name, rows, partial(parse, user=owner)):
                table.append(play)
    return count_rows(path)


def _sources(source: Path) -> tuple[dict[str, Source], Export, tuple[str, ...]]:
    """The files to read, by their names, what they are, and the names of all others."""
    if not source.exists():
        raise InvalidData(f"{source} is neither a file nor a folder")
    root = source.parent if source.is_file() else source
    paths = {path.relative_to(root).as_posix(): path for path in files_in(source)}
    exports = {name: export_of(path) for name, path in paths.items()}
    # Beside an export of one of the services, tables are something else, such as profiles.
    forms = [form for form in EXPORTS if form in exports.values()]
    if len(forms) > 1 and "table" in forms:
        forms.remove("table")
    if not forms:
        raise InvalidData(f"{source}: nothing that can be converted; {advice(source)}")
    if len(forms) > 1:
        names = (f"{EXPORTS[form]} ({_first(exports, form)})" for form in forms)
        raise InvalidData(f"{source} holds {' and '.join(names)}: convert one after the other")
    chosen = {
        name: Source(name, path, layout_of(path), name)
        for name, path in paths.items()
        if exports[name] == forms[0]
    }
    return chosen, forms[0], tuple(name for name in paths if name not in chosen)


def _folder(name: str) -> str:
    folder, _, file = name.partition("/")
    if not file:
        raise InvalidData(f"{name} is in no listener's folder, as --by-folder has it")
    return folder


def _check_columns(sources: Mapping[str, Source], columns: Mapping[str, str]) -> None:
    for source in sources.values():
        _, row = next(source.rows(), (0, {}))
        there = list(row) if isinstance(row, dict) else []
        lacking = [repr(column) for column in columns.values() if column not in there]
        if columns.get("time", "time") not in there:
            lacking.append("for the time")
        if not {columns.get(field, field) for field in ("track_id", "track")} & set(there):
            lacking.append("for the track")
        if lacking:
            raise InvalidData(
                f"{source.path} has no column {', nor '.join(lacking)}; its columns are "
                f"{', '.join(there) or 'none'}: say which of them holds what, as in "
                "--columns time=played_at,track=title,artist=by,user=listener"
            )


def _first(exports: Mapping[str, Export | None], form: Export) -> str:
    return next(name for name, export in exports.items() if export == form)


def _nothing(source: Path, files: Mapping[str, FileSummary]) -> str:
    read = sum(file.read for file in files.values())
    reasons = _reasons(files)
    why = f"; most often: {next(iter(reasons))}" if reasons else ""
    return f"{source}: {read:,} rows, no play in any{why}"


def _reasons(files: Mapping[str, FileSummary]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for file in files.values():
        counts.update(file.reasons)
    return dict(counts.most_common())


def _write_tables(staged: Path, into: Path) -> dict[str, int]:
    """Write the tables of the plays in ``staged``; answers the figures of a Conversion."""
    with open_database(staged / "spill", memory_limit=MEMORY_LIMIT) as connection:
        create_view(connection, "plays", staged / PLAYS)
        connection.execute(
            "CREATE TABLE heard AS"
            " SELECT DISTINCT user_id, time, played_ms, completed, track_id FROM plays"
        )
        for table, text in (
            ("tracks", _TRACKS),
            ("artists", _ARTISTS),
            ("users", "SELECT DISTINCT user_id FROM heard ORDER BY user_id"),
            ("sessions", read_sql("listening.sql")),
        ):
            path = into / f"{table}.parquet"
            write_query(connection, text, path)
            create_view(connection, table, path)
        figures: dict[str, int] = connection.sql(_FIGURES).to_arrow_table().to_pylist()[0]
        return figures
