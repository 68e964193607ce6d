"""The original service's two models, as its authors describe them, flaws included.

Both are trained soundly, but keep what was theirs: the first looks at the tracks' features alone
and may recommend what was just liked; the second knows the user's profile and not their history, so
its answer never changes, and it runs the whole network for every pair.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.peers.peer import SEED, FloatArray, IntArray, Peer, Unsuitable, settings
from training.plays import DAY
from training.protocol.split import Split

_LATENT = 128
_LEARNING_RATE = 1e-3
_BATCH = 512
_WINDOW_DAYS = 30
# So many distances or pairs are held at a time.
_CELLS = 2**23


class OriginalAutoencoder(Peer):
    """Model 1: the nearest neighbours, in the latent space, of what the user liked last month.

    A track scores minus its distance to the nearest liked one, so liked tracks come first. Who
    liked nothing in the month is taken by what they fully played in it.
    """

    name = "original-autoencoder"
    grid = settings(epochs=(20,))
    repeats = (True,)

    def fit(self, split: Split, *, epochs: int) -> None:
        self._latents = _train_autoencoder(_features(split), epochs)
        self._squares = np.einsum("ij,ij->i", self._latents, self._latents)
        plays = split.plays
        recent = plays.time >= split.cutoff - _WINDOW_DAYS * DAY
        self._liked = _tracks_by_user(split, recent & plays.liked)
        self._played = _tracks_by_user(split, recent & plays.completed)

    def scores(self, users: IntArray) -> FloatArray:
        rows = [self._score(self._liked.get(user, self._played.get(user))) for user in users]
        return np.array(rows, np.float32).reshape(len(users), len(self._latents))

    def _score(self, liked: IntArray | None) -> FloatArray:
        nearest = np.full(len(self._latents), np.inf, np.float32)
        if liked is None:
            return nearest
        for some in np.array_split(liked, 1 + liked.size * len(nearest) // _CELLS):
            products = self._latents @ self._latents[some].T
            distances = self._squares[:, None] - 2 * products + self._squares[some]
            np.minimum(nearest, distances.min(axis=1), out=nearest)
        # Rounding must not put a neighbour before the track itself.
        nearest[liked] = 0
        return -np.sqrt(np.maximum(nearest, 0))


class OriginalClassifier(Peer):
    """Model 2: P(play) and P(like) from the user's profile and the track's features.

    order: which of the two the list follows.
    """

    name = "original-classifier"
    grid = settings(order=("play", "like"), epochs=(10,))
    repeats = (True, False)

    def fit(self, split: Split, *, order: str, epochs: int) -> None:
        self._features, self._profiles = _features(split), np.asarray(split.profiles)
        self._network = _train_classifier(split, self._features, epochs)
        self._output = ("play", "like").index(order)

    def scores(self, users: IntArray) -> FloatArray:
        # Users with the same profile get the same answer.
        profiles, user = np.unique(self._profiles[users], axis=0, return_inverse=True)
        return np.array([self._score(profile) for profile in profiles], np.float32)[user]

    def _score(self, profile: FloatArray) -> FloatArray:
        import torch

        step = max(1, _CELLS // (len(profile) + self._features.shape[1] + 1))
        with torch.no_grad():
            parts = [
                self._network(torch.from_numpy(_pairs(np.tile(profile, (len(some), 1)), some)))
                for some in np.split(self._features, range(step, len(self._features), step))
            ]
        scores: FloatArray = torch.cat(parts)[:, self._output].numpy()
        return scores


def _features(split: Split) -> FloatArray:
    """(tracks, width). Raises Unsuitable where they tell no track from another."""
    features = np.asarray(split.features, np.float32)
    if not features.size or (features == features[0]).all():
        raise Unsuitable("the tracks have no features")
    return features


def _tracks_by_user(split: Split, chosen: NDArray[np.bool_]) -> dict[int, IntArray]:
    """The different tracks of the chosen plays, for each user with any."""
    users, starts = np.unique(split.plays.user[chosen], return_index=True)
    pieces = np.split(np.asarray(split.plays.track[chosen]), starts[1:])
    return {int(user): np.unique(tracks) for user, tracks in zip(users, pieces, strict=False)}


def _train_autoencoder(features: FloatArray, epochs: int) -> FloatArray:
    """(tracks, _LATENT), every track in the latent space."""
    import torch
    from torch import nn

    torch.manual_seed(SEED)
    width = features.shape[1]
    encoder = nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, _LATENT))
    decoder = nn.Sequential(nn.Linear(_LATENT, 256), nn.ReLU(), nn.Linear(256, width))
    both = nn.Sequential(encoder, decoder)
    rows = torch.from_numpy(features)
    optimizer = torch.optim.Adam(both.parameters(), lr=_LEARNING_RATE)
    for _ in range(epochs):
        for batch in torch.randperm(len(rows)).split(_BATCH):
            loss = nn.functional.mse_loss(both(rows[batch]), rows[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        latents: FloatArray = encoder(rows).numpy()
    return latents


def _train_classifier(split: Split, features: FloatArray, epochs: int) -> Any:
    """The network, (pairs, inputs) -> (pairs, 2) logits of play and like."""
    import torch
    from torch import nn

    torch.manual_seed(SEED)
    user, track, labels = _examples(split)
    profiles = np.asarray(split.profiles)
    width = profiles.shape[1] + features.shape[1]
    network = nn.Sequential(
        nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 2)
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
    for _ in range(epochs):
        for batch in torch.randperm(len(user)).split(_BATCH):
            inputs = _pairs(profiles[user[batch]], features[track[batch]])
            loss = nn.functional.binary_cross_entropy_with_logits(
                network(torch.from_numpy(inputs)), torch.from_numpy(labels[batch])
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


def _examples(split: Split) -> tuple[IntArray, IntArray, FloatArray]:
    """Users, tracks and whether they were played and liked; for each pair played, one drawn."""
    pairs, of_play = np.unique(
        split.plays.user.astype(np.int64) * split.tracks + split.plays.track, return_inverse=True
    )
    liked = np.bincount(of_play, split.plays.liked, len(pairs)) > 0
    drawn = np.random.default_rng(SEED).integers(0, split.tracks, len(pairs))
    user = np.tile(pairs // split.tracks, 2)
    track = np.concatenate([pairs % split.tracks, drawn])
    played = np.repeat([True, False], len(pairs))
    labels = np.stack([played, np.concatenate([liked, np.zeros_like(liked)])], axis=1)
    return user.astype(np.int32), track.astype(np.int32), labels.astype(np.float32)


def _pairs(profiles: FloatArray, features: FloatArray) -> FloatArray:
    return np.hstack([profiles, features])
