"""Tells which form a data folder has, and which feature schema goes with it."""

from pathlib import Path
from typing import Literal

from segue.features.schema import POZYTYWKA

# tables: tracks, artists, users, sessions. atomic: RecBole's .inter, .item and .user files.
# given: lists of who played what, without times, divided for training and for judging.
Form = Literal["tables", "atomic", "given"]

SCHEMA = "schema.toml"
# Names of the lists for training and for judging.
GIVEN = (("train.txt", "test.txt"), ("data1.txt", "test1.txt"))

_SCHEMAS = Path(__file__).parents[1] / "schemas"
MOVIELENS = _SCHEMAS / "movielens.toml"
_DEFAULTS: dict[Form, Path] = {
    "tables": POZYTYWKA,
    "atomic": MOVIELENS,
    "given": _SCHEMAS / "plain.toml",
}


def form_of(folder: Path) -> Form:
    """The form of a folder's data; ``tables`` where it has no other."""
    if is_given(folder):
        return "given"
    return "atomic" if any(folder.glob("*.inter")) else "tables"


def is_given(folder: Path) -> bool:
    """Whether the folder holds interactions that are divided for training and for judging."""
    return given_lists(folder) is not None


def given_lists(folder: Path) -> tuple[Path, Path] | None:
    """The list to train on and the one to judge by; None where the folder holds no such pair."""
    for train, test in GIVEN:
        if (folder / train).is_file() and (folder / test).is_file():
            return folder / train, folder / test
    return None


def folder_schema(folder: Path) -> Path:
    """The feature schema of a data folder: its own ``schema.toml``, else that of its form."""
    own = folder / SCHEMA
    return own if own.is_file() else _DEFAULTS[form_of(folder)]
