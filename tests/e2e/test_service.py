"""The service answers, wherever it runs."""

import socket
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import Service, perform, results

USERS = range(101, 106)


def test_it_is_healthy(served: Service) -> None:
    response = served.request("GET", "/health")
    assert response.status_code == 200
    assert response.json()["status"] == "ok"


@pytest.mark.parametrize("model", [1, 2, 3])
def test_it_recommends_tracks(served: Service, model: int) -> None:
    response = served.request("POST", f"/models/{model}/predict", {"user_id": 102, "k": 7})
    assert response.status_code == 200
    assert len(set(response.json())) == 7


def test_it_lists_the_outcome_that_it_answered(served: Service) -> None:
    outcomes = {user: perform(served, user) for user in USERS}
    assert results(served).items() >= outcomes.items()


def test_it_recommends_by_what_it_was_told_of_a_new_listener(served: Service) -> None:
    (track,) = served.request("POST", "/models/0/predict", {"user_id": 102, "k": 1}).json()
    play = {"session_id": 1, "timestamp": "2022-08-31", "event_type": "PLAY", "track_id": track}
    saved = served.request("PUT", "/users/99001", {"favourite_genres": []})
    added = served.request("POST", "/users/99001/events", {"events": [play]})
    assert (saved.status_code, added.json()["accepted"]) == (200, 1)
    body = {"user_id": 99001, "novelty": "new", "k": 50}
    response = served.request("POST", "/models/1/predict", body)
    assert response.headers["x-segue-answered-by"] == "autoencoder"
    assert track not in response.json()


def test_it_refuses_an_unknown_user(served: Service) -> None:
    response = served.request("POST", "/models/1/predict", {"user_id": 9_999_999})
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_it_listens_on_this_machine_alone(served: Service) -> None:
    # Another address of the loopback: a server on all interfaces would answer there, too.
    for port in (urlsplit(served.url).port, served.stack_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.2", port)) != 0
