"""The API of the local stack: an ASGI application that does what API Gateway does.

Routes come from the template, requests become proxy events for the functions' own handlers, and
the handlers' answers become responses. Where API Gateway would refuse a request by itself, so does
this, but says why. Beside it stands Lambda's own Invoke, for functions that no route reaches:
``aws lambda invoke --endpoint-url http://127.0.0.1:8000 --function-name MaintenanceFunction``.
"""

import asyncio
import base64
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote
from uuid import uuid4

import msgspec

from infra.local.functions import Answer, Invoke
from infra.local.journal import Message, Receive, Send
from infra.local.proxy_event import Request, decode_path_parameters, proxy_event
from infra.template import Route
from segue.api.cors import Cors
from segue.api.http import check_nesting
from segue.api.problems import problem, problem_body
from segue.api.routes import no_such_parameters
from segue.domain.errors import MalformedRequest

# API Gateway's own limit.
MAX_BODY_BYTES = 10 * 1024 * 1024

_INVOCATION = re.compile("/2015-03-31/functions/(?P<function>[^/]+)/invocations")
_THIS_MACHINE = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
_JSON = [("content-type", "application/json")]
_FAILED = [("x-amz-function-error", "Unhandled")]

logger = logging.getLogger("segue.gateway")


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back over HTTP."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


class Refused(Exception):
    """The gateway answers by itself, without a function. ``title`` names the kind of problem."""

    def __init__(
        self,
        status: HTTPStatus,
        title: str,
        detail: str,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.headers = headers


class HungUp(Exception):
    """The client has gone, and no answer can reach it."""


class Gateway:
    """The ASGI application. ``functions`` says how to call every function that a route names."""

    def __init__(self, routes: Sequence[Route], functions: Mapping[str, Invoke]) -> None:
        self._routes = [(_pattern(route.path), route) for route in routes]
        self._functions = functions

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        request_id = str(uuid4())
        try:
            await _send(await self._respond(scope, receive, request_id), scope, send)
            return
        except HungUp:
            return
        except Refused as error:
            refused = error
        except MalformedRequest as error:
            answer = problem(error, request_id)
            headers = [("content-type", str(answer.content_type))]
            body = (answer.body or "").encode()
            await _send(Response(answer.status_code, headers, body), scope, send)
            return
        except Exception:
            logger.exception("the gateway failed; request %s", request_id)
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            refused = Refused(status, "Internal error", "something went wrong here")
        await _send(_problem(refused, request_id), scope, send)

    async def _respond(self, scope: Message, receive: Receive, request_id: str) -> Response:
        _check_protocol(scope)
        path = scope["raw_path"].decode("latin-1")
        # A HEAD is a GET whose body stays here.
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if method == "POST" and (named := _INVOCATION.fullmatch(path)):
            _refuse_parameters(scope)
            body = await _read_body(scope, receive)
            name = unquote(named["function"])
            return await self._invoke_as_lambda(name, body, request_id, receive)
        routes = self._routes_of(path)
        if method == "OPTIONS":
            return Response(HTTPStatus.NO_CONTENT, [("allow", ", ".join(sorted(routes)))], b"")
        if method not in routes:
            allowed = ", ".join(sorted(routes))
            detail = f"{path} takes {allowed}, not {method}"
            status = HTTPStatus.METHOD_NOT_ALLOWED
            raise Refused(status, "Method not allowed", detail, [("allow", allowed)])
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
        return await self._invoke(route.function_id, event, request_id, receive)

    def _routes_of(self, path: str) -> dict[str, tuple[Route, dict[str, str]]]:
        """The routes that the path matches, by method, each with its decoded path parameters."""
        routes = {}
        for pattern, route in self._routes:
            if match := pattern.fullmatch(path):
                routes[route.method] = route, decode_path_parameters(match.groupdict())
        if not routes:
            raise Refused(HTTPStatus.NOT_FOUND, "Unknown route", f"there is nothing at {path}")
        return routes

    async def _invoke_as_lambda(
        self, name: str, body: bytes, request_id: str, receive: Receive
    ) -> Response:
        """What Lambda's Invoke answers: a handler's exception is an answer, too."""
        if name not in self._functions:
            raise Refused(HTTPStatus.NOT_FOUND, "Unknown function", f"there is no function {name}")
        event = body or b"{}"
        check_nesting(event)
        try:
            msgspec.json.decode(event)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedRequest(f"the event is not JSON: {error}") from None
        answer = await _unless_gone(self._functions[name](event, request_id), receive)
        headers = _JSON + _FAILED if answer.failed else _JSON
        return Response(HTTPStatus.OK, headers, answer.payload)

    async def _invoke(
        self, name: str, event: dict[str, Any], request_id: str, receive: Receive
    ) -> Response:
        invoked = self._functions[name](json.dumps(event).encode(), request_id)
        answer = await _unless_gone(invoked, receive)
        try:
            if not answer.failed:
                return _response(json.loads(answer.payload))
        except (ValueError, TypeError, KeyError, AttributeError):
            logger.exception("%s answered what is no response; request %s", name, request_id)
        detail = f"{name} failed; its log says why"
        raise Refused(HTTPStatus.BAD_GATEWAY, "Function failed", detail)


async def _unless_gone(invoked: "Future[Answer]", receive: Receive) -> Answer:
    """The answer; a call that still waits when the client hangs up is cancelled.

    Call when the request has been read. Raises HungUp.
    """
    answer, gone = asyncio.wrap_future(invoked), asyncio.ensure_future(_hung_up(receive))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise HungUp
        return answer.result()
    finally:
        answer.cancel()
        gone.cancel()


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _pattern(path: str) -> re.Pattern[str]:
    """``/models/{model_id}/predict`` as a regular expression; ``{rest+}`` takes more segments."""
    parts = re.split(r"\{(\w+)(\+?)\}", path)
    pattern = re.escape(parts[0])
    for name, greedy, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        pattern += f"(?P<{name}>{'.+' if greedy else '[^/]+'}){re.escape(text)}"
    return re.compile(pattern)


def _check_protocol(scope: Message) -> None:
    """Raises Refused for a WebSocket, whether or not the server has noticed that it is one."""
    upgrade = dict(scope["headers"]).get(b"upgrade", b"")
    if scope["type"] == "websocket" or upgrade.lower() == b"websocket":
        detail = "there is no WebSocket here; send a plain HTTP request"
        close = [("connection", "close")]
        raise Refused(HTTPStatus.BAD_REQUEST, "Malformed request", detail, close)


def _refuse_parameters(scope: Message) -> None:
    names = [name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), True)]
    if names:
        raise no_such_parameters(names)


