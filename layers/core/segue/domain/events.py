"""Listening events: what a listener did, when, and to which track."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from segue.domain.errors import InvalidRecord
from segue.domain.limits import MAX_ID_LENGTH
from segue.domain.times import parse_time

_INTEGER_IDS_END = 10**MAX_ID_LENGTH


class EventType(StrEnum):
    """The kinds of event, in the order in which they enter a session's packed form."""

    PLAY = "PLAY"
    SKIP = "SKIP"
    LIKE = "LIKE"
    ADVERTISEMENT = "ADVERTISEMENT"
    BUY_PREMIUM = "BUY_PREMIUM"


# The spellings that occur: any case, and one misspelling that whole data sets share.
_TYPES = {kind.value: kind for kind in EventType} | {"ADVERTISMENT": EventType.ADVERTISEMENT}
_RECOMMENDATION_ID = re.compile("[0-9a-f]{32}")
_NEEDS_TRACK = frozenset({EventType.PLAY, EventType.SKIP, EventType.LIKE})


class Event(NamedTuple):
    """One event. ``time`` is in milliseconds since 1970 UTC; adverts may have no track.

    ``recommendation_id``: the list that the track was chosen from, where the client says so. It is
    not part of what tells events apart: the same event may come again without it.
    """

    user_id: str
    session_id: str
    time: int
    type: EventType
    track_id: str | None
    recommendation_id: str | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal where two of them are one event."""
        return self[:5]


def distinct(events: Iterable[Event]) -> list[Event]:
    """Each event once, with its ``recommendation_id`` where any of its copies has one."""
    found: dict[tuple[object, ...], Event] = {}
    for event in events:
        identity = event.identity
        if event.recommendation_id or identity not in found:
            found[identity] = event
    return [*found.values()]


def parse_id(value: object) -> str | None:
    """An id as text: a non-empty text or a non-negative integer; None for anything else.

    A text that UTF-8 cannot hold (half of a surrogate pair) is no id: no store would take it.
    """
    if isinstance(value, str):
        return value if 0 < len(value) <= MAX_ID_LENGTH and _encodable(value) else None
    # Not isinstance: True and False are integers to it.
    if type(value) is int and 0 <= value < _INTEGER_IDS_END:
        return str(value)
    return None


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_event(record: Mapping[str, object]) -> Event:
    """Read one row of ``sessions``. Raises InvalidRecord with *every* reason, not just the first.

    Fields that are not needed are ignored; the type is read in either spelling and any case.
    """
    reasons: list[str] = []
    user_id = read_id(record, "user_id", reasons)
    session_id = read_id(record, "session_id", reasons)
    kind = _type(record, reasons)
    time = _time(record, reasons)
    track_id = _track_id(record, kind, reasons)
    recommendation_id = _recommendation_id(record, reasons)
    if reasons:
        raise InvalidRecord(reasons)
    assert kind is not None
    return Event(user_id, session_id, time, kind, track_id, recommendation_id)


def read_id(record: Mapping[str, object], field: str, reasons: list[str]) -> str:
    """The id in ``field``; where there is none, says so in ``reasons`` and answers ``""``."""
    value = parse_id(record.get(field))
    if value is None:
        reasons.append(_fault(record, field, "not an id"))
        return ""
    return value


def _type(record: Mapping[str, object], reasons: list[str]) -> EventType | None:
    value = record.get("event_type")
    kind = _TYPES.get(value.upper()) if isinstance(value, str) else None
    if kind is None:
        reasons.append(_fault(record, "event_type", "unknown"))
    return kind


def _time(record: Mapping[str, object], reasons: list[str]) -> int:
    try:
        return parse_time(record.get("timestamp"))
    except ValueError as error:
        reasons.append(_fault(record, "timestamp", str(error)))
        return 0


def _track_id(
    record: Mapping[str, object], kind: EventType | None, reasons: list[str]
) -> str | None:
    track_id = parse_id(record.get("track_id"))
    if track_id is None and kind in _NEEDS_TRACK:
        reasons.append(_fault(record, "track_id", "not an id"))
    return track_id


def _recommendation_id(record: Mapping[str, object], reasons: list[str]) -> str | None:
    value = record.get("recommendation_id")
    if value is None or (isinstance(value, str) and _RECOMMENDATION_ID.fullmatch(value)):
        return value
    reasons.append(_fault(record, "recommendation_id", "not the id of a list"))
    return None


def _fault(record: Mapping[str, object], field: str, fault: str) -> str:
    return f"{field} missing" if record.get(field) is None else f"{field} {fault}"
