"""The autoencoder with some of its inputs missing: what the artist and the genres bring it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import torch

from segue.models.bundle import Bundle
from training.catalogue import EncodedCatalogue
from training.counts import count_at
from training.evaluation.options import Options
from training.evaluation.own import AUTOENCODER, Asked, Own, bundle_of
from training.export import BundleWriter
from training.models.autoencoder import train_autoencoder, write_autoencoder
from training.models.fit import Fitted, make_deterministic
from training.protocol.split import Split

# The kinds of feature, as the schemas have them, that are left out.
_ARTIST, _GENRES = "hashed", "multi_hot"
_WITHOUT = {
    "no artist": {_ARTIST},
    "no genres": {_GENRES},
    "audio only": {_ARTIST, _GENRES},
}


def ablations(encoded: EncodedCatalogue) -> Mapping[str, EncodedCatalogue]:
    """The catalogue as each variant sees it, by the variant's name.

    There are as many as the tracks' features allow: a variant leaves out only what is there, and
    sees something. What is left out is the same, 0, for every track, so that the network has
    nothing to learn from it; all else stays as it is.
    """
    kinds = np.repeat(
        [one.feature.kind for one in encoded.encoder.track],
        [one.width for one in encoded.encoder.track],
    )
    present = set(kinds.tolist())
    return {
        f"{AUTOENCODER} ({name})": replace(
            encoded, features=np.where(np.isin(kinds, [*left_out]), 0, encoded.features)
        )
        for name, left_out in _WITHOUT.items()
        if left_out < present
    }


def fit_ablations(
    connection: duckdb.DuckDBPyConnection,
    split: Split,
    encoded: EncodedCatalogue,
    schema: Path,
    options: Options,
) -> Own:
    """The lists of all variants, each trained and asked as the whole autoencoder is."""
    lists, latents = {}, {}
    for name, seen in ablations(encoded).items():
        with ablated(connection, seen, schema, int(split.cutoff), options) as bundle:
            asked = Asked(connection, bundle, split, options.k)
            (number,) = asked.models
            lists[name] = asked.lists(number, options.progress)
            latents[name] = bundle.latents
    return Own(lists, {}, latents=latents)


@contextmanager
def ablated(
    connection: duckdb.DuckDBPyConnection,
    seen: EncodedCatalogue,
    schema: Path,
    cutoff: int,
    options: Options,
) -> Iterator[Bundle]:
    """A bundle that carries an autoencoder alone, trained on these features."""

    def fit(writer: BundleWriter) -> Fitted:
        make_deterministic(options.seed)
        device = torch.device("cpu")
        counts = count_at(connection, seen.catalogue, cutoff)
        trained = train_autoencoder(counts, seen, device, options.progress)
        write_autoencoder(writer, trained, seen.features)
        return Fitted({AUTOENCODER: trained.curve.metrics()}, {AUTOENCODER: trained.curve})

    with bundle_of(seen, schema, cutoff, fit) as (bundle, _):
        yield bundle
