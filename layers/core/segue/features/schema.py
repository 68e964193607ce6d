"""The feature schema: which columns of the data a model sees, in which order, and how."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

from segue.domain.errors import InvalidData

Kind = Literal["numeric", "categorical", "multi_hot", "hashed"]
Read = Literal["value", "year"]
Value = str | int

# Raise this when the encoder or the listener's vector changes its meaning: every bundle trained
# before is then refused, instead of being fed inputs that it was not trained on.
LAYOUT = 1

# The columns that every profile has, by the names under which a feature reads them.
PROFILE = ("favourite_genres", "premium")
# What a column may be looked at for beside the features; see ``Schema``.
ROLES = ("explicit", "genres", "released")
# The column with the id of a track's artist.
ARTIST = "id_artist"

POZYTYWKA = Path(__file__).with_name("pozytywka.toml")


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the data and what becomes of it; see ``pozytywka.toml`` for the meanings."""

    name: str
    kind: Kind
    source: str
    read: Read = "value"
    values: tuple[Value, ...] = ()
    size: int = 0


@dataclass(frozen=True, slots=True)
class Schema:
    """The features of tracks and of users, in the order of the inputs.

    ``explicit`` and ``genres`` name the columns that the filters and the cold start look at,
    ``released`` the one with the date from which on a track can be played; empty where the data has
    none.
    """

    name: str
    track: tuple[Feature, ...]
    user: tuple[Feature, ...]
    explicit: str = ""
    genres: str = ""
    released: str = ""

    @property
    def hash(self) -> str:
        """SHA-256 of everything that decides the meaning of an input, layout included."""
        text = json.dumps({"layout": LAYOUT, **asdict(self)}, sort_keys=True)
        return sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, object]:
        """What ``schema_of`` reads, once it has been through JSON."""
        content = asdict(self)
        roles = {role: content.pop(role) for role in ROLES}
        return content | {"roles": roles}

    @property
    def attributes(self) -> tuple[str, ...]:
        """The columns of ``users`` that features read beyond those of every profile."""
        sources = dict.fromkeys(feature.source for feature in self.user)
        return tuple(source for source in sources if source not in PROFILE)

    @property
    def described(self) -> tuple[Feature, ...]:
        """The features of tracks whose values people may read, genres and artists aside: those are
        there in any catalogue."""
        return tuple(one for one in self.track if one.source not in (self.genres, ARTIST))


def load_schema(path: Path = POZYTYWKA) -> Schema:
    """Read a schema file. Raises InvalidData naming the file and the key that is wrong."""
    try:
        return parse_schema(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidData(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidData(f"{path}: not UTF-8 text") from error
    except InvalidData as error:
        raise InvalidData(f"{path}: {error}") from error


def parse_schema(text: str) -> Schema:
    """Read the text of a schema file. Raises InvalidData naming the key that is wrong."""
    # To import it takes as long as to read the bundle that is served.
    import tomllib

    try:
        return schema_of(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InvalidData(f"not TOML: {error}") from error


def schema_of(raw: Mapping[str, Any]) -> Schema:
    """The schema that the tables of a file describe. Raises InvalidData naming the key that is
    wrong."""
    _refuse_unknown(raw, {"name", "roles", "track", "user"}, "the file")
    roles = raw.get("roles", {})
    if not isinstance(roles, dict) or not all(isinstance(role, str) for role in roles.values()):
        raise InvalidData("[roles] is not a table of column names")
    _refuse_unknown(roles, {*ROLES}, "[roles]")
    return Schema(
        name=str(raw.get("name", "")),
        track=_features(raw, "track"),
        user=_features(raw, "user"),
        **roles,
    )


def _features(raw: Mapping[str, object], side: str) -> tuple[Feature, ...]:
    entries = raw.get(side, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidData(f"{side} is not a list of [[{side}]] tables")
    features = tuple(_feature(entry, side) for entry in entries)
    names = [feature.name for feature in features]
    if len(set(names)) < len(names):
        raise InvalidData(f"[[{side}]] names a feature twice")
    return features


def _feature(entry: dict[str, object], side: str) -> Feature:
    _refuse_unknown(entry, {"name", "kind", "source", "read", "values", "size"}, f"[[{side}]]")
    name: Any = entry.get("name")
    kind: Any = entry.get("kind")
    read: Any = entry.get("read", "value")
    values, size = entry.get("values", []), entry.get("size", 0)
    if not isinstance(name, str) or not name:
        raise InvalidData(f"a [[{side}]] has no name")
    if kind not in get_args(Kind):
        raise InvalidData(f"{name}: kind must be one of {', '.join(get_args(Kind))}")
    if read not in get_args(Read):
        raise InvalidData(f"{name}: read must be one of {', '.join(get_args(Read))}")
    if (kind == "categorical") != bool(values) or not _are_labels(values):
        raise InvalidData(f"{name}: values go with kind categorical")
    if (kind in ("multi_hot", "hashed")) != bool(size) or type(size) is not int or size < 0:
        raise InvalidData(f"{name}: a size of at least 1 goes with kinds multi_hot and hashed")
    assert isinstance(values, list)
    return Feature(name, kind, str(entry.get("source", name)), read, tuple(values), size)


def _are_labels(values: object) -> bool:
    """Whether it is a list of different numbers or texts."""
    if not isinstance(values, list) or not all(type(value) in (str, int) for value in values):
        return False
    return len(set(values)) == len(values)


def _refuse_unknown(table: Mapping[str, object], known: set[str], where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise InvalidData(f"unknown key {unknown[0]!r} in {where}")
