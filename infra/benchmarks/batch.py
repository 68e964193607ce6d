"""How many users a second get a list, and how many by implicit's batch recommend:
``python -m infra.benchmarks.batch --bundle BUNDLE``.

One thread, in this process. Every way has its turn in every round, so that what else slows the
machine down slows down all. implicit multiplies the arrays that we do: the classifier's factors of
the tracks, and made-up ones of the listeners.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from infra.benchmarks.figures import Times, machine
from infra.benchmarks.listeners import make_listeners
from infra.benchmarks.peers import implicit_model
from infra.cli.options import BUNDLE, Json
from infra.cli.output import console, markdown_table, write_json
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

K, SEED = 20, 7
CLASSIFIER = 2
_PEER = "implicit, recommend"


@dataclass(frozen=True)
class Rate:
    """Users a second of CPU time and by the clock: medians, and where 80 % of the rounds lie."""

    what: str
    cpu: tuple[float, float, float]
    wall: tuple[float, float, float]


@dataclass(frozen=True)
class Arrays:
    """What a product of matrices ranks by: (listeners, width) and (tracks, width), and who played
    what, (listeners, tracks)."""

    listeners: FloatArray
    tracks: FloatArray
    played: csr_matrix


def main(
    bundle: Annotated[Path, typer.Option(metavar="BUNDLE", help="Of all models.")] = BUNDLE,
    listeners: Annotated[int, typer.Option(min=1, help="Made up, with 300 plays each.")] = 256,
    rounds: Annotated[int, typer.Option(min=1, help="Each way has a turn in each.")] = 7,
    json_file: Json = None,
) -> None:
    """Print a table of users a second."""
    with threadpool_limits(1):
        rates = measure(Bundle.open(bundle), listeners, rounds)
    peer = next(it for it in rates if it.what == _PEER)
    heading = "way", "users a second of CPU time", "by the clock", f"ratio to {_PEER}"
    rows = [
        (it.what, _cell(it.cpu), _cell(it.wall), f"{it.cpu[1] / peer.cpu[1]:.2f}") for it in rates
    ]
    console(json_file).print("\n".join(markdown_table(heading, rows)))
    answer = {"rates": [asdict(it) for it in rates], "machine": machine()}
    write_json(json.dumps(answer, indent=2), json_file)


def measure(bundle: Bundle, number: int, rounds: int) -> list[Rate]:
    """Each way of making K tracks long lists for so many listeners."""
    listeners = _listeners(bundle, number)
    ways = dict(_ways(bundle, listeners))
    # The first round loads the models.
    for turn in range(rounds + 1):
        if turn < 2:
            times = {what: Times() for what in ways}
        for what, make in ways.items():
            times[what].take(make)
    return [
        Rate(what, _rates(number, taken.cpu), _rates(number, taken.wall))
        for what, taken in times.items()
    ]


def _ways(bundle: Bundle, listeners: Sequence[Listener]) -> Iterator[tuple[str, Callable[[], Any]]]:
    arrays = _arrays(bundle, listeners)
    peer = implicit_model(arrays.listeners, arrays.tracks)
    recommend = partial(
        peer.recommend,
        np.arange(len(listeners)),
        arrays.played,
        N=K,
        filter_already_liked_items=False,
    )
    # Ways that find other tracks could not be compared.
    ours = [ranked.scores for ranked in _best_of_products(arrays)]
    np.testing.assert_allclose(recommend()[1], ours, rtol=1e-4)
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


def _listeners(bundle: Bundle, number: int) -> list[Listener]:
    catalogue, cutoff = bundle.catalogue, bundle.manifest.cutoff
    return [
        Listener(it.user, history_of(label_plays(it.events), catalogue, cutoff))
        for it in make_listeners(bundle, number, SEED)
    ]


def _arrays(bundle: Bundle, listeners: Sequence[Listener]) -> Arrays:
    """Those of the classifier: a track's base is one more factor, which of a listener is 1."""
    factors, base = (bundle.array(f"classifier/{it}.npy") for it in ("factors", "base"))
    of_listeners = np.random.default_rng(SEED).normal(size=(len(listeners), factors.shape[1]))
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


def _rates(users: int, milliseconds: Sequence[float]) -> tuple[float, float, float]:
    rates = 1_000 * users / np.asarray(milliseconds)
    low, median, high = np.percentile(rates, [10, 50, 90]).tolist()
    return low, median, high


def _cell(rate: tuple[float, float, float]) -> str:
    low, median, high = rate
    return f"{median:,.0f} ({low:,.0f}-{high:,.0f})"


if __name__ == "__main__":
    typer.run(main)
