"""The API of the local stack: an ASGI application that does what API Gateway does.

Routes come from the template, requests become proxy events for the functions' own handlers, and
the handlers' answers become responses. Where API Gateway would refuse a request by itself, so does
this, but says why. Beside it stands Lambda's own Invoke, for functions that no route reaches:
``aws lambda invoke --endpoint-url http://127.0.0.1:8000 --function-name MaintenanceFunction``.
"""

import base64
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from infra.local.functions import LocalFunction
from infra.local.journal import Message, Receive, Send
from infra.local.proxy_event import Request, proxy_event
from infra.template import Route

# API Gateway's own limit.
MAX_BODY_BYTES = 10 * 1024 * 1024

_INVOCATION = re.compile("/2015-03-31/functions/(?P<function>[^/]+)/invocations")
_JSON = [("content-type", "application/json")]
_FAILED = ("x-amz-function-error", "Unhandled")

logger = logging.getLogger("segue.gateway")


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back over HTTP."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


class Refused(Exception):
    """The gateway answers by itself, without a function."""

    def __init__(
        self, status: HTTPStatus, detail: str, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers


class Gateway:
    """The ASGI application. ``functions`` holds every function that a route names."""

    def __init__(self, routes: Sequence[Route], functions: Mapping[str, LocalFunction]) -> None:
        self._routes = [(_pattern(route.path), route) for route in routes]
        self._functions = functions

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request_id = str(uuid4())
        try:
            response = await self._respond(scope, receive, request_id)
        except Refused as refused:
            response = _problem(refused, request_id)
        await _send(response, send, with_body=scope["method"] != "HEAD")

    async def _respond(self, scope: Message, receive: Receive, request_id: str) -> Response:
        path = scope["raw_path"].decode("latin-1")
        # A HEAD is a GET whose body stays here.
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if method == "POST" and (named := _INVOCATION.fullmatch(path)):
            body = await _read_body(scope, receive)
            return await self._invoke_as_lambda(unquote(named["function"]), body, request_id)
        routes = self._routes_of(path)
        if method == "OPTIONS":
            return Response(HTTPStatus.NO_CONTENT, [("allow", ", ".join(sorted(routes)))], b"")
        if method not in routes:
            allowed = ", ".join(sorted(routes))
            detail = f"{path} takes {allowed}, not {method}"
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, detail, [("allow", allowed)])
        request = Request(
            method=method,
            path=path,
            query=scope["query_string"].decode("latin-1"),
            headers=tuple(_headers(scope)),
            body=await _read_body(scope, receive),
            source_ip=scope["client"][0],
        )
        route, parameters = routes[method]
        event = proxy_event(request, route.path, parameters, request_id)
        return await self._invoke(self._functions[route.function_id], event, request_id)

    def _routes_of(self, path: str) -> dict[str, tuple[Route, dict[str, str]]]:
        """The routes that the path matches, by method, each with its decoded path parameters."""
        routes = {}
        for pattern, route in self._routes:
            if match := pattern.fullmatch(path):
                parameters = {name: unquote(value) for name, value in match.groupdict().items()}
                routes[route.method] = route, parameters
        if not routes:
            raise Refused(HTTPStatus.NOT_FOUND, f"there is nothing at {path}")
        return routes

    async def _invoke_as_lambda(self, name: str, body: bytes, request_id: str) -> Response:
        """What Lambda's Invoke answers: a handler's exception is an answer, too."""
        if name not in self._functions:
            raise Refused(HTTPStatus.NOT_FOUND, f"there is no function {name}")
        try:
            event = json.loads(body or b"{}")
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, f"the event is no JSON: {error}") from None
        try:
            answer = await self._functions[name].invoke(event, request_id)
        except Exception as error:
            logger.exception("%s failed; request %s", name, request_id)
            answer = {"errorMessage": str(error), "errorType": type(error).__name__}
            return Response(HTTPStatus.OK, [*_JSON, _FAILED], json.dumps(answer).encode())
        return Response(HTTPStatus.OK, _JSON, json.dumps(answer).encode())

    async def _invoke(
        self, function: LocalFunction, event: dict[str, Any], request_id: str
    ) -> Response:
        try:
            return _response(await function.invoke(event, request_id))
        except Exception:  # whatever a handler raises, Lambda survives it
            logger.exception("%s failed; request %s", function.name, request_id)
            raise Refused(
                HTTPStatus.BAD_GATEWAY, f"{function.name} failed; its log says why"
            ) from None


def _pattern(path: str) -> re.Pattern[str]:
    """``/models/{model_id}/predict`` as a regular expression; ``{rest+}`` takes more segments."""
    parts = re.split(r"\{(\w+)(\+?)\}", path)
    pattern = re.escape(parts[0])
    for name, greedy, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        pattern += f"(?P<{name}>{'.+' if greedy else '[^/]+'}){re.escape(text)}"
    return re.compile(pattern)


def _headers(scope: Message) -> Iterator[tuple[str, str]]:
    for name, value in scope["headers"]:
        yield name.decode("latin-1"), value.decode("latin-1")


async def _read_body(scope: Message, receive: Receive) -> bytes:
    """The body; raises Refused, having read no more than it must, where it is over the limit."""
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    body = bytearray()
    more = True
    while more and len(body) <= MAX_BODY_BYTES and int(declared) <= MAX_BODY_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if more or len(body) > MAX_BODY_BYTES:
        raise Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body is over the limit of {MAX_BODY_BYTES} bytes",
            [("connection", "close")],
        )
    return bytes(body)


def _response(answer: Mapping[str, Any]) -> Response:
    """A handler's answer as a response. Raises TypeError, ValueError or KeyError for what API
    Gateway would call a malformed proxy response."""
    headers = {name: [str(value)] for name, value in (answer.get("headers") or {}).items()}
    headers |= {
        name: list(several) for name, several in (answer.get("multiValueHeaders") or {}).items()
    }
    text = answer.get("body") or ""
    body = base64.b64decode(text) if answer.get("isBase64Encoded") else text.encode()
    pairs = [(name.lower(), value) for name, several in headers.items() for value in several]
    return Response(int(answer["statusCode"]), pairs, body)


def _problem(refused: Refused, request_id: str) -> Response:
    problem = {
        "type": "about:blank",
        "title": refused.status.phrase,
        "status": refused.status,
        "detail": str(refused),
        "request_id": request_id,
    }
    headers = [("content-type", "application/problem+json"), *refused.headers]
    return Response(refused.status, headers, json.dumps(problem).encode())


async def _send(response: Response, send: Send, *, with_body: bool) -> None:
    pairs = [(name, value) for name, value in response.headers if name != "content-length"]
    if response.status != HTTPStatus.NO_CONTENT:
        pairs.append(("content-length", str(len(response.body))))
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body if with_body else b""})
