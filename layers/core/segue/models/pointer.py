"""Which bundle is active, and which were before it."""

import re
from dataclasses import dataclass

# How far back the pointer remembers.
REMEMBERED = 50

_VERSION = re.compile("[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Activation:
    """``version``: of the bundle; None: the one that the functions were deployed with.

    ``since``: in milliseconds since 1970 UTC.
    """

    version: str | None
    since: int


@dataclass(frozen=True, slots=True)
class Pointer:
    """The active bundle, and those before it, the latest first."""

    active: Activation = Activation(None, 0)
    before: tuple[Activation, ...] = ()

    def moved(self, version: str | None, now: int) -> "Pointer":
        """To another bundle, with the way back."""
        return Pointer(Activation(version, now), (self.active, *self.before)[:REMEMBERED])

    def moved_back(self, now: int) -> "Pointer | None":
        """To the bundle before; from there the way leads further back. None at the first one."""
        if not self.before:
            return None
        return Pointer(Activation(self.before[0].version, now), self.before[1:])


def is_version(text: str) -> bool:
    """Whether it is the version of some bundle, there or not."""
    return bool(_VERSION.fullmatch(text))
