"""Peers of the long form: LightFM, SASRec and eSASRec by the library RecTools."""

from typing import Any

import numpy as np

from training.peers.matrix import full_plays
from training.peers.peer import SEED, FloatArray, IntArray, Peer, Unsuitable, settings
from training.protocol.split import Split

_BATCH = 256


class LightFm(Peer):
    """Kula, "Metadata Embeddings for User and Item Cold-start Recommendations", 2015; WARP loss."""

    name = "lightfm"
    metadata = False
    grid = settings(factors=(64, 16), epochs=(30, 100), learning_rate=(0.05, 0.02))
    repeats = (True, False)

    def fit(self, split: Split, *, factors: int, epochs: int, learning_rate: float) -> None:
        from lightfm import LightFM
        from rectools.models import LightFMWrapperModel

        plays = full_plays(split).tocoo()
        times = np.full(plays.nnz, split.cutoff)
        features = _metadata(split) if self.metadata else {}
        dataset = _dataset(plays.row, plays.col, times, **features)
        network = LightFM(
            no_components=factors, loss="warp", learning_rate=learning_rate, random_state=SEED
        )
        model = LightFMWrapperModel(network, epochs=epochs, num_threads=1)
        model.fit(dataset)
        users, tracks = model.get_vectors(dataset)
        self._users = _spread(users, dataset.user_id_map.external_ids, len(split.users))
        self._tracks = _spread(tracks, dataset.item_id_map.external_ids, split.tracks)
        self._known = np.zeros(split.tracks, np.bool_)
        self._known[dataset.item_id_map.external_ids] = True

    def scores(self, users: IntArray) -> FloatArray:
        return _only(self._known, self._users[users] @ self._tracks.T)


class LightFmMetadata(LightFm):
    """LightFM with the users' profiles, and the artist and the genres of the tracks.

    A track that nobody played is known by these.
    """

    name = "lightfm-metadata"
    metadata = True


class SasRec(Peer):
    """Kang and McAuley, "Self-Attentive Sequential Recommendation", 2018, with a full softmax.

    It reads the last ``length`` full plays of a user, and knows only tracks that somebody with two
    full plays has played.
    """

    name = "sasrec"
    grid = settings(factors=(64, 128), epochs=(20, 60), length=(100,))
    repeats = (True, False)

    def fit(self, split: Split, *, factors: int, epochs: int, length: int) -> None:
        import torch
        from pytorch_lightning import seed_everything
        from rectools.models import SASRecModel
        from rectools.models.nn.item_net import IdEmbeddingsItemNet

        seed_everything(SEED)
        completed = np.asarray(split.plays.completed)
        user, track, time = (
            np.asarray(array)[completed]
            for array in (split.plays.user, split.plays.track, split.plays.time)
        )
        model = SASRecModel(
            n_factors=factors,
            n_blocks=2,
            n_heads=2,
            session_max_len=length,
            epochs=epochs,
            lr=1e-3,
            batch_size=128,
            deterministic=True,
            item_net_block_types=(IdEmbeddingsItemNet,),
            **self._recipe(),
        )
        model.fit(_dataset(user, track, time))
        self._network = model.torch_model.cpu().eval()
        ids = model.data_preparator.item_id_map
        self._place = np.zeros(split.tracks, np.int64)
        known = model.data_preparator.get_known_item_ids().astype(np.int64)
        self._place[known] = ids.convert_to_internal(known)
        kept = self._place[track] > 0
        self._items, self._length = self._place[track[kept]], length
        self._starts = np.searchsorted(user[kept], np.arange(len(split.users) + 1))
        with torch.no_grad():
            self._embeddings = self._network.item_model.get_all_embeddings()

    def _recipe(self) -> dict[str, Any]:
        """What tells the variants of SASRec apart, as RecTools takes it."""
        return {"loss": "softmax"}

    def scores(self, users: IntArray) -> FloatArray:
        parts = [
            self._score(users[start : start + _BATCH]) for start in range(0, len(users), _BATCH)
        ]
        return _only(self._place > 0, np.concatenate(parts)[:, self._place])

    def _score(self, users: IntArray) -> FloatArray:
        import torch

        sequences = np.zeros((len(users), self._length), np.int64)
        for row, user in zip(sequences, users, strict=True):
            own = self._items[self._starts[user] : self._starts[user + 1]][-self._length :]
            row[self._length - len(own) :] = own
        with torch.no_grad():
            batch = {"x": torch.from_numpy(sequences)}
            last = self._network.encode_sessions(batch, self._embeddings)[:, -1]
            scores: FloatArray = (last @ self._embeddings.T).numpy()
        # Who has no sequence gets what is popular.
        scores[~sequences.any(axis=1)] = 0
        return scores


class ESasRec(SasRec):
    """eSASRec: SASRec with gated layers (LiGR) and a softmax over sampled tracks.

    Tikhonovich et al., "eSASRec: Enhancing Transformer-based Recommendations in a Modular Fashion",
    2025.
    """

    name = "esasrec"

    def _recipe(self) -> dict[str, Any]:
        from rectools.models.nn.transformers.ligr import LiGRLayers

        return {
            "loss": "sampled_softmax",
            "n_negatives": 256,
            "transformer_layers_type": LiGRLayers,
        }


def _metadata(split: Split) -> dict[str, Any]:
    """Artists, genres and profiles as RecTools takes them. Raises Unsuitable without any."""
    import pandas as pd

    tracks = np.flatnonzero(np.asarray(split.artists) >= 0)
    artists = _table(tracks, "artist", np.asarray(split.artists)[tracks])
    genres = _table(split.genres[:, 0], "genre", split.genres[:, 1])
    users, columns = np.nonzero(split.profiles)
    profiles = _table(users, columns.astype(str), split.profiles[users, columns])
    found: dict[str, Any] = {}
    if len(artists) + len(genres):
        found["item_features_df"] = pd.concat([artists, genres])
        found["cat_item_features"] = ("artist", "genre")
    if len(profiles):
        found["user_features_df"] = profiles
    if not found:
        raise Unsuitable("neither tracks nor users have metadata")
    return found


def _table(ids: Any, feature: Any, value: Any) -> Any:
    """Features as RecTools takes them: a row each, of the track or user of this id."""
    import pandas as pd

    return pd.DataFrame({"id": np.asarray(ids), "feature": feature, "value": np.asarray(value)})


def _dataset(user: Any, track: Any, time: Any, **features: Any) -> Any:
    """Full plays as RecTools takes them. Raises Unsuitable where there are none."""
    import pandas as pd
    from rectools import Columns
    from rectools.dataset import Dataset

    if not len(user):
        raise Unsuitable("nothing was fully played before the cut-off")
    frame = pd.DataFrame(
        {
            Columns.User: user,
            Columns.Item: track,
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(np.asarray(time), unit="ms"),
        }
    )
    return Dataset.construct(frame, **features)


def _spread(vectors: FloatArray, places: Any, number: int) -> FloatArray:
    """(number, width): the vectors at their places, zeros elsewhere."""
    spread = np.zeros((number, vectors.shape[1]), np.float32)
    spread[np.asarray(places, np.int64)] = vectors
    return spread


def _only(known: Any, scores: FloatArray) -> FloatArray:
    """The scores, with unknown tracks after all others."""
    floor = scores.min(initial=0.0) - 1
    return np.where(known, scores, floor).astype(np.float32)
