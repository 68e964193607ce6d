"""What all tests share."""

from pathlib import Path

import pytest
from hypothesis import settings

from segue.models.bundle import Bundle
from tests.bundles import tiny_bundle, tiny_data

# Tests state what happens, not how fast: a busy machine is no fault.
settings.register_profile("segue", deadline=None)
settings.load_profile("segue")


@pytest.fixture(scope="session")
def data_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of 40 listeners and 600 tracks."""
    return tiny_data(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that was trained on it; not to be changed."""
    return tiny_bundle(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    """The same, opened."""
    return Bundle.open(bundle_path)
