"""Models 1 and 2 look at few tracks closely, and their lists are those of scoring every track."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segue.domain.users import User
from segue.features.encoder import FloatArray
from segue.features.listeners import History
from segue.models import autoencoder, classifier
from segue.models.autoencoder import Autoencoder
from segue.models.bundle import LATENTS, Bundle
from segue.models.classifier import Classifier
from segue.models.model import Listener, Model
from segue.models.ranked import Forbidden, best
from tests.bundles import TRACKS
from training.models.networks import LATENT

SEEDS = st.integers(0, 2**32 - 1)
# From tracks that are all alike to such as have nothing in common.
SPREADS = st.sampled_from([0.0, 0.02, 0.3, 1.0, 10.0])


class Changed(Bundle):
    """A bundle some of whose arrays are others."""

    def __init__(self, bundle: Bundle, changes: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(bundle.path, bundle.manifest)
        self._arrays.update(changes)


def normal(random: np.random.Generator, *shape: int) -> FloatArray:
    return random.normal(size=shape).astype(np.float32)


def latents(random: np.random.Generator, spread: float) -> NDArray[np.float16]:
    """Around seven points, most of the length in a few coordinates or in all."""
    decay = np.float32(random.uniform(0, 0.1))
    points = normal(random, 7, LATENT)[random.integers(0, 7, TRACKS)]
    points = (points + spread * normal(random, TRACKS, LATENT)) * np.exp(-decay * np.arange(LATENT))
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return np.asarray(points / lengths, np.float16)


def listener(random: np.random.Generator) -> Listener:
    plays = random.integers(1, 80)
    tracks = random.integers(0, TRACKS, plays).astype(np.int32)
    completed, liked = random.random((2, plays)) < 0.5
    age = random.uniform(0, 30, plays).astype(np.float32)
    return Listener(User("someone"), History(tracks, completed, liked, age))


def assert_lists_are_of_all(model: Model, random: np.random.Generator) -> None:
    """For as many tracks as are asked for, whatever is forbidden; ties in any order."""
    for share in (0.0, 0.3, 0.9):
        one, k = listener(random), int(random.integers(1, 2 * TRACKS))
        forbidden: Forbidden | None = random.random(TRACKS) < share if share else None
        scores = model.score(one)
        found, expected = model.best(one, k, forbidden), best(scores, k, forbidden)
        assert len(found.tracks) == len(expected.tracks) == len(np.unique(found.tracks))
        assert forbidden is None or not forbidden[found.tracks].any()
        for found_scores in (found.scores, scores[found.tracks]):
            assert np.allclose(found_scores, expected.scores, rtol=1e-5, atol=1e-5)


@given(SEEDS, SPREADS, st.sampled_from([1, 7, 10_000]))
def test_the_autoencoders_lists_are_those_of_all_tracks(
    bundle: Bundle, seed: int, spread: float, at_once: int
) -> None:
    random = np.random.default_rng(seed)
    places = latents(random, spread)
    prior = np.exp(random.uniform(0, 3, TRACKS)).astype(np.float32)
    totals = random.uniform(1, 2, TRACKS).astype(np.float32)
    arrays: dict[str, NDArray[Any]] = {
        LATENTS: places,
        "autoencoder/prior.npy": prior,
        "autoencoder/totals.npy": totals,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autoencoder, "_TRACKS_AT_ONCE", at_once)
        assert_lists_are_of_all(Autoencoder(Changed(bundle, arrays)), random)


@given(SEEDS, SPREADS, st.sampled_from([0.0, 1 / 16, 1.0]))
def test_the_classifiers_lists_are_those_of_all_tracks(
    bundle: Bundle, seed: int, spread: float, scattered: float
) -> None:
    random = np.random.default_rng(seed)
    factors = spread * normal(random, *bundle.array("classifier/factors.npy").shape)
    base = -np.exp(normal(random, TRACKS))
    arrays: dict[str, NDArray[Any]] = {
        "classifier/factors.npy": factors,
        "classifier/base.npy": base,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "_SCATTERED", scattered)
        assert_lists_are_of_all(Classifier(Changed(bundle, arrays)), random)


def test_the_lists_of_many_listeners_are_those_of_each(bundle: Bundle) -> None:
    random = np.random.default_rng(0)
    people = [listener(random) for _ in range(5)]
    model = Classifier(bundle)
    for one, ranked in zip(people, model.best_of_each(people, 9), strict=True):
        assert np.array_equal(ranked.tracks, model.best(one, 9).tracks)


@pytest.mark.parametrize("kind", [Autoencoder, Classifier])
def test_most_tracks_are_not_looked_at_closely(
    bundle: Bundle, kind: type[Autoencoder | Classifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    name = "_densities" if kind is Autoencoder else "_log_odds_at"
    whole = getattr(kind, name)

    def counting(self: Model, *arguments: Any) -> FloatArray:
        looked_at.append(len(arguments[-1]))
        scored: FloatArray = whole(self, *arguments)
        return scored

    monkeypatch.setattr(kind, name, counting)
    monkeypatch.setattr(classifier, "_SCATTERED", 1)
    kind(bundle).best(listener(np.random.default_rng(0)), 1)
    assert max(looked_at) < TRACKS / 2
