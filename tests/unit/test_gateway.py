"""The local gateway: events as API Gateway builds them, answers as it passes them on."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.functions import Answer, Invoke, LambdaContext, handle
from infra.local.gateway import MAX_BODY_BYTES, Gateway
from infra.local.journal import Message
from infra.local.proxy_event import Request, proxy_event
from infra.template import Route
from segue.api.problems import PROBLEM_TYPES

ROUTES = [
    Route("POST", "/models/{model_id}/predict", "Predict"),
    Route("GET", "/models", "Predict"),
    Route("GET", "/files/{path+}", "Predict"),
]

# Texts that HTTP can carry once they are percent-encoded.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def echo(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return {"statusCode": 200, "body": json.dumps(event)}


def invoking(handler: Callable[..., Any]) -> Invoke:
    """How to call the function with this handler, which needs no process of its own."""

    def invoke(event: bytes, request_id: str) -> "Future[Answer]":
        answered: Future[Answer] = Future()
        answered.set_result(handle(handler, event, LambdaContext("Predict", request_id, 25)))
        return answered

    return invoke


def call(handler: Callable[..., Any], method: str, url: str, **options: Any) -> httpx.Response:
    gateway = Gateway(ROUTES, {"Predict": invoking(handler)})

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
        assert event["body"] == (body or None) or "\ufffd" in body
        assert event["isBase64Encoded"] is ("\ufffd" in body)

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


class TestCors:
    @pytest.mark.parametrize(
        "origin", ["http://localhost:5173", "http://127.0.0.1:8001", "http://[::1]:3000"]
    )
    @pytest.mark.parametrize(
        ("method", "path"),
        [("OPTIONS", "/models/1/predict"), ("GET", "/models"), ("GET", "/no"), ("PUT", "/models")],
    )
    def test_pages_of_this_machine_may_read_whatever_is_answered(
        self, origin: str, method: str, path: str
    ) -> None:
        headers = call(echo, method, path, headers={"Origin": origin}).headers
        assert headers["access-control-allow-origin"] == origin
        assert "PUT" in headers["access-control-allow-methods"].split(",")

    @pytest.mark.parametrize(
        "origin",
        ["https://evil.example", "http://localhost.evil.example", "null", "http://127.0.0.1:x"],
    )
    @pytest.mark.parametrize("method", ["GET", "OPTIONS"])
    def test_others_may_not(self, origin: str, method: str) -> None:
        answered = call(echo, method, "/models", headers={"Origin": origin}).headers
        assert not [name for name in answered if name.startswith("access-control-")]


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

    def test_of_what_has_not_changed_has_no_length(self) -> None:
        response = call(lambda event, context: {"statusCode": 304}, "GET", "/models")
        assert response.status_code == 304
        assert "content-length" not in response.headers

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


class TestWaiting:
    """A client that hangs up while its request waits."""

    def test_has_its_request_dropped(self) -> None:
        waiting: Future[Answer] = Future()
        sent = asyncio.run(ask(lambda event, request_id: waiting, [NO_BODY, GONE]))
        assert waiting.cancelled()
        assert sent == []

    def test_does_so_in_the_middle_of_its_body(self) -> None:
        begun = {"type": "http.request", "body": b"{", "more_body": True}
        never = invoking(lambda event, context: pytest.fail("it was called"))
        assert asyncio.run(ask(never, [begun, GONE])) == []


def assert_problem(response: httpx.Response, status: int) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem: Mapping[str, Any] = response.json()
    assert (problem["type"], status) in {(it.uri, it.status) for it in PROBLEM_TYPES}
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

    def test_takes_no_parameters(self) -> None:
        response = call(echo, "POST", self.URL + "?Qualifier=live&x", content=b"{}")
        assert_problem(response, 400)
        said = "Qualifier: no such parameter; nor x; this route takes none"
        assert (response.json()["field"], response.json()["detail"]) == ("Qualifier", said)

    def test_refuses_a_function_that_is_not_there(self) -> None:
        url = "/2015-03-31/functions/Nobody/invocations"
        assert call(echo, "POST", url, content=b"{}").status_code == 404

    @pytest.mark.parametrize(
        "body", [b"{", b'{"a": "\xff"}', b"[" * 100, b"NaN", b"\xff\xfe{\x00}\x00"]
    )
    def test_refuses_what_is_no_json(self, body: bytes) -> None:
        response = call(echo, "POST", self.URL, content=body)
        assert_problem(response, 400)
        assert "the event is not JSON" in response.json()["detail"]

    @pytest.mark.parametrize("levels", [101, 1_000, 100_000])
    def test_refuses_what_is_nested_too_deeply(self, levels: int) -> None:
        response = call(echo, "POST", self.URL, content=b"[" * levels + b"]" * levels)
        assert_problem(response, 400)
        assert response.json()["detail"] == "nested too deeply: more than 100 levels"

    @pytest.mark.parametrize("body", [b"[1]", b'"text"', b"null", b"7"])
    def test_leaves_an_event_that_is_no_object_to_the_handler(self, body: bytes) -> None:
        response = call(lambda event, context: event["a"], "POST", self.URL, content=body)
        assert response.status_code == 200
        assert response.headers["x-amz-function-error"] == "Unhandled"


class TestTextThatIsNotUtf8:
    def test_in_a_body_reaches_the_function_as_bytes(self) -> None:
        event = call(echo, "POST", "/models/1/predict", content=b"\xff{").json()
        assert event["isBase64Encoded"] is True
        assert base64.b64decode(event["body"]) == b"\xff{"

    def test_is_told_from_a_character_that_stands_for_such(self) -> None:
        event = call(echo, "POST", "/models/1/predict", content="\ufffd{".encode()).json()
        assert event["isBase64Encoded"] is True
        assert base64.b64decode(event["body"]).decode() == "\ufffd{"

    def test_in_a_path_parameter_is_refused(self) -> None:
        response = call(echo, "POST", "/models/%ff/predict")
        assert_problem(response, 400)
        assert "model_id" in response.json()["detail"]

    @pytest.mark.parametrize("query", ["tag=%ff", "tag=%ed%a0%80", "tag=a&tag=%c3"])
    def test_in_a_query_parameter_is_refused(self, query: str) -> None:
        response = call(echo, "GET", f"/models?{query}")
        assert_problem(response, 400)
        assert "'tag'" in response.json()["detail"]


class TestWebSocket:
    """There is none, whoever notices that one is asked for."""

    def test_is_refused_as_a_request_to_upgrade(self) -> None:
        headers = {"connection": "Upgrade", "upgrade": "WebSocket"}
        response = call(echo, "GET", "/models", headers=headers)
        assert_problem(response, 400)
        assert response.headers["connection"] == "close"

    def test_is_refused_as_a_connection(self) -> None:
        scope = http_scope(path=b"/models") | {"type": "websocket"}
        del scope["method"]
        start, body = asyncio.run(ask(invoking(echo), [{"type": "websocket.connect"}], scope))
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 400)
        assert json.loads(body["body"])["status"] == 400


class TestAnyRequest:
    @given(
        method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "BREW"]),
        path=st.sampled_from([b"/models", b"/models/1/predict", TestInvoke.URL.encode()])
        | st.binary(max_size=30).map(lambda path: b"/" + path)
        | st.binary(max_size=10).map(lambda model: b"/models/%s/predict" % model),
        query=st.binary(max_size=30) | st.just(b"tag=%ff"),
        headers=st.lists(
            st.tuples(
                st.sampled_from([b"content-length", b"host", b"upgrade", b"x-any"]),
                st.binary(max_size=30) | st.just(b"9" * 5_000),
            ),
            max_size=3,
        ),
        body=st.binary(max_size=100) | st.sampled_from([b"[" * 100_000, b"9" * 5_000]),
    )
    def test_is_answered_by_the_function_or_by_a_problem(
        self,
        method: str,
        path: bytes,
        query: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
    ) -> None:
        scope = http_scope(method, path, query, headers)
        read = {"type": "http.request", "body": body}
        start, _ = asyncio.run(ask(invoking(echo), [read], scope))
        assert start["status"] < 500
        if start["status"] >= 400:
            assert (b"content-type", b"application/problem+json") in start["headers"]

    def test_that_the_gateway_fails_at_is_answered_by_a_problem(self) -> None:
        scope = http_scope() | {"client": None}
        start, body = asyncio.run(ask(invoking(echo), [NO_BODY], scope))
        assert start["status"] == 500
        assert json.loads(body["body"])["type"] == "urn:segue:problem:internal-error"


NO_BODY: Message = {"type": "http.request"}
GONE: Message = {"type": "http.disconnect"}


def http_scope(
    method: str = "GET",
    path: bytes = b"/models",
    query: bytes = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> Message:
    return {
        "type": "http",
        "method": method,
        "raw_path": path,
        "query_string": query,
        "headers": list(headers),
        "client": ("127.0.0.1", 50_000),
    }


async def ask(
    invoke: Invoke, received: list[Message], scope: Message | None = None
) -> list[Message]:
    """What the gateway sends to a client that sends this, and then waits."""
    sent: list[Message] = []
    messages = iter(received)

    async def receive() -> Message:
        if message := next(messages, None):
            return message
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await Gateway(ROUTES, {"Predict": invoke})(scope or http_scope(), receive, send)
    return sent
