"""Reads plays out of what other services export: one function a form, from a row to plays."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from msgspec.json import encode

from segue.domain.errors import InvalidData, InvalidRecord
from segue.domain.events import parse_id
from segue.domain.times import LATEST, SECOND, parse_time
from training.data.forms import Export
from training.data.parquet import INTEGER, TEXT, TEXTS, TRUTH, Record
from training.data.quarantine import Tally
from training.data.records import decode, is_texts
from training.data.sources import Row, Unreadable

# A play that lasted less than this share of its track was broken off; or less than so long, where
# it is not known how long the track is.
_WHOLE = 0.9
_SHORT = 30 * SECOND
# A number that is less is taken as seconds: it would be a day of 1973 in milliseconds.
_SECONDS_END = 100_000_000_000
_MOST_MILLISECONDS = 2**53

# What a table may say of a play. Only the time and one of the track's are needed.
FIELDS = (
    "user", "time", "track_id", "track", "artist_id", "artist", "album", "genres",
    "duration_ms", "played_ms", "skipped",
)  # fmt: skip


class Play(NamedTuple):
    """One play. time: when it began, milliseconds since 1970 UTC. played_ms: how long it lasted,
    None where that is not known. completed: whether it was to the end."""

    user_id: str
    time: int
    played_ms: int | None
    completed: bool
    track_id: str
    track: str | None
    artist_id: str | None
    artist: str | None
    album: str | None
    duration_ms: int | None
    genres: list[str]


PLAY_COLUMNS = {
    "user_id": TEXT,
    "time": INTEGER,
    "played_ms": INTEGER,
    "completed": TRUTH,
    "track_id": TEXT,
    "track": TEXT,
    "artist_id": TEXT,
    "artist": TEXT,
    "album": TEXT,
    "duration_ms": INTEGER,
    "genres": TEXTS,
}


class Parse(Protocol):
    """Makes a play of a row; ``user`` is whose it is where the row does not say so.

    Raises InvalidRecord with every reason for which it cannot be used.
    """

    def __call__(self, row: Row, user: str) -> Play: ...


def parser_of(export: Export, columns: Mapping[str, str]) -> Parse:
    """How to read a row of a form; columns: which column of a table has which of FIELDS, where it
    is not called so. Raises InvalidData for another field."""
    for field in columns:
        if field not in FIELDS:
            raise InvalidData(f"{field!r} is none of the fields {', '.join(FIELDS)}")
    parsers: dict[Export, Parse] = {
        "spotify": _spotify,
        "listenbrainz": _listenbrainz,
        "lastfm": _lastfm,
        "table": partial(_table, columns=columns),
    }
    return parsers[export]


def _spotify(row: Row, user: str) -> Play:
    """``ts`` is when the play ended."""
    record = decode(row)
    reasons: list[str] = []
    uri = record.get("spotify_track_uri")
    kind, _, track_id = uri.rpartition(":") if isinstance(uri, str) else ("", "", "")
    name = _text(record, "master_metadata_track_name")
    if not uri and not name:
        raise InvalidRecord(["no track: a podcast, an audiobook or a video"])
    played = _milliseconds(record.get("ms_played"))
    if played is None:
        reasons.append("ms_played not a number of milliseconds")
    ended = read_time(record, "ts", reasons)
    if not reasons and ended < (played or 0):
        reasons.append("ts before 1970")
    return _play(
        user=record.get("username") or user,
        time=ended - (played or 0),
        played_ms=played,
        completed=_reached_the_end(record, played),
        # Files of the listener's own have a URI that is no id.
        track_id=track_id if kind == "spotify:track" else None,
        track=name,
        artist=_text(record, "master_metadata_album_artist_name"),
        album=_text(record, "master_metadata_album_album_name"),
        reasons=reasons,
    )


def _reached_the_end(record: Record, played: int | None) -> bool:
    match record.get("reason_end"):
        case "trackdone":
            return True
        case None | "" | "none" | "unknown":
            # In some files of some years it is the same for all plays, and ``skipped`` is, too.
            return not (_truth(record.get("skipped")) or _is_short(played, None))
        case _:
            return False


def _listenbrainz(row: Row, user: str) -> Play:
    """A listen is sent once half of a track was heard, or four minutes: it counts as full."""
    record = decode(row)
    reasons: list[str] = []
    about = _object(record, "track_metadata")
    sent, mapped = _object(about, "additional_info"), _object(about, "mbid_mapping")
    artists = mapped.get("artist_mbids") or sent.get("artist_mbids")
    duration = sent.get("duration")
    tags = sent.get("tags")
    return _play(
        user=record.get("user_name") or record.get("user_id") or user,
        time=read_time(record, "timestamp" if "timestamp" in record else "listened_at", reasons),
        track_id=mapped.get("recording_mbid") or sent.get("recording_mbid"),
        track=_text(about, "track_name"),
        artist_id=artists[0] if is_texts(artists) and artists else None,
        artist=_text(about, "artist_name"),
        album=_text(about, "release_name"),
        duration_ms=_milliseconds(sent.get("duration_ms")) or _milliseconds(duration, SECOND),
        genres=tags if is_texts(tags) else [],
        reasons=reasons,
    )


def pages_apart(rows: Iterable[tuple[int, Row]], tally: Tally) -> Iterator[tuple[int, Row]]:
    """The rows, but in the place of an answer of ListenBrainz's API the listens on that page, each
    counted as read."""
    for number, row in rows:
        page = _page(row)
        if page:
            tally.read += len(page) - 1
            yield from enumerate(page, 1)
        else:
            yield number, row


def _page(row: Row) -> list[Row]:
    # Where it is looked for costs little, and listens have other things at their start.
    if not isinstance(row, bytes) or b'"payload"' not in row[:200]:
        return []
    try:
        payload = decode(row).get("payload")
    except InvalidRecord:
        return []
    listens = payload.get("listens") if isinstance(payload, dict) else payload
    if not isinstance(listens, list):
        return []
    whose = {"user_name": payload.get("user_id")} if isinstance(payload, dict) else {}
    return [whose | one if isinstance(one, dict) else encode(one) for one in listens]


def _lastfm(row: Row, user: str) -> Play:  # noqa: ARG001  # every line names its listener
    if isinstance(row, Unreadable):
        raise InvalidRecord([row.reason])
    assert isinstance(row, bytes)
    try:
        columns = row.decode().rstrip("\r").split("\t")
    except UnicodeDecodeError:
        raise InvalidRecord(["not UTF-8"]) from None
    names = ("user", "time", "artist_id", "artist", "track_id", "track")
    if len(columns) != len(names):
        raise InvalidRecord([f"{len(columns)} columns, not {len(names)}"])
    record = dict(zip(names, columns, strict=True))
    reasons: list[str] = []
    return _play(
        user=record["user"],
        time=read_time(record, "time", reasons),
        track_id=record["track_id"],
        track=_text(record, "track"),
        artist_id=record["artist_id"],
        artist=_text(record, "artist"),
        reasons=reasons,
    )


def _table(row: Row, user: str, *, columns: Mapping[str, str]) -> Play:
    whole = decode(row)
    record = {field: whole.get(columns.get(field, field)) for field in FIELDS}
    reasons: list[str] = []
    played, duration = (_milliseconds(record[name]) for name in ("played_ms", "duration_ms"))
    skipped = _truth(record["skipped"])
    return _play(
        user=record["user"] if record["user"] not in (None, "") else user,
        time=read_time(record, "time", reasons),
        played_ms=played,
        completed=not (_is_short(played, duration) if skipped is None else skipped),
        track_id=record["track_id"],
        track=_text(record, "track"),
        artist_id=record["artist_id"],
        artist=_text(record, "artist"),
        album=_text(record, "album"),
        duration_ms=duration,
        genres=_genres(record["genres"]),
        reasons=reasons,
    )


def _play(
    *,
    user: object,
    time: int,
    track_id: object,
    track: str | None,
    artist: str | None,
    reasons: list[str],
    played_ms: int | None = None,
    completed: bool = True,
    artist_id: object = None,
    album: str | None = None,
    duration_ms: int | None = None,
    genres: Iterable[str] = (),
) -> Play:
    """The play. A track or an artist without an id has one that follows from the names.

    Raises InvalidRecord with the ``reasons`` so far and those that show here.
    """
    user_id = parse_id(user)
    if user_id is None:
        reasons.append("the listener's name is not an id")
    whose = parse_id(artist_id) or (_id_of(artist) if artist else None)
    track_id = parse_id(track_id) or (_id_of(artist or "", track) if track else None)
    if track_id is None:
        reasons.append("no track: neither an id nor a name")
    if reasons:
        raise InvalidRecord(reasons)
    assert user_id is not None
    assert track_id is not None
    return Play(
        user_id, time, played_ms, completed, track_id, track, whose, artist, album, duration_ms,
        list(genres),
    )  # fmt: skip


@lru_cache(1 << 16)
def _id_of(*names: str) -> str:
    """The same for names that differ in case and blanks alone, on every machine and for ever."""
    plain = "\x1f".join(" ".join(name.casefold().split()) for name in names)
    return blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def read_time(record: Mapping[str, Any], field: str, reasons: list[str]) -> int:
    """Milliseconds since 1970 UTC, of an ISO 8601 text, or of seconds or milliseconds.

    What is wrong with it is added to ``reasons``; then it is 0.
    """
    value = record.get(field)
    if value is None or value == "":
        reasons.append(f"{field} missing")
        return 0
    number = _number(value)
    try:
        if number is None:
            return parse_time(value)
        return parse_time(round(number * SECOND if number < _SECONDS_END else number))
    except (ValueError, OverflowError):
        reasons.append(f"{field} not a time (ISO 8601, or seconds or milliseconds since 1970)")
        return 0


def _milliseconds(value: object, unit: int = 1) -> int | None:
    number = _number(value)
    return round(number * unit) if number is not None and 0 <= number < _MOST_MILLISECONDS else None


def _number(value: object) -> float | None:
    """The number, or the one that a text writes in digits; no other form of text is one here."""
    if isinstance(value, str) and value.strip().removeprefix("-").replace(".", "", 1).isdecimal():
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LATEST:
        return value
    return None


def _text(record: Mapping[str, Any], field: str) -> str | None:
    value = record.get(field)
    return (value.strip() or None) if isinstance(value, str) else None


def _object(record: Mapping[str, Any], field: str) -> Record:
    value = record.get(field)
    return value if isinstance(value, dict) else {}


def _genres(value: object) -> list[str]:
    if isinstance(value, str):
        value = value.replace("|", ";").split(";")
    return [genre.strip() for genre in value if genre.strip()] if is_texts(value) else []


def _truth(value: object) -> bool | None:
    """Whether it says yes; None where it says nothing."""
    if value is None or value == "":
        return None
    return str(value).strip().lower() in ("true", "t", "yes", "y", "1", "1.0")


def _is_short(played_ms: int | None, duration_ms: int | None) -> bool:
    if played_ms is None:
        return False
    return played_ms < (_WHOLE * duration_ms if duration_ms else _SHORT)
