"""What is known of a user beside their events."""

from collections.abc import Mapping
from dataclasses import dataclass

from segue.domain.errors import InvalidRecord
from segue.domain.events import read_id


@dataclass(frozen=True, slots=True)
class User:
    """A user's profile. Names and addresses are not kept: nothing here has a use for them."""

    user_id: str
    favourite_genres: tuple[str, ...] = ()
    premium: bool = False


def parse_user(record: Mapping[str, object]) -> User:
    """Read one row of ``users``, null being not given. Raises InvalidRecord with every reason."""
    reasons: list[str] = []
    user_id = read_id(record, "user_id", reasons)
    genres = _given(record, "favourite_genres", [])
    if not isinstance(genres, list) or not all(isinstance(genre, str) for genre in genres):
        reasons.append("favourite_genres not a list of texts")
    premium = _given(record, "premium_user", False)
    if premium not in (True, False):
        reasons.append("premium_user neither true nor false")
    if reasons:
        raise InvalidRecord(reasons)
    assert isinstance(genres, list)
    return User(user_id, tuple(genres), bool(premium))


def _given(record: Mapping[str, object], field: str, default: object) -> object:
    value = record.get(field)
    return default if value is None else value


def json_id(user_id: str) -> int | str:
    """The id as it goes into an answer: a number where it was one (``"429"`` -> ``429``)."""
    canonical = user_id.isascii() and user_id.isdigit() and (user_id == "0" or user_id[0] != "0")
    return int(user_id) if canonical else user_id
