"""Writes folders and files: whole or not at all, and the same bytes on every run."""

import gzip
import io
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from segue.domain.errors import InvalidData

_COMPRESSION = 4


@contextmanager
def whole_or_nothing(directory: Path) -> Iterator[Path]:
    """A folder beside ``directory`` that takes its place when all went well.

    Only a killed process leaves something behind: that hidden folder, never ``directory``. Raises
    FileExistsError where there is something already.
    """
    directory = directory.absolute()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise FileExistsError(f"{directory} exists already and is not an empty folder")
    directory.parent.mkdir(parents=True, exist_ok=True)
    unfinished = directory.with_name(f".{directory.name}.unfinished-{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        yield unfinished
        unfinished.replace(directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def check_target(path: Path, suffixes: Collection[str]) -> None:
    """Raises InvalidData where no file with one of these endings can be written at ``path``."""
    if not path.name.endswith(tuple(suffixes)):
        raise InvalidData(f"{path}: the file's name must end in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise InvalidData(f"{path}: there is no folder {path.parent}")
    if path.is_dir():
        raise InvalidData(f"{path} is a folder; name a file")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write to; it takes that place when all went well.

    Only a killed process leaves something behind: that hidden file, never half of ``path``.
    """
    unfinished = path.with_name(f".{path.name}.unfinished-{os.getpid()}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def open_gzip(path: Path) -> Iterator[io.BufferedIOBase]:
    """Like gzip.open, but with neither the time nor the file's name inside: same bytes each run."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", _COMPRESSION, raw, mtime=0) as file:
        yield file
