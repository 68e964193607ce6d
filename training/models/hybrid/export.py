"""Writes the hybrid's part of a bundle."""

from dataclasses import fields

from segue.models.hybrid.statistics import STORED, Followers
from training.export import BundleWriter
from training.models.hybrid.train import TrainedHybrid
from training.models.products import products_network


def write_hybrid(writer: BundleWriter, trained: TrainedHybrid) -> None:
    """The statistics, but for what other parts of the bundle hold, and the gates over them."""
    statistics, gates = trained.statistics, trained.gates
    writer.array("hybrid/popularity.npy", statistics.popularity)
    writer.array("hybrid/unplayed.npy", statistics.unplayed)
    writer.array("hybrid/head.npy", statistics.head)
    writer.array("hybrid/neighbours_gain.npy", statistics.neighbours.gain)
    writer.array("hybrid/patterns_gain.npy", statistics.patterns.gain)
    writer.bytes("hybrid/products.onnx", products_network())
    for name, vectors in (
        ("neighbours", statistics.neighbours.vectors),
        ("patterns", statistics.patterns.vectors),
        ("factors", statistics.factors),
    ):
        writer.array(f"hybrid/{name}.npy", vectors.numbers)
        writer.array(f"hybrid/{name}_scale.npy", vectors.scale)
    _write_followers(writer, "followers", statistics.followers)
    _write_followers(writer, "artist_followers", statistics.artist_followers)
    for name in STORED:
        writer.array(f"hybrid/{name}.npy", getattr(statistics, name))
    for field in fields(gates):
        writer.array(f"hybrid/gates/{field.name}.npy", getattr(gates, field.name))


def _write_followers(writer: BundleWriter, name: str, followers: Followers) -> None:
    """As ``segue.models.hybrid.model.read_followers`` reads them."""
    for field, array in followers._asdict().items():
        writer.array(f"hybrid/{name}_{field}.npy", array)
