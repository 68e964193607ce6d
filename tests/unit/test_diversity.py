"""Diversity: distance in space, calibration to a mix of genres, and the trade against the score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.genres import TrackGenres
from segue.domain.users import User
from segue.features.encoder import FloatArray
from segue.features.listeners import History
from segue.models.model import Listener
from segue.models.ranked import best
from segue.ranking.diversity import pool_size, rerank
from segue.ranking.genres import listener_mix

TRACKS = 300
SETTINGS = (0.0, 0.25, 0.5, 0.75, 1.0)

seeds = st.integers(0, 2**32 - 1)
lengths = st.integers(1, 30)
degrees = st.floats(0, 1)


def catalogue(**genres: list[int]) -> Catalogue:
    return Catalogue(
        ids=np.array([f"t{track:03}" for track in range(TRACKS)], np.bytes_),
        explicit=np.zeros(TRACKS, np.bool_),
        popularity=np.zeros(TRACKS, np.float32),
        artists=np.zeros(TRACKS, np.int32),
        genres={name: np.array(tracks, np.int32) for name, tracks in genres.items()},
    )


class Tracks:
    """Tracks at random, some of which nobody may have, and a mix of their genres."""

    def __init__(self, seed: int) -> None:
        draw = np.random.default_rng(seed)
        self.scores = draw.normal(size=TRACKS).astype(np.float32)
        self.scores[draw.random(TRACKS) < 0.1] = -np.inf
        self.vectors = draw.normal(size=(TRACKS, 3)).astype(np.float32)
        members = {f"g{g}": draw.choice(TRACKS, 80, replace=False).tolist() for g in range(6)}
        self.genres = TrackGenres.of(catalogue(**members))
        self.mix = draw.dirichlet(np.full(6, 0.5)).astype(np.float32)

    def list(self, k: int, diversity: float) -> NDArray[np.intp]:
        pool = best(self.scores, pool_size(k))
        ranked = rerank(pool, k, diversity, vectors=self.vectors, genres=self.genres, mix=self.mix)
        assert ranked.scores.tolist() == self.scores[ranked.tracks].tolist()
        return ranked.tracks

    def best(self, k: int) -> NDArray[np.intp]:
        return best(self.scores, k).tracks

    def chords(self, tracks: NDArray[np.intp]) -> FloatArray:
        """The distances between each two of the tracks on the unit sphere."""
        rows = self.vectors[tracks]
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return np.linalg.norm(rows[:, None] - rows, axis=2)[np.triu_indices(len(rows), 1)]

    def divergence(self, tracks: NDArray[np.intp]) -> float:
        """Of the list's mix of genres from the listener's, with a hundredth of the latter in it."""
        listed = self.genres.mix(tracks, np.ones(len(tracks), np.float32))
        blended = 0.99 * listed + 0.01 * self.mix
        return float(self.mix @ np.log(self.mix / blended))


@given(seeds, lengths)
def test_without_diversity_the_order_is_that_of_the_scores(seed: int, k: int) -> None:
    tracks = Tracks(seed)
    assert tracks.list(k, 0).tolist() == tracks.best(k).tolist()


@given(seeds, lengths, degrees)
def test_a_list_holds_k_different_tracks_of_the_best(seed: int, k: int, degree: float) -> None:
    tracks = Tracks(seed)
    chosen = tracks.list(k, degree)
    assert len(set(chosen)) == len(chosen) == k
    assert set(chosen) <= set(tracks.best(pool_size(k)))


@given(seeds, lengths, degrees)
def test_a_pool_of_k_leaves_only_their_order_to_choose(seed: int, k: int, degree: float) -> None:
    tracks = Tracks(seed)
    chosen = rerank(best(tracks.scores, k), k, degree, vectors=tracks.vectors).tracks
    assert sorted(chosen) == sorted(tracks.best(k))


@given(seeds, lengths, degrees)
def test_only_the_order_of_the_scores_counts(seed: int, k: int, degree: float) -> None:
    tracks = Tracks(seed)
    before = tracks.list(k, degree).tolist()
    tracks.scores = np.argsort(np.argsort(tracks.scores)).astype(np.float32)
    forbidden = int((Tracks(seed).scores == -np.inf).sum())
    tracks.scores[tracks.scores < forbidden] = -np.inf
    assert tracks.list(k, degree).tolist() == before


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_a_list_is_shorter_where_fewer_are_allowed(allowed: int) -> None:
    tracks = Tracks(1)
    tracks.scores[:] = -np.inf
    tracks.scores[:allowed] = 1
    assert sorted(tracks.list(5, 0.7).tolist()) == list(range(allowed))


@given(seeds, st.integers(2, 30))
def test_the_most_diverse_tracks_are_half_as_far_apart_as_any_can_be(seed: int, k: int) -> None:
    """Gonzalez, 1985: taking the farthest each time is within a factor of two of the best."""
    tracks = Tracks(seed)
    pool = best(tracks.scores, pool_size(k))
    farthest = rerank(pool, k, 1, vectors=tracks.vectors).tracks
    others = np.random.default_rng(seed).choice(tracks.best(pool_size(k)), k, replace=False)
    for rival in (tracks.best(k), others):
        assert tracks.chords(farthest).min() >= 0.499 * tracks.chords(rival).min()


def test_the_more_diversity_the_farther_apart_and_the_nearer_the_mix() -> None:
    """On average over lists; the steps of one list may go back and forth."""
    worlds = [Tracks(seed) for seed in range(25)]
    lists = {degree: [world.list(20, degree) for world in worlds] for degree in SETTINGS}

    def means(figure: str) -> list[float]:
        return [
            float(
                np.mean(
                    [np.mean(getattr(w, figure)(c)) for w, c in zip(worlds, chosen, strict=True)]
                )
            )
            for chosen in lists.values()
        ]

    relevance = [
        float(np.mean([w.scores[c].mean() for w, c in zip(worlds, chosen, strict=True)]))
        for chosen in lists.values()
    ]
    assert means("chords") == sorted(means("chords"))
    assert means("divergence") == sorted(means("divergence"), reverse=True)
    assert relevance == sorted(relevance, reverse=True)


def test_a_calibrated_list_has_the_genres_in_the_listeners_shares() -> None:
    genres = TrackGenres.of(catalogue(folk=list(range(100)), jazz=list(range(100, 200))))
    scores = -np.arange(TRACKS, dtype=np.float32)
    mix = np.array([0.3, 0.7], np.float32)
    chosen = rerank(best(scores, 200), 10, 1, genres=genres, mix=mix).tracks
    assert (chosen < 100).sum() == 3
    # Within a genre, the better score comes first.
    assert chosen[chosen < 100].tolist() == [0, 1, 2]


def test_tracks_without_any_place_or_genre_stay_in_the_order_of_the_scores() -> None:
    tracks = Tracks(2)
    nowhere = np.zeros((TRACKS, 3), np.float32)
    unknown = np.zeros(6, np.float32)
    pool = best(tracks.scores, 200)
    for diversity in (0.5, 1.0):
        assert rerank(pool, 7, diversity).tracks.tolist() == tracks.best(7).tolist()
        chosen = rerank(pool, 7, diversity, genres=tracks.genres, mix=unknown)
        assert chosen.tracks.tolist() == tracks.best(7).tolist()
    assert len(set(rerank(pool, 7, 1, vectors=nowhere).tracks)) == 7


class TestMix:
    GENRES = TrackGenres.of(catalogue(folk=[0, 1], jazz=[1, 2], soul=[3]))

    def listener(self, *plays: tuple[int, bool, float], favourites: tuple[str, ...]) -> Listener:
        tracks, completed, age = zip(*plays, strict=True) if plays else ((), (), ())
        history = History(
            np.array(tracks, np.int32),
            np.array(completed, np.bool_),
            np.zeros(len(plays), np.bool_),
            np.array(age, np.float32),
        )
        return Listener(User("1", favourites), history)

    def mix(self, *plays: tuple[int, bool, float], favourites: tuple[str, ...] = ()) -> list[float]:
        listener = self.listener(*plays, favourites=favourites)
        return [round(float(share), 4) for share in listener_mix(listener, self.GENRES)]

    def test_a_track_of_two_genres_counts_half_for_each(self) -> None:
        assert self.mix((0, True, 0.0), (1, True, 0.0)) == [0.75, 0.25, 0.0]

    def test_what_was_skipped_does_not_count_and_the_recent_counts_more(self) -> None:
        assert self.mix((0, True, 14.0), (2, True, 0.0), (3, False, 0.0)) == [0.3333, 0.6667, 0.0]

    def test_whoever_enjoyed_nothing_is_taken_by_what_they_started(self) -> None:
        assert self.mix((3, False, 0.0)) == [0.0, 0.0, 1.0]

    def test_whoever_played_nothing_is_taken_by_the_favourite_genres(self) -> None:
        assert self.mix(favourites=("jazz", "soul", "no such genre")) == [0.0, 0.5, 0.5]

    def test_where_nothing_is_known_there_is_no_mix(self) -> None:
        assert self.mix() == self.mix((9, True, 0.0)) == [0.0, 0.0, 0.0]


def test_genres_are_found_by_track() -> None:
    genres = TrackGenres.of(catalogue(folk=[0, 1], jazz=[1, 2]))
    assert [genres.of_track(track) for track in range(4)] == [
        ("folk",),
        ("folk", "jazz"),
        ("jazz",),
        (),
    ]
    rows, numbers, shares = genres.pairs(np.array([3, 1, 0]))
    assert rows.tolist() == [1, 1, 2]
    assert numbers.tolist() == [0, 1, 0]
    assert shares.tolist() == [0.5, 0.5, 1.0]
