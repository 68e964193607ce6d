"""Work in several threads, little ahead of what is taken from them."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_threads(work: Callable[[T], R], parts: Iterable[T], workers: int) -> Iterator[R]:
    """What comes of each part, as it is done.

    What one thread raises is raised here, when the others have finished what they began.
    """
    with ThreadPoolExecutor(workers) as pool:
        pending: set[Future[R]] = set()
        for part in parts:
            pending.add(pool.submit(work, part))
            if len(pending) >= 2 * workers:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in pending)
