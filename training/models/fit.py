"""Fits every model that the data can teach, and writes them into a bundle."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import duckdb
import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from segue.domain.errors import InvalidData
from segue.domain.times import Window, format_time
from segue.features.listeners import listener_width
from segue.models.registry import REGISTRY
from training.catalogue import EncodedCatalogue
from training.counts import count_at
from training.export import BundleWriter
from training.histories import read_plays
from training.models.autoencoder import train_autoencoder, write_autoencoder
from training.models.classifier import MONTH, train_classifier, write_classifier
from training.models.hybrid.export import write_hybrid
from training.models.hybrid.train import DAYS, train_hybrid
from training.models.state import BEGINNING, State
from training.progress import Curve, Progress


@dataclass(frozen=True)
class Fitted:
    """The models of a bundle: what fitting each one measured, how the losses went, and what the
    data did not suffice for, in words."""

    metrics: Mapping[str, Mapping[str, Any]]
    curves: Mapping[str, Curve]
    notes: Sequence[str] = ()

    def models(self, judged: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The models as the manifest lists them, with what ``judged`` says of them, by name."""
        return [
            {"id": n, "name": name, "metrics": {**self.metrics[name], **judged.get(name, {})}}
            for n, (name, _) in REGISTRY.items()
            if name in self.metrics
        ]


def fit_models(
    connection: duckdb.DuckDBPyConnection,
    writer: BundleWriter,
    encoded: EncodedCatalogue,
    cutoff: int,
    *,
    seed: int,
    device: torch.device,
    progress: Progress,
    last: State = BEGINNING,
    everybody: duckdb.DuckDBPyConnection | None = None,
) -> Fitted:
    """Fit on what lies before the cut-off. last: where an earlier training ended; what it has
    nothing of is fitted in full. everybody: a connection to the plays of all listeners, by whom
    tracks are popular, where ``connection`` has those of some alone. A model that the data cannot
    teach is left out, and ``notes`` says why: popularity and the hybrid are there always. Raises
    InvalidData where there are no plays to learn from."""
    make_deterministic(seed)
    # Of all models the hybrid looks furthest back; none may see what comes after.
    _, plays = read_plays(connection, encoded.catalogue, Window.before(cutoff, DAYS))
    counted = partial(count_at, everybody or connection, encoded.catalogue)
    curves: dict[str, Curve] = {}
    # The hybrid draws nothing from PyTorch, so that it may be fitted on a core of its own. Its
    # matrices are so small that further threads of BLAS mostly wait, and burn time as they do.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(1) as other:
        fitting = other.submit(
            train_hybrid, plays, counted, encoded, cutoff, seed, progress, last.gates
        )
        if _differ(encoded.past.features):
            autoencoder = train_autoencoder(
                counted(cutoff), encoded, device, progress, last.autoencoder
            )
            write_autoencoder(writer, autoencoder, encoded.features)
            curves["autoencoder"] = autoencoder.curve
            classifier = train_classifier(
                connection, counted, encoded, cutoff, device, progress, last.classifier
            )
            if classifier:
                encoder = encoded.encoder
                width = listener_width(encoder.track_width, encoder.user_width)
                write_classifier(writer, classifier, encoded.features, width)
                curves["classifier"] = classifier.curve
        hybrid = fitting.result()
    write_hybrid(writer, hybrid)
    measured = {name: curve.metrics() for name, curve in curves.items()}
    metrics = {"popularity": {}, **measured, "hybrid": hybrid.metrics}
    notes = list(_notes(metrics))
    if not hybrid.metrics and not len(plays.known_at(cutoff, MONTH)):
        raise InvalidData(
            f"nobody played anything in the {MONTH} days before the cut-off {format_time(cutoff)}; "
            "if a stray event lies far after all others, name a cut-off yourself"
        )
    return Fitted(metrics, curves, notes)


def _differ(features: NDArray[np.float16]) -> bool:
    """Whether any two tracks do; without features none do."""
    return bool((features != features[:1]).any())


def _notes(metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if "autoencoder" not in metrics:
        yield (
            "no two tracks differ in a feature, so models 1 (autoencoder) and 2 (classifier) are "
            "left out; which columns of the tracks are features, schema.toml says"
        )
    elif "classifier" not in metrics:
        yield (
            "nobody listened both in a week and in the month before it, so model 2 (classifier) "
            "is left out; it takes some weeks of listening"
        )
    if not metrics["hybrid"]:
        yield (
            "nobody listened in two stretches of time, so the sources of model 3 (hybrid) count "
            "alike, instead of as listeners choose"
        )


def make_deterministic(seed: int) -> None:
    """The same seed gives the same networks from here on."""
    # One thread gives the same sums on every machine; networks this small gain little from more,
    # and lose tenfold where another process holds one of the cores.
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    # cuBLAS is deterministic only with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
