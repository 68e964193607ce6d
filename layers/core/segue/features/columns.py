"""How the values in a row of the catalogue are read: in training, and of a track that is added."""

import re

from segue.domain.descriptions import NO_YEAR

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
