"""A bundle from a folder, such as the models layer's, and the system's clock."""

import time
from pathlib import Path

from segue.models.bundle import Bundle


class DirectoryModelStore:
    """Opens the bundle once; while that fails, every request tries again and says why."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bundle: Bundle | None = None

    def current(self) -> Bundle:
        """Raises BundleMissing and BundleCorrupt."""
        if self._bundle is None:
            self._bundle = Bundle.open(self._path)
        return self._bundle


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000
