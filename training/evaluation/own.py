"""Our models as contenders: trained at the cut-off, and asked as the service asks them."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import torch
from numpy.typing import NDArray

from segue.domain.times import format_time
from segue.domain.users import User
from segue.features.encoder import FloatArray
from segue.features.schema import load_schema
from segue.models.bundle import Bundle
from segue.models.cold_start import cold_start_scores
from segue.models.hybrid import Hybrid, read_statistics
from segue.models.model import Listener
from segue.models.registry import REGISTRY, load_model
from segue.models.sources import SOURCES, sources
from segue.ranking.diversity import rerank
from segue.ranking.filters import forbid, top
from segue.ranking.genres import TrackGenres, listener_mix
from segue.ranking.space import track_vectors
from training.catalogue import EncodedCatalogue
from training.evaluation.options import Options, silent
from training.export import BundleWriter, write_catalogue
from training.histories import history_at
from training.models.fit import Fitted, fit_models
from training.progress import Curve, Progress
from training.protocol.lists import NOTHING, VIEWS, Lists, heard_tracks, lists_of
from training.protocol.split import Split
from training.users import read_users

# The values of the service's ``diversity`` that accuracy is traded for.
DIVERSITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
AUTOENCODER = "autoencoder"
HYBRID = "hybrid"


@dataclass(frozen=True)
class Own:
    """What our models recommend, by name, and how their losses went.

    varied: their lists by the service's field ``diversity``. latents: (tracks, width) of the latent
    spaces, by the model that makes them. sources: what each source of the hybrid alone recommends,
    by its name.
    """

    lists: Mapping[str, Lists]
    curves: Mapping[str, Curve]
    varied: Mapping[str, Mapping[float, Lists]] = field(default_factory=dict)
    latents: Mapping[str, FloatArray] = field(default_factory=dict)
    sources: Mapping[str, Lists] = field(default_factory=dict)


def fit_and_recommend(
    connection: duckdb.DuckDBPyConnection,
    split: Split,
    encoded: EncodedCatalogue,
    schema: Path,
    options: Options,
    *,
    vary: bool = False,
    apart: bool = False,
) -> Own:
    """Train every model on what lies before the cut-off, and list k tracks for each judged user.

    vary: list them by ``diversity``, too. apart: list what each source of the hybrid alone gives.
    """
    cutoff = int(split.cutoff)
    with fit_bundle(connection, encoded, schema, cutoff, options) as (bundle, fitted):
        asked = Asked(connection, bundle, split, options.k)
        lists = {name: asked.lists(n, options.progress) for n, name in asked.models.items()}
        vary = vary and track_vectors(asked.bundle) is not None
        varied = {name: asked.vary(number) for number, name in asked.models.items()} if vary else {}
        latents = {AUTOENCODER: bundle.latents} if bundle.latents.shape[1] else {}
        sources = asked.sources(options.progress) if apart else {}
    return Own(lists, fitted.curves, varied, latents, sources)


@contextmanager
def fit_bundle(
    connection: duckdb.DuckDBPyConnection,
    encoded: EncodedCatalogue,
    schema: Path,
    cutoff: int,
    options: Options,
) -> Iterator[tuple[Bundle, Fitted]]:
    """A bundle of all models, for as long as it is asked."""

    def fit(writer: BundleWriter) -> Fitted:
        return fit_models(
            connection,
            writer,
            encoded,
            cutoff,
            seed=options.seed,
            device=torch.device("cpu"),
            progress=options.progress,
        )

    with bundle_of(encoded, schema, cutoff, fit) as found:
        yield found


@contextmanager
def bundle_of(
    encoded: EncodedCatalogue, schema: Path, cutoff: int, fit: Callable[[BundleWriter], Fitted]
) -> Iterator[tuple[Bundle, Fitted]]:
    """A bundle of what ``fit`` writes, for as long as it is asked."""
    with tempfile.TemporaryDirectory(prefix="segue-") as folder:
        path = Path(folder) / "bundle"
        with BundleWriter(path) as writer:
            write_catalogue(writer, encoded, schema.read_text(encoding="utf-8"))
            fitted = fit(writer)
            writer.seal(
                {
                    "schema_hash": load_schema(schema).hash,
                    "cutoff": format_time(cutoff),
                    "models": fitted.models({}),
                }
            )
            writer.place()
        yield Bundle.open(path), fitted


class Asked:
    """A bundle that is asked for what it recommends to the judged listeners of a split."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, bundle: Bundle, split: Split, k: int
    ) -> None:
        self.bundle = bundle
        self._split = split
        self._users = read_users(connection)
        self._k = k
        carried = bundle.manifest.models
        self.models = {n: name for n, (name, _) in REGISTRY.items() if n in carried}

    def lists(self, number: int, progress: Progress) -> Lists:
        """What the model of this number recommends in both views."""
        return lists_of(self._split, self.scores(number, progress), self._k)

    def vary(self, number: int) -> dict[float, Lists]:
        """The same in view ``any``, for every one of DIVERSITIES, re-ranked as the service does."""
        genres = TrackGenres.of(self.bundle.catalogue)
        vectors = track_vectors(self.bundle)
        found = {d: np.full((len(self._split.judged), self._k), -1, np.int32) for d in DIVERSITIES}
        scores = self.scores(number, silent)
        listeners = self._listeners(REGISTRY[number][1].history_days)
        heard = heard_tracks(self._split)
        varied: dict[float, Lists] = {
            d: {"any": lists, "new": lists.copy()} for d, lists in found.items()
        }
        for row, (score, listener, old) in enumerate(zip(scores, listeners, heard, strict=True)):
            again = partial(
                rerank, vectors=vectors, genres=genres, mix=listener_mix(listener, genres)
            )
            for diversity, lists in varied.items():
                for view, allowed in (("any", score), ("new", forbid(score, [old]))):
                    best = again(allowed, self._k, diversity)
                    lists[view][row, : len(best)] = best
        return varied

    def sources(self, progress: Progress) -> dict[str, Lists]:
        """What each source of the hybrid alone recommends in both views, by its name."""
        statistics, judged = read_statistics(self.bundle), len(self._split.judged)
        shape = (len(SOURCES), judged, self._k)
        lists = {view: np.full(shape, NOTHING, np.int32) for view in VIEWS}
        listeners = self._listeners(Hybrid.history_days)
        heard = heard_tracks(self._split)
        for row, (listener, old) in enumerate(zip(listeners, heard, strict=True)):
            shares = sources(statistics, listener.history)
            lists["any"][:, row] = first_of_each(shares, old[:0], self._k)
            lists["new"][:, row] = first_of_each(shares, old, self._k)
            progress("asking the sources of the hybrid", row + 1, judged)
        return {
            name: {view: lists[view][place] for view in VIEWS} for place, name in enumerate(SOURCES)
        }

    def scores(self, number: int, progress: Progress) -> Iterator[FloatArray]:
        """(tracks,) for each judged listener in turn."""
        model = load_model(number, self.bundle)
        listeners = self._listeners(model.history_days)
        for done, listener in enumerate(listeners, 1):
            yield (
                model.score(listener)
                if len(listener.history)
                else cold_start_scores(listener.user, self.bundle.catalogue)
            )
            progress(f"asking the {self.models[number]}", done, len(self._split.judged))

    def _listeners(self, days: int) -> Iterator[Listener]:
        cutoff = int(self._split.cutoff)
        for position in self._split.judged.tolist():
            user_id = self._split.users[position].decode()
            user = self._users.get(user_id, User(user_id))
            plays = self._split.plays.of(position).known_at(cutoff, days)
            yield Listener(user, history_at(plays, cutoff))


def first_of_each(shares: FloatArray, forbidden: NDArray[np.int32], k: int) -> NDArray[np.int32]:
    """(sources, k) the tracks of which each source has the most, best first.

    shares: (sources, tracks). forbidden: positions of tracks. A source recommends nothing of which
    it has no share, so a list may be short: NOTHING stands behind its last track.
    """
    first = np.full((len(shares), k), NOTHING, np.int32)
    for row, share in zip(first, shares, strict=True):
        best = top(forbid(share, [share <= 0, forbidden]), k)
        row[: len(best)] = best
    return first
