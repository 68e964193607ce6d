"""What stops a server."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, SIGINT and SIGTERM raise KeyboardInterrupt.

    SIGINT, too, has to be told: a shell has its background jobs ignore it.
    """
    stopping = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(one, signal.default_int_handler) for one in stopping]
    try:
        yield
    finally:
        for one, handler in zip(stopping, before, strict=True):
            signal.signal(one, handler)
