"""What every store promises, whichever it is. Of results: test_exposures.py."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.importing import DynamoTarget
from segue.domain.added import AddedTrack, TrackChanges
from segue.domain.errors import LaterFormat
from segue.domain.events import Event, EventType
from segue.domain.times import DAY, LATEST, Window
from segue.domain.users import Attribute, User
from segue.ports import StoredList
from tests.integration.conftest import Aws, Stores, stores_on

NOW = 1_662_000_000_000


def play(user: str, time: int, session: str = "s", track: str = "t") -> Event:
    return Event(user, session, time, EventType.PLAY, track)


def test_a_window_holds_its_start_and_not_its_end(stores: Stores) -> None:
    times = [NOW - 1, NOW, NOW + 1, NOW + 9, NOW + 10]
    stores.sessions.put(play("1", time) for time in times)
    found = stores.sessions.events("1", Window(NOW, NOW + 10))
    assert sorted(event.time for event in found) == [NOW, NOW + 1, NOW + 9]


def test_a_session_that_began_before_the_window_reaches_into_it(stores: Stores) -> None:
    hours = [play("1", NOW + hour * 3_600_000) for hour in range(100)]
    stores.sessions.put(hours)
    window = Window(NOW + 3 * DAY, NOW + 4 * DAY)
    assert sorted(stores.sessions.events("1", window)) == hours[72:96]


def test_every_field_of_an_event_comes_back(stores: Stores) -> None:
    events = [
        Event("użytkownik", "sesja#1", NOW, EventType.ADVERTISEMENT, None),
        Event("użytkownik", "sesja#1", NOW, EventType.PLAY, "ścieżka"),
        Event("użytkownik", "sesja#1", NOW + 7, EventType.SKIP, "ścieżka"),
        Event("użytkownik", "#", NOW + 8, EventType.LIKE, "#"),
        Event("użytkownik", "#", NOW + 9, EventType.BUY_PREMIUM, None),
    ]
    stores.sessions.put(events)
    found = stores.sessions.events("użytkownik", Window(NOW, NOW + 100))
    assert sorted(found, key=repr) == sorted(events, key=repr)


def test_putting_again_changes_nothing(stores: Stores) -> None:
    events = [play("1", NOW + place, session=str(place // 7)) for place in range(100)]
    for _ in range(2):
        stores.sessions.put(reversed(events))
    assert sorted(stores.sessions.events("1", Window(0, 2 * NOW))) == sorted(events)


def test_a_session_beyond_the_bound_of_an_item_comes_back_whole(stores: Stores) -> None:
    events = [play("1", NOW + place, track=f"track {place}") for place in range(2_500)]
    stores.sessions.put(events)
    assert sorted(stores.sessions.events("1", Window(0, 2 * NOW))) == sorted(events)


def test_users_do_not_see_each_others_events(stores: Stores) -> None:
    stores.sessions.put([play("1", NOW), play("11", NOW), play("2", NOW, session="s")])
    assert stores.sessions.events("1", Window(0, 2 * NOW)) == [play("1", NOW)]
    assert stores.sessions.has_events("11")
    assert not stores.sessions.has_events("3")
    assert stores.sessions.events("3", Window(0, 2 * NOW)) == []


def test_a_profile_comes_back_and_a_second_one_replaces_it(stores: Stores) -> None:
    assert stores.users.get("1") is None
    stores.users.put(User("1", ("rock", "pop"), premium=True))
    assert stores.users.get("1") == User("1", ("rock", "pop"), premium=True)
    stores.users.put(User("1"))
    assert stores.users.get("1") == User("1")


def test_every_attribute_of_a_profile_comes_back(stores: Stores) -> None:
    given: dict[str, Attribute] = {
        "age": 24,
        "weight": 70.125,
        "city": "Łódź",
        "new": True,
        "moods": ["calm", "loud"],
    }
    stores.users.put(User("1", attributes=given))
    found = stores.users.get("1")
    assert found is not None
    assert found.attributes == given
    assert [type(found.attributes[name]) for name in given] == [int, float, str, bool, list]


def test_an_amended_profile_keeps_the_attributes_that_there_are(stores: Stores) -> None:
    amended = User("1", ("jazz",), premium=True)
    assert stores.users.amend(amended) == stores.users.get("1") == amended
    stores.users.put(User("1", ("rock",), attributes={"age": 24}))
    assert stores.users.amend(amended) == replace(amended, attributes={"age": 24})
    assert stores.users.get("1") == replace(amended, attributes={"age": 24})
    stores.users.put(User("1"))
    assert stores.users.amend(amended) == amended


def test_a_stored_list_lasts_as_long_as_the_profile(stores: Stores) -> None:
    first = StoredList(("t1", "t2"), "bundle", NOW)
    stores.users.put(User("1", ("rock",)))
    (profile,) = stores.users.part(0, 1)
    stores.users.store_list(profile, 3, first)
    assert stores.users.stored_list("1", 3) == first
    assert stores.users.stored_list("1", 2) is stores.users.stored_list("2", 3) is None
    stores.users.put(User("1", ("pop",)))
    assert stores.users.stored_list("1", 3) == first
    assert stores.users.get("1") == User("1", ("pop",))
    assert [*stores.users.part(0, 1)] == [profile._replace(user=User("1", ("pop",)))]
    stores.users.delete("1")
    assert stores.users.stored_list("1", 3) is None
    stores.users.store_list(profile, 3, first)
    assert stores.users.get("1") is None


def test_no_list_of_before_an_erasure_is_stored_for_who_is_back(stores: Stores) -> None:
    before = StoredList(("t1",), "bundle", NOW)
    stores.users.put(User("1", ("rock",)))
    (profile,) = stores.users.part(0, 1)
    stores.users.delete("1")
    stores.users.put(User("1", ("rock",)))
    stores.users.store_list(profile, 3, before)
    assert stores.users.stored_list("1", 3) is None
    (again,) = stores.users.part(0, 1)
    stores.users.store_list(again, 3, before)
    assert stores.users.stored_list("1", 3) == before


@pytest.mark.parametrize("aws", ["moto"], indirect=True)
def test_a_list_is_stored_beside_an_imported_profile(aws: Aws) -> None:
    target = DynamoTarget(aws.dynamodb, aws.names["SessionsTable"], aws.names["UsersTable"])
    target.put_users({User("1", ("rock",)): "digest"})
    users, made = stores_on(aws).users, StoredList(("t1",), "bundle", NOW)
    (profile,) = users.part(0, 1)
    users.store_list(profile, 3, made)
    assert users.stored_list("1", 3) == made


def test_of_two_runs_the_later_ones_list_is_stored(stores: Stores) -> None:
    stores.users.put(User("1"))
    (profile,) = stores.users.part(0, 1)
    made = [StoredList((track,), "bundle", NOW + place) for place, track in enumerate("abc")]
    for each in (made[1], made[2], made[0], made[2]._replace(tracks=("d",))):
        stores.users.store_list(profile, 3, each)
    assert stores.users.stored_list("1", 3) == made[2]._replace(tracks=("d",))


def test_users_are_found_by_the_beginning_of_their_id(stores: Stores) -> None:
    for user_id in ("429", "42", "4", "1042", "ünal", "x"):
        stores.users.put(User(user_id))
    assert [user.user_id for user in stores.users.search("42", 10)] == ["42", "429"]
    assert [user.user_id for user in stores.users.search("4", 2)] == ["4", "42"]
    assert [user.user_id for user in stores.users.search("ü", 10)] == ["ünal"]
    assert stores.users.search("9", 10) == []
    assert len(stores.users.search("", 3)) == 3
    stores.users.delete("42")
    assert [user.user_id for user in stores.users.search("42", 10)] == ["429"]


def test_every_user_is_in_one_part_and_always_in_the_same(stores: Stores) -> None:
    users = {str(number): User(str(number), premium=number % 2 == 0) for number in range(90)}
    for user in users.values():
        stores.users.put(user)
    parts = [list(stores.users.part(number, 7)) for number in range(7)]
    assert {it.user.user_id: it.user for part in parts for it in part} == users
    assert sum(map(len, parts)) == len(users)
    again = [list(stores.users.part(number, 7)) for number in range(7)]
    assert [{it.user.user_id for it in part} for part in parts] == [
        {it.user.user_id for it in part} for part in again
    ]


def test_a_track_is_unavailable_from_the_next_look_on(stores: Stores) -> None:
    assert stores.track_store.changes().unavailable == frozenset()
    for track in ("a", "changes", "b"):
        stores.track_store.set_available(track, available=False)
    assert stores.track_store.changes().unavailable == {"a", "b", "changes"}
    stores.track_store.set_available("a", available=True)
    stores.track_store.set_available("a", available=True)
    assert stores.track_store.changes().unavailable == {"b", "changes"}


def test_a_track_is_added_from_the_next_look_on(stores: Stores) -> None:
    last, first = AddedTrack("b", {"name": "Last"}), AddedTrack("a", {"name": "First"})
    for track in (last, first, last):
        stores.track_store.add(track)
    assert stores.track_store.changes().added == (first, last)
    assert stores.track_store.changes().unavailable == frozenset()
    row = {
        "name": "Łąka",
        "energy": 0.1,
        "key": 3,
        "explicit": True,
        "genres": ["a", "b"],
        "x": None,
    }
    again = AddedTrack("a", row)
    stores.track_store.add(again)
    stores.track_store.set_available("b", available=False)
    assert stores.track_store.changes() == TrackChanges(frozenset("b"), (again, last))


def test_as_long_as_nothing_is_said_the_tracks_are_the_same_object(stores: Stores) -> None:
    stores.track_store.add(AddedTrack("a", {}))
    assert stores.track_store.changes().added is stores.track_store.changes().added


@pytest.mark.parametrize("aws", ["moto"], indirect=True)
def test_an_added_track_of_a_later_format_is_refused(aws: Aws) -> None:
    track_store = stores_on(aws).track_store
    track_store.add(AddedTrack("a", {}))
    item: Any = {"key": {"S": "added/b"}, "format": {"N": "2"}, "row": {"S": "{}"}}
    aws.dynamodb.put_item(TableName=aws.names["TracksTable"], Item=item)
    with pytest.raises(LaterFormat):
        track_store.changes()


def test_every_reader_notices_what_another_took_out(aws: Aws) -> None:
    reader, writer = stores_on(aws).track_store, stores_on(aws).track_store
    assert reader.changes().unavailable == frozenset()
    writer.set_available("a", available=False)
    assert reader.changes().unavailable == {"a"}
    writer.set_available("a", available=True)
    assert reader.changes().unavailable == frozenset()


@pytest.mark.parametrize("aws", ["moto"], indirect=True)
def test_a_look_without_a_change_reads_one_small_item_and_not_always_the_same(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    track_store = stores_on(aws).track_store
    track_store.set_available("a", available=False)
    assert track_store.changes().unavailable == {"a"}
    monkeypatch.setattr(aws.dynamodb, "get_paginator", None)
    get, read = aws.dynamodb.get_item, set()

    def noted(**asked: Any) -> Any:
        read.add(asked["Key"]["key"]["S"])
        return get(**asked)

    monkeypatch.setattr(aws.dynamodb, "get_item", noted)
    assert {track_store.changes().unavailable for _ in range(100)} == {frozenset("a")}
    assert len(read) > 8


@pytest.mark.parametrize("aws", ["moto"], indirect=True)
def test_changes_by_many_at_once_are_all_noticed_by_whoever_looks_next(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = stores_on(aws).track_store
    tracks = [f"t{place}" for place in range(20)]
    seen = []

    def take_out(track: str) -> None:
        stores_on(aws).track_store.set_available(track, available=False)
        seen.append(track in reader.changes().unavailable)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take_out, tracks))
    assert seen == [True] * 20
    for _ in range(16):
        assert reader.changes().unavailable == {*tracks}


@pytest.mark.parametrize("aws", ["moto"], indirect=True)
def test_a_change_that_meets_another_is_tried_again(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = [{"Code": "TransactionConflict"}, {"Code": "None"}]
    answer: Any = {
        "Error": {"Code": "TransactionCanceledException"},
        "CancellationReasons": reasons,
    }
    conflicts = iter([ClientError(answer, "TransactWriteItems")] * 3)
    write = aws.dynamodb.transact_write_items

    def conflicting(**asked: Any) -> Any:
        for conflict in conflicts:
            raise conflict
        return write(**asked)

    monkeypatch.setattr(aws.dynamodb, "transact_write_items", conflicting)
    track_store = stores_on(aws).track_store
    track_store.set_available("a", available=False)
    assert track_store.changes().unavailable == {"a"}


def test_a_session_stored_again_with_an_earlier_start_holds_each_event_once(stores: Stores) -> None:
    later = [play("1", NOW + 5), play("1", NOW + 9)]
    stores.sessions.put(later)
    stores.sessions.put([play("1", NOW), *later])
    assert sorted(stores.sessions.events("1", Window(0, 2 * NOW))) == [play("1", NOW), *later]


class TestAppend:
    EVER = Window(0, LATEST)

    def test_adds_to_what_is_there_and_tells_what_was_new(self, stores: Stores) -> None:
        stores.sessions.put([play("1", NOW), play("1", NOW + 1)])
        assert stores.sessions.append([play("1", NOW + 1), play("1", NOW + 2)]) == 1
        assert stores.sessions.append([play("1", NOW + 2), play("1", NOW + 3)]) == 1
        assert stores.sessions.append([]) == 0
        found = stores.sessions.events("1", self.EVER)
        assert sorted(found) == [play("1", NOW + place) for place in range(4)]

    def test_an_import_of_the_same_session_takes_nothing_away(self, stores: Stores) -> None:
        stores.sessions.append([play("1", NOW), play("1", NOW + 9)])
        stores.sessions.put([play("1", NOW), play("1", NOW + 1)])
        found = stores.sessions.events("1", self.EVER)
        assert sorted(found) == [play("1", NOW + place) for place in (0, 1, 9)]

    @pytest.mark.parametrize("time", [0, DAY - 1, DAY, NOW - NOW % DAY, LATEST - 1])
    def test_holds_at_the_edges_of_days_and_of_time(self, stores: Stores, time: int) -> None:
        assert stores.sessions.append([play("1", time)]) == 1
        assert stores.sessions.append([play("1", time)]) == 0
        assert stores.sessions.events("1", Window(time, time + 1)) == [play("1", time)]
        assert stores.sessions.events("1", Window(0, time)) == []

    def test_a_session_beyond_the_bound_of_an_item_comes_back_whole(self, stores: Stores) -> None:
        events = [play("1", NOW + place % 3, track=f"track {place}") for place in range(2_300)]
        for start in range(0, 2_300, 500):
            assert stores.sessions.append(events[start : start + 500]) > 0
        assert stores.sessions.append(events) == 0
        assert sorted(stores.sessions.events("1", self.EVER)) == sorted(events)

    def test_of_several_users_reaches_each(self, stores: Stores) -> None:
        assert stores.sessions.append([play("1", NOW), play("2", NOW)]) == 2
        assert stores.sessions.events("2", self.EVER) == [play("2", NOW)]

    def test_what_is_deleted_is_gone_and_can_be_appended_again(self, stores: Stores) -> None:
        events = [play("1", NOW + place, session=str(place)) for place in range(60)]
        stores.sessions.put([*events[:30], play("2", NOW)])
        stores.sessions.append(events[30:])
        stores.users.put(User("1", ("rock",)))
        for _ in range(2):
            stores.sessions.delete("1")
            stores.users.delete("1")
        assert stores.users.get("1") is None
        assert not stores.sessions.has_events("1")
        assert stores.sessions.has_events("2")
        assert stores.sessions.append(events) == 60

    def test_by_many_writers_at_once_loses_nothing_and_counts_each_event_once(
        self, stores: Stores
    ) -> None:
        """Every writer has some events of its own, some that all have, and tries some twice."""

        def write(writer: int) -> int:
            chance = random.Random(writer)
            batch = [play("1", NOW + chance.randrange(40), session=f"s{writer % 2}")]
            batch += [play("1", NOW + 100 + writer), play("1", NOW + 99)]
            return sum(stores.sessions.append(batch) for _ in range(1 + chance.randrange(2)))

        with ThreadPoolExecutor(16) as pool:
            counts = list(pool.map(write, range(64)))
        found = stores.sessions.events("1", self.EVER)
        assert len(set(found)) == len(found) == sum(counts)
        assert {e.time - NOW for e in found} >= {99, *range(100, 164)}

    @pytest.mark.parametrize("stores", ["moto"], indirect=True)
    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(st.data())
    def test_in_any_order_with_any_repeats_stores_the_union(
        self, stores: Stores, data: st.DataObject
    ) -> None:
        user = uuid4().hex  # a new one for each example, in the same table
        moments = st.integers(NOW - 2 * DAY, NOW + 2 * DAY)
        event = st.builds(play, st.just(user), moments, st.sampled_from(["a", "b#c"]))
        batches = st.lists(event, max_size=6)
        imported = data.draw(batches)
        expected: set[Event] = set()
        for batch in data.draw(st.lists(batches | st.none(), max_size=5)):
            if batch is None:
                stores.sessions.put(imported)
                expected |= set(imported)
            else:
                assert stores.sessions.append(batch) == len(set(batch) - expected)
                expected |= set(batch)
        assert set(stores.sessions.events(user, self.EVER)) == expected


@pytest.mark.parametrize("aws", ["moto"], indirect=True)
def test_a_profile_leaves_what_an_import_noted(aws: Aws) -> None:
    target = DynamoTarget(aws.dynamodb, aws.names["SessionsTable"], aws.names["UsersTable"])
    target.put_users({User("1", ("rock",), attributes={"age": 24}): "digest"})
    stores_on(aws).users.put(User("1", ("pop",)))
    assert target.imported() == {"1": "digest"}
    assert stores_on(aws).users.get("1") == User("1", ("pop",))


@pytest.mark.parametrize("aws", ["moto"], indirect=True)
def test_an_import_leaves_a_profile_that_its_user_has_changed(aws: Aws) -> None:
    target = DynamoTarget(aws.dynamodb, aws.names["SessionsTable"], aws.names["UsersTable"])
    stores_on(aws).users.put(User("1", ("pop",)))
    target.put_users({User("1", ("rock",)): "first", User("2", ("rock",)): "first"})
    target.put_users({User("1", ("jazz",)): "second", User("2", ("jazz",)): "second"})
    assert target.imported() == {"1": "second", "2": "second"}
    assert stores_on(aws).users.get("1") == User("1", ("pop",))
    assert stores_on(aws).users.get("2") == User("2", ("jazz",))
