"""Whatever was written, and by whomever at the same time: a history is what the sessions hold."""

import random
import string
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.benchmarks.meter import Charge, Meter
from infra.memory import FixedClock
from segue.adapters import sessions
from segue.adapters.aws import dynamodb_client
from segue.adapters.sessions import DynamoSessionStore
from segue.domain.events import Event, EventType
from segue.domain.times import DAY, SECOND, Window
from tests.integration.conftest import Aws

pytestmark = pytest.mark.parametrize("aws", ["moto"], indirect=True)

NOW = 1_662_000_000_000
YEAR = Window.before(NOW, 365)
LETTERS = string.ascii_letters + string.digits


class Killed(Exception):
    """The process ends here."""


@pytest.fixture(autouse=True)
def every_session_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_FOLD_EVERY", 1)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def store(aws: Aws, clock: FixedClock) -> DynamoSessionStore:
    return DynamoSessionStore(aws.dynamodb, aws.names["SessionsTable"], clock)


def play(days: float, session: str = "s", track: str = "t", user: str = "1") -> Event:
    """So many days before now."""
    return Event(user, session, NOW - int(days * DAY), EventType.PLAY, track)


def listen(store: DynamoSessionStore, days: int) -> None:
    """A play every other day, each in a session of its own, from so many days ago on; the last one
    brings the digest up to date."""
    store.put(play(day, f"s{day}", f"t{day % 50}") for day in range(days, 0, -2))
    store.append([play(0.5, "today")])


def agrees(store: DynamoSessionStore, window: Window, user: str = "1") -> bool:
    history, events = store.history(user, window), store.events(user, window)
    return sorted(it.identity for it in history) == sorted(it.identity for it in events)


def reads_digest(store: DynamoSessionStore, window: Window) -> bool:
    """Whether a history of the window is read without the sessions of most of its days."""
    asked: list[Window] = []
    read = store.events

    def events(user_id: str, part: Window, *, fresh: bool = True) -> list[Event]:
        asked.append(part)
        return read(user_id, part, fresh=fresh)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "events", events)
        store.history("1", window)
    return sum(part.end - part.start for part in asked) < (window.end - window.start) / 2


def test_a_year_is_read_from_the_digest_and_the_last_sessions(store: DynamoSessionStore) -> None:
    listen(store, 450)
    assert agrees(store, YEAR)
    assert reads_digest(store, YEAR)


@pytest.mark.parametrize(
    "window",
    [
        Window(0, NOW),
        Window.before(NOW - 20 * DAY, 365),
        Window.before(NOW - 900 * DAY, 365),
        Window.before(NOW + 900 * DAY, 365),
        Window.before(NOW, 30),
        Window(0, 2 * NOW),
    ],
)
def test_any_stretch_of_time_is_whole(store: DynamoSessionStore, window: Window) -> None:
    listen(store, 1_500)
    assert agrees(store, window)


def test_a_digest_follows_as_time_goes_on(store: DynamoSessionStore, clock: FixedClock) -> None:
    for days in range(500, 0, -20):
        clock.time = NOW - days * DAY
        store.append([play(days, f"s{days}"), play(days, f"s{days}", "u")])
    clock.time = NOW
    assert agrees(store, YEAR)
    assert reads_digest(store, YEAR)


