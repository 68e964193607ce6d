"""What a warm request costs: CPU time of one core, without the database's; and memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import numpy as np
from threadpoolctl import threadpool_limits

from infra.benchmarks.figures import Figure, Times
from infra.benchmarks.listeners import MadeUp, make_listeners, recommender
from infra.benchmarks.memory import array_bytes, memory_growth
from segue.models.bundle import LATENTS, Bundle
from segue.models.hybrid.sources import votes_of
from segue.models.names import NAMES
from segue.services.recommend import Query, Recommender

LISTENERS = 12
# CPU milliseconds of each model over the demo's catalogue; what explanations of a list of so many
# tracks may add; the hybrid's over a million tracks, and how many times as long as to copy their
# vectors once in memory the others may take there.
TARGETS = {0: 3.0, 1: 3.0, 2: 3.0, 3: 5.0}
EXPLAINING_TARGET, EXPLAINED = 5.0, 20
LARGE_TARGET, LARGE_RATIO_TARGET = 12.0, 1.5
# Times the bytes of the arrays of so many tracks.
LARGE_MEMORY_TARGET = 1.2

HYBRID = 3
# What a model looks at for every track, by its number.
_VECTORS = {
    1: (LATENTS,),
    2: ("classifier/factors.npy",),
    HYBRID: tuple(f"hybrid/{it}.npy" for it in ("neighbours", "patterns", "factors")),
}
_STREAMING, _STREAMING_OWN = "streaming the hybrid's vectors", "streaming its vectors"
_LIST, _EXPLAINED = "list", "explained list"

Act = Callable[[MadeUp], object]


def measure_models(bundle: Bundle, repeats: int, seed: int) -> Iterator[Figure]:
    """Every model of the bundle, and what explanations add to the hybrid."""
    models = bundle.manifest.models
    listeners = make_listeners(bundle, LISTENERS, seed)
    service = recommender(bundle, listeners)
    acts = {str(number): asking(service, Query("", number)) for number in models}
    acts |= _explaining(service) | {_STREAMING: streaming(bundle)}
    times = interleaved(acts, listeners, repeats)
    for number, model in models.items():
        what = f"model {number} ({model['name']}), {size(bundle)}"
        yield _request_figure(what, times[str(number)], times[_STREAMING], TARGETS[number])
    yield _explaining_figure(bundle, times, EXPLAINING_TARGET)


def measure_large(bundle: Bundle, repeats: int, seed: int) -> Iterator[Figure]:
    """Models that have vectors over a large catalogue; what explanations add to the hybrid, and how
    often it has to look at every track."""
    listeners = make_listeners(bundle, LISTENERS, seed)
    service = recommender(bundle, listeners)
    # Each with its own vectors alone, or those of one would push the other's out of the cache.
    for number in (1, 2):
        acts = {_LIST: asking(service, Query("", number)), _STREAMING: streaming(bundle, number)}
        times = interleaved(acts, listeners, repeats)
        yield _large_figure(bundle, number, times[_LIST], times[_STREAMING])
    acts = {"ask": asking(service, Query("", HYBRID))}
    acts |= _explaining(service) | {_STREAMING: streaming(bundle)}
    times = interleaved(acts, listeners, repeats)
    what = f"model {HYBRID} (hybrid), {size(bundle)}"
    yield _request_figure(what, times["ask"], times[_STREAMING], LARGE_TARGET)
    yield _explaining_figure(bundle, times)
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
            f"{what}, {size(bundle)}",
            "MB",
            [growth[field] / 1e6],
            target=target,
            ratio=growth[field] / arrays,
            ratio_to="the arrays",
        )


def size(bundle: Bundle) -> str:
    """How large the catalogue is, in words."""
    return f"{len(bundle.catalogue):,} tracks"


def asking(service: Recommender, query: Query) -> Act:
    """The query, for whichever listener."""
    return lambda one: service.recommend(replace(query, user_id=one.user.user_id))


def streaming(bundle: Bundle, model: int = HYBRID) -> Act:
    """To copy a model's vectors once, in memory."""
    vectors = [bundle.array(name) for name in _VECTORS[model]]
    copies = [np.empty_like(one) for one in vectors]

    def copy(_: MadeUp) -> None:
        for one, target in zip(vectors, copies, strict=True):
            np.copyto(target, one)

    return copy


def interleaved(
    acts: Mapping[str, Act], listeners: Sequence[MadeUp], repeats: int
) -> dict[str, Times]:
    """What each of these takes on one thread, for every listener so many times.

    They take turns, so that whatever slows down the machine slows down all of them.
    """
    with threadpool_limits(1):
        # The first round loads the models.
        for repeat in range(repeats + 1):
            if repeat < 2:
                times = {name: Times() for name in acts}
            for one in listeners:
                for name, act in acts.items():
                    times[name].take(partial(act, one))
    return times


def _explaining(service: Recommender) -> dict[str, Act]:
    """To make a list by the hybrid, and to explain its tracks, too."""
    query = Query("", HYBRID, k=EXPLAINED)
    explained = replace(query, explain=True)
    return {_LIST: asking(service, query), _EXPLAINED: asking(service, explained)}


def _explaining_figure(
    bundle: Bundle, times: Mapping[str, Times], target: float | None = None
) -> Figure:
    """What the explanations took beside the list alone."""
    explained, alone = times[_EXPLAINED], times[_LIST]
    added = Times(
        [longer - shorter for longer, shorter in zip(explained.cpu, alone.cpu, strict=True)],
        [longer - shorter for longer, shorter in zip(explained.wall, alone.wall, strict=True)],
    )
    what = f"model {HYBRID}, explaining {EXPLAINED} tracks, {size(bundle)}"
    return _request_figure(what, added, times[_STREAMING], target)


def _request_figure(what: str, times: Times, streamed: Times, target: float | None) -> Figure:
    ratio = float(np.median(times.cpu) / np.median(streamed.cpu))
    return Figure.of_times(what, times, target=target, ratio=ratio, ratio_to=_STREAMING)


def _large_figure(bundle: Bundle, number: int, times: Times, streamed: Times) -> Figure:
    once = float(np.median(streamed.cpu))
    return Figure.of_times(
        f"model {number} ({NAMES[number]}), {size(bundle)}",
        times,
        target=LARGE_RATIO_TARGET * once,
        ratio=float(np.median(times.cpu)) / once,
        ratio_to=_STREAMING_OWN,
    )


def _whole_catalogues(bundle: Bundle, seed: int) -> Iterator[bool]:
    """For each listener, whether the hybrid had to look at every track."""
    listeners = make_listeners(bundle, LISTENERS, seed)
    service = recommender(bundle, listeners)
    for one in listeners:
        with patch("segue.models.hybrid.model.votes_of", wraps=votes_of) as called:
            service.recommend(Query(one.user.user_id, HYBRID))
        yield any(call.kwargs.get("all_tracks") for call in called.mock_calls)
