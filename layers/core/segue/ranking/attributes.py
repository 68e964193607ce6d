"""The attributes of tracks that filters compare: one column of all tracks for each name."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.descriptions import NO_YEAR
from segue.domain.expressions import Value
from segue.domain.labels import Label, Labels
from segue.domain.texts import Texts
from segue.features.schema import ARTIST
from segue.models.bundle import Bundle

Mask = NDArray[np.bool_]

_ORDERS: Mapping[str, Callable[[Any, Any], Mask]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Incomparable(Exception):
    """Says what a column can be compared with."""


class Column(Protocol):
    """An attribute of all tracks."""

    def present(self) -> Mask:
        """(tracks,) whether a track has a value that can be compared."""
        ...

    def compare(self, operator: str, values: Sequence[Value]) -> Mask:
        """(tracks,) whether the comparison holds for those that have a value; what it says of the
        others is of no account.

        operator: <, <=, >, >=, "==" and "in" (one of the values), or "contains" (the only value).
        Raises Incomparable.
        """
        ...


def columns_of(bundle: Bundle) -> dict[str, Column]:
    """Every attribute by its name: what all tracks have, then the columns of the schema."""
    catalogue, descriptions, schema = bundle.catalogue, bundle.descriptions, bundle.schema
    years = descriptions.years.astype(np.float32)
    years[descriptions.years == NO_YEAR] = np.nan
    columns: dict[str, Column] = {
        "id": Ids(catalogue),
        "title": Titles(descriptions.titles),
        "artist": Artists(catalogue, Titles(descriptions.artist_names)),
        "genre": LabelColumn(bundle.track_genres, several=True),
        "year": Numbers(years),
        "explicit": Flags(catalogue.explicit),
        "popularity": Numbers(catalogue.popularity),
    }
    stored = {
        ARTIST: columns["artist"],
        schema.genres: columns["genre"],
    }
    of_schema: dict[str, Column] = {
        feature.name: stored[feature.source] for feature in schema.track if feature.source in stored
    }
    of_schema |= {name: Numbers(values) for name, values in descriptions.numbers.items()}
    of_schema |= {
        name: LabelColumn(labels, several=name in descriptions.lists)
        for name, labels in descriptions.labels.items()
    }
    return of_schema | columns


@dataclass(frozen=True)
class Numbers:
    """values: (tracks,) float32, NaN where missing."""

    values: NDArray[np.float32]

    def present(self) -> Mask:
        return ~np.isnan(self.values)

    def compare(self, operator: str, values: Sequence[Value]) -> Mask:
        if operator == "contains" or not all(type(value) is float for value in values):
            raise Incomparable("is a number: compare it with numbers")
        # What is beyond single precision is infinite there.
        with np.errstate(over="ignore"):
            wanted = np.array(values, np.float32)
        if operator in _ORDERS:
            return _ORDERS[operator](self.values, wanted)
        return np.isin(self.values, wanted)


@dataclass(frozen=True)
class Flags:
    """values: (tracks,) bool. An attribute of this kind may stand alone."""

    values: Mask

    def present(self) -> Mask:
        return np.ones_like(self.values)

    def compare(self, operator: str, values: Sequence[Value]) -> Mask:
        if operator not in ("==", "in") or any(isinstance(value, str) for value in values):
            raise Incomparable("is true or false: write it alone, or behind not")
        # 1 is true, and 0 is false, as in Python.
        return np.isin(self.values, [bool(value) for value in values if value in (0, 1)])


@dataclass(frozen=True)
class Ids:
    """The ids of tracks, letter by letter."""

    catalogue: Catalogue

    def present(self) -> Mask:
        return np.ones(len(self.catalogue), np.bool_)

    def compare(self, operator: str, values: Sequence[Value]) -> Mask:
        texts = _texts(operator, values)
        if operator == "contains":
            part = texts[0].encode()
            return _mask([part in track_id for track_id in self.catalogue.ids.tolist()])
        found = np.zeros(len(self.catalogue), np.bool_)
        positions = self.catalogue.positions(texts)
        found[positions[positions >= 0]] = True
        return found


@dataclass(frozen=True)
class Titles:
    """Texts, whatever the case of their letters."""

    texts: Texts

    def present(self) -> Mask:
        # A missing text is nothing but the end of a line.
        return np.diff(self.texts.starts) > 1

    def compare(self, operator: str, values: Sequence[Value]) -> Mask:
        wanted = [text.casefold() for text in _texts(operator, values)]
        texts = self.texts.casefolded()
        if operator == "contains":
            return _mask([wanted[0] in text for text in texts])
        return _mask([text in wanted for text in texts])


@dataclass(frozen=True)
class Artists:
    """The tracks' artists: by their names, as titles, or by their ids."""

    catalogue: Catalogue
    names: Titles

    def present(self) -> Mask:
        return self.catalogue.artists >= 0

    def compare(self, operator: str, values: Sequence[Value]) -> Mask:
        artists = self.names.present() & self.names.compare(operator, values)
        if operator != "contains":
            ids = [str(value).encode() for value in values]
            artists |= _mask([artist in ids for artist in self.catalogue.artist_ids.tolist()])
        return self.catalogue.of_artists(artists, np.False_)


@dataclass(frozen=True)
class LabelColumn:
    """Labels, whatever the case of their letters; ``several`` where a track may have none or more
    than one: it is then equal to each of them."""

    labels: Labels[Label]
    several: bool

    def present(self) -> Mask:
        labelled = self.labels.labelled()
        return np.ones_like(labelled) if self.several else labelled

    def compare(self, operator: str, values: Sequence[Value]) -> Mask:
        names = self.labels.names
        if operator in _ORDERS or (operator == "contains" and not self.several):
            raise Incomparable("is a label: compare it by ==, !=, in or not in")
        for kind, what in ((str, "texts"), (int, "numbers")):
            fits = all((type(value) is str) == (kind is str) for value in values)
            if names and not fits and all(type(name) is kind for name in names):
                raise Incomparable(f"has {what} for labels: compare it with {what}")
        wanted = {_folded(value) for value in values}
        return self.labels.any_of([n for n, name in enumerate(names) if _folded(name) in wanted])


def _texts(operator: str, values: Iterable[Value]) -> list[str]:
    texts = [value for value in values if isinstance(value, str)]
    if operator in _ORDERS or len(texts) < len(list(values)):
        raise Incomparable("is a text: compare it with texts in quotes, by ==, !=, in or not in")
    return texts


def _folded(label: Label | Value) -> Label | Value:
    return label.casefold() if isinstance(label, str) else label


def _mask(holds: list[bool]) -> Mask:
    return np.array(holds, np.bool_)
