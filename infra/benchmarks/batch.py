"""How many users a second get a list, and how many by implicit's batch recommend.

implicit multiplies the arrays that we do: the classifier's factors of the tracks, and made-up ones
of the listeners.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from infra.benchmarks.figures import Figure
from infra.benchmarks.listeners import MadeUp, make_listeners
from infra.benchmarks.peers import implicit_model
from infra.benchmarks.serving import Act, interleaved, size
from segue.adapters.lists import encode
from segue.domain.plays import label_plays
from segue.features.encoder import FloatArray
from segue.features.listeners import history_of
from segue.models.bundle import Bundle
from segue.models.model import Listener, Model
from segue.models.names import NAMES
from segue.models.ranked import Ranked, best
from segue.models.registry import load_model
from segue.ports import Shard
from segue.ranking.lists import rank
from segue.services.batch import TOGETHER, lists_of

# How many listeners get a list, and of how many tracks.
LISTENERS, K = 256, 20
_PEER = "implicit's batch recommend"


@dataclass(frozen=True)
class Arrays:
    """What a product of matrices ranks by: (listeners, width) and (tracks, width), and who played
    what, (listeners, tracks)."""

    listeners: FloatArray
    tracks: FloatArray
    played: csr_matrix


def measure_lists(bundle: Bundle, repeats: int, seed: int) -> Iterator[Figure]:
    """Users a second, by each way of making lists for all of them; so many rounds."""
    people = make_listeners(bundle, LISTENERS, seed)
    ways = dict(_ways(bundle, _with_histories(people, bundle), seed))
    # A way makes everybody's lists, so that one turn a round is enough.
    times = interleaved({what: _for_all(make) for what, make in ways.items()}, people[:1], repeats)
    by_peer = np.median(_rates(times[_PEER].cpu))
    for what, taken in times.items():
        rates = _rates(taken.cpu)
        yield Figure.of(
            f"lists for everybody: {what}, {size(bundle)}",
            "users a second",
            rates,
            ratio=float(np.median(rates) / by_peer),
            ratio_to=_PEER,
            wall=float(np.median(_rates(taken.wall))),
        )


def _rates(milliseconds: Sequence[float]) -> list[float]:
    """Users a second, where all of them took so long."""
    rates: list[float] = np.divide(1_000 * LISTENERS, milliseconds).tolist()
    return rates


def _for_all(make: Callable[[], object]) -> Act:
    return lambda _: make()


def _ways(
    bundle: Bundle, listeners: Sequence[Listener], seed: int
) -> Iterator[tuple[str, Callable[[], Any]]]:
    arrays = _arrays(bundle, listeners, seed)
    peer = implicit_model(arrays.listeners, arrays.tracks)
    recommend = partial(
        peer.recommend,
        np.arange(len(listeners)),
        arrays.played,
        N=K,
        filter_already_liked_items=False,
    )
    # Ways that find other tracks could not be compared. Near 0 a sum in another order is off by
    # more than a share of itself.
    ours = [ranked.scores for ranked in _best_of_products(arrays)]
    np.testing.assert_allclose(recommend()[1], ours, rtol=1e-4, atol=1e-5)
    yield _PEER, recommend
    yield "ours, the same arrays", partial(_best_of_products, arrays)
    yield f"{_PEER}, from plays", partial(recommend, recalculate_user=True)
    for model_id in bundle.manifest.models:
        model, shard = load_model(model_id, bundle), Shard("", model_id, K, 0, 0, 1)
        yield f"{NAMES[model_id]}, one by one", partial(_rank_all, model, listeners, bundle)
        yield f"{NAMES[model_id]}, in batches", partial(_list_all, listeners, shard, bundle)


def _rank_all(model: Model, listeners: Sequence[Listener], bundle: Bundle) -> list[Ranked]:
    return [rank(model, it, bundle, K) for it in listeners]


def _list_all(listeners: Sequence[Listener], shard: Shard, bundle: Bundle) -> bytes:
    """As ``segue batch`` does it, file and all."""
    body, _ = encode(lists_of(listeners, shard, bundle))
    return body


def _with_histories(people: Sequence[MadeUp], bundle: Bundle) -> list[Listener]:
    catalogue, cutoff = bundle.catalogue, bundle.manifest.cutoff
    return [
        Listener(one.user, history_of(label_plays(one.events), catalogue, cutoff)) for one in people
    ]


def _arrays(bundle: Bundle, listeners: Sequence[Listener], seed: int) -> Arrays:
    """Those of the classifier: a track's base is one more factor, which of a listener is 1."""
    factors, base = (bundle.array(f"classifier/{it}.npy") for it in ("factors", "base"))
    of_listeners = np.random.default_rng(seed).normal(size=(len(listeners), factors.shape[1]))
    rows = np.repeat(np.arange(len(listeners)), [len(it.history) for it in listeners])
    tracks = np.concatenate([it.history.tracks for it in listeners])
    counts = np.ones(len(tracks), np.float32)
    shape = len(listeners), len(factors)
    return Arrays(
        np.insert(of_listeners, 0, 1, axis=1).astype(np.float32),
        np.insert(factors, 0, base, axis=1).astype(np.float32),
        csr_matrix((counts, (rows, tracks)), shape),
    )


def _best_of_products(arrays: Arrays) -> list[Ranked]:
    """As the classifier does it, once it has the listeners' factors."""
    return [
        best(scores, K)
        for start in range(0, len(arrays.listeners), TOGETHER)
        for scores in arrays.listeners[start : start + TOGETHER] @ arrays.tracks.T
    ]
