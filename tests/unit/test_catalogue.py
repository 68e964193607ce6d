"""Positions of tracks, and the listener's vector."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.domain.catalogue import Catalogue
from segue.domain.plays import Play
from segue.domain.times import DAY
from segue.features.listeners import (
    FAST_HALF_LIFE,
    History,
    encode_listener,
    history_of,
    listener_width,
)

NOW = 100 * DAY
names = st.text(min_size=1, max_size=8).filter(lambda name: "\0" not in name)


def catalogue_of(ids: set[str]) -> Catalogue:
    encoded = np.array(sorted(name.encode() for name in ids), np.bytes_)
    size = len(encoded)
    return Catalogue(
        encoded, np.zeros(size, np.bool_), np.zeros(size, np.float32), np.zeros(size, np.int32), {}
    )


@given(st.sets(names), st.lists(names))
def test_positions_lead_back_to_the_ids(ids: set[str], asked: list[str]) -> None:
    catalogue = catalogue_of(ids)
    positions = catalogue.positions([*sorted(ids), *asked])
    for name, position in zip([*sorted(ids), *asked], positions, strict=True):
        assert (position >= 0) == (name in ids)
        if position >= 0:
            assert catalogue.track_ids(np.array([position])) == [name]


def test_an_id_that_is_longer_or_ends_in_nul_is_unknown() -> None:
    assert catalogue_of({"abc"}).positions(["abc\0", "abcd" * 99, "abc"]).tolist() == [-1, -1, 0]


def play(track: str, *, days: float, completed: bool = True, liked: bool = False) -> Play:
    return Play("s", track, NOW - int(days * DAY), completed, liked)


def test_plays_of_unknown_tracks_are_left_out_of_the_history() -> None:
    plays = [play("b", days=2), play("unknown", days=1), play("a", days=0.5, liked=True)]
    history = history_of(plays, catalogue_of({"a", "b"}), NOW)
    assert history.tracks.tolist() == [1, 0]
    assert history.age.tolist() == [2.0, 0.5]
    assert history.strength.tolist() == [1, 2]


FEATURES = np.array([[1, 0], [0, 1], [0, 0]], np.float16)
PROFILE = np.array([0.5], np.float32)


def encode(*plays: Play) -> np.ndarray:
    history = history_of(plays, catalogue_of({"a", "b", "c"}), NOW)
    return encode_listener(PROFILE, history, FEATURES)


def test_the_vector_holds_profile_tastes_and_habits() -> None:
    vector = encode(play("a", days=0), play("b", days=14), play("c", days=1, completed=False))
    assert vector.shape == (listener_width(2, 1),)
    assert vector[0] == 0.5
    assert vector[1:3] == pytest.approx([2 / 3, 1 / 3])  # slow: a play 14 days old counts half
    assert vector[3:5] == pytest.approx([1, 0], abs=1e-3)  # fast: today's mood
    assert vector[5:7].tolist() == [0, 0]  # skipped: c, which has no features
    assert vector[8:] == pytest.approx([2 / 3, 1, 0])


def test_a_like_counts_as_much_again() -> None:
    assert encode(play("a", days=0, liked=True), play("b", days=0))[1:3] == pytest.approx(
        [2 / 3, 1 / 3]
    )


def test_plays_too_old_for_the_mood_leave_it_at_zero() -> None:
    age = np.array([200.0], np.float32)
    flag = np.array([True])
    history = History(np.array([0], np.int32), flag, flag, age)
    assert history.recency(FAST_HALF_LIFE)[0] < 1e-12
    assert encode_listener(PROFILE, history, FEATURES)[3:5].tolist() == [0, 0]


def test_without_plays_only_the_profile_speaks() -> None:
    assert encode().tolist() == [0.5] + [0.0] * (listener_width(2, 1) - 1)
