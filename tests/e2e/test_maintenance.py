"""Maintenance in ``segue serve``: its schedule has it compact, Lambda's Invoke has it settle."""

import time

import pytest

from tests.e2e.conftest import PATIENCE, Options, Service, serving

NAME = "maintained"
INVOKE = "/2015-03-31/functions/MaintenanceFunction/invocations"
ARMS = [{"group": "A", "model_id": 0, "share": 0.5}, {"group": "B", "model_id": 1, "share": 0.5}]
USERS = {103, 104}

pytestmark = pytest.mark.local


def settled(service: Service) -> dict[int, int]:
    path = f"/ab_test/results?experiment={NAME}&live=true"
    rows = service.request("GET", path).json()["results"]
    return {row["user_id"]: row["recomm_successful"] for row in rows}


def test_it_runs_by_itself(options: Options) -> None:
    log = options.state / "functions.log"
    with serving(options):
        deadline = time.monotonic() + PATIENCE
        while '"service":"maintenance"' not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert '"service":"maintenance"' in log.read_text()


def test_what_is_due_is_settled_once(served: Service) -> None:
    served.request("PUT", f"/experiments/{NAME}", {"arms": ARMS})
    for user in USERS:
        shown = served.request("GET", f"/users/{user}/recommendations?experiment={NAME}")
        assert shown.json()["recommendation_id"]
    assert settled(served) == {}
    outcomes = []
    for _ in range(2):
        answer = served.request("POST", INVOKE, {})
        assert (answer.status_code, answer.json()) == (200, None)
        assert "x-amz-function-error" not in answer.headers
        outcomes.append(settled(served))
    assert outcomes[0].keys() == USERS
    assert outcomes[0] == outcomes[1]
    report = served.request("GET", f"/ab_test/report?experiment={NAME}&live=true").json()
    assert report["experiment"]["users"] == len(USERS)
