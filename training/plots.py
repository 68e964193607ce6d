"""Pictures of a training run: how the losses went, and how much was listened to when."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import matplotlib as mpl
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.data.queries import listener_blocks, query
from training.progress import Curve

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

_SIZE = (8, 4)
_TRAIN, _VALIDATION, _SESSIONS = "#8aa4c8", "#c8553d", "#3d6b8c"


def plot_losses(curves: Mapping[str, Curve], path: Path) -> None:
    """One panel a model: training and validation loss by epoch, and the epoch that was kept."""
    figure, axes = plt.subplots(1, len(curves), figsize=_SIZE, layout="constrained", squeeze=False)
    for axis, (name, curve) in zip(axes[0], curves.items(), strict=True):
        epochs = np.arange(len(curve.train)) + (not curve.begun)
        axis.plot(epochs, curve.train, color=_TRAIN, label="training")
        axis.plot(epochs, curve.validation, color=_VALIDATION, label="validation")
        axis.axvline(epochs[curve.best], color="0.6", linewidth=1, linestyle=":", label="kept")
        axis.set(title=name, xlabel="epoch", ylabel="loss")
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False)
    _save(figure, path)


def plot_sessions(connection: duckdb.DuckDBPyConnection, cutoff: int, path: Path) -> None:
    """Sessions by day over the whole data, and the cut-off that training stopped at."""
    blocks = listener_blocks(connection, "events")
    table = pa.concat_tables([query(block, "sessions.sql") for block in blocks])
    found, of_row = np.unique(table["day"].to_numpy(), return_inverse=True)
    days, counts = _dates(found), np.bincount(of_row, table["sessions"].to_numpy())
    figure, axis = plt.subplots(figsize=_SIZE, layout="constrained")
    axis.fill_between(days, counts, color=_SESSIONS, alpha=0.25, linewidth=0)
    axis.plot(days, counts, color=_SESSIONS, linewidth=1)
    axis.axvline(_dates([cutoff])[0], color=_VALIDATION, linestyle=":", label="cut-off")
    axis.set(title="Sessions over time", ylabel="sessions a day", ylim=(0, None))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    _save(figure, path)


def _dates(times: Sequence[int] | NDArray[np.int64]) -> NDArray[np.datetime64]:
    return np.array(times, "datetime64[ms]")


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