def _cors(scope: Message) -> Iterator[tuple[str, str]]:
    """As functions answer the pages of listed websites; here, those of this machine."""
    origin = dict(scope["headers"]).get(b"origin", b"").decode("latin-1")
    if _THIS_MACHINE.fullmatch(origin):
        for name, value in Cors([origin]).to_dict(origin).items():
            yield name.lower(), value


def _headers(scope: Message) -> Iterator[tuple[str, str]]:
    for name, value in scope["headers"]:
        yield name.decode("latin-1"), value.decode("latin-1")


async def _read_body(scope: Message, receive: Receive) -> bytes:
    """The body; raises Refused, having read no more than it must, where it is over the limit."""
    declared = _declared_length(scope)
    body = bytearray()
    more = True
    while more and max(declared, len(body)) <= MAX_BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HungUp
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if more or len(body) > MAX_BODY_BYTES:
        raise Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "Request too large",
            f"the body is over the limit of {MAX_BODY_BYTES} bytes",
            [("connection", "close")],
        )
    return bytes(body)


def _declared_length(scope: Message) -> int:
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if not re.fullmatch(rb"[0-9]{1,20}", declared):
        raise MalformedRequest("the header Content-Length is no length")
    return int(declared)


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
    body = problem_body(refused.status, refused.title, str(refused), request_id)
    headers = [("content-type", "application/problem+json"), *refused.headers]
    return Response(refused.status, headers, msgspec.json.encode(body))


async def _send(response: Response, scope: Message, send: Send) -> None:
    # A WebSocket that is refused has its own kind of answer.
    kind = "websocket.http" if scope["type"] == "websocket" else "http"
    with_body = scope.get("method") != "HEAD"
    pairs = [(name, value) for name, value in response.headers if name != "content-length"]
    pairs += _cors(scope)
    if response.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        pairs.append(("content-length", str(len(response.body))))
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    start = {"type": f"{kind}.response.start", "status": response.status, "headers": headers}
    await send(start)
    await send({"type": f"{kind}.response.body", "body": response.body if with_body else b""})
