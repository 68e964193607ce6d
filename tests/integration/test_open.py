"""``segue open`` between a browser and a service, over real connections."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from subprocess import PIPE
from threading import Thread
from typing import Any

import httpx
import pytest

from infra.process import SEGUE, free_port, listen
from infra.proxy import Proxy, server
from segue_client import SigV4
from tests.signatures import credential_of, is_signed

HEALTHY = b'{"status":"ok","bundle":"b1","now":"2022-09-01T00:00:00.000Z"}'
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


class Api(ThreadingHTTPServer):
    """A service that notes what reaches it, and is in good health."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/dev"
        self.received: list[tuple[str, str, dict[str, str], bytes]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.received.append((self.command, self.path, dict(self.headers), body))
        self.send_response(200)
        self.send_header("Content-Length", str(len(HEALTHY)))
        self.end_headers()
        self.wfile.write(HEALTHY)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as api:
        thread = Thread(target=api.serve_forever)
        thread.start()
        yield api
        api.shutdown()
        thread.join()


@contextmanager
def opened(url: str, auth: httpx.Auth | None) -> Iterator[str]:
    """The address at which a proxy of that service can be opened."""
    with listen(0, "--port") as listener:
        port = listener.getsockname()[1]
        running = server(Proxy(url, port, auth))
        thread = Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{port}"
        running.should_exit = True
        thread.join()


def test_what_reaches_the_service_is_signed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    with opened(api.url, SigV4(region="eu-west-1")) as address:
        page = httpx.get(f"{address}/?k=1", headers={"Sec-Fetch-Site": "none"}, trust_env=False)
        headers = {"Origin": address, "Sec-Fetch-Site": "same-origin"}
        sent = httpx.post(f"{address}/users/1/events", json={}, headers=headers, trust_env=False)
    assert page.content == sent.content == HEALTHY
    assert [(method, path) for method, path, _, _ in api.received] == [
        ("GET", "/dev/?k=1"),
        ("POST", "/dev/users/1/events"),
    ]
    for method, path, headers, body in api.received:
        assert headers["X-Amz-Security-Token"] == "token"
        assert credential_of(headers) == ("AKIDEXAMPLE", "eu-west-1", "execute-api")
        url = api.url.removesuffix("/dev") + path
        assert is_signed(method, url, headers, body, SECRET)


def test_other_websites_reach_nothing(api: Api) -> None:
    with opened(api.url, None) as address:
        headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        answer = httpx.post(f"{address}/users/1/events", headers=headers, trust_env=False)
    assert (answer.status_code, api.received) == (403, [])


def test_the_command_opens_a_service_until_it_is_stopped(api: Api) -> None:
    port = free_port()
    options = ["open", "--url", api.url, "--port", str(port), "--no-browser"]
    with subprocess.Popen([*SEGUE, *options], stdout=PIPE, text=True) as segue:
        assert segue.stdout
        address = f"http://127.0.0.1:{port}/"
        assert segue.stdout.readline() == f"{address} shows {api.url}. Ctrl-C stops.\n"
        assert httpx.get(address, trust_env=False).content == HEALTHY
        segue.send_signal(signal.SIGINT)
        assert segue.stdout.read() == "Stopped.\n"
    assert segue.returncode == 0
    assert [path for _, path, _, _ in api.received] == ["/dev/health", "/dev/"]
