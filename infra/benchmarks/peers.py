"""Warm requests beside others' ways of doing the same: the original service's, and libraries'."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from threadpoolctl import threadpool_limits

from infra.benchmarks.figures import Figure
from infra.benchmarks.listeners import MadeUp, make_listeners, recommender
from infra.benchmarks.serving import HYBRID, LISTENERS, Act, asking, interleaved, size
from infra.demo.randomness import stream
from segue.domain.events import EventType
from segue.domain.plays import label_plays
from segue.domain.times import DAY
from segue.features.encoder import FloatArray
from segue.features.listeners import OWN_WIDTH, history_of
from segue.models.bundle import Bundle
from segue.models.model import Listener
from segue.models.registry import load_model
from segue.services.recommend import Query

if TYPE_CHECKING:
    from implicit.cpu.als import AlternatingLeastSquares

AUTOENCODER, CLASSIFIER = 1, 2
# What ours should take at most, in percent of the others.
ORIGINAL_TARGET, PLAIN_TARGET = 2.0, 5.0
# Rows of the original's table of sessions. It takes seconds, so few are asked for, and seldom.
ORIGINAL_ROWS, ORIGINAL_LISTENERS, ORIGINAL_REPEATS = 1_000_000, 3, 2
# The width of the vectors that the other recommenders go by, and the length of their lists.
WIDTH, LENGTH = 64, 20


def measure_original(bundle: Bundle, seed: int) -> Iterator[Figure]:
    """Models 1 and 2 beside the original's way, and the classifier beside its plain network."""
    listeners = make_listeners(bundle, LISTENERS, seed)
    service = recommender(bundle, listeners)
    acts = {
        "original": original(bundle, listeners),
        "plain": plain_classifier(bundle),
        "factorised": factorised_classifier(bundle),
    }
    acts |= {str(it): asking(service, Query("", it)) for it in (AUTOENCODER, CLASSIFIER)}
    times = interleaved(acts, listeners[:ORIGINAL_LISTENERS], ORIGINAL_REPEATS)
    what = f"the original's way, {ORIGINAL_ROWS:,} events, {size(bundle)}"
    yield Figure.of_times(what, times["original"])
    for ours, theirs, name, target in (
        (str(AUTOENCODER), "original", "model 1 beside the original's way", ORIGINAL_TARGET),
        (str(CLASSIFIER), "original", "model 2 beside the original's way", ORIGINAL_TARGET),
        ("factorised", "plain", "classifier beside its plain network", PLAIN_TARGET),
    ):
        shares = 100 * np.divide(times[ours].cpu, np.median(times[theirs].cpu))
        yield Figure.of(name, "% of its CPU time", shares.tolist(), target=target)


def measure_peers(bundle: Bundle, repeats: int, seed: int) -> Iterator[Figure]:
    """How long others take for a list, whose vectors are ready, beside the whole of our request."""
    listeners = make_listeners(bundle, LISTENERS, seed)
    service = recommender(bundle, listeners)
    tracks = vectors(len(bundle.catalogue), seed)
    peers: dict[str, Act] = {
        "implicit's recommend": implicit_recommend(tracks),
        "FAISS's IndexFlatIP": faiss_search(tracks),
        "products with all vectors, by NumPy": flat_scan(tracks),
        "products, filtered and sorted, as Gorse does": gorse_like(tracks),
    }
    times = interleaved({"ours": asking(service, Query("", HYBRID))} | peers, listeners, repeats)
    for name in peers:
        ratio = float(np.median(times[name].cpu) / np.median(times["ours"].cpu))
        what = f"{name}, {size(bundle)}"
        yield Figure.of_times(what, times[name], ratio=ratio, ratio_to="our hybrid's request")


def original(bundle: Bundle, listeners: list[MadeUp]) -> Act:
    """The original's second model: a filter over everybody's sessions, then a network for each
    track by itself. The weights are drawn, which takes no other time than trained ones."""
    import torch
    from torch import nn

    sessions = _sessions(listeners)
    features = torch.from_numpy(bundle.features.astype(np.float32))
    profile = torch.ones(1)
    network = nn.Sequential(
        nn.Linear(1 + features.shape[1], 128),
        nn.ReLU(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, 2),
    )
    start = pd.Timestamp(bundle.manifest.cutoff - 30 * DAY, unit="ms")
    end = pd.Timestamp(bundle.manifest.cutoff, unit="ms")

    def recommend(one: MadeUp) -> Any:
        month = sessions[
            (sessions["user_id"] == int(one.user.user_id))
            & (sessions["timestamp"] >= start)
            & (sessions["timestamp"] < end)
        ]
        length = (
            month[month["event_type"] == str(EventType.PLAY)].groupby("session_id").size().mean()
        )
        with torch.no_grad():
            scores = [network(torch.cat([profile, track]))[0].item() for track in features]
        return np.argsort(scores)[::-1][: round(length)]

    return recommend


