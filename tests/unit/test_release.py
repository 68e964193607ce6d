"""The check of a release: it asks every route, and a fault in any one of them stops it."""

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import pytest

from infra.template import Route, load
from segue.adapters.release import Version
from segue.services.release import CHECKS, NAME, Answer, Caller, Request, RouteFailed, listener
from tests.unit.conftest import ROOT, Function, LambdaContext

ROUTES = load(ROOT / "template.yaml").routes()


class Functions:
    """All functions of the API, as Lambda's client reaches them; one route may be broken."""

    def __init__(self, functions: Mapping[str, Function]) -> None:
        self.all = functions
        self.asked: set[tuple[str, str]] = set()
        self.broken: tuple[str, str] | None = None

    def invoke(self, *, FunctionName: str, Qualifier: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        event = json.loads(Payload)
        route = (event["httpMethod"], event["resource"])
        self.asked.add(route)
        if route == self.broken:
            return answered({"statusCode": 500, "body": None})
        assert Qualifier
        return answered(self.all[FunctionName].module.lambda_handler(event, LambdaContext()))

    def send(self, request: Request) -> Answer:
        """To whichever function answers that route."""
        route = (request.method, request.route)
        (function_id,) = (it.function_id for it in ROUTES if (it.method, it.path) == route)
        client: Any = self
        return Version(client, function_id, "7").send(request)


def answered(payload: Any) -> dict[str, Any]:
    return {"Payload": BytesIO(json.dumps(payload).encode())}


@pytest.fixture
def functions(
    predict: Function, events: Function, ab_test: Function, ab_report: Function, pages: Function
) -> Functions:
    return Functions(
        {
            "PredictFunction": predict,
            "EventsFunction": events,
            "AbTestFunction": ab_test,
            "AbReportFunction": ab_report,
            "PagesFunction": pages,
        }
    )


def check(functions: Functions, function_id: str) -> None:
    """Call every route of the function for a listener whom the events function makes, and erases.

    What is broken is so of the version under test: the listener comes from another.
    """
    sound = Functions(functions.all)
    with listener(Caller(sound.send), f"{NAME}-{function_id}") as user_id:
        CHECKS[function_id](Caller(functions.send), user_id)


@pytest.mark.parametrize("function_id", CHECKS)
def test_every_route_of_a_function_is_asked_and_no_other(
    functions: Functions, function_id: str
) -> None:
    check(functions, function_id)
    routes = {(it.method, it.path) for it in ROUTES if it.function_id == function_id}
    assert functions.asked == routes


def test_every_function_of_the_api_has_a_check() -> None:
    assert set(CHECKS) == {route.function_id for route in ROUTES}


@pytest.mark.parametrize("route", ROUTES, ids=lambda it: f"{it.method} {it.path}")
def test_a_fault_in_any_route_fails_the_check_and_is_named(
    functions: Functions, route: Route
) -> None:
    functions.broken = (route.method, route.path)
    with pytest.raises(RouteFailed, match=rf"{route.method} /.* answered 500"):
        check(functions, route.function_id)


def test_a_check_can_be_repeated(functions: Functions) -> None:
    for _ in range(2):
        for function_id in CHECKS:
            check(functions, function_id)


def test_it_leaves_no_listener_behind(functions: Functions) -> None:
    check(functions, "EventsFunction")
    assert functions.send(Request("GET", "/users", {}, {}, {}, None)).body["users"] == []


def test_an_answer_of_another_status_is_told_with_what_it_says() -> None:
    def refuse(*_: object) -> Answer:
        return Answer(422, json.loads('{"detail": "k: too many"}'))

    with pytest.raises(RouteFailed, match=r"GET /tracks was answered 422 instead of 200.*too many"):
        Caller(refuse)("GET", "/tracks")


def test_a_version_that_crashes_has_not_answered() -> None:
    class Crashing:
        def invoke(self, **_: object) -> dict[str, Any]:
            return answered({"errorType": "ImportError"}) | {"FunctionError": "Unhandled"}

    client: Any = Crashing()
    answer = Version(client, "segue-prod-PredictFunction-x", "7").send(
        Request("GET", "/health", {}, {}, {}, None)
    )
    assert answer == Answer(502, {"errorType": "ImportError"})
