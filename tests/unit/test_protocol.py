"""What is no HTTP is answered by the local stack as a problem, before any application is asked."""

import asyncio
import json
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from infra.local.protocol import Protocol

HEAD = b"POST /models HTTP/1.1\r\nhost: localhost\r\n"


class Transport(asyncio.Transport):
    """Keeps what is written."""

    written = b""
    closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def wait_for_body(scope: Any, receive: Any, send: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@pytest.mark.parametrize(
    "sent",
    [
        "GET /ł HTTP/1.1\r\n\r\n".encode(),
        HEAD + b"content-length: many\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"x: " + b"x" * 70_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n",
    ],
    ids=["request line", "length", "chunk", "header", "TLS"],
)
def test_it_is_refused(sent: bytes) -> None:
    async def answer() -> Transport:
        config = uvicorn.Config(wait_for_body, log_config=None)
        config.load()
        transport = Transport()
        protocol = Protocol(config, ServerState(), {})
        protocol.connection_made(transport)
        protocol.data_received(sent)
        protocol.connection_lost(None)
        await asyncio.sleep(0)
        return transport

    transport = asyncio.run(answer())
    head, _, body = transport.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert f"content-length: {len(body)}".encode() in head.lower()
    problem = json.loads(body)
    assert (problem["type"], problem["status"]) == ("urn:segue:problem:malformed-request", 400)
    assert problem["request_id"]
    assert transport.closed
