"""What people read of tracks, from the workspace's tables to the arrays of the bundle."""

from collections.abc import Sequence

import duckdb
import numpy as np
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.descriptions import Descriptions
from segue.domain.labels import Label, Labels
from segue.domain.texts import Texts
from segue.domain.words import WordIndex
from segue.features.columns import ARTIST_NAME, NAME, text_of, year_of
from segue.features.encoder import Columns, labels_of, numbers_of
from segue.features.schema import Feature, Schema
from training.catalogue import read_columns


def describe_tracks(
    connection: duckdb.DuckDBPyConnection, schema: Schema, catalogue: Catalogue
) -> Descriptions:
    """Names, years and the values of the schema's columns, for every track of the catalogue.

    Where the data have no column ``name``, ``artist_name`` or of release dates, nobody has one.
    """
    columns = read_columns(connection)
    nothing = [None] * len(catalogue)
    features = schema.described
    others = [feature for feature in features if feature.kind != "numeric"]
    titles = Texts.of(map(text_of, columns.get(NAME, nothing)))
    artist_names = _artist_names(columns.get(ARTIST_NAME, nothing), catalogue)
    return Descriptions(
        titles=titles,
        title_words=WordIndex.of(titles),
        artist_names=artist_names,
        artist_words=WordIndex.of(artist_names),
        years=_years(columns.get(schema.released, nothing)),
        numbers={
            feature.name: numbers_of(feature, columns[feature.source]).astype(np.float32)
            for feature in features
            if feature.kind == "numeric"
        },
        labels={feature.name: _labels(feature, columns) for feature in others},
        lists=frozenset(feature.name for feature in others if feature.kind == "multi_hot"),
    )


def _artist_names(names: Sequence[object], catalogue: Catalogue) -> Texts:
    """By the artists' numbers."""
    found: list[str | None] = [None] * len(catalogue.artist_ids)
    for artist, name in zip(catalogue.artists.tolist(), names, strict=True):
        if artist >= 0:
            found[artist] = found[artist] or text_of(name)
    return Texts.of(found)


def _years(dates: Sequence[object]) -> NDArray[np.int16]:
    return np.array([year_of(date) for date in dates], np.int16)


def _labels(feature: Feature, columns: Columns) -> Labels[Label]:
    """Every label that occurs, those too that are no input of a model."""
    of_tracks = [dict.fromkeys(labels_of(feature, value)) for value in columns[feature.source]]
    names = sorted(
        {label for own in of_tracks for label in own}, key=lambda it: (str(type(it)), it)
    )
    number = {name: place for place, name in enumerate(names)}
    offsets = np.cumsum([0, *map(len, of_tracks)], dtype=np.int32)
    numbers = np.array([number[label] for own in of_tracks for label in own], np.int32)
    return Labels(tuple(names), offsets, numbers)
