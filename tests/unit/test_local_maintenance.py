"""What runs by a schedule on AWS runs by it in the local stack, too."""

import json
from concurrent.futures import Future
from queue import SimpleQueue

import pytest

from infra.local.functions import Answer, failure
from infra.local.maintenance import keep_up


def test_maintenance_runs_again_and_again_whatever_comes_of_it(
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

    keep_up(invoke, 0)
    runs = [json.loads(events.get(timeout=60)) for _ in range(3)]
    # By the clock, all windows of a demonstration have passed.
    assert [run["settle"] for run in runs] == [False] * 3
    assert "the tables are gone" in caplog.text
