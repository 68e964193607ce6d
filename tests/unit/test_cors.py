"""CORS: pages of listed websites may call the API from a browser, and nobody else's."""

from collections.abc import Callable

import pytest

from segue.api.cors import Cors, read_origins
from segue.api.routes import ROUTES
from tests.unit.conftest import load_function

LISTED = ("https://music.example.org", "http://shop.example:8080")
EXPOSED = {"etag", "link", "x-segue-answered-by", "x-segue-bundle"}

# Method, path, the page's origin, the origins that are listed; status and headers.
Answer = Callable[[str, str, str, str], tuple[int, dict[str, str]]]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """What a function answers a page."""

    def ask(method: str, path: str, origin: str, origins: str) -> tuple[int, dict[str, str]]:
        monkeypatch.setenv("CORS_ORIGINS", origins)
        function = load_function("pages", monkeypatch)
        headers = {"Origin": origin} if origin else {}
        # A preflight has the query string of the request that it is about.
        query = {"k": "5"} if method == "OPTIONS" else {}
        status, given, _ = function.call(method, path, query=query, headers=headers)
        return status, {name.lower(): value for name, value in given.items()}

    return ask


def listed(headers: dict[str, str], name: str) -> set[str]:
    return set(headers[f"access-control-{name}"].lower().split(","))


@pytest.mark.parametrize("origin", LISTED)
def test_a_preflight_of_a_listed_website_is_granted(answer: Answer, origin: str) -> None:
    status, headers = answer("OPTIONS", "/tracks", origin, ",".join(LISTED))
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


@pytest.mark.parametrize(("path", "status"), [("/openapi.json", 200), ("/nowhere", 404)])
def test_answers_and_problems_can_be_read_by_listed_websites(
    answer: Answer, path: str, status: int
) -> None:
    answered, headers = answer("GET", path, LISTED[1], ", ".join(LISTED))
    assert answered == status
    assert headers["access-control-allow-origin"] == LISTED[1]
    assert listed(headers, "expose-headers") == EXPOSED


@pytest.mark.parametrize(
    ("origin", "origins"),
    [
        ("", LISTED[0]),
        ("https://evil.example", LISTED[0]),
        ("https://music.example.org.evil.example", LISTED[0]),
        ("http://music.example.org", LISTED[0]),
        ("null", LISTED[0]),
        (LISTED[0], ""),
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_others_are_granted_nothing(answer: Answer, origin: str, origins: str, method: str) -> None:
    _, headers = answer(method, "/openapi.json", origin, origins)
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
