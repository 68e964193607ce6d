"""Makes records of rows, and of records what the workspace keeps of them."""

from collections.abc import Callable
from typing import NamedTuple, TypeGuard, TypeVar

import msgspec

from segue.domain.errors import InvalidRecord
from segue.domain.events import parse_id, read_id
from training.data.parquet import Record
from training.data.sources import Row, Unreadable

Item = TypeVar("Item")

_WHOLE_NUMBERS = ("user_id", "session_id", "track_id", "timestamp", "id", "id_artist")
_decode_json = msgspec.json.Decoder().decode


def decode(row: Row) -> Record:
    """The record that a row holds. Raises InvalidRecord where there is none."""
    if isinstance(row, Unreadable):
        raise InvalidRecord([row.reason])
    record = _decode_line(row) if isinstance(row, bytes) else row
    if not isinstance(record, dict):
        raise InvalidRecord(["not a JSON object"])
    if float in map(type, record.values()):
        _undisguise(record)
    return record


def record_of(row: Row) -> Record:
    """The record that a row holds, its numbers as they were written; empty where there is none."""
    value: object = row
    if isinstance(row, bytes):
        try:
            value = _decode_line(row)
        except InvalidRecord:
            return {}
    return value if isinstance(value, dict) else {}


def _undisguise(record: Record) -> None:
    """A column of whole numbers with a gap passes through many tools as floats: 101.0 is 101."""
    for field in _WHOLE_NUMBERS:
        value = record.get(field)
        if isinstance(value, float) and value.is_integer():
            record[field] = int(value)


def _decode_line(line: bytes) -> object:
    try:
        value: object = _decode_json(line)
    except UnicodeDecodeError:
        raise InvalidRecord(["not UTF-8"]) from None
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRecord(["not JSON"]) from None
    return value


class Artist(NamedTuple):
    """What is kept of an artist; None for what is missing or of another type."""

    id: str
    name: str | None
    genres: list[str] | None


def parse_artist(record: Record) -> Artist:
    """Read one row of ``artists``. Raises InvalidRecord where the id is unusable."""
    reasons: list[str] = []
    artist_id = read_id(record, "id", reasons)
    if reasons:
        raise InvalidRecord(reasons)
    name, genres = record.get("name"), record.get("genres")
    return Artist(
        artist_id,
        name if isinstance(name, str) else None,
        genres if is_texts(genres) else None,
    )


def parse_track(record: Record) -> Record:
    """Read one row of ``tracks``: the record with its ids as text.

    Raises InvalidRecord where the track's own id is unusable.
    """
    reasons: list[str] = []
    track_id = read_id(record, "id", reasons)
    if reasons:
        raise InvalidRecord(reasons)
    return record | {"id": track_id, "id_artist": parse_id(record.get("id_artist"))}


def is_texts(value: object) -> TypeGuard[list[str]]:
    """Whether the value is a list of nothing but texts."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def first_only(
    parse: Callable[[Record], Item], field: str, key: Callable[[Item], str]
) -> Callable[[Record], Item]:
    """``parse``, but a record whose key was there before is an InvalidRecord."""
    seen: set[str] = set()

    def parse_first(record: Record) -> Item:
        item = parse(record)
        if key(item) in seen:
            raise InvalidRecord([f"{field} repeated"])
        seen.add(key(item))
        return item

    return parse_first
