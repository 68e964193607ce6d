"""Serves the active bundle, and changes it for another one while requests go on.

A pointer says which version is active. It is looked at now and then. The request that finds it
moved brings the bundle here, verifies it and lets every model score. Only then it puts the bundle
in place; meanwhile other requests are answered from the one before. What fails on the way changes
nothing but ``refused``. The bundle that the functions were deployed with serves where there is no
pointer, or where what it names cannot be had.
"""

import gc
import os
import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from threading import Lock
from typing import Protocol

from segue.adapters.directory import rehearse
from segue.domain.errors import BundleError, BundleMissing, StoreUnavailable
from segue.models.bundle import Bundle, read_manifest
from segue.models.pointer import is_version
from segue.ports import Refused

# The active one, and another one that an epoch is frozen to or that was active before.
MOST_HELD = 2

# What is corrupt stays so until somebody puts it right, and looking at it takes a while.
_RETRY_SECONDS = 900
_SCRATCH = "segue-bundles-"
# In it, what is on its way of a bundle.
_INCOMING = "incoming"


class Bundles(Protocol):
    """Where bundles come from. Raises StoreUnavailable. Called by one thread at a time."""

    def active(self) -> str | None:
        """The version that is active; None: the one that the functions were deployed with."""
        ...

    def fetch(self, version: str, folder: Path) -> None:
        """Bring a bundle into the folder, going on from what is there of it. Raises BundleError."""
        ...


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a version could not be had, and until when that is not tried again.

    Not the error itself, which would keep alive what it was raised from.
    """

    kind: type[BundleError | StoreUnavailable]
    reason: str
    until: float


class ActiveModelStore:
    """At most two bundles are held, and their files with them.

    ``own``: the folder of the bundle that the functions were deployed with. ``poll``: seconds
    between two looks at the pointer. ``tell``: called at every look after which something else is
    served than should be. ``now``: seconds on a clock that does not stand still while the instance
    lies in a snapshot.
    """

    def __init__(
        self,
        bundles: Bundles,
        own: Path,
        poll: float,
        tell: Callable[[Refused], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._bundles = bundles
        self._own = own
        self._own_version: str | None = None
        self._poll = poll
        self._tell = tell
        self._now = now
        self._look_at = 0.0
        self._changing = Lock()
        # In the order in which they came. Requests read it without a lock: it is only replaced.
        self._held: tuple[Bundle, ...] = ()
        self._current: Bundle | None = None
        self._refused: Refused | None = None
        self._failures: dict[str, _Failure] = {}
        self._scratch: Path | None = None

    def current(self, *, fresh: bool = False) -> Bundle:
        """At most one conditional GetObject each ``poll`` seconds. Raises BundleError."""
        current = self._current
        if current is None or fresh:
            with self._changing:
                return self._follow()
        # Whoever else changes it meanwhile is not waited for.
        if self._now() >= self._look_at and self._changing.acquire(blocking=False):
            try:
                return self._follow()
            finally:
                self._changing.release()
        return current

    def bundle(self, version: str) -> Bundle:
        """Fetched where it is not held. Raises BundleError and StoreUnavailable."""
        if held := self._find(version):
            return held
        with self._changing:
            return self._obtain(version)

    def refused(self) -> Refused | None:
        return self._refused

    def _follow(self) -> Bundle:
        """Look where the pointer points, and serve that if it can be had."""
        version = None
        try:
            version = self._bundles.active()
            self._current = self._deployed() if version is None else self._obtain(version)
            self._refused = None
        except (BundleError, StoreUnavailable) as error:
            self._refused = Refused(version, str(error))
            self._tell(self._refused)
            if self._current is None:
                if version is None and isinstance(error, BundleError):
                    raise  # it was the deployed one that could not be had
                self._current = self._deployed()
        finally:
            self._look_at = self._now() + self._poll
        return self._current

    def _find(self, version: str | None) -> Bundle | None:
        return next((held for held in self._held if held.version == version), None)

    def _deployed(self) -> Bundle:
        """Tried at every request, while there is nothing else to serve."""
        return self._find(self._own_version) or self._open_own()

    def _obtain(self, version: str) -> Bundle:
        if held := self._find(version):
            return held
        failure = self._failures.get(version)
        if failure and self._now() < failure.until:
            raise failure.kind(failure.reason)
        try:
            bundle = self._open_own() if self._is_own(version) else self._bring(version)
        except (BundleError, StoreUnavailable) as error:
            passing = isinstance(error, StoreUnavailable)
            until = self._now() + (self._poll if passing else _RETRY_SECONDS)
            self._failures[version] = _Failure(type(error), str(error), until)
            raise
        self._failures.pop(version, None)
        return bundle

    def _is_own(self, version: str) -> bool:
        with suppress(BundleError):
            return read_manifest(self._own).version == version
        return False

    def _open_own(self) -> Bundle:
        with _blaming(f"bundle {self._own}"):
            bundle = Bundle.mapped(self._own)
            self._make_room()
        self._own_version = bundle.version
        return self._hold(bundle)

    def _bring(self, version: str) -> Bundle:
        """Fetch, verify, load and rehearse. Its files are gone when nobody uses it any more."""
        if not is_version(version):
            raise BundleMissing(f"{version!r} is no version of a bundle")
        with _blaming(f"bundle {version}"):
            incoming = self._incoming(version)
            self._bundles.fetch(version, incoming)
            folder = Path(mkdtemp(dir=self._scratch))
            bundle = _opened(incoming.rename(folder / version))
            weakref.finalize(bundle, shutil.rmtree, folder, ignore_errors=True)
            self._make_room()
            rehearse(bundle)
        return self._hold(bundle)

    def _make_room(self) -> None:
        """Let go of one that is not served, before another one is loaded."""
        idle = [held for held in self._held if held is not self._current]
        if len(self._held) == MOST_HELD:
            self._held = tuple(held for held in self._held if held is not idle[0])
            del idle
            # A bundle and its models refer to each other, so that nothing else frees them.
            gc.collect()

    def _hold(self, bundle: Bundle) -> Bundle:
        self._held = (*self._held, bundle)
        return bundle

    def _incoming(self, version: str) -> Path:
        """Where a bundle arrives. What had begun to arrive of another one is given up."""
        if self._scratch is None:
            self._scratch = _scratch_folder()
            weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        incoming = self._scratch / _INCOMING
        incoming.mkdir(exist_ok=True)
        for begun in incoming.iterdir():
            if begun.name != version:
                shutil.rmtree(begun)
        (incoming / version).mkdir(exist_ok=True)
        return incoming / version


@contextmanager
def _blaming(what: str) -> Iterator[None]:
    """Whatever is wrong with a bundle, it is the bundle's fault, and no reason to stop serving."""
    try:
        yield
    except (BundleError, StoreUnavailable):
        raise
    except Exception as error:
        raise BundleError(f"{what}: {type(error).__name__}: {error}") from error


def _opened(path: Path) -> Bundle:
    try:
        return Bundle.open(path)
    except Exception:
        shutil.rmtree(path.parent)
        raise


def _scratch_folder() -> Path:
    """A folder of this process alone. What processes left behind that were killed is removed, but
    for what was arriving: Lambda keeps the temporary storage of an instance whose process it
    replaces."""
    root = Path(gettempdir())
    own = Path(mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-", dir=root))
    for left in root.glob(f"{_SCRATCH}*"):
        if not _runs(int(left.name.split("-")[2])):
            # Another process may be faster, and one bundle is enough.
            with suppress(OSError):
                (left / _INCOMING).rename(own / _INCOMING)
            shutil.rmtree(left, ignore_errors=True)
    return own


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs, and is somebody else's
        return True
    return True
