"""The catalogue: tracks with all their columns, and with their artists' names and genres.

It is held to fit in memory, as it does wherever it is served; events are not.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from training.data.columns import Census, Column
from training.data.intake import Intake
from training.data.parquet import TEXT, TEXTS, Record, TableWriter
from training.data.records import Artist, first_only, parse_artist, parse_track

_NOBODY = Artist("", None, None)


def read_artists(intake: Intake) -> dict[str, Artist]:
    """The artists by id."""
    warnings = intake.tallies["artists"].warnings
    parse = first_only(parse_artist, "id", lambda artist: artist.id)
    artists = {}
    for _, artist in intake.items("artists", parse):
        artists[artist.id] = artist
        warnings["name unusable"] += artist.name is None
        warnings["genres unusable"] += artist.genres is None
    return artists


def write_tracks(intake: Intake, artists: Mapping[str, Artist], path: Path) -> None:
    """Write ``tracks.parquet``: every column as it came, ``artist_name`` and ``artist_genres``.

    A column has the type that most of its values have; values of other types are null. Rows keep
    their order. Until all are seen, they wait as JSON beside ``path``.
    """
    waiting = path.with_suffix(".jsonl")
    columns = list(_settle(intake, waiting))
    fields = {"id": TEXT, "id_artist": TEXT} | {column.name: column.type for column in columns}
    unknown = 0
    with TableWriter(path, fields | {"artist_name": TEXT, "artist_genres": TEXTS}) as table:
        for track in _lines(waiting):
            artist = artists.get(track["id_artist"], _NOBODY)
            unknown += artist is _NOBODY
            values = [column.fit(track.get(column.name)) for column in columns]
            table.append([*values, artist.name, artist.genres])
    waiting.unlink()
    intake.tallies["tracks"].warnings["artist unknown"] += unknown


def _settle(intake: Intake, waiting: Path) -> Iterator[Column]:
    """Read the tracks, write those that are used into ``waiting``, and say what columns they have."""
    census = Census()
    encode = msgspec.json.Encoder().encode
    with waiting.open("wb") as file:
        for _, track in intake.items("tracks", first_only(parse_track, "id", _id)):
            file.write(encode(census.add(track)) + b"\n")
    warnings = intake.tallies["tracks"].warnings
    for column in census.columns():
        warnings[f"{column.name} missing"] += column.missing
        warnings[f"{column.name} of another type"] += column.misfits
        yield column


def _id(track: Record) -> str:
    return str(track["id"])


def _lines(path: Path) -> Iterator[Record]:
    decode = msgspec.json.Decoder(Record).decode
    with path.open("rb") as file:
        for line in file:
            yield decode(line)
