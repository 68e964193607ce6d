"""Sessions as items."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.adapters.packing import (
    MAX_EVENTS,
    MAX_SPAN,
    Growing,
    grow,
    items,
    ordered,
    pack,
    pack_digest,
    session_id_of,
    sort_key,
    unpack,
    unpack_digest,
)
from segue.domain.errors import LaterFormat
from segue.domain.events import Event, EventType, distinct
from segue.domain.times import LATEST, format_time

ids = st.text(min_size=1, max_size=5)
moments = st.integers(0, 3 * MAX_SPAN) | st.integers(0, LATEST - 1)
lists = st.sampled_from(["0" * 32, "1" * 32]) | st.none()
events = st.lists(
    st.builds(Event, ids, ids, moments, st.sampled_from(EventType), ids | st.none(), lists),
    max_size=40,
)


@given(events)
def test_items_hold_every_event_once_and_keep_their_bounds(given_events: list[Event]) -> None:
    grouped = list(items(given_events))
    found = [event for item in grouped for event in item]
    assert sorted(map(repr, found)) == sorted(map(repr, distinct(given_events)))
    keys = [(item[0].user_id, sort_key(item[0].time, item[0].session_id)) for item in grouped]
    assert len(set(keys)) == len(keys)
    for item in grouped:
        assert len({(event.user_id, event.session_id) for event in item}) == 1
        assert item[-1].time - item[0].time < MAX_SPAN


@given(events)
def test_what_is_packed_comes_back(given_events: list[Event]) -> None:
    for item in items(given_events):
        first = item[0]
        session_id = session_id_of(sort_key(first.time, first.session_id))
        assert session_id == first.session_id
        assert unpack(first.user_id, session_id, pack(item)) == item


def test_an_event_that_comes_again_keeps_the_list_that_it_was_chosen_from() -> None:
    bare = Event("u", "s", 5, EventType.PLAY, "t")
    chosen = bare._replace(recommendation_id="0" * 32)
    assert distinct([bare, chosen, bare]) == [chosen]


def test_the_id_of_a_list_takes_its_room_once() -> None:
    bare = [Event("u", "s", time, EventType.PLAY, "t") for time in range(20)]
    chosen = [event._replace(recommendation_id="0" * 32) for event in bare]
    assert len(pack(chosen)) < len(pack(bare)) + 60


@given(st.lists(st.integers(0, LATEST - 1)))
def test_keys_sort_as_times_do(times: list[int]) -> None:
    keys = [sort_key(time, "s") for time in times]
    assert sorted(keys) == [sort_key(time, "s") for time in sorted(times)]


def test_a_long_session_rolls_over_and_events_of_one_moment_stay_together() -> None:
    together = [Event("u", "s", 5, EventType.LIKE, str(n)) for n in range(MAX_EVENTS + 10)]
    later = [Event("u", "s", 6 + n, EventType.PLAY, "t") for n in range(MAX_EVENTS)]
    sizes = [len(item) for item in items(together + later)]
    assert sizes == [MAX_EVENTS + 10, MAX_EVENTS]


@given(events, st.lists(events, max_size=4))
def test_growing_items_hold_every_event_and_keep_their_bounds(
    first: list[Event], later: list[list[Event]]
) -> None:
    """Of one user, whose id is not in the keys: stored as a table would store them."""
    stored: dict[str, Growing] = {}
    expected: set[Event] = set()
    known: set[tuple[object, ...]] = set()
    for batch in [first, *later]:
        theirs = distinct(event._replace(user_id="u") for event in batch)
        new = [event for event in theirs if event.identity not in known]
        for item in grow(new, stored):
            assert set(item.events) > set(stored[item.key].events if item.key in stored else ())
            stored[item.key] = item
        expected |= {*new}
        known |= {event.identity for event in new}
    found = [event for item in stored.values() for event in item.events]
    assert sorted(map(repr, found)) == sorted(map(repr, expected))
    for key, item in stored.items():
        for event in item.events:
            assert session_id_of(key) == event.session_id
            # Then a query that begins MAX_SPAN early, and ends where the window does, finds it.
            assert format_time(max(0, event.time - MAX_SPAN)) < key < f"{format_time(event.time)}~~"


def test_a_growing_item_that_is_full_leaves_room_to_a_further_one() -> None:
    batches = [
        {Event("u", "s", 5, EventType.LIKE, f"{batch} {n}") for n in range(400)}
        for batch in range(6)
    ]
    stored: dict[str, Growing] = {}
    for batch in batches:
        stored |= {item.key: item for item in grow(batch, stored)}
    assert [len(item.events) for item in stored.values()] == [MAX_EVENTS, MAX_EVENTS, 400]


def test_another_versions_bytes_are_refused() -> None:
    packed = pack([Event("u", "s", 5, EventType.PLAY, "t")])
    with pytest.raises(LaterFormat, match="format 9"):
        unpack("u", "s", packed.replace(b"\x93\x01", b"\x93\x09", 1))


@given(events)
def test_a_digest_holds_every_event_but_not_the_lists(given_events: list[Event]) -> None:
    of_one = [event._replace(user_id="u") for event in given_events]
    found = unpack_digest("u", pack_digest(of_one))
    assert found == [event._replace(recommendation_id=None) for event in ordered(of_one)]


def test_another_versions_digest_is_refused() -> None:
    with pytest.raises(LaterFormat, match="format 2"):
        unpack_digest("u", zlib.compress(b"\x97\x02\x90\x90\x90\x90\x90\x90"))


@pytest.mark.parametrize("packed", [b"", b"damaged"])
def test_bytes_that_are_no_digest_of_ours_are_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"digest|length"):
        unpack_digest("u", packed)
