"""A small world for the tests: data of a few listeners, and a bundle really trained on it."""

import atexit
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from infra.demo import generate
from training.models.autoencoder import TrainedAutoencoder, train_autoencoder
from training.models.classifier import TrainedClassifier, train_classifier
from training.train import train

LISTENERS = 40  # ids 101 to 140
TRACKS = 600


def tiny_data(directory: Path) -> Path:
    """A data folder in ``directory``, made once a test run."""
    return _copy(_trained()[0], directory / "data")


def tiny_bundle(directory: Path) -> Path:
    """A bundle in ``directory``, trained on that data once a test run."""
    return _copy(_trained()[1], directory / "bundle")


def trained_networks() -> tuple[TrainedAutoencoder, TrainedClassifier]:
    """The very PyTorch networks that the bundle was exported from."""
    return _trained()[2:]


@cache
def _trained() -> tuple[Path, Path, TrainedAutoencoder, TrainedClassifier]:
    root = Path(mkdtemp(prefix="segue-tests-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    data, bundle = root / "data", root / "bundle"
    generate(data, listeners=LISTENERS, tracks=TRACKS)
    kept: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        for fit in (train_autoencoder, train_classifier):
            patch.setattr(f"training.models.fit.{fit.__name__}", _keeping(fit, kept))
        train(data, bundle, progress=lambda *_: None)
    return data, bundle, kept[0], kept[1]


def _keeping(fit: Callable[..., Any], kept: list[Any]) -> Callable[..., Any]:
    def fit_and_keep(*arguments: Any) -> Any:
        kept.append(fit(*arguments))
        return kept[-1]

    return fit_and_keep


def _copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target
