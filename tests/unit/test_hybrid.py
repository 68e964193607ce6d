"""The hybrid: what it sees, what it learns, and that training and serving agree."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.domain.users import User
from segue.features.listeners import History
from segue.models.bundle import Bundle
from segue.models.hybrid import Gates, Hybrid, read_gates, read_statistics
from segue.models.model import Listener
from segue.models.sources import (
    COMMON,
    REPEATS,
    SOURCES,
    TRAITS,
    WINDOWS,
    Statistics,
    repeats,
    sources,
    summarise,
    traits,
)
from tests.bundles import tiny_bundle
from training.models.hybrid import collaborative as fitting
from training.models.hybrid.mixture import Example, Mixture, fit_mixture
from training.past import Past

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


def shares_of(statistics: Statistics, name: str, *tracks: int) -> np.ndarray:
    return sources(statistics, history(*tracks))[SOURCES.index(name)]


def played(seed: int, listeners: int = 30, tracks: int = 12) -> sp.csr_array:
    draws = np.random.default_rng(seed).random((listeners, tracks)) < 0.3
    # No track is without a listener.
    draws[0] = True
    return sp.csr_array(draws.astype(np.float32))


def everything(plays: sp.csr_array) -> np.ndarray:
    return np.arange(plays.shape[1])


def neighbours_of_all(plays: sp.csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return fitting.track_to_track(plays, everything(plays), everything(plays))


class TestPopularity:
    def test_is_a_share_of_the_plays_of_each_window(self) -> None:
        past = Past(
            as_of=0,
            users=np.array(["1"]),
            owner=np.zeros(101, np.int32),
            tracks=np.array([0] * 100 + [1], np.int32),
            completed=np.ones(101, np.bool_),
            liked=np.zeros(101, np.bool_),
            age=np.array([200.0] * 100 + [0.5], np.float32),
        )
        shares = fitting.popularity(past, np.ones(3, np.bool_))
        assert shares.shape == (3, len(WINDOWS))
        assert np.allclose(shares.sum(0), 1)
        day, year = shares[:, 0], shares[:, -1]
        assert year[0] > year[1] > year[2] > 0
        # One play on a quiet day says little against a hundred in the year.
        assert day[0] > day[1] > year[1]


class TestTrackToTrack:
    @pytest.mark.parametrize("listeners", [6, 30])
    def test_is_ease_in_closed_form(self, listeners: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fitting, "RIDGE", 5.0)
        plays = played(1, listeners)
        reach = np.asarray(plays.sum(0)) ** -fitting.DISCOUNT
        scaled = plays.toarray() * reach
        ridge = 5.0 * (scaled[scaled > 0] ** 2).mean()
        inverse = np.linalg.inv(scaled.T @ scaled + ridge * np.eye(12))
        closed = -inverse / np.diag(inverse) * reach[:, None] / reach
        np.fill_diagonal(closed, 0)
        rows, neighbours, weights = neighbours_of_all(plays)
        found = np.zeros((12, 12))
        for track, row in enumerate(rows):
            found[track, neighbours[row]] = weights[row]
        assert np.allclose(found, closed, atol=1e-4)

    def test_a_spectrum_cut_short_keeps_the_order_of_the_nearest(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plays = played(2, listeners=60, tracks=20)
        whole = neighbours_of_all(plays)
        monkeypatch.setattr(fitting, "WHOLE", 10)
        monkeypatch.setattr(fitting, "SPECTRUM", 15)
        cut = neighbours_of_all(plays)
        nearest = [found[1][np.arange(20), found[2].argmax(1)] for found in (whole, cut)]
        assert (nearest[0] == nearest[1]).mean() > 0.8

    @pytest.mark.parametrize("whole", [3_000, 10])
    def test_tracks_asked_for_alone_have_the_neighbours_they_always_have(
        self, whole: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fitting, "WHOLE", whole)
        monkeypatch.setattr(fitting, "SPECTRUM", 15)
        monkeypatch.setattr(fitting, "BLOCK", 2)
        plays = played(3, listeners=60, tracks=20)
        rows, neighbours, weights = neighbours_of_all(plays)
        some = np.array([1, 4, 5, 11, 19])
        few = fitting.track_to_track(plays, everything(plays), some)
        assert np.flatnonzero(few[0] >= 0).tolist() == some.tolist()
        assert np.array_equal(np.sort(few[1][few[0][some]]), np.sort(neighbours[rows[some]]))
        assert np.allclose(np.sort(few[2][few[0][some]]), np.sort(weights[rows[some]]), atol=1e-6)

    def test_nobody_has_played_anything(self) -> None:
        nothing = np.empty(0, np.intp)
        rows, _, _ = fitting.track_to_track(sp.csr_array((3, 4)), nothing, nothing)
        assert rows.tolist() == [-1] * 4


class TestSources:
    @given(st.lists(st.integers(0, 599), min_size=1, max_size=40), st.booleans())
    @settings(max_examples=40, deadline=None)
    def test_each_shares_everything_out(
        self, statistics: Statistics, tracks: list[int], completed: bool
    ) -> None:
        shares = sources(statistics, history(*tracks, completed=completed))
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
        assert np.array_equal(shares_of(statistics, "liked", 3), statistics.recent)

    def test_an_artist_goes_to_the_tracks_of_that_artist(self, statistics: Statistics) -> None:
        track = int(np.flatnonzero(statistics.artist >= 0)[0])
        shares = shares_of(statistics, "artist", track)
        assert np.array_equal(shares > 0, statistics.artist == statistics.artist[track])

    def test_a_genre_goes_to_the_tracks_of_that_genre(self, statistics: Statistics) -> None:
        alone = statistics.genres.sum(1) == 1
        track = int(np.flatnonzero(alone)[0]) if alone.any() else 0
        shares = shares_of(statistics, "main genre", track)
        shared = statistics.genres @ statistics.genres[track] > 0
        assert shares[~shared].max(initial=0) == 0

    def test_factors_are_those_that_the_plays_were_factorised_by(self) -> None:
        """Folding a listener in is the last half of a sweep of ALS."""
        plays = played(5, listeners=60, tracks=20)
        factors = fitting.factorise(plays, everything(plays))
        expected = np.maximum(factors @ fitting._solve(plays, factors)[7], 0)
        flat = np.full((20, len(WINDOWS)), 1 / 20, np.float32)
        statistics = Statistics(
            popularity=flat,
            rows=np.full(20, -1, np.int32),
            neighbours=np.zeros((1, 1), np.int32),
            weights=np.zeros((1, 1), np.float32),
            factors=factors,
            basis=np.zeros((20, 1), np.float32),
            audience=np.ones(20, np.float32),
            artist=np.full(20, -1, np.int32),
            genres=np.zeros((20, 0), np.float32),
        )
        heard = np.flatnonzero(plays[[7]].toarray()[0])
        shares = shares_of(statistics, "factors", *heard)
        assert np.allclose(shares, expected / expected.sum(), atol=1e-5)


class TestTraits:
    def test_tells_a_listener_of_one_genre_and_artist_from_one_of_many(
        self, statistics: Statistics
    ) -> None:
        alike = np.flatnonzero(statistics.artist == statistics.artist[0])
        narrow = traits(statistics, history(*alike))
        wide = traits(statistics, history(*range(len(alike))))
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
        assert traits(statistics, plays)[KNOWN] == 0.5

    def test_finds_nothing_where_no_track_has_a_genre_or_an_artist(
        self, statistics: Statistics
    ) -> None:
        bare = replace(
            statistics,
            genres=np.zeros_like(statistics.genres),
            artist=np.full_like(statistics.artist, -1),
        )
        found = traits(bare, history(3, 5))
        assert found[[GENRES, ARTISTS]].tolist() == [0, 0]


class TestServing:
    def test_answers_what_the_trained_network_would(
        self, bundle: Bundle, statistics: Statistics
    ) -> None:
        own = history(3, 9, 9, 27)
        gates = read_gates(bundle)
        network = Mixture(len(SOURCES), REPEATS, TRAITS)
        with torch.no_grad():
            network.shares.copy_(torch.tensor(gates.shares))
            network.repeats.copy_(torch.tensor(gates.repeats))
        counts = np.zeros((len(statistics), REPEATS), np.float32)
        counts[summarise(own).tracks] = repeats(summarise(own))
        with torch.no_grad():
            shares, factors = network(
                torch.tensor(sources(statistics, own).T[None]),
                torch.tensor(counts[None]),
                torch.tensor(gates.scaled(traits(statistics, own))[None]),
            )
        served = Hybrid(bundle).score(Listener(User("1"), own))
        assert np.allclose(np.exp(served), (shares * factors)[0].numpy(), rtol=1e-4, atol=1e-9)

    def test_scores_depend_on_the_track_and_the_listener_alone(
        self, bundle: Bundle, statistics: Statistics
    ) -> None:
        own = history(3, 9, 9, 27)
        model, gates = Hybrid(bundle), read_gates(bundle)
        scaled = gates.scaled(traits(statistics, own))
        logits = gates.shares @ scaled
        parts = np.exp(logits) / np.exp(logits).sum()
        track = 100
        expected = np.log(parts @ sources(statistics, own)[:, track])
        assert model.score(Listener(User("1"), own))[track] == pytest.approx(expected, abs=1e-4)

    def test_explains_by_what_the_score_would_lose(self, bundle: Bundle) -> None:
        model, listener = Hybrid(bundle), Listener(User("1"), history(3, 9, 9, 27))
        tracks = np.array([9, 100])
        found = model.contributions(listener, tracks)
        assert sorted(found.heard.tolist()) == [3, 9, 27]
        place = found.heard.tolist().index(9)
        rest = Listener(User("1"), listener.history.only(listener.history.tracks != 9))
        lost = model.score(listener)[tracks] - model.score(rest)[tracks]
        assert np.allclose(found.amounts[place], lost, atol=1e-5)
        assert set(found.others) == {"popularity"}
        assert found.others["popularity"].min() > 0

    def test_a_lone_track_is_explained_too(self, bundle: Bundle) -> None:
        found = Hybrid(bundle).contributions(Listener(User("1"), history(5)), np.array([1]))
        assert found.heard.tolist() == [5]

    def test_a_listener_who_only_skips_is_no_fault(self, bundle: Bundle) -> None:
        listener = Listener(User("1"), history(3, 5, completed=False))
        assert np.isfinite(Hybrid(bundle).score(listener)).all()


def examples(listeners: int = 80, tracks: int = 30, by: int = 1) -> list[Example]:
    """Listeners who choose by one of three sources, and have heard every other track."""
    random = np.random.default_rng(3)
    found = []
    for user in range(listeners):
        shares = random.dirichlet(np.full(tracks, 0.3), 3).T.astype(np.float32)
        chosen = np.zeros(tracks, np.bool_)
        chosen[random.choice(tracks, 3, replace=False, p=shares[:, by] / shares[:, by].sum())] = (
            True
        )
        heard = np.arange(tracks) % 2 == 0
        counts = np.zeros((tracks, 1), np.float32)
        counts[heard] = 1
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
                shares=np.vstack([one.shares, np.zeros((user % 7, 3), np.float32)]),
                repeats=np.vstack([one.repeats, np.zeros((user % 7, 1), np.float32)]),
                chosen=np.r_[one.chosen, np.zeros(user % 7, np.bool_)],
                heard=np.r_[one.heard, np.zeros(user % 7, np.bool_)],
            )
            for user, one in enumerate(whole)
        ]
        plain, longer = fit_mixture(whole), fit_mixture(padded)
        assert longer.train_loss == pytest.approx(plain.train_loss, rel=1e-3)

    def test_a_single_listener_is_enough(self) -> None:
        assert fit_mixture(examples(listeners=1)).validation_loss == 0


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