def test_a_late_event_is_seen_and_the_next_digest_has_it(
    store: DynamoSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen(store, 400)
    with monkeypatch.context() as patch:
        patch.setattr(sessions, "_FOLD_EVERY", 10**12)
        assert store.append([play(100.5, "late")]) == 1
        assert not reads_digest(store, YEAR)
        assert agrees(store, YEAR)
    store.append([play(0.1, "next")])
    assert reads_digest(store, YEAR)
    assert agrees(store, YEAR)
    assert play(100.5, "late") in store.history("1", YEAR)


def test_an_import_is_seen(store: DynamoSessionStore) -> None:
    listen(store, 400)
    store.put([play(200.5, "imported"), play(3.5, "imported")])
    assert agrees(store, YEAR)
    assert play(200.5, "imported") in store.history("1", YEAR)


def test_after_an_erasure_nothing_is_left(aws: Aws, store: DynamoSessionStore) -> None:
    listen(store, 400)
    assert store.has_events("1")
    store.delete("1")
    assert not store.has_events("1")
    assert aws.dynamodb.scan(TableName=aws.names["SessionsTable"])["Items"] == []


def test_a_digest_of_its_own_is_no_event(store: DynamoSessionStore) -> None:
    store.put([])
    store._digests.open("1")
    assert not store.has_events("1")


@pytest.mark.parametrize("meanwhile", ["append", "put", "delete"])
def test_what_is_written_while_a_digest_is_made_is_not_missed(
    aws: Aws,
    store: DynamoSessionStore,
    clock: FixedClock,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: str,
) -> None:
    """Between the moment that the sessions were read for it, and the one that it is written."""
    other = DynamoSessionStore(aws.dynamodb, aws.names["SessionsTable"], clock)
    acts: dict[str, Callable[[], object]] = {
        "append": lambda: other.append([play(90.5, "late")]),
        "put": lambda: other.put([play(90.5, "late")]),
        "delete": lambda: other.delete("1"),
    }
    listen(store, 400)
    store.put([play(300.5, "so that there is much to fold")])
    read = store.events
    left = iter([acts[meanwhile]])

    def read_and_be_overtaken(*arguments: Any, **named: Any) -> list[Event]:
        found = read(*arguments, **named)
        for act in left:
            act()
        return found

    monkeypatch.setattr(store, "events", read_and_be_overtaken)
    store._fold("1")
    monkeypatch.undo()
    assert next(left, None) is None
    assert agrees(store, YEAR)
    assert store.has_events("1") == (meanwhile != "delete")
    if meanwhile == "delete":
        assert aws.dynamodb.scan(TableName=aws.names["SessionsTable"])["Items"] == []


def test_killed_at_any_call_it_agrees_and_a_second_try_ends_the_work(
    aws: Aws, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = [play(90.5, "late"), play(2, "recent"), play(50.5, "later")]
    calls = 0
    for last in range(100):
        monkeypatch.undo()
        monkeypatch.setattr(sessions, "_FOLD_EVERY", 1)
        store = DynamoSessionStore(aws.dynamodb, aws.names["SessionsTable"], clock)
        store.delete("1")
        listen(store, 200)
        kill_after(aws, monkeypatch, last)
        try:
            store.append(late)
        except Killed:
            calls += 1
        else:
            break
        finally:
            monkeypatch.undo()
        assert agrees(store, YEAR)
        store.append(late)
        assert agrees(store, YEAR)
        assert {*late} <= {*store.history("1", YEAR)}
    assert calls > 3


def kill_after(aws: Aws, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """Let so many calls take effect; the next one does, but nobody hears of it any more."""
    send = aws.dynamodb._make_api_call  # type: ignore[attr-defined]
    left = iter(range(calls))

    def counted(*arguments: Any) -> Any:
        answer = send(*arguments)
        if next(left, None) is None:
            raise Killed
        return answer

    monkeypatch.setattr(aws.dynamodb, "_make_api_call", counted)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_in_any_order_of_writes_a_history_is_what_the_sessions_hold(
    store: DynamoSessionStore, clock: FixedClock, data: st.DataObject
) -> None:
    user = uuid4().hex
    clock.time = NOW
    ages = st.floats(0, 3) | st.floats(0, 500)
    for _ in range(data.draw(st.integers(1, 6))):
        clock.time += data.draw(st.integers(0, 60)) * DAY
        days = data.draw(st.lists(ages, max_size=5))
        act = data.draw(st.sampled_from([store.append, store.put, store.delete]))
        if act == store.delete:
            store.delete(user)
        else:
            act(_written(user, clock.time, days))
        end = clock.time - data.draw(st.integers(-1, 40)) * DAY
        assert agrees(store, Window.before(end, data.draw(st.sampled_from([30, 365]))), user)


def _written(user: str, now: int, days: Sequence[float]) -> Iterator[Event]:
    for place, age in enumerate(days):
        session = f"s{place % 2}"
        yield Event(user, session, now - int(age * DAY), EventType.PLAY, f"t{place % 3}")


def test_a_year_of_a_usual_listener_is_read_at_a_fraction_of_the_cost(
    aws: Aws, store: DynamoSessionStore, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 plays a month in 20 sessions, of 1,254 tracks; the digest was made 30 days ago."""
    monkeypatch.setattr(sessions, "_FOLD_EVERY", 10**12)
    chance = random.Random(7)
    tracks = ["".join(chance.choices(LETTERS, k=22)) for _ in range(1_500)]
    visits = [_visit(chance, tracks, NOW - int(1.5 * day * DAY)) for day in range(1, 244)]
    store.put(event for visit in visits[20:] for event in visit)
    for visit in visits[20::-1]:
        clock.time = visit[0].time
        store.append(visit)
        if visit is visits[20]:
            store._fold("1")
    clock.time = NOW
    meter = Meter(aws.dynamodb, aws.s3, dynamodb_client())
    with meter.counting("sessions"):
        events = store.events("1", YEAR)
    with meter.counting("history"):
        history = store.history("1", YEAR)
    assert sorted(history) == sorted(events)
    units = {step: charges[Charge.READ] for step, charges in meter.charges.items()}
    assert 36 <= units["sessions"] <= 40
    assert 8 <= units["history"] <= 10


def _visit(chance: random.Random, tracks: Sequence[str], start: int) -> list[Event]:
    """A session of 15 plays, each fifth one skipped, of tracks some of which come often."""
    session, events = f"{chance.getrandbits(128):032x}", []
    for place in range(15):
        track = tracks[int(len(tracks) * chance.random() ** 2)]
        time = start + place * 200 * SECOND
        events.append(Event("1", session, time, EventType.PLAY, track))
        if chance.random() < 0.2:
            events.append(Event("1", session, time + 20 * SECOND, EventType.SKIP, track))
    return events
