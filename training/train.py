"""``segue train``: from a data folder to a bundle."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import torch

from segue.domain.errors import InvalidData
from segue.domain.times import DAY, Window, format_time
from segue.features.schema import load_schema
from segue.models.bundle import Bundle, read_manifest
from training.card import CARD, model_card
from training.catalogue import EncodedCatalogue, Popularity, encode_catalogue
from training.data import Summary, connect, folder_schema, ingest
from training.data.queries import draw_listeners, write_query
from training.descriptions import describe_tracks
from training.evaluation.own import Asked
from training.evaluation.results import Judge
from training.export import PLOTS, BundleWriter, write_catalogue, write_descriptions
from training.models.fit import fit_models
from training.models.hybrid.train import DAYS
from training.models.state import BEGINNING, read_state
from training.plots import plot_losses, plot_sessions
from training.progress import Progress
from training.protocol.split import Split
from training.protocol.temporal import split_at

# Length of the lists that the manifest's figures are of.
K = 20
# So many listeners at most are asked for them; `segue evaluate` asks all.
JUDGED = 400
SEED = 7
# The models are fitted on listeners who have at most so many plays together, so that neither memory
# nor time grow with the number of listeners.
PLAYS = 5_000_000


def train(
    data: Path,
    out: Path,
    *,
    cutoff: int | None = None,
    seed: int = SEED,
    device: str | None = None,
    schema: Path | None = None,
    last: Path | None = None,
    progress: Progress,
) -> Mapping[str, Any]:
    """Fit every model on what lies before the cut-off; the manifest of the bundle at ``out``.

    ``cutoff``: milliseconds since 1970 UTC; None: the midnight 30 days before the last event, or
    after it where all the data lie in those days.
    ``device``: cpu or cuda; None: CUDA where there is one. ``schema``: the feature schema; None:
    the folder's own, else Pozytywka's. ``last``: a bundle of an earlier cut-off to go on from; it
    may be the one at ``out``. None: train in full. The same data, seed and last bundle give the
    same bundle, byte for byte, on the same kind of machine. Raises InvalidData where the folder
    cannot be used, or holds nothing before the cut-off, or training cannot go on from ``last``.
    """
    target = _device(device)
    with tempfile.TemporaryDirectory(prefix="segue-") as folder:
        schema = schema or folder_schema(data)
        features = load_schema(schema)
        state = BEGINNING if last is None else read_state(last, features)
        reading = partial(progress, "reading")
        summary = ingest(data, Path(folder), progress=reading, schema=schema)
        cutoff = _default_cutoff(summary) if cutoff is None else cutoff
        state.refuse_earlier(cutoff)
        with connect(Path(folder)) as connection, BundleWriter(out) as writer:
            trained_on = _describe(connection, summary, cutoff)
            popularity = Popularity(connection, cutoff)
            encoded = encode_catalogue(connection, features, popularity, state.encoder)
            write_catalogue(writer, encoded, schema.read_text(encoding="utf-8"))
            write_descriptions(writer, describe_tracks(connection, features, encoded.catalogue))
            drawn = _drawn(connection, Path(folder), cutoff)
            fitted = fit_models(
                drawn,
                writer,
                encoded,
                cutoff,
                seed=state.seed(seed),
                device=target,
                progress=progress,
                last=state,
                everybody=connection,
            )
            if fitted.curves:
                plot_losses(fitted.curves, writer.path / PLOTS / "losses.png")
            plot_sessions(connection, cutoff, writer.path / PLOTS / "sessions.png")
            content: dict[str, Any] = {
                "schema_hash": features.hash,
                "cutoff": format_time(cutoff),
                "seed": seed,
                "data": trained_on | {"released_before_cutoff": int(encoded.released.sum())},
            }
            if last is not None:
                content["continued"] = {"from": state.version, "times": state.continuations}
            notes = list(fitted.notes)
            if drawn is not connection:
                notes.append(
                    f"the models were fitted on {_listeners(drawn):,} listeners, who were drawn "
                    f"from {_listeners(connection):,}"
                )
            if notes:
                content["notes"] = notes
            writer.seal(content | {"models": fitted.models({})})
            judged = _judge(drawn, encoded, Bundle.open(writer.path), seed, progress)
            models = fitted.models(judged)
            writer.text(CARD, model_card(content, models, encoded.encoder))
            writer.seal(content | {"models": models})
            writer.place()
    return read_manifest(out).content


def _drawn(
    connection: duckdb.DuckDBPyConnection, workspace: Path, cutoff: int
) -> duckdb.DuckDBPyConnection:
    """A connection to the listeners that the models are fitted on: all of them where they have no
    more than PLAYS plays that any model looks back to; else some, whose plays become a file of
    their own."""
    if not draw_listeners(connection, Window.before(cutoff, DAYS), PLAYS):
        return connection
    path = workspace / "drawn.parquet"
    write_query(connection, "SELECT * FROM plays SEMI JOIN drawn USING (user_id)", path)
    return connect(workspace, plays=path)


def _listeners(connection: duckdb.DuckDBPyConnection) -> int:
    (count,) = connection.execute("SELECT COUNT(DISTINCT user_id) FROM plays").fetchall()[0]
    return int(count)


def _judge(
    connection: duckdb.DuckDBPyConnection,
    encoded: EncodedCatalogue,
    bundle: Bundle,
    seed: int,
    progress: Progress,
) -> dict[str, dict[str, float]]:
    """hit@20 and nDCG@20 of each model over the month after the cut-off, every track counting, for
    at most JUDGED listeners; nothing where the data does not reach so far, or nobody listened on
    both sides."""
    (last,) = connection.execute("SELECT MAX(time) FROM plays").fetchall()[0]
    cutoff = bundle.manifest.cutoff
    everybody = split_at(connection, encoded, cutoff)
    split = sample_listeners(everybody, JUDGED, seed)
    if last < cutoff + 29 * DAY or not len(split.judged):
        return {}
    judge, asked = Judge(split, encoded.features), Asked(connection, bundle, split, K)
    found = {}
    for number, name in asked.models.items():
        measures = judge.measures(name, asked.lists(number, progress))["any"]
        found[name] = {
            "listeners": len(split.judged),
            "drawn_from": len(everybody.judged),
            f"hit@{K}": round(float(np.nanmean(measures["hit"])), 4),
            f"ndcg@{K}": round(float(np.nanmean(measures["ndcg"])), 4),
        }
    return found


def sample_listeners(split: Split, size: int, seed: int) -> Split:
    """The split with at most ``size`` of its judged listeners, drawn at random."""
    listeners = len(split.judged)
    drawn = np.random.default_rng(seed).permutation(listeners)[:size]
    chosen = np.isin(np.arange(listeners), drawn)
    counts = np.diff(split.offsets)
    return replace(
        split,
        judged=split.judged[chosen],
        offsets=np.concatenate([[0], np.cumsum(counts[chosen])]),
        outcomes=split.outcomes[np.repeat(chosen, counts)],
    )


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
    first, last = summary.first_event, summary.last_event
    if first is None or last is None:
        raise InvalidData("the data has no events: there is nothing to learn from")
    month_before = (last - 30 * DAY) // DAY * DAY
    # Of so few days all are learnt from, and none is left to judge by.
    return month_before if first < month_before else (last // DAY + 1) * DAY


def _device(name: str | None) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise InvalidData("there is no CUDA device on this machine; leave out --device")
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
