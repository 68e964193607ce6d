"""A small world for the tests: data of a few listeners, and a bundle that was really trained on it."""

import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from infra.demo import generate
from training.train import train

LISTENERS = 40  # ids 101 to 140
TRACKS = 600


def tiny_data(directory: Path) -> Path:
    """A data folder in ``directory``, made once a test run."""
    return _copy(_trained()[0], directory / "data")


def tiny_bundle(directory: Path) -> Path:
    """A bundle in ``directory``, trained on that data once a test run."""
    return _copy(_trained()[1], directory / "bundle")


@cache
def _trained() -> tuple[Path, Path]:
    root = Path(mkdtemp(prefix="segue-tests-"))
    data, bundle = root / "data", root / "bundle"
    generate(data, listeners=LISTENERS, tracks=TRACKS)
    train(data, bundle, progress=lambda *_: None)
    return data, bundle


def _copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target
