"""``segue open``: a proxy that signs for its owner, and for nobody else."""

import asyncio
import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.stub import Stubber
from typer.testing import CliRunner, Result

from infra.cli import app
from infra.proxy import Proxy
from infra.service import ServiceError, stack_url
from segue_client import SigV4
from tests.signatures import credential_of, is_signed

PORT = 8001
HERE = f"http://127.0.0.1:{PORT}"
ON_AWS = "https://abc123.execute-api.eu-west-1.amazonaws.com/dev"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["open", "--no-browser", *arguments])


class FakeApi:
    """Notes what reaches it, and answers that."""

    def __init__(self, answer: httpx.Response | Exception | None = None) -> None:
        self.answer = answer or httpx.Response(200, json={})
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def ask(
    api: FakeApi,
    path: str = "/",
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    auth: httpx.Auth | None = None,
) -> httpx.Response:
    """What the proxy of that API answers a browser that was given its address."""

    async def answer() -> httpx.Response:
        proxy = Proxy(ON_AWS, PORT, auth, httpx.MockTransport(api))
        transport = httpx.ASGITransport(proxy)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as browser:
            return await browser.request(method, path, headers=headers, content=body)

    return asyncio.run(answer())


class TestForwarding:
    def test_passes_on_method_path_query_body_and_what_the_service_goes_by(self) -> None:
        api = FakeApi()
        headers = {
            "Accept": "text/csv",
            "Content-Type": "application/json",
            "If-Match": '"1"',
            "Cookie": "mine",
            "Origin": HERE,
            "Sec-Fetch-Site": "same-origin",
        }
        ask(api, "/users/a%2Fb?from=1&k=a%20b", method="PUT", headers=headers, body=b"{}")
        (request,) = api.requests
        assert (request.method, request.content) == ("PUT", b"{}")
        assert str(request.url) == f"{ON_AWS}/users/a%2Fb?from=1&k=a%20b"
        kept = ("accept", "content-type", "if-match")
        assert [request.headers[name] for name in kept] == ["text/csv", "application/json", '"1"']
        assert not {"cookie", "origin", "sec-fetch-site"} & request.headers.keys()

    def test_passes_back_status_headers_and_body(self) -> None:
        headers = {"ETag": '"1"', "X-Segue-Bundle": "b1", "Set-Cookie": "no", "Connection": "close"}
        answer = ask(FakeApi(httpx.Response(404, headers=headers, text="none")))
        assert (answer.status_code, answer.text) == (404, "none")
        assert (answer.headers["etag"], answer.headers["x-segue-bundle"]) == ('"1"', "b1")
        assert not {"set-cookie", "connection"} & answer.headers.keys()

    def test_undoes_an_encoding(self) -> None:
        packed = httpx.Response(
            200, headers={"Content-Encoding": "gzip"}, content=gzip.compress(b"page")
        )
        answer = ask(FakeApi(packed))
        assert (answer.text, answer.headers.get("content-encoding")) == ("page", None)

    def test_signs_by_its_owners_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        api = FakeApi()
        ask(api, "/tracks?query=a+(b)", method="POST", body=b"{}", auth=SigV4())
        (request,) = api.requests
        assert credential_of(request.headers) == ("AKIDEXAMPLE", "eu-west-1", "execute-api")
        assert is_signed("POST", str(request.url), request.headers, b"{}", SECRET)

    def test_says_that_the_api_does_not_answer(self) -> None:
        answer = ask(FakeApi(httpx.ConnectError("refused")))
        assert answer.status_code == 502
        assert answer.text == f"No answer from {ON_AWS}: refused"

    def test_leads_nowhere_else(self) -> None:
        api = FakeApi()
        ask(api, "//evil.example/@evil.example")
        assert api.requests[0].url.host == httpx.URL(ON_AWS).host


class TestGuard:
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Host": f"localhost:{PORT}"},
            {"Host": f"localhost:{PORT}", "Origin": f"http://localhost:{PORT}"},
            {"Sec-Fetch-Site": "none"},
            {"Sec-Fetch-Site": "same-origin", "Origin": HERE},
        ],
    )
    def test_serves_its_own_pages_and_whoever_is_no_browser(self, headers: dict[str, str]) -> None:
        assert ask(FakeApi(), headers=headers).status_code == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:9999"},
            {"Origin": f"http://localhost:{PORT}"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            # A name of the attacker's that has become an address of this machine.
            {"Host": f"evil.example:{PORT}"},
            {"Host": f"evil.example:{PORT}", "Origin": f"http://evil.example:{PORT}"},
            {"Host": "127.0.0.1"},
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
    def test_refuses_other_websites(self, headers: dict[str, str], method: str) -> None:
        api = FakeApi()
        answer = ask(api, "/users/1", method=method, headers=headers)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert api.requests == []


class TestStack:
    @pytest.fixture
    def cloudformation(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
        client = boto3.client(
            "cloudformation",
            "eu-west-1",
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key=SECRET,
        )
        monkeypatch.setattr("infra.service.Session.client", lambda *_: client)
        with Stubber(client) as stubber:
            yield stubber

    def test_its_output_is_where_the_api_answers(self, cloudformation: Stubber) -> None:
        stack = {
            "StackName": "segue-dev",
            "CreationTime": "2026-01-01",
            "StackStatus": "CREATE_COMPLETE",
            "Outputs": [
                {"OutputKey": "Bucket", "OutputValue": "b"},
                {"OutputKey": "ApiUrl", "OutputValue": ON_AWS},
            ],
        }
        cloudformation.add_response(
            "describe_stacks", {"Stacks": [stack]}, {"StackName": "segue-dev"}
        )
        assert stack_url("segue-dev") == ON_AWS

    def test_that_is_not_there_is_named_in_one_line(self, cloudformation: Stubber) -> None:
        message = "Stack with id nowhere does not exist"
        cloudformation.add_client_error("describe_stacks", "ValidationError", message)
        result = run("--stack", "nowhere")
        assert (result.exit_code, result.stderr) == (1, f"segue: stack nowhere: {message}\n")

    def test_of_something_else_is_told_apart(self, cloudformation: Stubber) -> None:
        stack = {
            "StackName": "other",
            "CreationTime": "2026-01-01",
            "StackStatus": "CREATE_COMPLETE",
        }
        cloudformation.add_response("describe_stacks", {"Stacks": [stack]})
        with pytest.raises(ServiceError, match="other has no output ApiUrl"):
            stack_url("other")


class TestCommand:
    @pytest.fixture(autouse=True)
    def no_credentials(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(variable, raising=False)
        for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(variable, str(tmp_path / "none"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")

    @pytest.mark.parametrize("arguments", [[], ["--url", ON_AWS]])
    def test_says_that_there_are_no_credentials(self, arguments: list[str]) -> None:
        result = run(*arguments)
        assert result.exit_code == 1
        (line,) = result.stderr.splitlines()
        assert line.startswith("segue: ")
        assert "credentials" in line

    def test_refuses_what_is_no_address(self) -> None:
        result = run("--url", "segue-dev")
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "--url" in result.stderr
