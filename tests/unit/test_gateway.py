"""The local gateway: events as API Gateway builds them, answers as it passes them on."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.functions import LambdaContext, LocalFunction
from infra.local.gateway import MAX_BODY_BYTES, Gateway
from infra.local.proxy_event import Request, proxy_event
from infra.template import Route

ROUTES = [
    Route("POST", "/models/{model_id}/predict", "Predict"),
    Route("GET", "/models", "Predict"),
    Route("GET", "/files/{path+}", "Predict"),
]

# Texts that HTTP can carry once they are percent-encoded.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


class FakeFunction(LocalFunction):
    """A function whose handler is given, and need not be on disk."""

    def __init__(self, handler: Callable[[dict[str, Any], LambdaContext], Any]) -> None:
        super().__init__("Predict", "app.lambda_handler", Path(), {})
        self._handler = handler


def echo(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return {"statusCode": 200, "body": json.dumps(event)}


def call(handler: Callable[..., Any], method: str, url: str, **options: Any) -> httpx.Response:
    gateway = Gateway(ROUTES, {"Predict": FakeFunction(handler)})

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=gateway)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, url, **options)

    return asyncio.run(send())


def answer(**fields: Any) -> Callable[..., Any]:
    return lambda event, context: {"statusCode": 200, **fields}


class TestEvent:
    def test_is_the_one_that_api_gateway_builds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "time", lambda: 1428582896.0)
        request = Request(
            method="POST",
            path="/models/1/predict",
            query="tag=a&tag=b%20c&empty=",
            headers=(
                ("host", "127.0.0.1:8000"),
                ("user-agent", "curl/8"),
                ("accept", "text/html"),
                ("accept", "*/*"),
            ),
            body=b'{"user_id": 429}',
            source_ip="127.0.0.1",
        )
        event = proxy_event(request, "/models/{model_id}/predict", {"model_id": "1"}, "c6af9ac6")
        assert event == json.loads((Path(__file__).parent / "proxy_event.json").read_text())

    def test_names_nothing_where_there_is_nothing(self) -> None:
        event = call(echo, "GET", "/models").json()
        assert event["queryStringParameters"] is None
        assert event["multiValueQueryStringParameters"] is None
        assert event["pathParameters"] is None
        assert event["body"] is None

    @given(st.lists(st.tuples(TEXTS, TEXTS), max_size=5))
    def test_carries_every_query_parameter_decoded(self, pairs: list[tuple[str, str]]) -> None:
        event = call(echo, "GET", f"/models?{urlencode(pairs)}").json()
        several = event["multiValueQueryStringParameters"] or {}
        assert several == {name: [v for n, v in pairs if n == name] for name, _ in pairs}
        assert (event["queryStringParameters"] or {}) == dict(pairs)

    @given(TEXTS.filter(lambda text: text not in ("", ".", "..")))
    def test_carries_the_path_as_sent_and_its_parameters_decoded(self, model: str) -> None:
        path = f"/models/{quote(model, safe='')}/predict"
        event = call(echo, "POST", path).json()
        assert event["path"] == path
        assert event["pathParameters"] == {"model_id": model}
        assert event["resource"] == "/models/{model_id}/predict"

    def test_gives_a_greedy_parameter_all_segments(self) -> None:
        assert call(echo, "GET", "/files/a/b").json()["pathParameters"] == {"path": "a/b"}

    @given(TEXTS)
    def test_carries_the_body_as_text(self, body: str) -> None:
        event = call(echo, "POST", "/models/1/predict", content=body.encode()).json()
        assert event["body"] == (body or None)
        assert event["isBase64Encoded"] is False

    def test_bears_the_id_that_the_handler_is_told(self) -> None:
        def handler(event: dict[str, Any], context: LambdaContext) -> Any:
            same = event["requestContext"]["requestId"] == context.aws_request_id
            return {"statusCode": 200, "body": str(same)}

        assert call(handler, "GET", "/models").text == "True"


class TestAnswer:
    def test_keeps_status_headers_and_body(self) -> None:
        response = call(
            answer(statusCode=202, headers={"X-One": "1"}, body="später"), "GET", "/models"
        )
        assert response.status_code == 202
        assert response.headers["x-one"] == "1"
        assert response.text == "später"

    def test_prefers_a_header_with_several_values_to_the_plain_one(self) -> None:
        handler = answer(headers={"X-Tag": "plain"}, multiValueHeaders={"X-Tag": ["a", "b"]})
        assert call(handler, "GET", "/models").headers.get_list("x-tag") == ["a", "b"]

    def test_decodes_binary_bodies(self) -> None:
        body = base64.b64encode(b"\x00\xff").decode()
        handler = answer(body=body, isBase64Encoded=True)
        assert call(handler, "GET", "/models").content == b"\x00\xff"

    def test_sends_no_body_to_a_head_request_but_its_length(self) -> None:
        response = call(answer(body="12345"), "HEAD", "/models")
        assert response.content == b""
        assert response.headers["content-length"] == "5"

    @pytest.mark.parametrize(
        "malformed", [None, "text", {}, {"statusCode": "no number"}, {"statusCode": 200, "body": 1}]
    )
    def test_refuses_what_api_gateway_calls_malformed(self, malformed: Any) -> None:
        assert_problem(call(lambda event, context: malformed, "GET", "/models"), 502)

    def test_hides_an_exception_from_the_caller(self) -> None:
        def handler(event: Any, context: Any) -> Any:
            raise RuntimeError("secret")

        response = call(handler, "GET", "/models")
        assert_problem(response, 502)
        assert "secret" not in response.text


class TestRefusals:
    def test_of_an_unknown_path(self) -> None:
        assert_problem(call(echo, "GET", "/nowhere"), 404)

    def test_of_an_empty_path_parameter(self) -> None:
        assert_problem(call(echo, "POST", "/models//predict"), 404)

    def test_of_a_method_name_those_that_are_allowed(self) -> None:
        response = call(echo, "DELETE", "/models")
        assert_problem(response, 405)
        assert response.headers["allow"] == "GET"

    def test_options_lists_the_methods(self) -> None:
        response = call(echo, "OPTIONS", "/models/1/predict")
        assert response.status_code == 204
        assert response.headers["allow"] == "POST"

    def test_takes_a_body_of_the_greatest_length(self) -> None:
        body = b"x" * MAX_BODY_BYTES
        handler = answer(body="taken")
        assert call(handler, "POST", "/models/1/predict", content=body).text == "taken"

    def test_of_a_body_by_its_declared_length_without_reading_it(self) -> None:
        async def body() -> AsyncIterator[bytes]:
            yield pytest.fail("the body was read")

        headers = {"content-length": str(MAX_BODY_BYTES + 1)}
        response = call(echo, "POST", "/models/1/predict", content=body(), headers=headers)
        assert_problem(response, 413)

    def test_of_an_endless_body_as_soon_as_it_is_over_the_limit(self) -> None:
        sent = 0

        async def body() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 1
                yield b"x" * 1024 * 1024

        assert_problem(call(echo, "POST", "/models/1/predict", content=body()), 413)
        assert sent == 11


class TestFunction:
    def test_is_loaded_from_its_own_file_with_its_own_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TABLE", "another")
        source = (
            "import os\nTABLE = os.environ['TABLE']\ndef handle(event, context): return TABLE\n"
        )
        functions = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "app.py").write_text(source)
            function = LocalFunction(name, "app.handle", tmp_path / name, {"TABLE": name})
            function.load()
            functions.append(function)
        assert [asyncio.run(function.invoke({}, "id")) for function in functions] == ["one", "two"]

    def test_answers_one_call_at_a_time(self) -> None:
        running: list[str] = []

        def handler(event: dict[str, Any], context: LambdaContext) -> int:
            running.append(context.aws_request_id)
            time.sleep(0.01)
            seen = len(running)
            running.clear()
            return seen

        async def calls() -> list[int]:
            function = FakeFunction(handler)
            return list(await asyncio.gather(*(function.invoke({}, str(n)) for n in range(5))))

        assert asyncio.run(calls()) == [1] * 5

    def test_tells_the_handler_how_much_time_is_left(self) -> None:
        context = LambdaContext("predict", "id", 25)
        assert 0 < context.get_remaining_time_in_millis() <= 25_000
        assert context.invoked_function_arn.endswith(":function:predict")


def assert_problem(response: httpx.Response, status: int) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem: Mapping[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["detail"]
    assert problem["request_id"]


class TestInvoke:
    """Lambda's own way to call a function, for those that no route reaches."""

    URL = "/2015-03-31/functions/Predict/invocations"

    def test_hands_the_event_over_and_the_answer_back(self) -> None:
        response = call(
            lambda event, context: event["a"] + 1, "POST", self.URL, content=b'{"a": 1}'
        )
        assert (response.status_code, response.json()) == (200, 2)
        assert "x-amz-function-error" not in response.headers

    def test_takes_no_event_for_an_empty_one(self) -> None:
        assert call(lambda event, context: event, "POST", self.URL).json() == {}

    def test_answers_with_what_the_handler_raised(self) -> None:
        def fail(event: dict[str, Any], context: LambdaContext) -> None:
            raise ValueError("the tables are gone")

        response = call(fail, "POST", self.URL, content=b"{}")
        assert response.status_code == 200
        assert response.headers["x-amz-function-error"] == "Unhandled"
        assert response.json() == {
            "errorMessage": "the tables are gone",
            "errorType": "ValueError",
        }

    def test_refuses_a_function_that_is_not_there(self) -> None:
        url = "/2015-03-31/functions/Nobody/invocations"
        assert call(echo, "POST", url, content=b"{}").status_code == 404

    def test_refuses_what_is_no_json(self) -> None:
        assert call(echo, "POST", self.URL, content=b"{").status_code == 400

    def test_lets_the_handler_know_what_is_left_of_its_own_timeout(self) -> None:
        def left(event: dict[str, Any], context: LambdaContext) -> int:
            return context.get_remaining_time_in_millis()

        function = FakeFunction(left)
        function._timeout = 900
        assert 880_000 < asyncio.run(function.invoke({}, "1")) <= 900_000
