"""``segue train``: from a data folder to a bundle."""

import os
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import torch

from segue.domain.errors import InvalidData
from segue.domain.times import DAY, format_time
from segue.features.listeners import listener_width
from segue.features.schema import POZYTYWKA, load_schema
from segue.models.bundle import Bundle, read_manifest
from segue.models.registry import REGISTRY
from training.autoencoder import train_autoencoder
from training.catalogue import EncodedCatalogue, Popularity, encode_catalogue
from training.classifier import train_classifier
from training.data import Summary, connect, ingest
from training.export import (
    PLOTS,
    BundleWriter,
    write_autoencoder,
    write_catalogue,
    write_classifier,
)
from training.judge import Judgement, judge
from training.plots import plot_losses, plot_sessions
from training.progress import Curve, Progress

SEED = 7


def train(
    data: Path,
    out: Path,
    *,
    cutoff: int | None = None,
    seed: int = SEED,
    device: str | None = None,
    schema: Path = POZYTYWKA,
    progress: Progress,
) -> Mapping[str, Any]:
    """Fit every model on what lies before the cut-off; the manifest of the bundle at ``out``.

    ``cutoff``: milliseconds since 1970 UTC; None: the midnight 30 days before the last event.
    ``device``: cpu or cuda; None: CUDA where there is one. The same data and seed give the same
    bundle, byte for byte, on the same kind of machine. Raises InvalidData where the folder cannot
    be used, or holds nothing before the cut-off.
    """
    _seed(seed)
    features, target = load_schema(schema), _device(device)
    with tempfile.TemporaryDirectory(prefix="segue-") as folder:
        summary = ingest(data, Path(folder), progress=partial(progress, "reading"))
        cutoff = _default_cutoff(summary) if cutoff is None else cutoff
        with connect(Path(folder)) as connection, BundleWriter(out) as writer:
            described = _describe(connection, summary, cutoff)
            encoded = encode_catalogue(connection, features, Popularity(connection, cutoff))
            write_catalogue(writer, encoded, schema.read_text(encoding="utf-8"))
            curves = _train_models(connection, writer, encoded, cutoff, target, progress)
            plot_losses(curves, writer.path / PLOTS / "losses.png")
            plot_sessions(connection, cutoff, writer.path / PLOTS / "sessions.png")
            content: dict[str, Any] = {
                "schema_hash": features.hash,
                "cutoff": format_time(cutoff),
                "seed": seed,
                "data": described,
            }
            writer.seal(content | _metrics(curves, None))
            judgement = judge(connection, Bundle.open(writer.path), progress)
            writer.seal(content | _metrics(curves, judgement))
            writer.place()
    return read_manifest(out).content


def _train_models(
    connection: duckdb.DuckDBPyConnection,
    writer: BundleWriter,
    encoded: EncodedCatalogue,
    cutoff: int,
    device: torch.device,
    progress: Progress,
) -> dict[str, Curve]:
    autoencoder = train_autoencoder(encoded.features, device, progress)
    write_autoencoder(writer, autoencoder, encoded.features)
    classifier = train_classifier(connection, encoded, cutoff, device, progress)
    encoder = encoded.encoder
    width = listener_width(encoder.track_width, encoder.user_width)
    write_classifier(writer, classifier, width)
    return {"autoencoder": autoencoder.curve, "classifier": classifier.curve}


def _metrics(curves: Mapping[str, Curve], judgement: Judgement | None) -> dict[str, Any]:
    """What the manifest says of each model and, where it could be judged, of popularity."""
    judged = judgement.models if judgement else {}
    models = [
        {"id": number, "name": name, "metrics": curves[name].metrics() | judged.get(number, {})}
        for number, (name, _) in REGISTRY.items()
    ]
    return {"models": models} | ({"popularity": judgement.popularity} if judgement else {})


def _describe(
    connection: duckdb.DuckDBPyConnection, summary: Summary, cutoff: int
) -> dict[str, Any]:
    """What was trained on. Raises InvalidData where that is nothing."""
    plays, listeners = connection.execute(
        "SELECT COUNT(*), COUNT(DISTINCT user_id) FROM plays WHERE time < $cutoff",
        {"cutoff": cutoff},
    ).fetchall()[0]
    if not plays:
        raise InvalidData(f"nothing was played before the cut-off {format_time(cutoff)}")
    assert summary.first_event is not None
    assert summary.last_event is not None
    return {
        "tracks": summary.tracks,
        "artists": summary.artists,
        "users": summary.users,
        "first_event": format_time(summary.first_event),
        "last_event": format_time(summary.last_event),
        "plays_before_cutoff": plays,
        "listeners_before_cutoff": listeners,
        "quarantined": sum(file.quarantined for file in summary.files.values()),
    }


def _default_cutoff(summary: Summary) -> int:
    if summary.last_event is None:
        raise InvalidData("the data has no events: there is nothing to learn from")
    return (summary.last_event - 30 * DAY) // DAY * DAY


def _device(name: str | None) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise InvalidData("there is no CUDA device on this machine; leave out --device")
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def _seed(seed: int) -> None:
    # One thread gives the same sums on every machine; networks this small gain little from more,
    # and lose tenfold where another process holds one of the cores.
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    # cuBLAS is deterministic only with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
