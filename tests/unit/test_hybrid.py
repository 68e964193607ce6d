"""The hybrid: what it sees, what it learns, and that training and serving agree."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.genres import TrackGenres
from segue.domain.users import User
from segue.features.encoder import FloatArray
from segue.features.listeners import History
from segue.models.bundle import Bundle
from segue.models.hybrid.gates import REPEATS, TRAITS, Gates, repeats, traits
from segue.models.hybrid.model import Hybrid, read_gates, read_statistics
from segue.models.hybrid.sources import COMMON, SOURCES, Votes, votes_of
from segue.models.hybrid.statistics import WINDOWS, Statistics, made
from segue.models.hybrid.summary import summarise
from segue.models.model import Listener
from segue.models.ranked import best
from tests.bundles import TRACKS, tiny_bundle
from tests.counting import counts_of
from training.counts import Counts
from training.models.hybrid import collaborative as fitting
from training.models.hybrid.collaborative import Tracks
from training.models.hybrid.mixture import Example, Mixture, fit_mixture
from training.models.hybrid.train import CANDIDATES, _candidates, _moments
from training.models.products import vectors_of
from training.plays import DAY, NEVER, Plays

# Places in ``traits``.
GENRES, ARTISTS, KNOWN = 5, 6, 7


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(tiny_bundle(tmp_path_factory.mktemp("hybrid")))


@pytest.fixture(scope="module")
def statistics(bundle: Bundle) -> Statistics:
    return read_statistics(bundle)


def history(*tracks: int, completed: bool = True) -> History:
    plays = len(tracks)
    return History(
        np.array(tracks, np.int32),
        np.full(plays, completed),
        np.zeros(plays, np.bool_),
        np.linspace(20, 1, plays, dtype=np.float32),
    )


def shares_of(statistics: Statistics, name: str, *tracks: int) -> FloatArray:
    """(tracks,)"""
    return whole(statistics, history(*tracks))[SOURCES.index(name)]


def whole(statistics: Statistics, plays: History) -> FloatArray:
    """(sources, tracks) the shares of all tracks, in the order of the catalogue."""
    votes = votes_of(statistics, summarise(plays), all_tracks=True)
    return votes.shares[:, np.argsort(votes.tracks)]


def traits_of(statistics: Statistics, plays: History) -> FloatArray:
    return traits(statistics, plays, summarise(plays))


def played(seed: int, listeners: int = 30, tracks: int = 12) -> sp.csr_array:
    draws = np.random.default_rng(seed).random((listeners, tracks)) < 0.3
    # No track is without a listener.
    draws[0] = True
    return sp.csr_array(draws.astype(np.float32))


def plays_of(user: NDArray[np.integer], track: NDArray[np.integer], age: ArrayLike) -> Plays:
    """Full plays so many days before the moment 0."""
    never = np.full(len(user), NEVER)
    time = -np.broadcast_to(np.multiply(age, DAY), len(user)).astype(np.int64)
    return Plays(user.astype(np.int32), track.astype(np.int32), time, never, never)


def past_of(pairs: NDArray[np.bool_], age: float = 5.0) -> Plays:
    """Everybody has fully played their tracks once."""
    return plays_of(*np.nonzero(pairs), age)


def tracks_of(tracks: int, genres: int = 4) -> Tracks:
    """Three tracks to an artist, every fifth of none, and one or two genres each."""
    numbers = np.arange(tracks)
    catalogue = Catalogue(
        ids=np.array([f"{n:06}" for n in numbers], np.bytes_),
        explicit=np.zeros(tracks, np.bool_),
        popularity=np.zeros(tracks, np.float32),
        artists=np.where(numbers % 5 == 0, -1, numbers // 3).astype(np.int32),
        genres={
            f"g{g}": np.flatnonzero((numbers % genres == g) | (numbers % 7 == g)).astype(np.int32)
            for g in range(genres)
        },
    )
    return Tracks(catalogue.artists, TrackGenres.of(catalogue), np.ones(tracks, np.bool_))


def statistics_of(tracks: Tracks, past: Plays) -> Statistics:
    """At the moment 0, where nobody else has played anything."""
    return fitting.fit_statistics(tracks, past, counts_of(past, len(tracks.artist)).full)


class TestPopularity:
    def test_is_a_share_of_the_plays_of_each_window(self) -> None:
        past = plays_of(np.zeros(101), np.array([0] * 100 + [1]), np.array([200.0] * 100 + [0.5]))
        shares = fitting.popularity(counts_of(past, 3).full, np.ones(3, np.bool_))
        assert shares.shape == (3, len(WINDOWS))
        assert np.allclose(shares.sum(0), 1)
        day, year = shares[:, 0], shares[:, -1]
        assert year[0] > year[1] > year[2] > 0
        # One play on a quiet day says little against a hundred in the year.
        assert day[0] > day[1] > year[1]


class TestMoments:
    def test_popular_is_what_was_played_before_and_what_is_held_out_is_not(self) -> None:
        random = np.random.default_rng(3)
        pairs = past_of(random.random((30, 9)) < 0.5)
        skipped = np.where(random.random(len(pairs)) < 0.3, -1, NEVER)
        at_once = replace(pairs, skipped_at=skipped)
        spread = replace(at_once, time=-random.integers(2, 90 * DAY, len(pairs)))
        for plays in (at_once, spread):

            def counted(as_of: int, plays: Plays = plays) -> Counts:
                return counts_of(plays, 9, as_of)

            today = plays.known_at(0)
            for moment in list(_moments(plays, today, counted, 0, random)):
                assert len(moment.track)
                assert len(moment.past) < len(plays)
                expected = counts_of(moment.past, 9, moment.as_of)
                assert np.array_equal(moment.full, expected.full)


class TestCandidates:
    @settings(max_examples=20, deadline=None)
    @given(st.integers(0, 2**31 - 1))
    def test_are_what_was_heard_and_the_first_others_of_each_source(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        pairs = random.random((30, 90)) < random.random() * 0.2
        pairs[:, 0] = True
        statistics = statistics_of(tracks_of(90), past_of(pairs))
        heard = np.flatnonzero(pairs[0])
        votes = votes_of(statistics, summarise(history(*heard)))
        expected = set(heard.tolist())
        for source in votes.votes[0]:
            others = [place for place in np.argsort(-source, kind="stable") if source[place] > 0]
            named = [track for track in votes.tracks[others].tolist() if track not in heard]
            expected |= set(named[:CANDIDATES])
        assert set(votes.tracks[_candidates(votes)].tolist()) == expected


class TestVectors:
    def test_products_are_those_of_the_rounded_numbers(self) -> None:
        random = np.random.default_rng(1)
        vectors = vectors_of(random.standard_normal((300, 40)).astype(np.float32))
        others = random.standard_normal((3, 40)).astype(np.float32)
        exact = others @ vectors.at(slice(None)).T
        found = vectors.products(others)
        assert np.abs(found - exact).max() < 0.02 * np.abs(exact).max()
        some = np.array([5, 0, 299])
        assert np.array_equal(vectors.products(others, some), found[:, some])

    def test_the_greatest_numbers_do_not_overflow(self) -> None:
        """Where a processor adds two products in 16 bits, greater ones would be cut off."""
        vectors = vectors_of(np.ones((9, 512), np.float32))
        assert vectors.products(np.ones((2, 512), np.float32)) == pytest.approx(512, rel=1e-5)

    def test_nothing_is_nothing(self) -> None:
        vectors = vectors_of(np.zeros((4, 3), np.float32))
        assert not vectors.products(np.zeros((1, 3), np.float32)).any()


class TestNeighbours:
    @pytest.mark.parametrize("listeners", [6, 30])
    def test_are_ease_in_closed_form(self, listeners: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fitting, "RIDGE", 5.0)
        plays = played(1, listeners)
        reach = np.asarray(plays.sum(0)) ** -fitting.DISCOUNT
        scaled = plays.toarray() * reach
        ridge = 5.0 * (scaled[scaled > 0] ** 2).mean()
        inverse = np.linalg.inv(scaled.T @ scaled + ridge * np.eye(12))
        closed = -inverse / np.diag(inverse) * reach[:, None] / reach
        np.fill_diagonal(closed, 0)
        found = fitting.neighbours(plays)
        vectors = found.vectors.at(slice(None))
        weights = vectors @ vectors.T * found.gain
        np.fill_diagonal(weights, 0)
        assert np.allclose(weights, closed, atol=0.05 * np.abs(closed).max())

    def test_many_listeners_and_tracks_have_the_same_by_iteration(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plays = played(2, listeners=60, tracks=40)
        exact = fitting._spectrum(plays, 8)
        monkeypatch.setattr(fitting, "EXACT", 10)
        monkeypatch.setattr(fitting, "ROUNDS", 40)
        iterated = fitting._spectrum(plays, 8)
        assert np.allclose(iterated[1], exact[1], rtol=1e-3)
        assert np.allclose(np.abs((iterated[0] * exact[0]).sum(0)), 1, atol=1e-2)


class TestStatistics:
    def test_nobody_has_played_anything(self) -> None:
        found = statistics_of(tracks_of(9), past_of(np.zeros((3, 9), np.bool_)))
        assert np.allclose(whole(found, history(3, 4)).sum(1), 1, atol=1e-3)

    def test_the_head_is_of_the_tracks_with_the_most_listeners(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fitting, "HEAD", 2)
        pairs = np.array([[1, 0, 1, 0, 1], [0, 0, 1, 0, 1], [0, 1, 1, 0, 0]], np.bool_)
        assert statistics_of(tracks_of(5), past_of(pairs)).head.tolist() == [2, 4]

    def test_factors_are_those_that_the_plays_were_factorised_by(self) -> None:
        """Folding a listener in is the last half of a sweep of ALS."""
        pairs = played(5, listeners=60, tracks=20)
        statistics = statistics_of(tracks_of(20), past_of(pairs.toarray() > 0))
        factors = statistics.factors.at(slice(None))
        expected = np.maximum(factors @ fitting._solve(pairs, factors)[7], 0)
        shares = shares_of(statistics, "factors", *np.flatnonzero(pairs[[7]].toarray()[0]))
        assert np.allclose(shares, expected / expected.sum(), atol=5e-3)


class TestFollowers:
    def test_are_what_is_played_soon_after(self) -> None:
        owner = np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int32)
        tracks = np.array([1, 2, 2, 3, 4, 5, 1, 3], np.int32)
        found = fitting.followers_of(owner, tracks, 6)

        def after(track: int) -> dict[int, float]:
            own = slice(found.offsets[track], found.offsets[track + 1])
            pairs = zip(found.numbers[own].tolist(), found.shares[own].tolist(), strict=True)
            return {number: round(share, 3) for number, share in pairs}

        # Fewer than five say as little as five would.
        assert after(1) == {2: 0.4, 3: 0.4}
        assert after(2) == {3: 0.4, 4: 0.4, 5: 0.2}
        assert after(5) == {}

    def test_only_the_most_frequent_are_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fitting, "FOLLOWERS", 1)
        tracks = np.array([0, 2, 0, 1, 0, 2], np.int32)
        found = fitting.followers_of(np.zeros(6, np.int32), tracks, 3)
        assert found.numbers[found.offsets[0] : found.offsets[1]].tolist() == [2]

    def test_nothing_follows_where_nothing_was_played(self) -> None:
        none = np.empty(0, np.int32)
        assert fitting.followers_of(none, none, 3).offsets.tolist() == [0, 0, 0, 0]


class TestSources:
    def test_the_last_plays_are_followed_by_what_follows_them(self) -> None:
        # Everybody plays 0, 1, 2 and so on, in this order.
        statistics = statistics_of(tracks_of(20), past_of(np.ones((5, 20), np.bool_)))
        shares = shares_of(statistics, "follows the last plays", 3, 4)
        assert set(np.flatnonzero(shares)) == {4, 5, 6, 7}
        assert shares[[5, 6]].min() > shares[[4, 7]].max()
        artists = shares_of(statistics, "artist that follows", 7)
        assert set(statistics.artist[artists > 0].tolist()) == {3, 4}

    @given(st.lists(st.integers(0, 599), min_size=1, max_size=40), st.booleans())
    @settings(max_examples=40, deadline=None)
    def test_each_shares_everything_out(
        self, statistics: Statistics, tracks: list[int], completed: bool
    ) -> None:
        shares = whole(statistics, history(*tracks, completed=completed))
        assert shares.shape == (len(SOURCES), len(statistics))
        assert shares.min() >= 0
        assert np.allclose(shares.sum(1), 1, atol=1e-3)

    def test_own_plays_go_to_the_heard_tracks_alone(self, statistics: Statistics) -> None:
        shares = shares_of(statistics, "own plays", 3, 7, 7)
        assert np.flatnonzero(shares).tolist() == [3, 7]
        assert shares[7] == pytest.approx(2 / 3)

    def test_what_is_not_known_of_a_listener_is_what_is_popular(
        self, statistics: Statistics
    ) -> None:
        popular = shares_of(statistics, "popularity of 14 days", 3)
        assert np.array_equal(shares_of(statistics, "liked", 3), popular)

    def test_an_artist_goes_to_the_tracks_of_that_artist(self, statistics: Statistics) -> None:
        track = int(np.flatnonzero(statistics.artist >= 0)[0])
        for source in ("artist of late", "artist by tracks"):
            shares = shares_of(statistics, source, track)
            assert np.array_equal(shares > 0, statistics.artist == statistics.artist[track])

    def test_a_genre_goes_to_the_tracks_of_that_genre(self, statistics: Statistics) -> None:
        genres = statistics.genres
        alone = np.diff(genres.offsets) == 1
        track = int(np.flatnonzero(alone)[0])
        shares = shares_of(statistics, "main genre", track)
        names = set(genres.of_track(track))
        shared = [bool(names & set(genres.of_track(other))) for other in range(len(statistics))]
        assert np.array_equal(shares > 0, shared)

    def test_a_track_does_not_speak_for_itself_as_a_neighbour(self, statistics: Statistics) -> None:
        assert shares_of(statistics, "neighbours", 3)[3] == pytest.approx(0, abs=1e-6)


class TestTraits:
    def test_tells_a_listener_of_one_genre_and_artist_from_one_of_many(
        self, statistics: Statistics
    ) -> None:
        alike = np.flatnonzero(statistics.artist == statistics.artist[0])
        narrow = traits_of(statistics, history(*alike))
        wide = traits_of(statistics, history(*range(len(alike))))
        assert narrow.shape == (TRAITS,)
        assert narrow[GENRES] < wide[GENRES]
        assert narrow[ARTISTS] == pytest.approx(1 / len(alike))

    def test_tells_how_much_of_the_last_week_was_known_before(self, statistics: Statistics) -> None:
        plays = History(
            np.array([3, 7, 3, 5], np.int32),
            np.ones(4, np.bool_),
            np.zeros(4, np.bool_),
            np.array([20, 9, 2, 1], np.float32),
        )
        assert traits_of(statistics, plays)[KNOWN] == 0.5

    def test_finds_nothing_where_no_track_has_a_genre_or_an_artist(
        self, statistics: Statistics
    ) -> None:
        bare = replace(
            statistics,
            genres=TrackGenres((), np.zeros(len(statistics) + 1, np.int64), np.empty(0, np.int32)),
            artist=np.full_like(statistics.artist, -1),
            precomputed=made,
        )
        found = traits_of(bare, history(3, 5))
        assert found[[GENRES, ARTISTS]].tolist() == [0, 0]


def trained_and_served(bundle: Bundle, plays: History) -> tuple[FloatArray, FloatArray]:
    """(tracks,) by the network that was trained, and as it is served."""
    statistics, gates = read_statistics(bundle), read_gates(bundle)
    network = Mixture(len(SOURCES), REPEATS, TRAITS)
    with torch.no_grad():
        network.shares.copy_(torch.tensor(gates.shares))
        network.repeats.copy_(torch.tensor(gates.repeats))
    counts = np.zeros((REPEATS, len(statistics)), np.float32)
    counts[:, summarise(plays).tracks] = repeats(summarise(plays)).T
    with torch.no_grad():
        shares, factors = network(
            torch.tensor(whole(statistics, plays)[None]),
            torch.tensor(counts[None]),
            torch.tensor(gates.scaled(traits_of(statistics, plays))[None]),
        )
    return (shares * factors)[0].numpy(), Hybrid(bundle).score(Listener(User("1"), plays))


# A world whose head is a tenth of it, and gates of all kinds.
LARGE = 900


@pytest.fixture(scope="module")
def long_tail() -> Statistics:
    random = np.random.default_rng(4)
    appeal = 0.5 / (1 + np.arange(LARGE) / 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "HEAD", LARGE // 10)
        return statistics_of(tracks_of(LARGE), past_of(random.random((80, LARGE)) < appeal))


def hybrid_of(statistics: Statistics, bundle: Bundle, seed: int, spread: float) -> Hybrid:
    """Over other statistics than the bundle's, with gates at random."""
    random = np.random.default_rng(seed)

    def draw(*shape: int) -> FloatArray:
        return (spread * random.standard_normal(shape)).astype(np.float32)

    gates = replace(
        read_gates(bundle), shares=draw(len(SOURCES), TRAITS), repeats=draw(REPEATS, TRAITS)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segue.models.hybrid.model.read_statistics", lambda _: statistics)
        patch.setattr("segue.models.hybrid.model.read_gates", lambda _: gates)
        return Hybrid(bundle)


class TestServing:
    @given(st.lists(st.integers(0, TRACKS - 1), min_size=1, max_size=60), st.booleans())
    @settings(max_examples=30)
    def test_answers_what_the_trained_network_would(
        self, bundle: Bundle, tracks: list[int], completed: bool
    ) -> None:
        trained, served = trained_and_served(bundle, history(*tracks, completed=completed))
        assert np.allclose(served, trained, rtol=1e-4, atol=1e-9)

    @given(
        tracks=st.lists(st.integers(0, LARGE - 1), min_size=1, max_size=40),
        seed=st.integers(0, 2**16),
        spread=st.floats(0, 3),
        k=st.integers(1, LARGE),
        share=st.floats(0, 1),
    )
    @settings(max_examples=150)
    def test_the_best_are_the_same_as_if_all_tracks_were_scored(
        self,
        bundle: Bundle,
        long_tail: Statistics,
        tracks: list[int],
        seed: int,
        spread: float,
        k: int,
        share: float,
    ) -> None:
        model, listener = (
            hybrid_of(long_tail, bundle, seed, spread),
            Listener(User("1"), history(*tracks)),
        )
        forbidden = np.random.default_rng(seed).random(LARGE) < share
        found = model.best(listener, k, forbidden)
        expected = best(model.score(listener), k, forbidden)
        assert found.tracks.tolist() == expected.tracks.tolist()
        assert np.array_equal(found.scores, expected.scores)

    def test_the_tail_is_left_alone_where_it_cannot_matter(
        self, bundle: Bundle, long_tail: Statistics, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked: list[int] = []

        def counting(*arguments: object, **options: bool) -> Votes:
            votes = votes_of(*arguments, **options)  # type: ignore[arg-type]
            looked.append(len(votes.tracks))
            return votes

        monkeypatch.setattr("segue.models.hybrid.model.votes_of", counting)
        model, listener = (
            hybrid_of(long_tail, bundle, 1, 0.0),
            Listener(User("1"), history(1, 2, 2, 4)),
        )
        model.best(listener, 10)
        assert looked == [pytest.approx(LARGE // 10, abs=10)]
        model.best(listener, LARGE)
        assert looked[-1] == LARGE

    def test_a_full_window_of_forbidden_tracks_leaves_an_empty_list(
        self, bundle: Bundle, long_tail: Statistics
    ) -> None:
        model = hybrid_of(long_tail, bundle, 1, 1.0)
        listener = Listener(User("1"), history(1, 2))
        assert len(model.best(listener, 5, np.ones(LARGE, np.bool_)).tracks) == 0

    def test_scores_depend_on_the_track_and_the_listener_alone(
        self, bundle: Bundle, statistics: Statistics
    ) -> None:
        own = history(3, 9, 9, 27)
        gates = read_gates(bundle)
        parts = gates.parts(gates.scaled(traits_of(statistics, own)))
        expected = parts @ whole(statistics, own)[:, 100]
        score = Hybrid(bundle).score(Listener(User("1"), own))[100]
        assert score == pytest.approx(expected, rel=1e-4)

    def test_a_catalogue_without_genres_or_artists_is_no_fault(self, bundle: Bundle) -> None:
        pairs = past_of(played(8, listeners=30, tracks=20).toarray() > 0)
        bare = replace(
            tracks_of(20),
            artist=np.full(20, -1, np.int32),
            genres=TrackGenres((), np.zeros(21, np.int64), np.empty(0, np.int32)),
        )
        model = hybrid_of(statistics_of(bare, pairs), bundle, 1, 1.0)
        listener = Listener(User("1"), history(1, 2, 2))
        assert len(model.best(listener, 5).tracks) == 5
        assert np.isfinite(model.contributions(listener, np.array([3, 1])).amounts).all()

    def test_a_listener_who_only_skips_is_no_fault(self, bundle: Bundle) -> None:
        listener = Listener(User("1"), history(3, 5, completed=False))
        assert np.isfinite(Hybrid(bundle).score(listener)).all()


class TestExplanations:
    def test_say_what_the_score_would_lose(self, bundle: Bundle) -> None:
        """The counterfactual with the traits and, of what is played together, the totals fixed."""
        heard = 3, 9, 9, 27, 40, 41, 60, 61, 80, 100, 120
        model, listener = Hybrid(bundle), Listener(User("1"), history(*heard))
        tracks = np.array([9, 101, 30])
        found = model.contributions(listener, tracks)
        assert sorted(found.heard.tolist()) == sorted(set(heard))
        gates, statistics = read_gates(bundle), read_statistics(bundle)
        scaled = gates.scaled(traits_of(statistics, listener.history))
        rest = listener.history.only(listener.history.tracks != 9)
        own = summarise(rest)
        votes = votes_of(statistics, own, all_tracks=True)
        shares = (gates.parts(scaled) @ votes.shares)[np.argsort(votes.tracks)]
        shares[own.tracks] *= gates.readiness(scaled, repeats(own))
        lost = np.log(model.score(listener)[tracks]) - np.log(shares[tracks])
        place = found.heard.tolist().index(9)
        # The totals move a little; what is lost hardly does.
        assert found.amounts[place] == pytest.approx(lost, abs=0.15)
        assert found.amounts[place][0] > 3 * found.amounts[place][2]

    def test_name_what_is_the_same_for_everybody(self, bundle: Bundle) -> None:
        model, listener = Hybrid(bundle), Listener(User("1"), history(3, 9, 9, 27))
        found = model.contributions(listener, np.array([9, 100]))
        assert set(found.others) == {"popularity"}
        assert found.others["popularity"].min() > 0

    def test_keep_the_order_of_the_tracks_asked_for(self, bundle: Bundle) -> None:
        model, listener = Hybrid(bundle), Listener(User("1"), history(3, 9, 9, 27))
        there = model.contributions(listener, np.array([9, 100, 30])).amounts
        back = model.contributions(listener, np.array([30, 9, 100])).amounts
        assert np.allclose(back, there[:, [2, 0, 1]])

    def test_a_lone_track_is_explained_too(self, bundle: Bundle) -> None:
        found = Hybrid(bundle).contributions(Listener(User("1"), history(5)), np.array([1]))
        assert found.heard.tolist() == [5]
        assert np.isfinite(found.amounts).all()


def examples(listeners: int = 80, tracks: int = 30, by: int = 1) -> list[Example]:
    """Listeners who choose by one of three sources, and have heard every other track."""
    random = np.random.default_rng(3)
    found = []
    for user in range(listeners):
        shares = random.dirichlet(np.full(tracks, 0.3), 3).astype(np.float32)
        chosen = np.zeros(tracks, np.bool_)
        chosen[random.choice(tracks, 3, replace=False, p=shares[by] / shares[by].sum())] = True
        heard = np.arange(tracks) % 2 == 0
        counts = heard[None].astype(np.float32)
        found.append(Example(shares, counts, chosen, heard, np.ones(2, np.float32), user))
    return found


class TestMixture:
    @pytest.mark.parametrize("by", [0, 1, 2])
    def test_finds_the_source_that_listeners_choose_by(self, by: int) -> None:
        trained = fit_mixture(examples(by=by))
        assert trained.gates.shares[:, 0].argmax() == by
        assert trained.validation_loss < np.log(30)

    def test_finds_that_nobody_repeats(self) -> None:
        never = [replace(one, chosen=one.chosen & ~one.heard) for one in examples()]
        assert fit_mixture(never).gates.repeats[0, 0] < -1

    def test_lengths_do_not_matter(self) -> None:
        """A track of no share, as padding is, changes nothing."""
        whole = examples()
        padded = [
            replace(
                one,
                shares=np.hstack([one.shares, np.zeros((3, user % 7), np.float32)]),
                repeats=np.hstack([one.repeats, np.zeros((1, user % 7), np.float32)]),
                chosen=np.r_[one.chosen, np.zeros(user % 7, np.bool_)],
                heard=np.r_[one.heard, np.zeros(user % 7, np.bool_)],
            )
            for user, one in enumerate(whole)
        ]
        plain, longer = fit_mixture(whole), fit_mixture(padded)
        assert longer.train_loss == pytest.approx(plain.train_loss, rel=1e-3)

    def test_a_single_listener_is_enough(self) -> None:
        trained = fit_mixture(examples(listeners=1))
        assert trained.validation_loss == 0
        assert set(trained.metrics()) == {"train_loss"}, "nobody is held out"


def test_traits_beyond_all_that_was_seen_do_not_run_away() -> None:
    gates = Gates(
        centre=np.zeros(2, np.float32),
        spread=np.ones(2, np.float32),
        shares=np.zeros((3, 2), np.float32),
        repeats=np.zeros((1, 2), np.float32),
    )
    assert gates.scaled(np.array([1.0, 1e9], np.float32)).tolist() == [1, 3]


def test_the_bundle_lists_the_hybrid(bundle: Bundle) -> None:
    assert {"train_loss", "validation_loss"} <= bundle.manifest.models[3]["metrics"].keys()
    assert read_gates(bundle).shares.shape == (len(SOURCES), TRAITS)
    assert len(COMMON) < len(SOURCES)
