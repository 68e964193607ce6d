"""What is known of a user beside their events."""

from collections.abc import Mapping
from dataclasses import dataclass

from segue.domain.errors import InvalidRecord
from segue.domain.events import parse_id


@dataclass(frozen=True, slots=True)
class User:
    """A user's profile. Names and addresses are not kept: nothing here has a use for them."""

    user_id: str
    favourite_genres: tuple[str, ...] = ()
    premium: bool = False


def parse_user(record: Mapping[str, object]) -> User:
    """Read one row of ``users``. Raises InvalidRecord with every reason."""
    reasons: list[str] = []
    user_id = parse_id(record.get("user_id"))
    if user_id is None:
        reasons.append("user_id missing" if record.get("user_id") is None else "user_id not an id")
    genres = record.get("favourite_genres") or []
    if not isinstance(genres, list) or not all(isinstance(genre, str) for genre in genres):
        reasons.append("favourite_genres not a list of texts")
    premium = record.get("premium_user") or False
    if premium not in (True, False):
        reasons.append("premium_user neither true nor false")
    if reasons:
        raise InvalidRecord(reasons)
    assert user_id is not None
    assert isinstance(genres, list)
    return User(user_id, tuple(genres), bool(premium))


def json_id(user_id: str) -> int | str:
    """The id as it goes into an answer: a number where it was one (``"429"`` -> ``429``)."""
    canonical = user_id.isascii() and user_id.isdigit() and (user_id == "0" or user_id[0] != "0")
    return int(user_id) if canonical else user_id
