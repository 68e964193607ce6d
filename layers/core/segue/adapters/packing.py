"""A session's events as one compact byte string, and sessions as the items that hold them.

One item holds one session: a seventh of the items that single events would take, to write, to read
and to pay for. A session beyond MAX_EVENTS or MAX_SPAN rolls over into further items, so that an
item stays small, and a query that begins MAX_SPAN early misses none.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby

import msgspec

from segue.domain.events import Event, EventType
from segue.domain.times import DAY, format_time

MAX_EVENTS = 1_000
MAX_SPAN = DAY

_VERSION = 1
_TYPES = tuple(EventType)
_CODES = {kind: code for code, kind in enumerate(_TYPES)}

# Version, time of the first event, then for each event: milliseconds since then, type, track.
_Packed = tuple[int, int, list[tuple[int, int, str | None]]]
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)


def pack(events: list[Event]) -> bytes:
    """Pack the events of one item, in time order."""
    start = events[0].time
    rows = [(event.time - start, _CODES[event.type], event.track_id) for event in events]
    return _encoder.encode((_VERSION, start, rows))


def unpack(user_id: str, session_id: str, packed: bytes) -> list[Event]:
    """What ``pack`` packed. Raises ValueError for bytes that it did not write."""
    version, start, rows = _decoder.decode(packed)
    if version != _VERSION:
        raise ValueError(f"session {session_id} is packed in version {version}")
    return [
        Event(user_id, session_id, start + after, _TYPES[code], track)
        for after, code, track in rows
    ]


def sort_key(start: int, session_id: str) -> str:
    """``<start time>#<session id>``."""
    return f"{format_time(start)}#{session_id}"


def session_id_of(key: str) -> str:
    """The session's id in a sort key."""
    return key.split("#", 1)[1]


def items(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Group whole sessions into items: time order, each event once."""
    sessions: dict[tuple[str, str], set[Event]] = defaultdict(set)
    for event in events:
        sessions[event.user_id, event.session_id].add(event)
    for session in sessions.values():
        ordered = sorted(session, key=lambda e: (e.time, _CODES[e.type], e.track_id or ""))
        yield from _roll_over(ordered)


def _roll_over(ordered: list[Event]) -> Iterator[list[Event]]:
    item: list[Event] = []
    # Events of one moment stay together: an item's key is its first moment, and must be its own.
    for time, moment in groupby(ordered, key=lambda event: event.time):
        if item and (len(item) >= MAX_EVENTS or time - item[0].time >= MAX_SPAN):
            yield item
            item = []
        item.extend(moment)
    yield item
