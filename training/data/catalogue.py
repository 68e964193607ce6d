"""The catalogue: tracks with all their columns, and with their artists' names and genres.

It is held to fit in memory, as it does wherever it is served; events are not.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from training.data.columns import TEXT, TEXTS, Census, Column
from training.data.intake import Intake
from training.data.parquet import Record, TableWriter
from training.data.records import Artist, first_only, parse_artist, parse_track

# Columns that are there in any catalogue. The last two say what the artists' file knows, or else
# what the track itself says.
_FIXED = {"id": TEXT, "id_artist": TEXT, "artist_name": TEXT, "artist_genres": TEXTS}


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
    columns = _settle(intake, artists, waiting)
    with TableWriter(path, {column.name: column.type for column in columns}) as table:
        for track in _lines(waiting):
            table.append([column.fit(track.get(column.name)) for column in columns])
    waiting.unlink()


def _settle(intake: Intake, artists: Mapping[str, Artist], waiting: Path) -> list[Column]:
    """Write the usable tracks into ``waiting``, and say what columns they have."""
    census = Census(_FIXED)
    encode = msgspec.json.Encoder().encode
    parse = first_only(parse_track, "id", lambda track: str(track["id"]))
    with waiting.open("wb") as file:
        for _, track in intake.items("tracks", parse):
            artist = artists.get(track["id_artist"])
            if artist is not None:
                track |= {"artist_name": artist.name, "artist_genres": artist.genres}
            file.write(encode(census.add(track)) + b"\n")
    columns = list(census.columns())
    warnings = intake.tallies["tracks"].warnings
    for column in columns:
        warnings[f"{column.name} missing"] += column.missing
        warnings[f"{column.name} of another type"] += column.misfits
    return columns


def _lines(path: Path) -> Iterator[Record]:
    decode = msgspec.json.Decoder(Record).decode
    with path.open("rb") as file:
        for line in file:
            yield decode(line)
