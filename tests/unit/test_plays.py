"""Labelled plays: what counts as fully played, and as liked."""

import random

from hypothesis import given
from hypothesis import strategies as st

from segue.domain.events import Event, EventType
from segue.domain.plays import (
    LONGEST_PLAY,
    Play,
    label_plays,
    listening_time,
    mean_tracks_per_session,
)

PLAY, SKIP, LIKE = EventType.PLAY, EventType.SKIP, EventType.LIKE
ADVERT = EventType.ADVERTISEMENT

# Few times, tracks and sessions, so that they often coincide.
EVENTS = st.lists(
    st.builds(
        Event,
        st.just("101"),
        st.sampled_from(["1", "2"]),
        st.integers(0, 5),
        st.sampled_from(list(EventType)),
        st.sampled_from(["a", "b", None]),
    ),
    max_size=20,
)


def heard(*events: tuple[EventType, str | None], session: str = "1") -> list[Event]:
    """Events of one session, a second apart."""
    return [
        Event("101", session, number * 1_000, kind, track)
        for number, (kind, track) in enumerate(events)
    ]


def labels(*events: tuple[EventType, str | None]) -> list[tuple[str, bool, bool]]:
    return [(play.track_id, play.completed, play.liked) for play in label_plays(heard(*events))]


def test_a_play_that_nothing_follows_is_fully_played() -> None:
    assert labels((PLAY, "a")) == [("a", True, False)]


def test_a_play_that_another_follows_is_fully_played() -> None:
    assert labels((PLAY, "a"), (PLAY, "b")) == [("a", True, False), ("b", True, False)]


def test_a_skip_undoes_the_play_before_it() -> None:
    assert labels((PLAY, "a"), (SKIP, "a"), (PLAY, "b")) == [
        ("a", False, False),
        ("b", True, False),
    ]


def test_a_skip_after_the_next_play_comes_too_late() -> None:
    assert labels((PLAY, "a"), (PLAY, "b"), (SKIP, "a")) == [
        ("a", True, False),
        ("b", True, False),
    ]


def test_a_skip_of_another_track_does_not_count() -> None:
    assert labels((PLAY, "a"), (SKIP, "b")) == [("a", True, False)]


def test_an_advert_between_play_and_skip_changes_nothing() -> None:
    assert labels((PLAY, "a"), (ADVERT, None), (SKIP, "a")) == [("a", False, False)]


def test_a_track_played_twice_is_judged_twice() -> None:
    assert labels((PLAY, "a"), (SKIP, "a"), (PLAY, "a")) == [
        ("a", False, False),
        ("a", True, False),
    ]


def test_a_like_counts_for_every_play_of_its_track_in_the_session() -> None:
    assert labels((PLAY, "a"), (LIKE, "a"), (PLAY, "b"), (PLAY, "a")) == [
        ("a", True, True),
        ("b", True, False),
        ("a", True, True),
    ]


def test_a_skip_at_the_time_of_the_next_play_belongs_to_the_play_before() -> None:
    events = [
        Event("101", "1", 0, PLAY, "a"),
        Event("101", "1", 7, PLAY, "b"),
        Event("101", "1", 7, SKIP, "a"),
    ]
    assert [play.completed for play in label_plays(events)] == [False, True]


def test_sessions_do_not_touch_each_other() -> None:
    events = [
        Event("101", "1", 0, PLAY, "a"),
        Event("101", "2", 1, SKIP, "a"),
        Event("101", "2", 2, LIKE, "a"),
    ]
    assert label_plays(events) == [Play("1", "a", 0, completed=True, liked=False)]


@given(EVENTS, st.randoms(use_true_random=False))
def test_the_order_of_the_events_does_not_matter(events: list[Event], rng: random.Random) -> None:
    shuffled = events.copy()
    rng.shuffle(shuffled)
    assert label_plays(shuffled) == label_plays(events)


@given(EVENTS)
def test_every_play_of_a_track_is_labelled_once_in_the_order_of_time(events: list[Event]) -> None:
    plays = label_plays(events)
    begun = [(e.time, e.session_id, e.track_id) for e in events if e.type is PLAY and e.track_id]
    assert [(play.time, play.session_id, play.track_id) for play in plays] == sorted(begun)


@given(EVENTS)
def test_skips_alone_undo_plays_and_likes_alone_like_them(events: list[Event]) -> None:
    plays = label_plays(event for event in events if event.type not in (SKIP, LIKE))
    assert all(play.completed and not play.liked for play in plays)


@given(EVENTS, EVENTS)
def test_labels_depend_on_nothing_behind_the_next_play(
    events: list[Event], later: list[Event]
) -> None:
    """What comes after may add plays and likes, but changes no earlier skip."""
    closing = [Event("101", session, 6, PLAY, "z") for session in ("1", "2")]
    moved = [event._replace(time=event.time + 7) for event in later]
    known = label_plays([*events, *closing])
    grown = label_plays([*events, *closing, *moved])
    assert [play.completed for play in grown if play.time < 6] == [
        play.completed for play in known if play.time < 6
    ]


def test_the_mean_session_counts_plays() -> None:
    events = [*heard((PLAY, "a"), (PLAY, "b"), (PLAY, "a")), *heard((PLAY, "a"), session="2")]
    assert mean_tracks_per_session(label_plays(events)) == 2.0


def test_without_plays_the_mean_session_is_empty() -> None:
    assert mean_tracks_per_session([]) == 0.0


def test_a_play_lasts_until_the_next_one_a_skip_or_an_advertisement() -> None:
    assert listening_time(heard((PLAY, "a"), (PLAY, "b"), (SKIP, "b"))) == 2_000
    assert listening_time(heard((PLAY, "a"), (LIKE, "a"), (ADVERT, None), (PLAY, "b"))) == 2_000


def test_the_last_play_of_a_session_has_no_end_unless_it_is_skipped() -> None:
    assert listening_time(heard((PLAY, "a"), (LIKE, "a"))) == 0
    assert listening_time(heard((PLAY, "a"), session="1") + heard((PLAY, "b"), session="2")) == 0


def test_whoever_left_the_session_open_did_not_listen_all_the_time() -> None:
    night = [
        Event("101", "1", time, kind, "a") for time, kind in ((0, PLAY), (10 * LONGEST_PLAY, SKIP))
    ]
    assert listening_time(night) == LONGEST_PLAY


@given(EVENTS)
def test_listening_time_needs_no_order_and_is_no_more_than_the_session(events: list[Event]) -> None:
    shuffled = random.Random(7).sample(events, len(events))
    found = listening_time(events)
    assert listening_time(shuffled) == found
    sessions = {
        event.session_id: [it.time for it in events if it.session_id == event.session_id]
        for event in events
    }
    assert 0 <= found <= sum(max(times) - min(times) for times in sessions.values())
