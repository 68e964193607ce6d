"""What the local stack takes: writing, requests through HTTP, and the growth of its tables."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import httpx
import numpy as np

from infra.benchmarks.figures import Figure, Times
from infra.benchmarks.listeners import make_listeners
from infra.benchmarks.local_world import LocalWorld
from infra.benchmarks.pending import requests_of
from infra.benchmarks.serving import HYBRID
from infra.local import workers
from infra.local.gateway import Gateway
from infra.local.serve import http_server
from infra.memory import FixedClock, MemoryModelStore
from infra.process import HOST, listen
from segue.adapters.tracks import DynamoTrackStore
from segue.services.recommend import Query, Recommender

# Milliseconds for 1,000 events, which is 20,000 a second; and times the requests by popularity.
WRITING_TARGET, SERVED_TARGET = 50.0, 1.5
# What ten times the listeners may add to a request: nothing but what is within the noise.
GROWTH, GROWTH_TARGET = 10, 1.25
_FUNCTION = "PredictFunction"


def measure_local(world: LocalWorld, repeats: int, seed: int) -> Iterator[Figure]:
    """The rows of the local stack, by the clock."""
    yield Figure.of(
        "1,000 events into the local database",
        "ms by the clock",
        [1e6 * world.writing_seconds / world.events],
        target=WRITING_TARGET,
    )
    yield from _measure_served(world, repeats)
    yield from _measure_growth(world, repeats, seed)


def _measure_served(world: LocalWorld, repeats: int) -> Iterator[Figure]:
    """Requests of one client, one after the other, by each model in turn."""
    models = world.bundle.manifest.models
    times = {number: Times() for number in models}
    with _served(world) as url, httpx.Client(base_url=url, timeout=60) as client:
        for repeat in range(repeats + 1):
            if repeat == 1:  # the first round loaded the models
                times = {number: Times() for number in models}
            for one in world.listeners[:repeats]:
                for number, measured in times.items():
                    body = {"user_id": one.user.user_id}
                    measured.take(partial(_post, client, f"/models/{number}/predict", body))
    by_popularity = float(np.median(times[0].wall))
    for number, model in models.items():
        yield Figure.of(
            f"served locally, one client, model {number} ({model['name']})",
            "ms by the clock",
            times[number].wall,
            target=SERVED_TARGET * by_popularity,
            ratio=float(np.median(times[number].wall)) / by_popularity,
            ratio_to="by popularity",
        )


def _post(client: httpx.Client, path: str, body: Mapping[str, str]) -> None:
    client.post(path, content=json.dumps(body)).raise_for_status()


@contextmanager
def _served(world: LocalWorld) -> Iterator[str]:
    """The function behind HTTP, as ``segue serve`` has it; yields the URL."""
    routes = [it for it in world.template.routes() if it.function_id == _FUNCTION]
    with (
        TemporaryDirectory(prefix="segue-") as folder,
        listen(0, "--port") as listener,
        workers.running([world.function(_FUNCTION)], Path(folder) / "log") as functions,
    ):
        server = http_server(Gateway(routes, functions))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://{HOST}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _measure_growth(world: LocalWorld, repeats: int, seed: int) -> Iterator[Figure]:
    """A request before and after the tables hold ten times as many listeners and events."""
    before, requests_before = ask_tables(world, repeats)
    listeners = len(world.listeners)
    for one in make_listeners(world.bundle, GROWTH * listeners, seed)[listeners:]:
        world.users().put(one.user)
        world.sessions().put(one.events)
    after, requests_after = ask_tables(world, repeats)
    held = f"with {GROWTH} times the listeners and events in the tables"
    for what, ratios, target in (
        ("a request, by the clock", np.divide(after.wall, np.median(before.wall)), GROWTH_TARGET),
        ("requests to the tables", np.array([requests_after / requests_before]), 1.0),
    ):
        yield Figure.of(f"{what}, {held}", "x before", ratios.tolist(), target=target)


def ask_tables(world: LocalWorld, repeats: int) -> tuple[Times, int]:
    """What the hybrid's requests take; and how many requests one makes to the tables."""
    track_store = DynamoTrackStore(world.dynamodb, world.names["TracksTable"])
    clock, models = FixedClock(world.bundle.manifest.cutoff), MemoryModelStore(world.bundle)
    service = Recommender(world.sessions(), world.users(), models, track_store, clock)
    query = Query(world.listeners[0].user.user_id, HYBRID)
    service.recommend(query)
    times = Times()
    for _ in range(10 * repeats):
        times.take(partial(service.recommend, query))
    with requests_of(world.dynamodb) as counts:
        service.recommend(query)
    return times, counts.total()
