"""What runs by a schedule on AWS runs by it in the local stack, too."""

import json
from concurrent.futures import Future
from queue import SimpleQueue

import pytest

from infra.local import schedules
from infra.local.functions import Answer, failure
from infra.template import Schedule


def test_a_function_runs_again_and_again_whatever_comes_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: SimpleQueue[bytes] = SimpleQueue()
    # The third run has no end, and so no fourth follows.
    answers = [failure("StoreUnavailable", "the tables are gone"), Answer(b"null"), None]

    def invoke(event: bytes, request_id: str) -> "Future[Answer]":
        answered: Future[Answer] = Future()
        if answer := answers.pop(0):
            answered.set_result(answer)
        events.put(event)
        return answered

    schedules.start([Schedule("MaintenanceFunction", 0)], {"MaintenanceFunction": invoke})
    runs = [json.loads(events.get(timeout=60)) for _ in range(3)]
    assert {run["source"] for run in runs} == {"aws.events"}
    assert "the tables are gone" in caplog.text


def test_no_outcome_is_settled_by_it() -> None:
    """By the clock, all windows of a demonstration have passed: only its user knows better."""
    events: SimpleQueue[bytes] = SimpleQueue()

    def invoke(event: bytes, request_id: str) -> "Future[Answer]":
        events.put(event)
        return Future()

    schedules.start([Schedule("MaintenanceFunction", 900)], {"MaintenanceFunction": invoke})
    assert json.loads(events.get(timeout=60))["settle"] is False
