"""A bundle from a folder, such as the models layer's, and the system's clock."""

import time
from pathlib import Path

from segue.domain.errors import BundleCorrupt
from segue.models.bundle import Bundle, read_manifest
from segue.models.registry import load_model


class DirectoryModelStore:
    """Opens the bundle once; while that fails, every request tries again and says why."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bundle: Bundle | None = None

    def current(self) -> Bundle:
        """Raises BundleMissing and BundleCorrupt."""
        if self._bundle is None:
            self._bundle = _open_whole(self._path)
        return self._bundle


def _open_whole(path: Path) -> Bundle:
    """Open a bundle and all that is read of it lazily, so that nothing of another one gets in."""
    bundle = Bundle.open(path)
    _ = bundle.catalogue  # a cached property: it is read here
    for model_id in bundle.manifest.models:
        load_model(model_id, bundle)
    # Another bundle may have taken its place since it was verified.
    if read_manifest(path).version != bundle.version:
        raise BundleCorrupt(f"{path}: was replaced while it was being read")
    return bundle


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000
