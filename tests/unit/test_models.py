"""Models 1 and 2: what their scores mean, what these are made of, and whom they follow."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from segue.domain.times import parse_time
from segue.domain.users import User
from segue.features.encoder import FloatArray
from segue.features.listeners import OWN_WIDTH, History, encode_heard
from segue.features.schema import parse_schema
from segue.models.autoencoder import Autoencoder, interests, neighbourhood_totals
from segue.models.bundle import Bundle
from segue.models.classifier import MAX_EXPLAINED, Classifier
from segue.models.model import Listener
from segue.models.ranked import best
from segue.models.registry import load_model
from tests.bundles import TRACKS
from tests.plain import TasteDensity
from training.catalogue import Popularity, encode_catalogue
from training.counts import count_at
from training.data import connect, ingest
from training.models.autoencoder import input_groups, prior
from training.models.classifier import TRENDS, track_inputs, train_classifier
from training.models.networks import LATENT, Balance

HEARD = [5, 9, 9, 40, 41, 77]


def history(tracks: list[int], age: float = 3.0) -> History:
    size = len(tracks)
    return History(
        np.array(tracks, np.int32),
        np.ones(size, np.bool_),
        np.zeros(size, np.bool_),
        np.full(size, age, np.float32),
    )


def both(first: History, second: History) -> History:
    names = ("tracks", "completed", "liked", "age")
    return History(*(np.concatenate([getattr(first, n), getattr(second, n)]) for n in names))


@pytest.fixture
def listener() -> Listener:
    return Listener(User("someone"), history(HEARD))


@pytest.fixture
def autoencoder(bundle: Bundle) -> Autoencoder:
    return Autoencoder(bundle)


@pytest.fixture
def classifier(bundle: Bundle) -> Classifier:
    return Classifier(bundle)


def logit(probabilities: FloatArray) -> NDArray[np.float64]:
    exact = probabilities.astype(np.float64)
    log_odds: NDArray[np.float64] = np.log(exact) - np.log1p(-exact)
    return log_odds


def points(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.nn.functional.normalize(torch.randn(count, LATENT, generator=generator), dim=1)


def test_the_densities_of_all_tracks_add_up_to_one() -> None:
    """Each interest shares out its own weight and no more, however crowded it lies."""
    crowd = points(1) + 0.01 * torch.randn(40, LATENT)
    latents = torch.nn.functional.normalize(torch.cat([crowd, points(30)]), dim=1)
    weights = torch.tensor([0.7, 0.2, 0.1])
    scores = TasteDensity()(latents, torch.rand(70) + 1, torch.tensor([0, 50, 60]), weights)
    assert scores.exp().sum() == pytest.approx(1, abs=1e-5)


def test_of_equally_near_tracks_the_more_played_comes_first_and_near_beats_hot() -> None:
    latents = points(50)
    latents[1] = latents[2] = latents[0]
    plays = np.zeros(50, np.int64)
    plays[2], plays[30] = 9, 100
    favoured = torch.from_numpy(prior(plays))
    scores = TasteDensity()(latents, favoured, torch.tensor([0]), torch.tensor([1.0]))
    assert scores.argsort(descending=True)[:3].tolist() == [2, 1, 30]


def test_the_best_are_those_of_all_tracks(autoencoder: Autoencoder) -> None:
    """Most tracks are never scored by all coordinates, and none of the best is among them."""
    random = np.random.default_rng(0)
    for _ in range(20):
        played = random.integers(0, TRACKS, random.integers(1, 60)).tolist()
        listener = Listener(User("someone"), history(played))
        k, forbidden = int(random.integers(1, 200)), random.random(TRACKS) < 0.2
        found = autoencoder.best(listener, k, forbidden)
        expected = best(autoencoder.score(listener), k, forbidden)
        assert np.allclose(found.scores, expected.scores, atol=1e-5)
        assert len(np.intersect1d(found.tracks, expected.tracks)) >= k - 1, "but for a tie"


def test_in_a_large_catalogue_some_tracks_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    latents, favoured = points(400).numpy(), torch.rand(400).numpy() + 1
    tracks = np.arange(400)
    exact = neighbourhood_totals(latents, favoured, tracks)
    assert np.allclose(exact[9:11], neighbourhood_totals(latents, favoured, tracks[9:11]))
    monkeypatch.setattr("segue.models.autoencoder.SUMMED", 200)
    assert np.allclose(neighbourhood_totals(latents, favoured, tracks), exact, rtol=0.1)


def test_every_group_of_inputs_weighs_the_same(bundle: Bundle) -> None:
    features = torch.from_numpy(bundle.features.astype(np.float32))
    groups = input_groups(bundle.encoder)
    balanced = Balance(features, torch.from_numpy(groups))(features)
    assert sorted(set(groups)) == [0, 1, 2], "numbers and categories, genres, the artist"
    for group in range(3):
        variance = balanced[:, groups == group].var(0, unbiased=False).sum()
        assert variance == pytest.approx(1, abs=1e-3)


def test_a_group_that_never_varies_stays_silent() -> None:
    features = torch.stack([torch.arange(4.0), torch.full((4,), 7.0)], 1)
    balanced = Balance(features, torch.tensor([0, 1]))(features)
    assert balanced[:, 1].tolist() == [0, 0, 0, 0]


def test_tracks_of_one_artist_are_nearer_than_others(bundle: Bundle) -> None:
    latents = bundle.latents
    artists = bundle.features[:, input_groups(bundle.encoder) == 2]
    same = (artists[:, None] == artists[None]).all(-1) & ~np.eye(len(artists), dtype=np.bool_)
    cosines = latents @ latents.T
    assert cosines[same].mean() > cosines[~same].mean() + 0.3


def test_the_shares_of_the_interests_add_up_to_one(
    autoencoder: Autoencoder, listener: Listener
) -> None:
    tracks = np.array([0, 9, 300])
    made_of = autoencoder.contributions(listener, tracks)
    assert set(made_of.heard) == set(HEARD)
    assert np.allclose(made_of.amounts.sum(0), 1)
    assert made_of.amounts[made_of.heard.tolist().index(9), 1] == 0, "its own neighbour"


def test_an_interest_contributes_what_the_density_loses_without_it(
    bundle: Bundle, autoencoder: Autoencoder, listener: Listener
) -> None:
    tracks = np.array([3, 250])
    whole = np.exp(autoencoder.score(listener))
    heard, weights = interests(listener.history)
    latents, prior = (
        torch.from_numpy(it.copy())
        for it in (bundle.latents, bundle.array("autoencoder/prior.npy"))
    )
    rest = torch.from_numpy(heard[1:]), torch.from_numpy(weights[1:])
    without = np.exp(TasteDensity()(latents, prior, *rest).numpy())
    amounts = autoencoder.contributions(listener, tracks).amounts
    assert np.allclose(amounts[0], (1 - without / whole)[tracks], atol=1e-4)


def test_the_only_interest_explains_nothing_about_itself(autoencoder: Autoencoder) -> None:
    made_of = autoencoder.contributions(Listener(User("one"), history([4])), np.array([4, 5]))
    assert made_of.amounts.tolist() == [[0, 1]]


def test_a_heard_track_contributes_what_the_log_odds_lose_without_it(
    classifier: Classifier, listener: Listener
) -> None:
    tracks = np.array([9, 100, 5])
    made_of = classifier.contributions(listener, tracks)
    whole = logit(classifier.score(listener))[tracks]
    for heard, amounts in zip(made_of.heard, made_of.amounts, strict=True):
        rest = listener.history.only(listener.history.tracks != heard)
        without = logit(classifier.score(replace(listener, history=rest)))[tracks]
        assert np.allclose(amounts, whole - without, atol=1e-3)


def test_popularity_and_profile_are_the_log_odds_without_a_play(
    bundle: Bundle, classifier: Classifier, listener: Listener
) -> None:
    tracks = np.array([0, 1, 2])
    others = classifier.contributions(listener, tracks).others
    silent = logit(classifier.score(replace(listener, history=history([]))))[tracks]
    mean = bundle.array("classifier/base.npy").mean()
    assert np.allclose(others["popularity"] + others["profile"] + mean, silent, atol=1e-3)


def test_at_most_the_strongest_fifty_are_tried(classifier: Classifier) -> None:
    many = Listener(User("many"), history([*range(100), *range(60, 100)]))
    heard = classifier.contributions(many, np.array([0])).heard
    assert len(heard) == MAX_EXPLAINED
    assert set(range(60, 100)) <= set(heard.tolist())


@pytest.mark.parametrize("model_id", [1, 2])
def test_the_answer_follows_the_last_session(bundle: Bundle, model_id: int) -> None:
    """Someone turns to another genre for one session: its tracks rise, on the whole."""
    sizes = {name: len(tracks) for name, tracks in bundle.catalogue.genres.items()}
    first, second = sorted(sizes, key=lambda name: (-sizes[name], name))[:2]
    only_first = np.setdiff1d(bundle.catalogue.genres[first], bundle.catalogue.genres[second])
    only_second = np.setdiff1d(bundle.catalogue.genres[second], bundle.catalogue.genres[first])
    long_since = history(only_first[:12].tolist() * 2, age=8)
    last_session = history(only_second[:6].tolist(), age=0.1)
    model = load_model(model_id, bundle)
    before = model.score(Listener(User("someone"), long_since))
    after = model.score(Listener(User("someone"), both(long_since, last_session)))
    ranks = [scores.argsort().argsort() for scores in (before, after)]
    unheard = only_second[6:]
    assert ranks[1][unheard].mean() > ranks[0][unheard].mean()


def test_what_plays_of_one_track_come_to() -> None:
    plays = History(
        np.array([8, 3, 8], np.int32),
        np.array([True, False, True]),
        np.array([True, False, False]),
        np.array([0, 14, 14], np.float32),
    )
    heard, own = encode_heard(plays)
    assert heard.tolist() == [3, 8]
    assert own.shape == (2, OWN_WIDTH)
    skipped, enjoyed = own
    assert np.allclose(skipped, [0, 0, 0, np.log1p(0.5), 0, 0.5])
    fast = np.log1p(2 + 2.0**-14)
    assert np.allclose(enjoyed, [np.log1p(2.5), fast, np.log1p(2), 0, 1, 1])


def test_the_classifier_does_without_any_feature(
    data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only plays are known, these and how tracks do at the moment are what it goes by."""
    monkeypatch.setattr("training.models.classifier.EPOCHS", 2)
    cutoff = parse_time("2022-09-01T00:00:00Z")
    ingest(data_path, tmp_path)
    with connect(tmp_path) as connection:
        schema = parse_schema('name = "plain"')
        encoded = encode_catalogue(connection, schema, Popularity(connection, cutoff))
        trained = train_classifier(
            connection,
            partial(count_at, connection, encoded.catalogue),
            encoded,
            cutoff,
            torch.device("cpu"),
            progress=lambda *_: None,
        )
    assert encoded.features.shape[1] == 0
    track = track_inputs(torch.from_numpy(encoded.features), trained.trends)
    assert track.shape[1] == TRENDS
    with torch.no_grad():
        assert trained.network.track(track)[1].isfinite().all()
