"""What the first answer of a fresh process costs, beside that of a handler that does nothing."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from infra.benchmarks.figures import Figure
from infra.benchmarks.local_world import LocalWorld
from infra.local.environment import TEMPLATE

# Times the bare handler's.
TARGET = 1.3

_BARE = Path(__file__).with_name("bare_handler.py")
_EVENT = TEMPLATE.with_name("infra") / "events" / "predict.json"
_FUNCTION = "PredictFunction"


def measure_cold_starts(world: LocalWorld, rounds: int) -> Iterator[Figure]:
    """The first ``predict`` of each model, in turn with the bare handler.

    The processes are plain ones, with byte code in place, and neither Lambda's runtime nor a
    snapshot of its around them.
    """
    models = world.bundle.manifest.models
    bare: list[Mapping[str, Any]] = []
    starts: dict[int, list[Mapping[str, Any]]] = {number: [] for number in models}
    # The first round compiles what was never imported before.
    for _ in range(rounds + 1):
        bare.append(_cold_start(world, _BARE, 0))
        for number, measured in starts.items():
            measured.append(first_prediction(world, number))
    for field, what in (("cpu_ms", "CPU time"), ("wall_ms", "by the clock")):
        least = [each[field] for each in bare[1:]]
        yield Figure.of(f"cold start of a bare handler, {what}", "ms", least)
        for number, measured in starts.items():
            ratios = [each[field] / np.median(least) for each in measured[1:]]
            yield Figure.of(
                f"cold start, model {number} ({models[number]['name']}), {what}",
                "x the bare handler's",
                ratios,
                target=TARGET,
            )


def first_prediction(world: LocalWorld, model: int) -> Mapping[str, Any]:
    """What there is in a process that has answered its first request, by this model."""
    return _cold_start(world, world.function(_FUNCTION).code / "app.py", model)


def _cold_start(world: LocalWorld, handler: Path, model: int) -> Mapping[str, Any]:
    """What ``cold_start_process`` says of the handler's first answer, and its wall time."""
    environment = {**os.environ, **world.function(_FUNCTION).environment}
    # Lambda finds byte code, too.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    event = json.loads(_EVENT.read_bytes()) | {
        "path": f"/models/{model}/predict",
        "pathParameters": {"model_id": str(model)},
        "body": json.dumps({"user_id": world.listeners[0].user.user_id}),
    }
    begun = time.monotonic()
    done = subprocess.run(  # noqa: S603  # nothing here comes from outside
        [sys.executable, "-m", "infra.benchmarks.cold_start_process", str(handler)],
        env=environment,
        input=json.dumps(event),
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    assert measured["status"] == 200, done.stdout
    return measured | {"wall_ms": 1_000 * (measured["answered"] - begun)}
