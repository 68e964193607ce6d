"""Writes the hybrid's part of a bundle."""

from dataclasses import fields

import numpy as np

from training.export import BundleWriter
from training.models.hybrid.train import TrainedHybrid


def write_hybrid(writer: BundleWriter, trained: TrainedHybrid) -> None:
    """The statistics, but for what other parts of the bundle hold, and the gates over them."""
    statistics, gates = trained.statistics, trained.mixture.gates
    writer.array("hybrid/popularity.npy", statistics.popularity)
    writer.array("hybrid/rows.npy", statistics.rows)
    # A catalogue of up to 65,536 tracks needs half as many bytes for positions.
    narrow = np.min_scalar_type(max(len(statistics) - 1, 0))
    writer.array("hybrid/neighbours.npy", statistics.neighbours.astype(narrow))
    writer.array("hybrid/weights.npy", statistics.weights.astype(np.float16))
    writer.array("hybrid/factors.npy", statistics.factors.astype(np.float16))
    writer.array("hybrid/basis.npy", statistics.basis.astype(np.float16))
    writer.array("hybrid/audience.npy", statistics.audience)
    for field in fields(gates):
        writer.array(f"hybrid/gates/{field.name}.npy", getattr(gates, field.name))
