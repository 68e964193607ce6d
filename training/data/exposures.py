"""Reads tables of exposures and of outcomes that other experiment services export."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from segue.domain.errors import InvalidData, InvalidRecord
from training.data.exports import read_time
from training.data.records import decode, record_of
from training.data.sources import Row, Source

# What the column of a field may be called, in any case, with underscores or without. The first
# name that a table has wins.
FIELDS = {
    "user": ("user", "userid", "entityid", "anonymousid"),
    "arm": ("arm", "group", "variation", "variationid", "variant", "treatment", "treatmentkey"),
    "time": ("time", "timestamp"),
    "outcome": ("outcome", "success", "converted"),
    "experiment": ("experiment", "experimentid", "experimentname"),
}
_YES, _NO = {"1", "1.0", "true", "t", "yes", "y"}, {"0", "0.0", "false", "f", "no", "n"}

# Which column holds which field.
Columns = Mapping[str, str]


class Entry(NamedTuple):
    """A row: an exposure, an outcome, or both. time: milliseconds since 1970 UTC.

    Without such columns, arm and experiment are empty, and ``successful`` is None.
    """

    user: str
    time: int
    arm: str
    experiment: str
    successful: bool | None


def check_fields(given: Columns) -> None:
    """Raises InvalidData where columns are given for what is no field."""
    for name in given:
        if name not in FIELDS:
            raise InvalidData(f"{name!r} is none of the fields {', '.join(FIELDS)}")


def header(source: Source) -> list[str]:
    """The names of a table's columns, by the first row that can be read; empty without any."""
    records = (record_of(row) for _, row in source.rows())
    return list(next(filter(None, records), {}))


def columns_of(names: Sequence[str], given: Columns) -> dict[str, str]:
    """Of the columns called ``names``, which one holds which field: the given one, or by name."""
    plain = {name.lower().replace("_", ""): name for name in reversed(names)}
    columns = {}
    for field, aliases in FIELDS.items():
        found = [plain[alias] for alias in aliases if alias in plain]
        if given.get(field) in names:
            found = [given[field]]
        if found:
            columns[field] = found[0]
    return columns


def parse_entry(row: Row, *, columns: Columns) -> Entry:
    """The entry in a row. Raises InvalidRecord with every reason for which it cannot be used."""
    record = decode(row)
    reasons: list[str] = []
    user, arm, experiment = (
        _text(record, columns[field], reasons) if field in columns else ""
        for field in ("user", "arm", "experiment")
    )
    time = _time(record, columns["time"], reasons)
    outcome = columns.get("outcome")
    successful = _is_success(record, outcome, reasons) if outcome else None
    if reasons:
        raise InvalidRecord(reasons)
    return Entry(user, time, arm, experiment, successful)


def _text(record: Mapping[str, Any], column: str, reasons: list[str]) -> str:
    """The text, or the whole number as one; in a column with gaps, numbers have become floats."""
    value = record.get(column)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip() if isinstance(value, str | int) else ""
    if not text:
        empty = value is None or value == ""
        reasons.append(f"{column} missing" if empty else f"{column} not a text or a whole number")
    return text


def _time(record: Mapping[str, Any], column: str, reasons: list[str]) -> int:
    value = record.get(column)
    # BigQuery writes the zone behind the time.
    text = value.strip().removesuffix(" UTC") if isinstance(value, str) else value
    return read_time({column: text}, column, reasons)


def _is_success(record: Mapping[str, Any], column: str, reasons: list[str]) -> bool:
    value = record.get(column)
    text = "" if value is None else str(value).strip().lower()
    if text not in _YES | _NO:
        reasons.append(f"{column} not 0 or 1" if text else f"{column} missing")
    return text in _YES
