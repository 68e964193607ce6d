"""How the values in a row of the catalogue are read: in training, and of a track that is added."""

import re
from collections.abc import Callable, Iterator, Mapping

from segue.domain.descriptions import NO_YEAR
from segue.features.schema import ARTIST, Feature, Schema

# The columns with a track's title and its artist's name; ``schema.ARTIST`` has the artist's id.
NAME, ARTIST_NAME = "name", "artist_name"

# A date, a month or a year; of a time, the date.
_DATE = re.compile(r"\d{4}(-\d\d){0,2}")
_DATE_LENGTH = len("0000-00-00")


def text_of(value: object) -> str | None:
    """The text; None for anything else."""
    return value if isinstance(value, str) else None


def flag_of(value: object) -> bool:
    """Whether the value is true or 1."""
    return value in (1, True)


def labels_in(value: object) -> list[str]:
    """The different texts of a list, in order; none where it is no list."""
    labels = value if isinstance(value, list) else ()
    return [label for label in dict.fromkeys(labels) if isinstance(label, str)]


def date_of(value: object) -> str:
    """The date, month or year that a value says, as ISO 8601 has it; empty where it says none."""
    text = value[:_DATE_LENGTH] if isinstance(value, str) else ""
    if isinstance(value, int | float):
        text = f"{value:04.0f}"
    return text if _DATE.fullmatch(text) else ""


def year_of(value: object) -> int:
    """The year of a date; NO_YEAR where there is none."""
    return int(date_of(value)[:4] or NO_YEAR)


def misread_columns(columns: Mapping[str, object], schema: Schema) -> Iterator[tuple[str, str]]:
    """The columns of a row that the schema does not read, or not so, and why; a value may be None
    in any column that there is."""
    checks = _checks(schema)
    for name, value in columns.items():
        if name not in checks:
            yield name, f"there is no such column; there are {', '.join(sorted(checks))}"
            continue
        wanted = next((wanted for reads, wanted in checks[name] if not reads(value)), None)
        if value is not None and wanted:
            yield name, f"must be {wanted}"


# Whether a value can be read, and what should be there.
_Check = tuple[Callable[[object], bool], str]

_TEXT: _Check = lambda value: isinstance(value, str), "a text"
_FLAG: _Check = lambda value: value in (0, 1), "true or false"
_DATED: _Check = lambda value: bool(date_of(value)), "a date such as 2011-01-31, 2011-01 or 2011"
_NUMBER: _Check = lambda value: isinstance(value, int | float), "a number"
_LABEL: _Check = lambda value: isinstance(value, str | int), "a text or a whole number"
_TEXTS: _Check = lambda value: labels_in(value) == value, "a list of different texts"


def _checks(schema: Schema) -> dict[str, list[_Check]]:
    """What each column has to pass: a role's and its features'."""
    checks: dict[str, list[_Check]] = {NAME: [_TEXT], ARTIST_NAME: [_TEXT], ARTIST: [_TEXT]}
    roles = {schema.explicit: _FLAG, schema.genres: _TEXTS, schema.released: _DATED}
    for column, check in roles.items():
        if column:
            checks.setdefault(column, []).append(check)
    for feature in schema.track:
        checks.setdefault(feature.source, []).append(_check(feature))
    return checks


def _check(feature: Feature) -> _Check:
    match feature.kind:
        case "numeric":
            return _DATED if feature.read == "year" else _NUMBER
        case "categorical":
            return _one_of(feature)
        case "multi_hot":
            return _TEXTS
        case "hashed":
            return _LABEL


def _one_of(feature: Feature) -> _Check:
    wanted = ", ".join(map(str, feature.values))
    return lambda value: value in feature.values, f"one of {wanted}"
