"""Finds out which type each column of the catalogue has, and makes its values fit."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite

import pyarrow as pa

from training.data import parquet
from training.data.parquet import Record
from training.data.records import is_texts

NUMBER, WHOLE_NUMBER, TEXT, TEXTS, TRUTH = "number", "whole number", "text", "texts", "truth value"
NOTHING, OTHER = "nothing", "other"

# The kinds that a column can have, in the order in which they win a tie.
_TYPES = {
    NUMBER: parquet.NUMBER,
    WHOLE_NUMBER: parquet.INTEGER,
    TEXT: parquet.TEXT,
    TEXTS: parquet.TEXTS,
    TRUTH: parquet.TRUTH,
}
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its kind, and how many values are missing or of another kind."""

    name: str
    kind: str
    missing: int
    misfits: int

    @property
    def type(self) -> pa.DataType:
        """How Parquet stores it."""
        return _TYPES[self.kind]

    def fit(self, value: object) -> object:
        """The value as the column stores it; None where it is of another kind."""
        return value if _fits(_kind(value), self.kind) else None


@dataclass(slots=True)
class Census:
    """Counts the kinds of value in every column, record by record.

    ``fixed`` says of which kind some columns are, whatever is in them; these are always there.
    """

    fixed: Mapping[str, str]
    rows: int = 0
    _kinds: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, record: Record) -> Record:
        """Count the values of one record; answers it without those that no column can hold."""
        self.rows += 1
        usable = {}
        for name, value in record.items():
            kind = _kind(value)
            self._kinds.setdefault(name, Counter())[kind] += 1
            usable[name] = value if kind in _TYPES else None
        return usable

    def columns(self) -> Iterator[Column]:
        """The columns in the order of their first appearance, each of its most frequent kind."""
        for name in dict.fromkeys([*self._kinds, *self.fixed]):
            kinds = self._kinds.get(name, Counter())
            filled = kinds.total() - kinds[NOTHING]
            kind = self.fixed.get(name) or _most_frequent(kinds)
            fitting = sum(count for value, count in kinds.items() if _fits(value, kind))
            yield Column(name, kind, missing=self.rows - filled, misfits=filled - fitting)


def _most_frequent(kinds: Counter[str]) -> str:
    counts = {kind: kinds[kind] for kind in _TYPES}
    if counts[NUMBER]:
        counts[NUMBER] += counts.pop(WHOLE_NUMBER)
    # A column without a single value is one of texts that are all null.
    return max(counts, key=counts.__getitem__) if any(counts.values()) else TEXT


def _fits(value: str, kind: str) -> bool:
    """A column with both 1 and 0.5 is one of numbers; Parquet's writer turns the 1 into 1.0."""
    return value == kind or (value, kind) == (WHOLE_NUMBER, NUMBER)


def _kind(value: object) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return TRUTH
    if isinstance(value, int):
        return WHOLE_NUMBER if value in _INT64 else OTHER
    if isinstance(value, float):
        return NUMBER if isfinite(value) else OTHER
    if isinstance(value, str):
        return TEXT
    return TEXTS if is_texts(value) else OTHER
