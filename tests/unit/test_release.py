"""The check of a release: it asks every route, and a fault in any one of them stops it."""

import json
import re
from collections.abc import Mapping
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.awsrequest import AWSRequest

from infra.template import Route, load
from segue.adapters import release
from segue.adapters.release import Version
from segue.services.release import CHECKS, NAME, Answer, Caller, Request, RouteFailed, listener
from tests.unit.conftest import ROOT, Function, LambdaContext, load_function

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
        (function_id,) = (each for each in self.all if each in FunctionName)
        return answered(self.all[function_id].module.lambda_handler(event, LambdaContext()))

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


class CodeDeploy:
    """CodeDeploy's client, during the release of a function."""

    def __init__(self, function: str) -> None:
        self.deployed = {"functionName": function, "targetVersion": "8"}
        self.statuses: list[str] = []

    def list_deployment_targets(self, **_: str) -> dict[str, Any]:
        return {"targetIds": ["t-1"]}

    def batch_get_deployment_targets(self, **_: object) -> dict[str, Any]:
        target = {"lambdaTarget": {"lambdaFunctionInfo": self.deployed}}
        return {"deploymentTargets": [target]}

    def put_lifecycle_event_hook_execution_status(self, **asked: str) -> None:
        assert asked["deploymentId"] == "d-1"
        assert asked["lifecycleEventHookExecutionId"] == "e-1"
        self.statuses.append(asked["status"])


class TestHook:
    """``functions/release_check``, which answers CodeDeploy whatever happens."""

    def release(
        self, functions: Functions, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> list[str]:
        codedeploy = CodeDeploy(name)
        clients = {"codedeploy": codedeploy, "lambda": functions}
        monkeypatch.setattr(release.boto3, "client", lambda kind, **_: clients[kind])
        monkeypatch.setenv("EVENTS_FUNCTION", "segue-prod-EventsFunction-x")
        event = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "e-1"}
        hook = load_function("release_check", monkeypatch).module
        hook.lambda_handler(event, LambdaContext())
        return codedeploy.statuses

    def test_a_version_that_answers_is_let_through(
        self, functions: Functions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = "segue-prod-PredictFunction-x"
        assert self.release(functions, name, monkeypatch) == ["Succeeded"]

    def test_a_version_with_a_fault_is_taken_back(
        self, functions: Functions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        functions.broken = ("GET", "/genres")
        name = "segue-prod-PredictFunction-x"
        assert self.release(functions, name, monkeypatch) == ["Failed"]

    def test_a_function_that_it_does_not_know_is_taken_back(
        self, functions: Functions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.release(functions, "segue-prod-Other", monkeypatch) == ["Failed"]


class TestCanary:
    """``functions/canary``, which goes through the API's front door."""

    def sing(self, functions: Functions, monkeypatch: pytest.MonkeyPatch) -> list[AWSRequest]:
        sent: list[AWSRequest] = []

        def send(_: object, request: AWSRequest) -> Any:
            sent.append(request)
            url = urlsplit(request.url)
            path = url.path.removeprefix("/staging")
            (route,) = (
                it
                for it in ROUTES
                if it.method == request.method and re.fullmatch(pattern(it.path), path)
            )
            body = json.loads(request.body) if request.body else None
            asked = Request(route.method, path, {}, dict(parse_qsl(url.query)), {}, body)
            answer = functions.send(asked._replace(route=route.path, parameters=named(route, path)))
            body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            return SimpleNamespace(status_code=answer.status, text=body)

        monkeypatch.setattr(release.URLLib3Session, "send", send)
        monkeypatch.setenv("API_URL", "https://api.execute-api.us-east-1.amazonaws.com/staging")
        load_function("canary", monkeypatch).module.lambda_handler({}, LambdaContext())
        return sent

    def test_signs_every_call_and_leaves_experiments_alone(
        self, functions: Functions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent = self.sing(functions, monkeypatch)
        assert sent
        for request in sent:
            assert "/us-east-1/execute-api/aws4_request" in request.headers["Authorization"]
        assert not [path for _, path in functions.asked if "experiment" in path or "ab_t" in path]

    def test_fails_where_a_route_does(
        self, functions: Functions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        functions.broken = ("GET", "/tracks")
        with pytest.raises(RouteFailed, match="GET /tracks"):
            self.sing(functions, monkeypatch)


def pattern(path: str) -> str:
    return re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path))


def named(route: Route, path: str) -> dict[str, str]:
    match = re.fullmatch(pattern(route.path), path)
    assert match is not None
    return match.groupdict()