def _sessions(listeners: list[MadeUp]) -> pd.DataFrame:
    """The events of these listeners, and of as many like them as make up ORIGINAL_ROWS."""
    events = [event for one in listeners for event in one.events]
    user_id, session_id, time, kind, track_id = (
        np.resize([str(event[column]) for event in events], ORIGINAL_ROWS) for column in range(5)
    )
    other = np.arange(ORIGINAL_ROWS) // len(events) * len(listeners)
    return pd.DataFrame(
        {
            "user_id": user_id.astype(np.int64) + other,
            "session_id": session_id.astype(np.int64),
            "timestamp": pd.to_datetime(time.astype(np.int64), unit="ms"),
            "event_type": kind.astype(object),
            "track_id": track_id.astype(object),
        }
    )


def plain_classifier(bundle: Bundle) -> Act:
    """The classifier's network as it is trained, run for every pair of the listener and a track.

    Its weights are drawn; a test holds that trained ones give the factorised scores to 1e-5.
    """
    import torch

    from training.models.classifier import TRENDS
    from training.models.networks import PreferenceClassifier

    width = bundle.features.shape[1]
    listener_width = _listener_width(bundle)
    network = PreferenceClassifier(listener_width, width + TRENDS, OWN_WIDTH, TRENDS).eval()
    tracks = torch.zeros(len(bundle.catalogue), width + TRENDS)
    tracks[:, :width] = torch.from_numpy(bundle.features.astype(np.float32))
    heard, own = torch.zeros(len(tracks), dtype=torch.bool), torch.zeros(len(tracks), OWN_WIDTH)
    listener = torch.zeros(listener_width).expand(len(tracks), -1)

    def score(_: MadeUp) -> object:
        with torch.no_grad():
            return network(listener, tracks, heard, own).sigmoid()

    return score


def _listener_width(bundle: Bundle) -> int:
    """How many numbers the classifier's network takes of a listener."""
    inputs = bundle.session("classifier/head.onnx").get_inputs()
    return int(next(it.shape[0] for it in inputs if it.name == "listener"))


def factorised_classifier(bundle: Bundle) -> Act:
    """The classifier's scores of all tracks, as a request computes them."""
    model = load_model(CLASSIFIER, bundle)

    def score(one: MadeUp) -> object:
        history = history_of(label_plays(one.events), bundle.catalogue, bundle.manifest.cutoff)
        return model.score(Listener(one.user, history))

    return score


def implicit_recommend(tracks: FloatArray) -> Act:
    """``implicit``'s answer for one user, by factors that are ready."""
    model = implicit_model(tracks[:1].copy(), tracks)
    heard = sparse.csr_matrix(np.zeros((1, len(tracks)), np.float32))
    return lambda _: model.recommend(0, heard, N=LENGTH)


def implicit_model(listeners: FloatArray, tracks: FloatArray) -> "AlternatingLeastSquares":
    """A model of ``implicit``'s that has these factors, without having been fitted."""
    from implicit.cpu.als import AlternatingLeastSquares

    # It warns of threads that would be in each other's way.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(factors=tracks.shape[1], num_threads=1)
    model.user_factors, model.item_factors = listeners, tracks
    return model


def faiss_search(tracks: FloatArray) -> Act:
    """The best of all products for one query, by an index of FAISS that leaves none out."""
    import faiss

    index = faiss.IndexFlatIP(tracks.shape[1])
    index.add(tracks)
    query = tracks[:1].copy()
    return lambda _: index.search(query, LENGTH)


def flat_scan(tracks: FloatArray) -> Act:
    """The best of all products, without an index."""
    query = tracks[0].copy()

    def scan(_: MadeUp) -> object:
        scores = tracks @ query
        best = np.argpartition(scores, -LENGTH)[-LENGTH:]
        return best[np.argsort(scores[best])[::-1]]

    return scan


def gorse_like(tracks: FloatArray) -> Act:
    """All products, without what is hidden or heard, in order."""
    query, hidden = tracks[0].copy(), np.zeros(len(tracks), np.bool_)
    hidden[::10] = True

    def scan(_: MadeUp) -> object:
        kept = np.flatnonzero(~hidden)
        return kept[np.argsort(tracks[kept] @ query)[::-1]][:LENGTH]

    return scan


def vectors(tracks: int, seed: int) -> FloatArray:
    """(tracks, WIDTH), drawn."""
    return stream(seed).standard_normal((tracks, WIDTH), np.float32)
