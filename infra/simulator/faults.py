"""What can go wrong on the way between listeners and a service, planted on purpose."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from math import ceil
from typing import Any

from infra.service import ServiceError
from infra.simulator.listeners import batches

_PARTS = 3

# Method, path and body of a request; its parsed answer.
Call = Callable[[str, str, Any], Any]


class Fault(StrEnum):
    """One of them at a time."""

    # Of the second arm, whoever heard nothing to its end asks to be erased: those who stay are no
    # longer a fair sample, and the arm looks better than it is.
    SAMPLE_RATIO = "sample-ratio"
    # Every request comes twice at once, events in parts of which the last comes first; and once
    # everything has been settled, all of it comes again.
    DUPLICATES = "duplicates"


def duplicating(call: Call) -> Call:
    """The same, with every request sent twice at once, and events in parts, the last part first.

    Raises ServiceError where a question is answered in two ways.
    """

    def twice(method: str, path: str, body: Any) -> Any:
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda _: call(method, path, body), range(2))
        if method == "GET" and first != second:
            raise ServiceError(f"GET {path}, asked twice at once, was answered in two ways")
        return first

    def call_duplicated(method: str, path: str, body: Any) -> Any:
        if not (isinstance(body, dict) and "events" in body):
            return twice(method, path, body)
        backwards = body["events"][::-1]
        parts = batches(backwards, ceil(len(backwards) / _PARTS))
        return [twice(method, path, {"events": part}) for part in parts]

    return call_duplicated
