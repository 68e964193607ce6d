"""What a warm request costs: CPU time of one core, without the database's; and memory."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
from threadpoolctl import threadpool_limits

from infra.benchmarks.figures import Figure
from infra.benchmarks.listeners import make_listeners, recommender
from infra.benchmarks.memory import array_bytes, memory_growth
from segue.models.bundle import Bundle
from segue.models.hybrid.sources import votes_of
from segue.services.recommend import Query

LISTENERS = 12
# CPU milliseconds of each model over the demo's catalogue; what explanations of a list of so many
# tracks may add; and the hybrid's over a million tracks.
TARGETS = {0: 3.0, 1: 3.0, 2: 3.0, 3: 5.0}
EXPLAINING_TARGET, EXPLAINED = 5.0, 20
LARGE_TARGET = 12.0
# Times the bytes of the arrays of so many tracks.
LARGE_MEMORY_TARGET = 1.2

HYBRID = 3
_STREAMING = "streaming the hybrid's vectors"


def measure_models(bundle: Bundle, repeats: int, seed: int) -> Iterator[Figure]:
    """Every model of the bundle, and what explanations add to the hybrid."""
    models = bundle.manifest.models
    list_alone = Query("", HYBRID, k=EXPLAINED)
    queries = [Query("", number) for number in models]
    queries += [list_alone, replace(list_alone, explain=True)]
    times, streaming = _measure(bundle, queries, repeats, seed)
    for (number, model), measured in zip(models.items(), times, strict=False):
        what = f"model {number} ({model['name']}), {_size(bundle)}"
        yield _request_figure(what, measured, streaming, TARGETS[number])
    what = f"model {HYBRID}, explaining {EXPLAINED} tracks, {_size(bundle)}"
    added = [longer - shorter for longer, shorter in zip(times[-1], times[-2], strict=True)]
    yield _request_figure(what, added, streaming, EXPLAINING_TARGET)


def measure_large(bundle: Bundle, repeats: int, seed: int) -> Iterator[Figure]:
    """The hybrid over a large catalogue, and how often it has to look at all of it."""
    times, streaming = _measure(bundle, [Query("", HYBRID)], repeats, seed)
    what = f"model {HYBRID} (hybrid), {_size(bundle)}"
    yield _request_figure(what, times[0], streaming, LARGE_TARGET)
    share = 100 * float(np.mean(list(_whole_catalogues(bundle, seed))))
    yield Figure.of("requests for which it looked at every track", "%", [share])


def measure_memory(bundle: Bundle, seed: int, most: float | None = None) -> Iterator[Figure]:
    """What a process grows by, of which ``most`` times the bytes of the arrays is the target."""
    growth = memory_growth(bundle.path, make_listeners(bundle, LISTENERS, seed))
    arrays = array_bytes(bundle.path)
    for field, what, target in (
        ("VmRSS", "memory", most and most * arrays / 1e6),
        ("RssAnon", "memory but for mapped files", None),
    ):
        yield Figure.of(
            f"{what}, {_size(bundle)}",
            "MB",
            [growth[field] / 1e6],
            target=target,
            ratio=growth[field] / arrays,
            ratio_to="the arrays",
        )


def _size(bundle: Bundle) -> str:
    return f"{len(bundle.catalogue):,} tracks"


def _request_figure(
    what: str, times: Sequence[float], streaming: Sequence[float], target: float
) -> Figure:
    ratio = float(np.median(times) / np.median(streaming))
    return Figure.of(what, "ms", times, target=target, ratio=ratio, ratio_to=_STREAMING)


def _measure(
    bundle: Bundle, queries: Sequence[Query], repeats: int, seed: int
) -> tuple[list[list[float]], list[float]]:
    """CPU milliseconds of each query, asked for every listener so many times; and of streaming the
    hybrid's vectors, in between, so that whatever slows down the machine slows down both."""
    listeners = make_listeners(bundle, LISTENERS, seed)
    service = recommender(bundle, listeners)
    vectors = [bundle.array(f"hybrid/{it}.npy") for it in ("neighbours", "patterns", "factors")]
    copies = [np.empty_like(one) for one in vectors]
    times: list[list[float]] = [[] for _ in queries]
    streaming: list[float] = []
    with threadpool_limits(1):
        # The first round loads the models.
        for repeat in range(repeats + 1):
            for one in listeners:
                for query, measured in zip(queries, times, strict=True):
                    asked = replace(query, user_id=one.user.user_id)
                    measured.append(cpu_ms(partial(service.recommend, asked)))
                streaming.append(cpu_ms(partial(_copy, vectors, copies)))
            if repeat == 0:
                for measured in (*times, streaming):
                    measured.clear()
    return times, streaming


def _copy(vectors: Sequence[Any], copies: Sequence[Any]) -> None:
    for one, copy in zip(vectors, copies, strict=True):
        np.copyto(copy, one)


def cpu_ms(ask: Callable[[], object]) -> float:
    """CPU milliseconds of one call."""
    start = time.process_time_ns()
    ask()
    return (time.process_time_ns() - start) / 1e6


def _whole_catalogues(bundle: Bundle, seed: int) -> Iterator[bool]:
    """For each listener, whether the hybrid had to look at every track."""
    listeners = make_listeners(bundle, LISTENERS, seed)
    service = recommender(bundle, listeners)
    for one in listeners:
        with patch("segue.models.hybrid.model.votes_of", wraps=votes_of) as called:
            service.recommend(Query(one.user.user_id, HYBRID))
        yield any(call.kwargs.get("all_tracks") for call in called.mock_calls)
