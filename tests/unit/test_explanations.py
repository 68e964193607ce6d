"""Explanations: the reason is what really contributed most."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.domain.catalogue import Catalogue
from segue.domain.descriptions import Descriptions
from segue.domain.genres import TrackGenres
from segue.domain.texts import Texts
from segue.domain.users import User
from segue.domain.words import WordIndex
from segue.models.model import Contributions
from segue.ranking.explanations import (
    SUBSTANTIAL,
    Reason,
    explain,
    explain_cold_start,
    reason_text,
)

# Tracks 0 to 5 are folk, 4 to 9 are jazz; track 10 is of no genre. Nobody knows who made them, but
# for 7 to 9, by Ella, and 10, by Nina.
CATALOGUE = Catalogue(
    ids=np.array([f"t{track:02}" for track in range(11)], np.bytes_),
    explicit=np.zeros(11, np.bool_),
    popularity=np.array([0.5] * 10 + [0.0], np.float32),
    artists=np.array([-1] * 7 + [0] * 3 + [1], np.int32),
    genres={"folk": np.arange(6, dtype=np.int32), "jazz": np.arange(4, 10, dtype=np.int32)},
    artist_ids=np.array([b"ella", b"nina"]),
)
GENRES = TrackGenres.of(CATALOGUE)


def reason(heard: Mapping[int, float], track: int = 0, **others: float) -> Reason | None:
    """The reason for one track, by what each heard track adds to its score, and what else does."""
    contributions = Contributions(
        np.array(list(heard), np.int32),
        np.array([list(heard.values())], np.float32).reshape(len(heard), 1),
        {kind: np.array([amount], np.float32) for kind, amount in others.items()},
    )
    (found,) = explain(contributions, np.array([track]), CATALOGUE, GENRES)
    return found


def test_a_track_that_contributed_a_substantial_share_is_the_reason() -> None:
    found = reason({1: 5.0, 2: 4.0, 8: 3.0})
    assert found == Reason("track", pytest.approx(5 / 12), track_id="t01")


def test_many_small_shares_of_the_tracks_own_genre_are_reason_together() -> None:
    found = reason({1: 2.0, 2: 2.0, 3: 2.0, 8: 2.5})
    assert found == Reason("genre", pytest.approx(6 / 8.5), genre="folk")


def test_a_genre_that_the_track_does_not_share_is_no_reason() -> None:
    assert reason({6: 2.0, 7: 2.0, 8: 2.0, 9: 2.1}) == Reason(
        "track", pytest.approx(2.1 / 8.1), track_id="t09"
    )


def test_small_shares_of_the_tracks_own_artist_are_reason_together_before_its_genre() -> None:
    found = reason({4: 2.0, 5: 2.0, 7: 2.0, 8: 2.0}, track=9)
    assert found == Reason("artist", pytest.approx(0.5), artist_id="ella")


def test_an_artist_of_too_small_a_share_leaves_the_word_to_the_genre() -> None:
    found = reason({1: 1.0, 4: 2.0, 5: 2.0, 6: 2.0, 7: 1.0, 8: 1.0}, track=9)
    assert found == Reason("genre", pytest.approx(8 / 9), genre="jazz")


def test_an_artist_who_did_not_make_the_track_is_no_reason() -> None:
    found = reason({7: 1.0, 8: 1.0, 9: 1.0, 1: 1.1}, track=10)
    assert found == Reason("track", pytest.approx(1.1 / 4.1), track_id="t01")


def test_tracks_by_nobody_known_have_no_artist_in_common() -> None:
    found = reason({1: 1.0, 2: 1.0, 3: 1.0, 6: 0.9}, track=0)
    assert found == Reason("genre", pytest.approx(3 / 3.9), genre="folk")


def test_what_spoke_against_a_track_lessens_its_genre_and_not_the_whole() -> None:
    found = reason({1: 2.0, 2: 2.0, 3: -1.0, 8: 1.9, 9: 1.8})
    assert found == Reason("genre", pytest.approx(3 / 7.7), genre="folk")


def test_popularity_is_the_reason_where_it_contributed_more_than_any_track_or_genre() -> None:
    found = reason({1: 2.0, 8: 1.0}, popularity=4.0, profile=1.0)
    assert found == Reason("popularity", pytest.approx(0.5))


def test_a_genre_outweighs_the_popularity_that_outweighs_each_of_its_tracks() -> None:
    found = reason({1: 2.0, 2: 2.0, 3: 2.0}, popularity=4.0)
    assert found == Reason("genre", pytest.approx(0.6), genre="folk")


def test_a_track_of_no_genre_has_its_greatest_single_reason() -> None:
    heard = {1: 1.0, 2: 1.0, 3: 1.0, 8: 1.1}
    assert reason(heard, track=10) == Reason("track", pytest.approx(1.1 / 4.1), track_id="t08")


@pytest.mark.parametrize("heard", [{}, {1: 0.0}, {1: -1.0, 2: -2.0}])
def test_where_nothing_speaks_for_a_track_there_is_no_reason(heard: Mapping[int, float]) -> None:
    assert reason(heard) is None
    assert reason(heard, profile=-1.0) is None
    assert reason(heard, profile=1.0) == Reason("profile", 1.0)


amounts = st.lists(st.floats(-10, 10, width=32), min_size=11, max_size=11)


@given(amounts, st.floats(-10, 10, width=32), st.integers(0, 10))
def test_no_single_contribution_is_greater_than_that_of_the_reason(
    heard: Sequence[float], popularity: float, track: int
) -> None:
    found = reason(dict(enumerate(heard)), track, popularity=popularity)
    single = max(*heard, popularity)
    whole = sum(amount for amount in (*heard, popularity) if amount > 0)
    if found is None:
        assert single <= 0
        return
    assert found.share <= 1 + 1e-5
    if found.kind not in ("artist", "genre") and found.share < SUBSTANTIAL:
        assert found.share == pytest.approx(single / whole)
    else:
        assert found.share >= min(single / whole, SUBSTANTIAL) * (1 - 1e-5)
    assert found.share >= popularity / whole * (1 - 1e-5)


def test_each_track_has_a_reason_of_its_own() -> None:
    contributions = Contributions(
        np.array([1, 8], np.int32), np.array([[3, 0], [1, 5]], np.float32)
    )
    found = explain(contributions, np.array([0, 9]), CATALOGUE, GENRES)
    assert [why and why.track_id for why in found] == ["t01", "t08"]


def test_a_cold_start_is_explained_by_the_favourite_genre_else_by_popularity() -> None:
    user = User("1", ("jazz", "folk"))
    found = explain_cold_start(user, np.array([5, 0, 10]), CATALOGUE, GENRES)
    assert found == (
        Reason("favourite_genre", 0.8, genre="jazz"),
        Reason("favourite_genre", 0.8, genre="folk"),
        None,
    )
    (popular,) = explain_cold_start(User("1"), np.array([0]), CATALOGUE, GENRES)
    assert popular == Reason("popularity", 1.0)


DESCRIPTIONS = Descriptions(
    titles=Texts.of(["Paper Lanterns", *[None] * 7, "Blue Hour", *[None] * 2]),
    title_words=WordIndex.of([]),
    artist_names=Texts.of(["Slow Harbour", None]),
    artist_words=WordIndex.of([]),
    years=np.zeros(11, np.int16),
    numbers={},
    labels={},
)


@pytest.mark.parametrize(
    ("why", "text"),
    [
        (Reason("track", 1, track_id="t08"), "because you played Blue Hour by Slow Harbour"),
        (Reason("track", 1, track_id="t00"), "because you played Paper Lanterns"),
        (Reason("track", 1, track_id="t01"), "because you played t01"),
        (Reason("track", 1, track_id="t10"), "because you played t10"),
        (Reason("artist", 1, artist_id="ella"), "more by Slow Harbour, whom you play"),
        (Reason("artist", 1, artist_id="nina"), "more by nina, whom you play"),
        (Reason("genre", 1, genre="folk"), "because you play folk"),
        (Reason("favourite_genre", 1, genre="folk"), "you like folk"),
        (Reason("popularity", 1), "popular at the moment"),
        (Reason("profile", 1), "fits your profile"),
    ],
)
def test_a_reason_can_be_put_into_words(why: Reason, text: str) -> None:
    assert reason_text(why, CATALOGUE, DESCRIPTIONS) == text
