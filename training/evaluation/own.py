"""Our models as contenders: trained at the cut-off, and asked as the service asks them."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from segue.domain.times import format_time
from segue.domain.users import User
from segue.features.encoder import FloatArray
from segue.features.schema import load_schema
from segue.models.bundle import Bundle
from segue.models.cold_start import cold_start_scores
from segue.models.hybrid.model import Hybrid, read_statistics
from segue.models.hybrid.sources import SOURCES, votes_of
from segue.models.hybrid.summary import summarise
from segue.models.model import Listener
from segue.models.ranked import Forbidden
from segue.models.registry import REGISTRY, load_model
from segue.ranking.lists import rank
from segue.ranking.space import track_vectors
from training.catalogue import EncodedCatalogue
from training.evaluation.options import Options, silent
from training.export import BundleWriter, write_catalogue
from training.histories import history_at
from training.models.fit import Fitted, fit_models
from training.models.hybrid.train import first_named
from training.progress import Curve, Progress
from training.protocol.lists import Lists, empty_lists, forbidden_by_view, heard_masks
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
        self._users = read_users(connection, [user.decode() for user in split.users[split.judged]])
        self._k = k
        carried = bundle.manifest.models
        self.models = {n: name for n, (name, _) in REGISTRY.items() if n in carried}

    def lists(self, number: int, progress: Progress) -> Lists:
        """What the model of this number recommends in both views."""
        return self._lists(number, (0.0,), progress)[0.0]

    def vary(self, number: int) -> dict[float, Lists]:
        """The same for every one of DIVERSITIES."""
        return self._lists(number, DIVERSITIES, silent)

    def _lists(
        self, number: int, diversities: Sequence[float], progress: Progress
    ) -> dict[float, Lists]:
        model, judged = load_model(number, self.bundle), len(self._split.judged)
        lists: dict[float, Lists] = {
            diversity: empty_lists(self._split, self._k) for diversity in diversities
        }
        # The matrices of a request are so small that more threads mostly wait; see fit_models.
        with threadpool_limits(1, "blas"):
            for row, (listener, heard) in enumerate(self._each(model.history_days)):
                for diversity in diversities:
                    ask = partial(rank, model, listener, self.bundle, diversity=diversity)
                    for view, forbidden in forbidden_by_view(heard):
                        found = ask(self._k, forbidden=forbidden).tracks
                        lists[diversity][view][row, : len(found)] = found
                progress(f"asking the {self.models[number]}", row + 1, judged)
        return lists

    def sources(self, progress: Progress) -> dict[str, Lists]:
        """What each source of the hybrid alone recommends in both views, by its name."""
        statistics, judged = self.bundle.derived(read_statistics), len(self._split.judged)
        lists: dict[str, Lists] = {name: empty_lists(self._split, self._k) for name in SOURCES}
        for row, (listener, heard) in enumerate(self._each(Hybrid.history_days)):
            votes = votes_of(statistics, summarise(listener.history), all_tracks=True)
            firsts = first_of_each(votes.shares, votes.tracks, heard, self._k)
            for name, by_view in zip(SOURCES, firsts, strict=True):
                for view, found in by_view.items():
                    lists[name][view][row, : len(found)] = found
            progress("asking the sources of the hybrid", row + 1, judged)
        return lists

    def scores(self, number: int, progress: Progress) -> Iterator[FloatArray]:
        """(tracks,) for each judged listener in turn."""
        model = load_model(number, self.bundle)
        for done, (listener, _) in enumerate(self._each(model.history_days), 1):
            yield (
                model.score(listener)
                if len(listener.history)
                else cold_start_scores(listener.user, self.bundle.catalogue)
            )
            progress(f"asking the {self.models[number]}", done, len(self._split.judged))

    def _each(self, days: int) -> Iterator[tuple[Listener, Forbidden]]:
        """Every judged listener, and which tracks they have heard."""
        split, cutoff = self._split, int(self._split.cutoff)
        for position, heard in zip(split.judged.tolist(), heard_masks(split), strict=True):
            user_id = split.users[position].decode()
            user = self._users.get(user_id, User(user_id))
            plays = split.plays.of(position).known_at(cutoff, days)
            yield Listener(user, history_at(plays, cutoff)), heard


def first_of_each(
    shares: FloatArray, tracks: NDArray[np.integer], heard: Forbidden, k: int
) -> Iterator[Mapping[str, NDArray[np.intp]]]:
    """What each source alone recommends in both views, by its (sources, n) shares of n tracks. It
    recommends nothing of which it has no share."""
    # The first so many tracks hold k that were not heard, so each source is searched once.
    enough = k + int(np.count_nonzero(heard))
    for share in shares:
        found = first_named(share, enough, tracks)
        yield {"any": found[:k], "new": found[~heard[found]][:k]}
