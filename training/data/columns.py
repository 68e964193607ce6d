"""Finds out which type each column of the catalogue has, and makes its values fit."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite

import pyarrow as pa

from training.data.parquet import INTEGER, TEXT, TEXTS, TRUTH, Record
from training.data.records import is_texts

# The kinds that a column can have, in the order in which they win a tie.
_TYPES = {
    "number": pa.float64(),
    "whole number": INTEGER,
    "text": TEXT,
    "texts": TEXTS,
    "truth value": TRUTH,
}
# A column with both 1 and 0.5 is one of numbers; Parquet's writer turns the 1 into 1.0.
_WIDENS = ("whole number", "number")
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
        kind = _kind(value)
        return value if kind == self.kind or (kind, self.kind) == _WIDENS else None


@dataclass(slots=True)
class Census:
    """Counts the kinds of value in every column, record by record."""

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
        for name, kinds in self._kinds.items():
            filled = Counter({kind: count for kind, count in kinds.items() if kind != "nothing"})
            counts = {kind: filled[kind] for kind in _TYPES}
            if counts["number"]:
                counts["number"] += counts.pop("whole number")
            # A column without a single usable value is one of texts that are all null.
            kind = max(counts, key=counts.__getitem__) if any(counts.values()) else "text"
            missing = self.rows - filled.total()
            yield Column(name, kind, missing, filled.total() - counts[kind])


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "truth value"
    if isinstance(value, int):
        return "whole number" if value in _INT64 else "other"
    if isinstance(value, float):
        return "number" if isfinite(value) else "other"
    if isinstance(value, str):
        return "text"
    return "texts" if is_texts(value) else "other"
