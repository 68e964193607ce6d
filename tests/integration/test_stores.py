"""What every store promises, whichever it is."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.importing import DynamoTarget
from segue.domain.errors import UnknownPosition
from segue.domain.events import Event, EventType
from segue.domain.times import DAY, LATEST, Window
from segue.domain.users import Attribute, User
from segue.experiments.experiment import Mode, default_experiment
from segue.experiments.records import Exposure, Record
from segue.services.privacy import Privacy
from tests.integration.conftest import Aws, Stores, stores_on

NOW = 1_662_000_000_000
EXPERIMENT = default_experiment("bundle")


def play(user: str, time: int, session: str = "s", track: str = "t") -> Event:
    return Event(user, session, time, EventType.PLAY, track)


def exposure(user: str, *tracks: str) -> Exposure:
    return Exposure(user, "A", "autoencoder", "bundle", tracks, NOW, NOW + 5)


def record(user: str, *, successful: bool = True) -> Record:
    return Record(exposure(user, "a", "b"), successful, NOW + 9)


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


def test_a_track_is_unavailable_from_the_next_look_on(stores: Stores) -> None:
    assert stores.availability.unavailable() == frozenset()
    for track in ("a", "changes", "b"):
        stores.availability.save(track, available=False)
    assert stores.availability.unavailable() == {"a", "b", "changes"}
    stores.availability.save("a", available=True)
    stores.availability.save("a", available=True)
    assert stores.availability.unavailable() == {"b", "changes"}


def test_every_reader_notices_what_another_took_out(aws: Aws) -> None:
    reader, writer = stores_on(aws).availability, stores_on(aws).availability
    assert reader.unavailable() == frozenset()
    writer.save("a", available=False)
    assert reader.unavailable() == {"a"}
    writer.save("a", available=True)
    assert reader.unavailable() == frozenset()


def test_a_look_without_a_change_reads_one_small_item(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    availability = stores_on(aws).availability
    availability.save("a", available=False)
    assert availability.unavailable() == {"a"}
    monkeypatch.setattr(aws.dynamodb, "get_paginator", None)
    assert availability.unavailable() == {"a"}


def test_an_experiment_changes_only_from_the_version_that_was_read(stores: Stores) -> None:
    results = stores.results
    assert results.experiment("default") is None
    assert results.save_experiment(EXPERIMENT, None)
    assert not results.save_experiment(EXPERIMENT, None)
    found = results.experiment("default")
    assert found is not None
    stored, tag = found
    assert stored == EXPERIMENT
    assert results.save_experiment(stored.next_epoch("another"), tag)
    assert not results.save_experiment(stored.next_epoch("late"), tag)
    latest = results.experiment("default")
    assert latest is not None
    assert latest[0] == replace(EXPERIMENT, epoch=2, bundle="another")


def test_the_first_record_of_a_user_stays(stores: Stores) -> None:
    assert stores.results.record(EXPERIMENT, "1") is None
    first = stores.results.add_record(EXPERIMENT, record("1"))
    second = stores.results.add_record(EXPERIMENT, record("1", successful=False))
    assert first == second == record("1") == stores.results.record(EXPERIMENT, "1")


def test_the_first_exposure_of_a_user_stays(stores: Stores) -> None:
    assert stores.results.exposure(EXPERIMENT, "1") is None
    first = stores.results.add_exposure(EXPERIMENT, exposure("1", "a"))
    assert stores.results.add_exposure(EXPERIMENT, exposure("1", "b")) == first
    found = stores.results.exposure(EXPERIMENT, "1")
    assert found is not None
    assert found[0] == exposure("1", "a")
    assert stores.results.records(EXPERIMENT, limit=10).records == ()


def test_pages_list_every_record_once(stores: Stores) -> None:
    for user in range(25):
        stores.results.add_record(EXPERIMENT, record(str(user)))
    users, after = [], ""
    for expected in (10, 10, 5):
        page = stores.results.records(EXPERIMENT, limit=10, after=after)
        assert len(page.records) == expected
        users += [r.exposure.user_id for r in page.records]
        after = page.next or ""
    assert not after
    assert sorted(users, key=int) == [str(user) for user in range(25)]


def test_a_page_that_ends_with_the_last_record_is_the_last(stores: Stores) -> None:
    for user in range(10):
        stores.results.add_record(EXPERIMENT, record(str(user)))
    assert stores.results.records(EXPERIMENT, limit=10).next is None


def test_epochs_do_not_see_each_others_records(stores: Stores) -> None:
    stores.results.add_record(EXPERIMENT, record("1"))
    following = EXPERIMENT.next_epoch("bundle")
    assert stores.results.record(following, "1") is None
    assert stores.results.records(following, limit=10).records == ()
    assert stores.results.records(EXPERIMENT, limit=10).records == (record("1"),)


def test_of_many_writers_of_one_record_exactly_one_wins(stores: Stores) -> None:
    def write(writer: int) -> Record:
        mine = Record(exposure("1", str(writer)), successful=True, settled_at=NOW)
        return stores.results.add_record(EXPERIMENT, mine)

    with ThreadPoolExecutor(16) as pool:
        answers = set(pool.map(write, range(32)))
    assert len(answers) == 1
    assert stores.results.records(EXPERIMENT, limit=10).records == tuple(answers)


def test_of_64_writers_who_try_again_at_random_each_user_has_one_record(stores: Stores) -> None:
    def write(writer: int) -> list[Record]:
        chance = random.Random(writer)
        users = [str(user) for user in range(8) for _ in range(1 + chance.randrange(2))]
        chance.shuffle(users)
        mine = (
            Record(exposure(user, str(writer)), successful=True, settled_at=NOW) for user in users
        )
        return [stores.results.add_record(EXPERIMENT, it) for it in mine]

    with ThreadPoolExecutor(64) as pool:
        answers = {record for found in pool.map(write, range(64)) for record in found}
    assert len(answers) == 8
    assert set(stores.results.records(EXPERIMENT, limit=100).records) == answers


def test_every_experiment_is_listed_with_the_tag_of_its_version(stores: Stores) -> None:
    results = stores.results
    assert results.all_experiments() == []
    other = replace(EXPERIMENT, name="other", mode=Mode.INTERLEAVE, k=20)
    for experiment in (EXPERIMENT, other):
        assert results.save_experiment(experiment, None)
        results.add_record(experiment.live, record("1"))
    found = results.all_experiments()
    assert {experiment for experiment, _ in found} == {EXPERIMENT, other}
    for experiment, tag in found:
        assert results.save_experiment(experiment.next_epoch("bundle"), tag)


def test_what_is_settled_live_is_no_record_of_the_replay(stores: Stores) -> None:
    stores.results.add_exposure(EXPERIMENT.live, exposure("1", "a"))
    stores.results.add_record(EXPERIMENT.live, record("1"))
    assert stores.results.exposure(EXPERIMENT, "1") is None
    assert stores.results.record(EXPERIMENT, "1") is None
    assert stores.results.records(EXPERIMENT, limit=10).records == ()
    assert stores.results.records(EXPERIMENT.live, limit=10).records == (record("1"),)


def test_all_that_an_exposure_and_a_record_hold_comes_back(stores: Stores) -> None:
    made = replace(
        exposure("1", "a", "b"),
        owners=("A", "B"),
        before=0.25,
        traits={"premium": "yes"},
        figures={"latency": 1.5},
        propensities={"A": 0.75, "B": 0.25},
        seen={"A": (3, 4), "B": (0, 1)},
    )
    settled = Record(made, True, NOW, credits={"A": 1, "B": 0}, figures={"skip_rate": 0.5})
    stores.results.add_exposure(EXPERIMENT, made)
    stores.results.add_record(EXPERIMENT, settled)
    found = stores.results.exposure(EXPERIMENT, "1")
    assert found is not None
    assert found[0] == made
    assert stores.results.record(EXPERIMENT, "1") == settled


@pytest.mark.parametrize("stores", ["memory", "moto"], indirect=True)
@pytest.mark.parametrize("after", ["x", "../../secret", "0" * 63, "G" * 64, "f" * 64])
def test_a_made_up_position_is_refused(stores: Stores, after: str) -> None:
    stores.results.add_record(EXPERIMENT, record("1"))
    with pytest.raises(UnknownPosition):
        stores.results.records(EXPERIMENT, limit=10, after=after)


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


def test_an_erasure_reaches_every_epoch_and_side(stores: Stores) -> None:
    results = stores.results
    following = EXPERIMENT.next_epoch("bundle")
    results.save_experiment(EXPERIMENT, None)
    results.save_experiment(following, results.all_experiments()[0][1])
    for epoch in (EXPERIMENT, EXPERIMENT.live, following, following.live):
        for user in ("1", "2"):
            results.add_exposure(epoch, exposure(user, "a"))
            results.add_record(epoch, record(user))
    privacy = Privacy(stores.sessions, stores.users, results)
    assert len(privacy.export("1").parts) == 4
    privacy.erase("1")
    assert privacy.export("1").parts == ()
    assert len(privacy.export("2").parts) == 4
    for epoch in (EXPERIMENT, EXPERIMENT.live, following, following.live):
        assert results.exposure(epoch, "1") is None
        assert results.exposure(epoch, "2") is not None
        assert results.tally(epoch).users == 1


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
