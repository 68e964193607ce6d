"""Maintenance in ``segue serve``: it archives by itself, Lambda's Invoke has it settle."""

import json
import time

import pytest
from botocore.exceptions import ClientError

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


def archived(service: Service) -> int:
    """The records in the archive, as its manifest counts them."""
    manifest = "ab/default/epoch=1/manifest.json"
    try:
        found = client(service, "s3").get_object(Bucket=service.names["Bucket"], Key=manifest)
    except ClientError:
        return 0
    return sum(file["records"] for file in json.load(found["Body"])["files"])


def test_it_archives_by_itself(options: Options) -> None:
    with serving(options) as service:
        outcomes = {user: perform(service, user) for user in range(101, 121)}
        deadline = time.monotonic() + PATIENCE
        while archived(service) < len(outcomes) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert archived(service) == len(outcomes)
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
