"""A listener with a token of their own reaches their own data, and nobody else's."""

from collections.abc import Mapping
from typing import Any

import pytest

from segue.domain.times import DAY
from tests.unit.conftest import Function, World

OWN = "auth0|429"
PATHS = {
    "events": [
        ("GET", "/users/{}", None),
        ("PUT", "/users/{}", {"premium_user": True}),
        ("GET", "/users/{}/events", None),
        ("POST", "/users/{}/events", {"events": []}),
        ("GET", "/users/{}/export", None),
        ("DELETE", "/users/{}", None),
    ],
    "ab_test": [("GET", "/users/{}/recommendations", None)],
}
REQUESTS = [(name, *request) for name, requests in PATHS.items() for request in requests]


def token(subject: str) -> dict[str, Any]:
    """What API Gateway tells of a token that it has verified."""
    return {"claims": {"sub": subject, "iss": "https://id.example.org/"}, "scopes": None}


@pytest.fixture
def functions(events: Function, ab_test: Function, world: World) -> Mapping[str, Function]:
    """Every function that a listener can reach, and two listeners with data."""
    world.clock.time = world.cutoff + DAY
    for user in (OWN, "another"):
        world.join(user, "rock")
        world.play(user, world.tracks(0, 10))
    return {"events": events, "ab_test": ab_test}


@pytest.mark.parametrize(("function", "method", "path", "body"), REQUESTS)
class TestEveryRoute:
    def test_answers_a_listener_about_themselves(
        self, functions: Mapping[str, Function], function: str, method: str, path: str, body: Any
    ) -> None:
        for written in (OWN, "auth0%7C429"):
            asked = functions[function]
            status, _, _ = asked.call(method, path.format(written), body, authorizer=token(OWN))
            assert status < 300
            # Erased, they are there no more.
            functions["events"].call("PUT", f"/users/{OWN}", {"premium_user": True})

    @pytest.mark.parametrize(
        "authorizer",
        [token("another"), token(""), token("*"), {}, {"claims": None}, {"claims": {"sub": None}}],
    )
    def test_refuses_whoever_is_somebody_else(
        self,
        functions: Mapping[str, Function],
        world: World,
        function: str,
        method: str,
        path: str,
        body: Any,
        authorizer: dict[str, Any],
    ) -> None:
        before = world.users.get(OWN)
        status, _, answer = functions[function].call(
            method, path.format(OWN), body, authorizer=authorizer
        )
        assert (status, answer["type"]) == (403, "urn:segue:problem:access-denied")
        assert OWN not in answer["detail"]
        assert world.users.get(OWN) == before


@pytest.mark.parametrize(
    ("function", "method", "path", "body"),
    [
        ("events", "GET", "/users", None),
        ("events", "PUT", "/tracks/t1", {"available": False}),
        ("ab_test", "GET", "/ab_test/results", None),
        ("ab_test", "DELETE", "/ab_test/results", None),
        ("ab_test", "POST", "/perform_ab_test", {"user_id": OWN}),
        ("ab_test", "GET", "/experiments", None),
    ],
)
def test_what_is_no_listeners_own_is_refused(
    functions: Mapping[str, Function], function: str, method: str, path: str, body: Any
) -> None:
    status, _, answer = functions[function].call(method, path, body, authorizer=token(OWN))
    assert (status, answer["type"]) == (403, "urn:segue:problem:access-denied")
