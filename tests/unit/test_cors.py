"""CORS: pages of listed websites may call the API from a browser, and nobody else's."""

import json
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.event_handler import Response

from infra.local.functions import LambdaContext
from segue.api.app import create_app
from segue.api.cors import Cors, read_origins
from segue.api.http import json_response
from segue.api.routes import ROUTES
from segue.domain.errors import UnknownUser

EVENT = json.loads((Path(__file__).parent / "proxy_event.json").read_bytes())
LISTED = ("https://music.example.org", "http://shop.example:8080")
EXPOSED = {"etag", "link", "x-segue-answered-by", "x-segue-bundle"}


def answer(
    method: str,
    path: str,
    origin: str | None,
    origins: str,
    query: dict[str, str] | None = None,
    *,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[int, dict[str, str]]:
    """Status and headers of a function's answer, where these origins are listed."""
    monkeypatch.setenv("CORS_ORIGINS", origins)
    app = create_app()

    @app.get("/health")
    def health() -> Response[str]:
        return json_response({}, headers={"ETag": '"1"'})

    @app.get("/users/<user_id>")
    def user(user_id: str) -> Response[str]:
        raise UnknownUser(user_id)

    event: dict[str, Any] = {
        **EVENT,
        "httpMethod": method,
        "path": path,
        "resource": path,
        "headers": {"Origin": origin} if origin else {},
        "multiValueHeaders": {"Origin": [origin]} if origin else {},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [it] for name, it in (query or {}).items()},
        "body": None,
    }
    answered = app.resolve(event, LambdaContext("pages", "request-1", 25))
    headers = answered["multiValueHeaders"].items()
    return answered["statusCode"], {name.lower(): values[0] for name, values in headers}


def listed(headers: dict[str, str], name: str) -> set[str]:
    return set(headers[f"access-control-{name}"].lower().split(","))


@pytest.mark.parametrize("origin", LISTED)
def test_a_preflight_of_a_listed_website_is_granted(
    origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, headers = answer(
        "OPTIONS", "/tracks", origin, ",".join(LISTED), {"k": "5"}, monkeypatch=monkeypatch
    )
    assert status == 204
    assert headers["access-control-allow-origin"] == origin
    assert headers["vary"] == "Origin"
    assert listed(headers, "allow-methods") == {"get", "post", "put", "delete"}
    assert listed(headers, "allow-headers") >= {
        "authorization",
        "content-type",
        "if-match",
        "x-amz-date",
        "x-amz-security-token",
    }
    assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/users/1", 404), ("/x", 404)])
def test_answers_and_problems_can_be_read_by_listed_websites(
    path: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, headers = answer("GET", path, LISTED[1], ", ".join(LISTED), monkeypatch=monkeypatch)
    assert answered == status
    assert headers["access-control-allow-origin"] == LISTED[1]
    assert listed(headers, "expose-headers") == EXPOSED


@pytest.mark.parametrize(
    ("origin", "origins"),
    [
        (None, LISTED[0]),
        ("https://evil.example", LISTED[0]),
        ("https://music.example.org.evil.example", LISTED[0]),
        ("http://music.example.org", LISTED[0]),
        ("null", LISTED[0]),
        (LISTED[0], ""),
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_others_are_granted_nothing(
    origin: str | None, origins: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, headers = answer(method, "/health", origin, origins, monkeypatch=monkeypatch)
    assert "access-control-allow-origin" not in headers


def test_nothing_that_routes_take_or_answer_is_missing() -> None:
    headers = Cors(LISTED).to_dict(LISTED[0])
    answered = {name for route in ROUTES for it in route.answers.values() for name in it.headers}
    taken = {name for route in ROUTES for name in route.headers}
    names = {name.lower(): value.lower().split(",") for name, value in headers.items()}
    assert {it.lower() for it in answered} <= set(names["access-control-expose-headers"])
    assert {it.lower() for it in taken} <= set(names["access-control-allow-headers"])
    methods = {route.method.lower() for route in ROUTES}
    assert methods <= set(names["access-control-allow-methods"])


def test_origins_may_have_blanks_between_them() -> None:
    assert read_origins("https://a.example, https://b.example") == [
        "https://a.example",
        "https://b.example",
    ]
    assert read_origins("") == []
