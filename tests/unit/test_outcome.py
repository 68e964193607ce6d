"""What comes of the lists that a listener was shown."""

from hypothesis import given
from hypothesis import strategies as st

from segue.domain.events import Event, EventType
from segue.experiments.epoch import EpochId, Side
from segue.experiments.outcome import judge
from segue.experiments.records import Exposure, Impression, Pending, Record

EPOCH = EpochId("default", 1, Side.LIVE)
WINDOW_END = 1_000


def pending(*lists: Impression) -> Pending:
    first, *later = lists
    exposure = Exposure(
        "1", "A", "m", "b", first.tracks, first.shown_at, first.shown_at, owners=first.owners
    )
    return Pending(exposure, WINDOW_END, tuple(later))


def play(track: str, time: int, chosen_from: Impression | None = None) -> Event:
    named = chosen_from.id(EPOCH.salt, "1") if chosen_from else None
    return Event("1", "s", time, EventType.PLAY, track, named)


def outcome(shown: Pending, *events: Event) -> Record:
    return judge(EPOCH, shown, events, WINDOW_END)


def test_a_full_play_of_any_list_counts() -> None:
    shown = pending(Impression(10, ("a", "b")), Impression(20, ("c", "d")))
    assert outcome(shown, play("d", 30)).successful
    assert not outcome(shown, play("e", 30)).successful


def test_a_play_before_the_track_was_shown_does_not_count() -> None:
    shown = pending(Impression(10, ("a",)), Impression(20, ("b",)))
    assert not outcome(shown, play("b", 19)).successful
    assert outcome(shown, play("b", 19), play("b", 20)).positions == (1,)


def test_a_skipped_play_does_not_count() -> None:
    shown = pending(Impression(10, ("a",)))
    skip = Event("1", "s", 12, EventType.SKIP, "a")
    assert not outcome(shown, play("a", 11), skip).successful


def test_a_play_is_counted_for_the_latest_list_that_showed_the_track() -> None:
    shown = pending(Impression(10, ("a", "b")), Impression(20, ("b", "a")), Impression(90, ("a",)))
    record = outcome(shown, play("a", 30))
    assert (record.positions, record.reported) == ((2,), ())


def test_a_play_is_counted_for_the_list_that_it_names() -> None:
    first, second = Impression(10, ("a", "b")), Impression(20, ("b", "a"))
    record = outcome(pending(first, second), play("a", 30, first), play("b", 31))
    assert (record.positions, record.reported) == ((1, 1), (1,))


def test_a_list_of_somebody_elses_says_nothing() -> None:
    shown = pending(Impression(10, ("a", "b")))
    stranger = play("b", 30)._replace(recommendation_id="0" * 32)
    record = outcome(shown, stranger)
    assert (record.positions, record.reported) == ((2,), ())


def test_a_track_counts_once_however_often_it_is_played() -> None:
    shown = pending(Impression(10, ("a", "b")))
    assert outcome(shown, play("a", 30), play("a", 40)).positions == (1,)


def test_credit_goes_to_the_owner_in_the_list_that_the_play_is_counted_for() -> None:
    first = Impression(10, ("a", "b"), ("A", "B"))
    second = Impression(20, ("b", "a"), ("A", "B"))
    assert outcome(pending(first, second), play("a", 15)).credits == {"A": 1, "B": 0}
    assert outcome(pending(first, second), play("a", 25)).credits == {"A": 0, "B": 1}


tracks = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True).map(tuple)
impressions = st.lists(
    st.builds(Impression, st.integers(0, 900), tracks), min_size=1, max_size=4
).map(lambda lists: sorted(lists, key=lambda it: it.shown_at))
plays = st.lists(
    st.builds(play, st.sampled_from("abcdefg"), st.integers(0, WINDOW_END - 1)), max_size=8
)


@given(impressions, plays)
def test_success_is_a_full_play_of_a_track_after_it_was_shown(
    lists: list[Impression], events: list[Event]
) -> None:
    counted = {
        event.track_id
        for event in events
        for it in lists
        if it.shown_at <= event.time and event.track_id in it.tracks
    }
    record = outcome(pending(*lists), *events)
    assert record.successful == bool(counted)
    assert len(record.positions) == len(counted)
