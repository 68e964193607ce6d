"""A browser's way to a service that wants its requests signed: a proxy on this machine.

Whoever reaches it acts by the credentials of the person who started it. So it listens on 127.0.0.1
alone, and no other website can use it: a browser says in ``Host`` what it takes the proxy for, and
in ``Origin`` and ``Sec-Fetch-Site`` which website sends the request.
"""

from collections.abc import Mapping
from http import HTTPStatus

import httpx
import uvicorn

from infra.local.journal import Message, Receive, Send
from infra.process import HOST

# Of the browser's headers, those that the service goes by.
_FORWARDED = ("accept", "content-type", "if-match", "if-none-match")
# Of the service's headers, those about its connection, and about an encoding that is undone here.
_DROPPED = {
    "connection",
    "content-encoding",
    "content-length",
    "keep-alive",
    "set-cookie",
    "transfer-encoding",
}


class Proxy:
    """The ASGI application, listening on ``port``. Forwards requests to ``url``, with ``auth``."""

    def __init__(
        self,
        url: str,
        port: int,
        auth: httpx.Auth | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = httpx.URL(url.rstrip("/"))
        self._hosts = (f"{HOST}:{port}", f"localhost:{port}")
        self._client = httpx.AsyncClient(auth=auth, timeout=30, transport=transport)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): it.decode("latin-1") for name, it in scope["headers"]}
        if refusal := self._refusal(headers):
            await _send(httpx.Response(HTTPStatus.FORBIDDEN, text=refusal), send)
        else:
            await _send(await self._forward(scope, headers, await _read_body(receive)), send)

    def _refusal(self, headers: Mapping[str, str]) -> str:
        """Why the request is not the person's own; empty for one that is."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self._hosts:
            return f"This is {self._hosts[0]}, and not {host}."
        # Browsers say "none" where the person gave the address; what is no browser, says nothing.
        site = headers.get("sec-fetch-site", "none")
        if site not in ("none", "same-origin") or origin not in (None, f"http://{host}"):
            return "Another website may not use this."
        return ""

    async def _forward(
        self, scope: Message, headers: Mapping[str, str], body: bytes
    ) -> httpx.Response:
        path = self._url.raw_path.rstrip(b"/") + scope["raw_path"]
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        url = self._url.copy_with(raw_path=path + query)
        kept = {name: headers[name] for name in _FORWARDED if name in headers}
        try:
            return await self._client.request(scope["method"], url, headers=kept, content=body)
        except httpx.TransportError as error:
            text = f"No answer from {self._url}: {error or type(error).__name__}"
            return httpx.Response(HTTPStatus.BAD_GATEWAY, text=text)


def server(proxy: Proxy) -> uvicorn.Server:
    """What serves it, once it ``run``s on a socket."""
    config = uvicorn.Config(
        proxy, http="h11", ws="none", lifespan="off", log_config=None, access_log=False
    )
    return uvicorn.Server(config)


async def _read_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _send(response: httpx.Response, send: Send) -> None:
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers.multi_items()
        if name not in _DROPPED
    ]
    status = response.status_code
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": response.content})
