"""A running service, asked over HTTP; on AWS every request is signed (Signature Version 4)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.session import get_session
from urllib3.util import Retry, Timeout

from segue.domain.errors import InvalidRequest, SegueError

CONNECTIONS = 16
_PATIENCE = Timeout(connect=5, read=60)
# Whatever is sent from here may be sent again: none of it adds up. A service that is not there is
# not waited for, one that is busy is.
_AGAIN = Retry(
    total=6,
    connect=2,
    allowed_methods=None,
    status_forcelist=(429, 502, 503, 504),
    backoff_factor=0.2,
    raise_on_status=False,
)
# Maintenance goes on for as long as a function may.
_LONG = Timeout(connect=5, read=900)
_REGION = re.compile(r"[a-z0-9]+\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")


class ServiceError(SegueError):
    """The service does not answer, or refuses what it was asked. ``status``: 0 for no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs requests to API Gateway by the credentials of the environment."""

    credentials: Credentials
    region: str

    @classmethod
    def of(cls, host: str) -> "Signer":
        """For an API on that host. Raises ServiceError where credentials or region are unknown."""
        session = get_session()
        found = _REGION.fullmatch(host)
        region = found[1] if found else session.get_config_variable("region")
        credentials = session.get_credentials()
        if credentials is None:
            raise ServiceError(f"{host} takes signed requests, and there are no AWS credentials")
        if not region:
            raise ServiceError(f"{host} takes signed requests; say in AWS_DEFAULT_REGION which")
        return cls(credentials, region)

    def headers(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> dict[str, str]:
        """The headers, with those of the signature."""
        request = AWSRequest(method=method, url=url, data=body, headers=headers)
        SigV4Auth(self.credentials, "execute-api", self.region).add_auth(request)
        return dict(request.headers.items())


class Service:
    """The API at ``url``. All methods raise ServiceError, and may be called from many threads."""

    def __init__(self, url: str) -> None:
        """Raises InvalidRequest for what is no address, and ServiceError as ``Signer.of`` does."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidRequest(
                f"--url is {url!r}; such as http://127.0.0.1:8000 is wanted", field="url"
            )
        self._url = url.rstrip("/")
        self._signer = None if is_local(parts.hostname) else Signer.of(parts.hostname)
        self._pool = urllib3.PoolManager(maxsize=CONNECTIONS)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The parsed answer; ``path`` with its query string, ``body`` as JSON has it."""
        text = self._request(method, path, body, "application/json", _PATIENCE, _AGAIN)
        try:
            return json.loads(text) if text else None
        except ValueError:
            raise ServiceError(f"{method} {path}: {self._url} answers what is no JSON") from None

    def page(self, path: str) -> str:
        """What a browser would get."""
        return self._request("GET", path, None, "text/html", _PATIENCE, _AGAIN)

    def maintain(self) -> bool:
        """Have outcomes settled that are due; False where a schedule alone does that.

        Lambda's Invoke, as the local stack has it beside the API.
        """
        path = "/2015-03-31/functions/MaintenanceFunction/invocations"
        try:
            text = self._request("POST", path, {}, "application/json", _LONG, Retry(0))
        except ServiceError as error:
            if error.status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
                return False
            raise
        if failed := json.loads(text):
            raise ServiceError(f"maintenance failed: {failed.get('errorMessage')}")
        return True

    def _request(
        self, method: str, path: str, body: Any, accept: str, patience: Timeout, again: Retry
    ) -> str:
        url, data = self._url + path, None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept} | ({"Content-Type": "application/json"} if data else {})
        if self._signer:
            headers = self._signer.headers(method, url, data, headers)
        try:
            answer = self._pool.request(
                method, url, body=data, headers=headers, timeout=patience, retries=again
            )
        except urllib3.exceptions.HTTPError as error:
            cause = getattr(error, "reason", None) or error
            raise ServiceError(f"{self._url} does not answer: {_without_object(cause)}") from None
        if answer.status >= HTTPStatus.BAD_REQUEST:
            detail = _detail(answer.data) or HTTPStatus(answer.status).phrase
            raise ServiceError(f"{method} {path}: {answer.status} {detail}", answer.status)
        return answer.data.decode()


def is_local(host: str) -> bool:
    """Whether it is this machine, where nothing is signed."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _without_object(cause: object) -> str:
    """urllib3 begins with the connection, as in ``HTTPConnection(host=..., port=...): Failed``."""
    return re.sub(r"^\S*(<.*?>|\(.*?\)): ", "", str(cause))


def _detail(body: bytes) -> str:
    """What a problem (RFC 9457), or API Gateway by itself, says."""
    try:
        problem = json.loads(body)
    except ValueError:
        return ""
    said = problem if isinstance(problem, dict) else {}
    return str(said.get("detail") or said.get("message") or "")
