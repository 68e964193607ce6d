"""What every store promises, whichever it is."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from segue.domain.errors import InvalidRequest
from segue.domain.events import Event, EventType
from segue.domain.times import DAY, Window
from segue.domain.users import User
from segue.experiments.experiment import default_experiment
from segue.experiments.records import Exposure, Record
from tests.integration.conftest import Stores

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
    assert stores.results.exposure(EXPERIMENT, "1") == exposure("1", "a")
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


@pytest.mark.parametrize("stores", ["moto"], indirect=True)
@pytest.mark.parametrize("after", ["x", "../../secret", "0" * 63, "G" * 64])
def test_a_made_up_position_is_refused(stores: Stores, after: str) -> None:
    with pytest.raises(InvalidRequest, match="not a position"):
        stores.results.records(EXPERIMENT, limit=10, after=after)


def test_a_session_stored_again_with_an_earlier_start_holds_each_event_once(stores: Stores) -> None:
    later = [play("1", NOW + 5), play("1", NOW + 9)]
    stores.sessions.put(later)
    stores.sessions.put([play("1", NOW), *later])
    assert sorted(stores.sessions.events("1", Window(0, 2 * NOW))) == [play("1", NOW), *later]
