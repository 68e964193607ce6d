"""Maintenance in ``segue serve``: it compacts by itself, Lambda's Invoke has it settle."""

import time

import pytest

from tests.e2e.conftest import PATIENCE, Options, Service, client, perform, results, serving

NAME = "maintained"
INVOKE = "/2015-03-31/functions/MaintenanceFunction/invocations"
ARMS = [{"group": "A", "model_id": 0, "share": 0.5}, {"group": "B", "model_id": 1, "share": 0.5}]
USERS = {103, 104}

pytestmark = pytest.mark.local


def settled(service: Service) -> dict[int, int]:
    path = f"/ab_test/results?experiment={NAME}&live=true"
    rows = service.request("GET", path).json()["results"]
    return {row["user_id"]: row["recomm_successful"] for row in rows}


def test_it_compacts_by_itself(options: Options) -> None:
    def keys(service: Service, folder: str) -> list[str]:
        listed = client(service, "s3").list_objects_v2(
            Bucket=service.names["Bucket"], Prefix=f"ab/default/epoch=1/{folder}/"
        )
        return [entry["Key"] for entry in listed.get("Contents", [])]

    with serving(options) as service:
        outcomes = {user: perform(service, user) for user in range(101, 121)}
        deadline = time.monotonic() + PATIENCE
        while keys(service, "raw") and time.monotonic() < deadline:
            time.sleep(0.1)
        assert keys(service, "raw") == []
        assert len(keys(service, "archive")) == 1
        assert results(service) == outcomes


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
