"""A session's events as one compact byte string, and sessions as the items that hold them.

One item holds one session: a seventh of the items that single events would take, to write, to read
and to pay for. A session beyond MAX_EVENTS or MAX_SPAN rolls over into further items, so that an
item stays small, and a query that begins MAX_SPAN early misses none.

Whole sessions, as an import brings them, are *stored* items and overwrite each other. Events that
come one by one go into *growing* items, whose keys are never an import's: of each session one for
each day, and further parts where that is full. A session may so stand in items of both kinds;
whoever reads takes their union.

A *digest* holds many sessions at once: a quarter of the bytes, as a track's id stands in it once.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, count, groupby, pairwise
from typing import TypeVar

import msgspec

from segue.domain.errors import LaterFormat
from segue.domain.events import Event, EventType, distinct
from segue.domain.times import DAY, format_time

MAX_EVENTS = 1_000
MAX_SPAN = DAY

# Items without ids of lists are packed as they were before there were any.
_WITHOUT_LISTS, _WITH_LISTS = 1, 2
_DIGEST = 1
_TYPES = tuple(EventType)
_CODES = {kind: code for code, kind in enumerate(_TYPES)}

T = TypeVar("T")


class _Packed(msgspec.Struct, array_like=True):
    """``start``: time of the first event. ``rows``: for each event, milliseconds since then, type,
    track. ``lists``: of each ``recommendation_id``, the places of the events that bear it."""

    version: int
    start: int
    rows: list[tuple[int, int, str | None]]
    lists: dict[str, list[int]] = {}


class _PackedDigest(msgspec.Struct, array_like=True):
    """Columns over the events, in time order: the places of session and track in ``sessions`` and
    ``tracks``, milliseconds since the event before (of the first: since 1970), and type."""

    version: int
    sessions: list[str]
    tracks: list[str | None]
    session: list[int]
    track: list[int]
    after: list[int]
    type: list[int]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)
_digest_decoder = msgspec.msgpack.Decoder(_PackedDigest)


def pack(events: list[Event]) -> bytes:
    """Pack the events of one item, in time order."""
    start = events[0].time
    rows = [(event.time - start, _CODES[event.type], event.track_id) for event in events]
    lists: dict[str, list[int]] = defaultdict(list)
    for place, event in enumerate(events):
        if event.recommendation_id:
            lists[event.recommendation_id].append(place)
    if not lists:
        return _encoder.encode((_WITHOUT_LISTS, start, rows))
    return _encoder.encode((_WITH_LISTS, start, rows, lists))


def unpack(user_id: str, session_id: str, packed: bytes) -> list[Event]:
    """What ``pack`` packed. Raises ValueError for bytes that it did not write, LaterFormat."""
    item = _decoder.decode(packed)
    if item.version not in (_WITHOUT_LISTS, _WITH_LISTS):
        raise LaterFormat.of("Sessions: an item", item.version)
    events = [
        Event(user_id, session_id, item.start + after, _TYPES[code], track)
        for after, code, track in item.rows
    ]
    for recommendation_id, places in item.lists.items():
        for place in places:
            events[place] = events[place]._replace(recommendation_id=recommendation_id)
    return events


def pack_digest(events: Iterable[Event]) -> bytes:
    """Pack one user's events, whatever their sessions, without the lists they came from."""
    sorted_events = ordered(events)
    sessions = _places(event.session_id for event in sorted_events)
    tracks = _places(event.track_id for event in sorted_events)
    times = [0, *(event.time for event in sorted_events)]
    packed = _PackedDigest(
        _DIGEST,
        [*sessions],
        [*tracks],
        [sessions[event.session_id] for event in sorted_events],
        [tracks[event.track_id] for event in sorted_events],
        [later - earlier for earlier, later in pairwise(times)],
        [_CODES[event.type] for event in sorted_events],
    )
    return zlib.compress(_encoder.encode(packed))


def unpack_digest(user_id: str, packed: bytes) -> list[Event]:
    """What ``pack_digest`` packed. Raises ValueError for what it did not write, LaterFormat."""
    try:
        digest = _digest_decoder.decode(zlib.decompress(packed))
    except zlib.error as error:
        raise ValueError(f"a digest is damaged: {error}") from None
    if digest.version != _DIGEST:
        raise LaterFormat.of("Sessions: a digest", digest.version)
    columns = digest.session, digest.track, accumulate(digest.after), digest.type
    return [
        Event(user_id, digest.sessions[session], time, _TYPES[code], digest.tracks[track])
        for session, track, time, code in zip(*columns, strict=True)
    ]


def _places(values: Iterable[T]) -> dict[T, int]:
    """Each different value, and its place among them."""
    return {value: place for place, value in enumerate(dict.fromkeys(values))}


def sort_key(start: int, session_id: str) -> str:
    """``<start time>#<session id>``."""
    return f"{format_time(start)}#{session_id}"


def session_id_of(key: str) -> str:
    """The session's id in a sort key."""
    return key.split("#", 1)[1]


def growing_key(time: int, session_id: str, part: int) -> str:
    """``<day>~<part>#<session id>``: where the session's events of the day of ``time`` go."""
    return f"{format_time(time - time % DAY)}~{part}#{session_id}"


@dataclass(frozen=True, slots=True)
class Growing:
    """An item that grows; ``version`` is another after every change, None before the first."""

    key: str
    version: str | None
    events: tuple[Event, ...]


def grow(new: Iterable[Event], stored: Mapping[str, Growing]) -> Iterator[Growing]:
    """The growing items that change so as to hold one user's new events: where there is room.

    ``stored``: by key, as they stand; their versions are kept.
    """
    groups: dict[tuple[str, int], list[Event]] = defaultdict(list)
    for event in ordered(new):
        groups[event.session_id, event.time // DAY].append(event)
    for (session_id, day), events in groups.items():
        parts = count()
        while events:
            key = growing_key(day * DAY, session_id, next(parts))
            item = stored.get(key, Growing(key, None, ()))
            room = max(0, MAX_EVENTS - len(item.events))
            if room:
                yield Growing(key, item.version, (*item.events, *events[:room]))
            events = events[room:]


def items(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Group whole sessions into stored items: time order, each event once."""
    sessions: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        sessions[event.user_id, event.session_id].append(event)
    for session in sessions.values():
        yield from _roll_over(ordered(distinct(session)))


def ordered(events: Iterable[Event]) -> list[Event]:
    """In the one order in which items hold them: by time, then by kind and track."""
    return sorted(events, key=lambda e: (e.time, _CODES[e.type], e.track_id or ""))


def _roll_over(session: list[Event]) -> Iterator[list[Event]]:
    item: list[Event] = []
    # Events of one moment stay together: an item's key is its first moment, and must be its own.
    for time, moment in groupby(session, key=lambda event: event.time):
        if item and (len(item) >= MAX_EVENTS or time - item[0].time >= MAX_SPAN):
            yield item
            item = []
        item.extend(moment)
    yield item
