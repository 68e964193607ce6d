"""The hybrid: what it sees, what it learns, and that training and serving agree."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from segue.domain.users import User
from segue.features.listeners import History
from segue.models.bundle import Bundle
from segue.models.hybrid import Hybrid, read_collective
from segue.models.model import Listener
from segue.models.signals import SIGNALS, TRAITS, intensity, signals, traits
from tests.bundles import tiny_bundle
from training import collective as fitting
from training.mixture import NEVER, Examples, Mixture, basis, fit_mixture, loss, standardised

# Places in ``traits``.
GENRES, ARTISTS, KNOWN = 5, 6, 7


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(tiny_bundle(tmp_path_factory.mktemp("hybrid")))


def history(*tracks: int, completed: bool = True) -> History:
    plays = len(tracks)
    return History(
        np.array(tracks, np.int32),
        np.full(plays, completed),
        np.zeros(plays, np.bool_),
        np.linspace(20, 1, plays, dtype=np.float32),
    )


def played(seed: int, listeners: int = 30, tracks: int = 12) -> sp.csr_array:
    draws = np.random.default_rng(seed).random((listeners, tracks)) < 0.3
    # No track is without a listener.
    draws[0] = True
    return sp.csr_array(draws.astype(np.float32))


def everything(plays: sp.csr_array) -> np.ndarray:
    return np.arange(plays.shape[1])


def neighbours_of_all(plays: sp.csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return fitting.track_to_track(plays, everything(plays), everything(plays))


class TestIntensity:
    def test_is_one_where_all_tracks_were_played_alike(self) -> None:
        assert intensity(np.array([3, 3, 3], np.float32)).tolist() == [1, 1, 1]

    def test_grows_with_the_rank_and_not_with_the_count(self) -> None:
        few, many = np.array([1, 2, 3], np.float32), np.array([1, 20, 300], np.float32)
        assert intensity(few).tolist() == intensity(many).tolist()
        assert np.all(np.diff(intensity(few)) > 0)

    def test_is_nothing_for_a_track_that_was_never_fully_played(self) -> None:
        assert intensity(np.array([0, 2], np.float32)).tolist() == [0, 1]


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


class TestSignals:
    def test_there_is_one_for_every_name(self, bundle: Bundle) -> None:
        collective = read_collective(bundle)
        rows = signals(collective, history(3, 3, 7))
        assert rows.shape == (len(bundle.catalogue), len(SIGNALS))
        assert np.isfinite(rows).all()

    def test_a_listener_who_only_skips_is_no_fault(self, bundle: Bundle) -> None:
        assert np.isfinite(signals(read_collective(bundle), history(3, 5, completed=False))).all()

    def test_own_plays_stand_at_the_heard_tracks_alone(self, bundle: Bundle) -> None:
        heard = signals(read_collective(bundle), history(3, 7))[:, SIGNALS.index("heard")]
        assert np.flatnonzero(heard).tolist() == [3, 7]


class TestTraits:
    def test_tells_a_listener_of_one_genre_and_artist_from_one_of_many(
        self, bundle: Bundle
    ) -> None:
        collective = read_collective(bundle)
        alike = np.flatnonzero(collective.artist == collective.artist[0])
        narrow = traits(collective, history(*alike))
        wide = traits(collective, history(*range(len(alike))))
        assert narrow.shape == (TRAITS,)
        assert narrow[GENRES] < wide[GENRES]
        assert narrow[ARTISTS] == pytest.approx(1 / len(alike))

    def test_tells_how_much_of_the_last_week_was_known_before(self, bundle: Bundle) -> None:
        plays = History(
            np.array([3, 7, 3, 5], np.int32),
            np.ones(4, np.bool_),
            np.zeros(4, np.bool_),
            np.array([20, 9, 2, 1], np.float32),
        )
        assert traits(read_collective(bundle), plays)[KNOWN] == 0.5

    def test_finds_nothing_where_no_track_has_a_genre_or_an_artist(self, bundle: Bundle) -> None:
        whole = read_collective(bundle)
        bare = replace(
            whole, genres=np.zeros_like(whole.genres), artist=np.full_like(whole.artist, -1)
        )
        found = traits(bare, history(3, 5))
        assert found[[GENRES, ARTISTS]].tolist() == [0, 0]


class TestServing:
    def test_answers_what_the_trained_network_would(self, bundle: Bundle) -> None:
        own = history(3, 9, 9, 27)
        model = Hybrid(bundle)
        served = model.score(Listener(User("1"), own))
        collective = read_collective(bundle)
        rows = torch.from_numpy(signals(collective, own))
        again = bundle.session("hybrid/mixture.onnx").run(
            ["scores"], {"signals": rows.numpy(), "traits": traits(collective, own)}
        )[0]
        assert np.allclose(served, again, atol=1e-6)
        assert np.exp(served).sum() == pytest.approx(1, abs=1e-3)

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

    def test_a_lone_track_is_explained_too(self, bundle: Bundle) -> None:
        found = Hybrid(bundle).contributions(Listener(User("1"), history(5)), np.array([1]))
        assert found.heard.tolist() == [5]


def examples(listeners: int = 80, tracks: int = 30) -> Examples:
    """Listeners who choose by the first of three signals."""
    torch.manual_seed(3)
    raw = torch.randn(listeners, tracks, 3)
    chosen = torch.zeros(listeners, tracks, dtype=torch.bool)
    chosen.scatter_(1, raw[..., :1].topk(3, dim=1).indices[..., 0], True)
    return Examples(
        rows=basis(raw),
        correction=torch.zeros(listeners, tracks),
        chosen=chosen,
        heard=torch.zeros(listeners, tracks, dtype=torch.bool),
        traits=torch.rand(listeners, 5),
        users=torch.arange(listeners),
    )


class TestMixture:
    def test_costs_the_same_with_listeners_of_many_lengths_in_groups(self) -> None:
        whole = examples()
        for listener in range(len(whole)):
            longest = 10 + listener % 20
            whole.correction[listener, longest:] = NEVER
            whole.chosen[listener, longest:] = False
        network = Mixture(3, 5, 4)
        groups = whole.grouped()
        assert sum(len(group) for group in groups) == len(whole)
        assert groups[0].rows.shape[1] < whole.rows.shape[1]
        assert loss(network, groups).item() == pytest.approx(
            loss(network, [whole]).item(), rel=1e-5
        )

    def test_finds_the_signal_that_listeners_choose_by(self) -> None:
        trained = fit_mixture(examples())
        weights = (trained.network.shared + trained.network.own.mean(0)).abs()
        assert weights.argmax().item() in (0, 3)
        assert trained.validation_loss < np.log(30)

    def test_one_network_scores_batches_and_single_listeners_alike(self) -> None:
        torch.manual_seed(0)
        network = Mixture(4, 5, 3).eval()
        torch.nn.init.normal_(network.gates)
        raw, who = torch.randn(50, 4), torch.rand(5)
        single = network(raw, who)
        batch = network.mix(network.weigh(basis(standardised(raw))[None]), who[None])[0]
        assert torch.allclose(single, batch, atol=1e-6)
        assert single.exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_the_bundle_lists_the_hybrid(bundle: Bundle) -> None:
    assert {"train_loss", "validation_loss"} <= bundle.manifest.models[3]["metrics"].keys()
    assert Path(bundle.path / "hybrid" / "mixture.onnx").is_file()
