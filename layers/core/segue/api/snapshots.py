"""SnapStart: what a function does before its snapshot is taken, and when it is restored from one.

Lambda starts a version once, keeps its memory, and starts every instance from that. So what is slow
once goes before, and what no two instances may have in common is made anew afterwards. Everywhere
else nobody calls what is registered here.
"""

import random
from collections.abc import Callable
from importlib import import_module

from snapshot_restore_py import (  # type: ignore[import-untyped]
    register_after_restore,
    register_before_snapshot,
)

from segue.api.app import logger
from segue.domain.errors import SegueError


def on_snapshot(prime: Callable[[], object], disconnect: Callable[[], object]) -> None:
    """Have ``prime`` called before the snapshot, and after it ``disconnect``.

    That which identifies or decides anything is drawn from the operating system, which sees to it
    that instances draw differently. The pauses before retries are not, and are told apart here.
    """
    register_before_snapshot(_primed, prime)
    register_after_restore(_told_apart, disconnect)


def _primed(prime: Callable[[], object]) -> None:
    # What the first request with a query would wait for.
    import_module("segue.api.routes")
    try:
        prime()
    except SegueError as error:
        # It will start cold, then, and say what ails it to whoever calls it.
        logger.warning("not primed", reason=str(error))


def _told_apart(disconnect: Callable[[], object]) -> None:
    # Retries of many instances at once must not come at once again.
    random.seed()
    # The other ends of the connections in the snapshot have long hung up.
    disconnect()
