"""PyTorch, ONNX Runtime and the handler give one answer, for golden users."""

import numpy as np
import pytest
import torch

from segue.domain.plays import label_plays
from segue.domain.times import Window
from segue.domain.users import User
from segue.features.encoder import FloatArray
from segue.features.listeners import (
    OWN_WIDTH,
    encode_heard,
    encode_listener,
    history_of,
    user_columns,
)
from segue.models.autoencoder import interests
from segue.models.model import Listener
from segue.models.registry import load_model
from tests.bundles import trained_networks
from tests.plain import TasteDensity
from tests.unit.conftest import Function, World
from training.models.classifier import track_inputs

GOLDEN = ["one play", "repeats", "many plays", "only skips"]
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def golden_users(world: World) -> None:
    world.play("one play", world.tracks(3, 4))
    world.play("repeats", [*world.tracks(1, 9), *world.tracks(3, 4) * 3], days=-9)
    world.play("repeats", world.tracks(200, 203), session="2", skip=True)
    for day in range(1, 29):
        tracks = world.tracks(20 * day, 20 * day + 15)
        world.play("many plays", tracks, days=-day, session=str(day))
    world.play("only skips", world.tracks(50, 60), skip=True)
    world.users.put(User("repeats", (next(iter(world.bundle.catalogue.genres)),), premium=True))


def listener(world: World, user_id: str) -> Listener:
    plays = label_plays(world.sessions.events(user_id, Window.before(world.cutoff, 30)))
    history = history_of(plays, world.bundle.catalogue, world.cutoff)
    return Listener(world.users.get(user_id) or User(user_id), history)


def autoencoder_in_pytorch(world: World, golden: Listener) -> FloatArray:
    """From the features through the trained encoder to the scores, without ONNX or the bundle."""
    space = trained_networks()[0].space
    # The bundle holds them in half precision.
    latents = space(torch.from_numpy(world.bundle.features.astype(np.float32))).half().float()
    tracks, weights = interests(golden.history)
    prior = torch.from_numpy(trained_networks()[0].prior)
    density = TasteDensity()
    return density(latents, prior, torch.from_numpy(tracks), torch.from_numpy(weights)).numpy()


def classifier_in_pytorch(world: World, golden: Listener) -> FloatArray:
    """The plain network, run once for every pair of the listener and a track."""
    trained, bundle = trained_networks()[1], world.bundle
    profile = bundle.encoder.encode_users(user_columns([golden.user], bundle.schema))[0]
    vector = torch.from_numpy(encode_listener(profile, golden.history, bundle.features))
    tracks = track_inputs(torch.from_numpy(bundle.features.copy()), trained.trends)
    heard, own = torch.zeros(len(tracks), dtype=torch.bool), torch.zeros(len(tracks), OWN_WIDTH)
    positions, rows = encode_heard(golden.history)
    heard[positions], own[positions] = True, torch.from_numpy(rows)
    listeners = vector.expand(len(tracks), -1)
    return trained.network(listeners, tracks, heard, own).sigmoid().numpy()


IN_PYTORCH = {1: autoencoder_in_pytorch, 2: classifier_in_pytorch}


@pytest.mark.parametrize("user_id", GOLDEN)
@pytest.mark.parametrize("model_id", IN_PYTORCH)
@torch.no_grad()
def test_pytorch_onnx_runtime_and_the_handler_agree(
    world: World, predict: Function, model_id: int, user_id: str
) -> None:
    golden = listener(world, user_id)
    expected = IN_PYTORCH[model_id](world, golden)

    scores = load_model(model_id, world.bundle).score(golden)
    assert np.allclose(scores, expected, rtol=0, atol=TOLERANCE)

    _, _, answer = predict.call(
        "POST", f"/models/{model_id}/predict", {"user_id": user_id, "k": 20}
    )
    answered = expected[world.bundle.catalogue.positions(answer)]
    assert np.allclose(answered, np.sort(expected)[::-1][:20], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("user_id", GOLDEN)
@torch.no_grad()
def test_the_factorised_classifier_is_the_plain_network(world: World, user_id: str) -> None:
    golden = listener(world, user_id)
    scores = load_model(2, world.bundle).score(golden)
    assert np.allclose(scores, classifier_in_pytorch(world, golden), rtol=0, atol=1e-5)
