"""A user who is erased is gone from every answer, and from the counts of the report."""

from typing import Any

from tests.e2e.conftest import Service

ARMS = [{"group": "A", "model_id": 0, "share": 0.5}, {"group": "B", "model_id": 1, "share": 0.5}]
NAME = "erasure"
USERS = (99101, 99102)


def answered(service: Service, method: str, path: str, body: Any = None) -> Any:
    response = service.request(method, path, body)
    assert response.is_success, response.text
    return response.json() if response.content else None


def replay_for(service: Service, user: int) -> None:
    """A listener who played something before the cut-off, and whose test was performed."""
    (track,) = answered(service, "POST", "/models/0/predict", {"user_id": 102, "k": 1})
    play = {"session_id": 1, "timestamp": "2022-08-31", "event_type": "PLAY", "track_id": track}
    answered(service, "PUT", f"/users/{user}", {"favourite_genres": []})
    answered(service, "POST", f"/users/{user}/events", {"events": [play]})
    answered(service, "POST", "/perform_ab_test", {"user_id": user, "experiment": NAME})


def counted(service: Service) -> int:
    report = answered(service, "GET", f"/ab_test/report?experiment={NAME}")
    users: int = report["experiment"]["users"]
    return users


def test_an_erased_user_is_in_no_answer_and_no_count(served: Service) -> None:
    answered(served, "PUT", f"/experiments/{NAME}", {"arms": ARMS})
    for user in USERS:
        replay_for(served, user)
    assert counted(served) == 2
    answered(served, "DELETE", f"/users/{USERS[0]}")
    assert counted(served) == 1
    rows = answered(served, "GET", f"/ab_test/results?experiment={NAME}")["results"]
    assert [row["user_id"] for row in rows] == [USERS[1]]
    for path in (f"/users/{USERS[0]}", f"/users/{USERS[0]}/export", f"/users/{USERS[0]}/events"):
        assert served.request("GET", path).status_code == 404
