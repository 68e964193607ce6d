"""Tells which form data have, by names and first lines, and which feature schema goes with it."""

import gzip
import json
import zlib
from itertools import islice
from pathlib import Path
from typing import Literal

from segue.domain.times import parse_time
from segue.features.schema import POZYTYWKA

# tables: tracks, artists, users, sessions. atomic: RecBole's .inter, .item and .user files.
# given: lists of who played what, without times, divided for training and for judging.
Form = Literal["tables", "atomic", "given"]

# How a file that is not Parquet is divided: a row is a line; a value of a JSON array, or one of
# several values; a record of CSV, with a header.
Layout = Literal["lines", "json", "csv"]

# What `segue convert` makes a data folder of.
Export = Literal["spotify", "listenbrainz", "lastfm", "table"]
EXPORTS: dict[Export, str] = {
    "spotify": "Spotify's extended streaming history",
    "listenbrainz": "listens of ListenBrainz",
    "lastfm": "Last.fm's table of plays",
    "table": "tables (CSV or Parquet)",
}

SCHEMA = "schema.toml"
# Names of the lists for training and for judging.
GIVEN = (("train.txt", "test.txt"), ("data1.txt", "test1.txt"))

_SCHEMAS = Path(__file__).parents[1] / "schemas"
MOVIELENS = _SCHEMAS / "movielens.toml"
LISTENING = _SCHEMAS / "listening.toml"
_DEFAULTS: dict[Form, Path] = {
    "tables": POZYTYWKA,
    "atomic": MOVIELENS,
    "given": _SCHEMAS / "plain.toml",
}
_PEEK = 1 << 16
_LASTFM_COLUMNS = 6
# Files to look at where tables are missing, and to name.
_LOOKED_AT, _NAMED = 200, 5


def form_of(folder: Path) -> Form:
    """The form of a folder's data; ``tables`` where it has no other."""
    if is_given(folder):
        return "given"
    return "atomic" if any(folder.glob("*.inter")) else "tables"


def is_given(folder: Path) -> bool:
    """Whether the folder holds interactions that are divided for training and for judging."""
    return given_lists(folder) is not None


def given_lists(folder: Path) -> tuple[Path, Path] | None:
    """The list to train on and the one to judge by; None where the folder holds no such pair."""
    for train, test in GIVEN:
        if (folder / train).is_file() and (folder / test).is_file():
            return folder / train, folder / test
    return None


def folder_schema(folder: Path) -> Path:
    """The feature schema of a data folder: its own ``schema.toml``, else that of its form."""
    own = folder / SCHEMA
    return own if own.is_file() else _DEFAULTS[form_of(folder)]


def files_in(source: Path, most: int | None = None) -> list[Path]:
    """The file itself, or the files in the folder and the folders in it, but for hidden ones."""
    if source.is_file():
        return [source]
    files = (path for path in source.rglob("[!.]*") if path.is_file())
    return sorted(islice(files, most))


def export_of(path: Path) -> Export | None:
    """What a file is an export of; None where it is of nothing that is known."""
    if path.suffix == ".parquet":
        return "table"
    start = _start(path)
    if start.startswith((b"[", b"{")):
        if b'"track_metadata"' in start:
            return "listenbrainz"
        return "spotify" if b'"ms_played"' in start else None
    if _is_lastfm(start.partition(b"\n")[0]):
        return "lastfm"
    return "table" if {".csv", ".tsv"} & set(path.suffixes) else None


def layout_of(path: Path) -> Layout:
    """How an export is divided into rows."""
    start = _start(path)
    if not start.startswith((b"[", b"{")):
        return "lines" if _is_lastfm(start.partition(b"\n")[0]) else "csv"
    return "lines" if ".jsonl" in path.suffixes or _is_object(start) else "json"


def _is_object(start: bytes) -> bool:
    """Whether the first of several lines is a whole JSON object."""
    line, end, _ = start.partition(b"\n")
    try:
        return bool(end) and isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _is_lastfm(line: bytes) -> bool:
    columns = line.split(b"\t")
    if len(columns) != _LASTFM_COLUMNS:
        return False
    try:
        parse_time(columns[1].decode())
    except ValueError:
        return False
    return True


def _start(path: Path) -> bytes:
    """The first bytes of a file, unpacked; as many as a broken .gz file gives."""
    with path.open("rb") as raw:
        try:
            start = gzip.GzipFile(fileobj=raw).read1(_PEEK) if path.suffix == ".gz" else b""
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return b""
        return (start or raw.read(_PEEK)).removeprefix(b"\xef\xbb\xbf").lstrip()


def advice(source: Path) -> str:
    """What a file or a folder without tables holds instead, and what to do with it, in words."""
    files = files_in(source, _LOOKED_AT)
    forms = {export_of(path) for path in files}
    for export, name in EXPORTS.items():
        if export in forms:
            return f"this looks like {name}; convert it: segue convert {source} NEW_FOLDER"
    if any(path.suffix == ".zip" for path in files):
        return f"{seen(source)}; unpack the .zip file first"
    if any(b'"msPlayed"' in _start(path) for path in files if path.suffix == ".json"):
        return (
            "this looks like the year of listening in Spotify's account data, which does not say "
            "how plays ended; ask Spotify for the extended streaming history"
        )
    return f"{seen(source)}; docs/data.md says what can be read or converted"


def seen(source: Path) -> str:
    """Which files are there, in words."""
    files = files_in(source, _LOOKED_AT)
    names = [path.name if path == source else str(path.relative_to(source)) for path in files]
    if not names:
        return "there is no file in it"
    more = ", ..." if len(names) > _NAMED else ""
    return f"there is {', '.join(names[:_NAMED])}{more}"
