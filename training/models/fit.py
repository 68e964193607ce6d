"""Fits every model that the data can teach, and writes them into a bundle."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import duckdb
import torch
from threadpoolctl import threadpool_limits

from segue.features.listeners import listener_width
from segue.models.registry import REGISTRY
from training.catalogue import EncodedCatalogue
from training.export import BundleWriter
from training.histories import read_plays
from training.models.autoencoder import train_autoencoder, write_autoencoder
from training.models.classifier import train_classifier, write_classifier
from training.models.hybrid.export import write_hybrid
from training.models.hybrid.train import train_hybrid
from training.progress import Curve, Progress


@dataclass(frozen=True)
class Fitted:
    """The models of a bundle: what fitting each one measured, and how the losses went."""

    metrics: Mapping[str, Mapping[str, Any]]
    curves: Mapping[str, Curve]

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
) -> Fitted:
    """Fit on what lies before the cut-off. Where tracks have no features, there is nothing for the
    autoencoder and the classifier to see: popularity and the hybrid are left. Raises InvalidData
    where there are no plays to learn from."""
    make_deterministic(seed)
    _, plays = read_plays(connection, encoded.catalogue)
    curves: dict[str, Curve] = {}
    # The hybrid draws nothing from PyTorch, so that it may be fitted on a core of its own. Its
    # matrices are so small that further threads of BLAS mostly wait, and burn time as they do.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(1) as other:
        fitting = other.submit(train_hybrid, plays, encoded, cutoff, seed, progress)
        if encoded.features.shape[1]:
            autoencoder = train_autoencoder(plays, encoded, cutoff, device, progress)
            write_autoencoder(writer, autoencoder, encoded.features)
            classifier = train_classifier(connection, plays, encoded, cutoff, device, progress)
            encoder = encoded.encoder
            width = listener_width(encoder.track_width, encoder.user_width)
            write_classifier(writer, classifier, encoded.features, width)
            curves = {"autoencoder": autoencoder.curve, "classifier": classifier.curve}
        hybrid = fitting.result()
    write_hybrid(writer, hybrid)
    measured = {name: curve.metrics() for name, curve in curves.items()}
    return Fitted({"popularity": {}, **measured, "hybrid": hybrid.mixture.metrics()}, curves)


def make_deterministic(seed: int) -> None:
    """The same seed gives the same networks from here on."""
    # One thread gives the same sums on every machine; networks this small gain little from more,
    # and lose tenfold where another process holds one of the cores.
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    # cuBLAS is deterministic only with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
