"""What is known of a user beside their events."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

from segue.domain.errors import InvalidRecord
from segue.domain.events import read_id

Attribute = str | int | float | bool | list[str]

# A number beyond is no measurement, and stores differ in how they round it.
_GREATEST = 1e15


@dataclass(frozen=True, slots=True)
class User:
    """A user's profile. Names and addresses are not kept: nothing here has a use for them.

    ``attributes`` holds what the feature schema reads beyond genres and premium.
    """

    user_id: str
    favourite_genres: tuple[str, ...] = ()
    premium: bool = False
    # A mapping has no hash; equal users still have equal hashes.
    attributes: Mapping[str, Attribute] = field(default_factory=dict, hash=False)


def parse_user(record: Mapping[str, object], attributes: Collection[str] = ()) -> User:
    """Read one row of ``users``, null being not given. Raises InvalidRecord with every reason.

    ``attributes`` names the further columns to keep; a value that is neither text, number, truth
    value nor list of texts counts as not given.
    """
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
    given = ((name, record.get(name)) for name in attributes)
    kept = {name: value for name, value in given if _is_attribute(value)}
    return User(user_id, tuple(genres), bool(premium), kept)


def _given(record: Mapping[str, object], name: str, default: object) -> object:
    value = record.get(name)
    return default if value is None else value


def _is_attribute(value: object) -> TypeGuard[Attribute]:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    # The comparison also leaves out NaN and infinity, which JSON does not have.
    return isinstance(value, str) or (isinstance(value, int | float) and abs(value) <= _GREATEST)


def attributes_to_json(attributes: Mapping[str, Attribute]) -> str | None:
    """The one form in which every store keeps them: a JSON object, None where there are none."""
    return json.dumps(dict(attributes), sort_keys=True) if attributes else None


def attributes_from_json(text: str | None) -> Mapping[str, Attribute]:
    """Read what ``attributes_to_json`` wrote."""
    attributes: Mapping[str, Attribute] = json.loads(text) if text else {}
    return attributes


def json_id(user_id: str) -> int | str:
    """The id as it goes into an answer: a number where it was one (``"429"`` -> ``429``)."""
    canonical = user_id.isascii() and user_id.isdigit() and (user_id == "0" or user_id[0] != "0")
    return int(user_id) if canonical else user_id
