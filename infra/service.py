"""A running service, asked by its Python client; on AWS every request is signed."""

from http import HTTPStatus
from typing import Any

import httpx

from segue.domain.errors import InvalidRequest, SegueError
from segue_client import Call, Client, Problem, Retry, SigV4, is_loopback

# Maintenance goes on for as long as a function may, and is not begun twice.
_LONG = httpx.Timeout(900, connect=5)
_ONCE = Retry(attempts=1)


class ServiceError(SegueError):
    """The service does not do what it should."""


def connect(url: str, **options: Any) -> Client:
    """A client of the API at ``url``; ``options`` are more of its arguments.

    Raises InvalidRequest for what is no address, NoCredentials where there are none to sign by.
    """
    try:
        auth = None if is_loopback(url) else SigV4()
    except ValueError as error:
        raise InvalidRequest(f"--url: {error}", field="url") from None
    return Client(url, auth=auth, **options)


class Service:
    """The API at ``url``, by methods and paths. May be called from many threads.

    All methods raise ``segue_client.ApiError``.
    """

    def __init__(self, url: str) -> None:
        """Raises as ``connect`` does."""
        self._client = connect(url)
        self._patient_client = connect(url, timeout=_LONG, retry=_ONCE)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The parsed answer; ``path`` with its query string, ``body`` as JSON has it."""
        return self._client.send(Call(method, path, Any, body=body))

    def maintain(self) -> bool:
        """Have outcomes settled that are due; False where a schedule alone does that.

        Lambda's Invoke, as the local stack has it beside the API. Raises ServiceError, too.
        """
        path = "/2015-03-31/functions/MaintenanceFunction/invocations"
        try:
            failed: Any = self._patient_client.send(Call("POST", path, Any, body={}))
        except Problem as problem:
            if problem.status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
                return False
            raise
        if failed:
            raise ServiceError(f"maintenance failed: {failed.get('errorMessage')}")
        return True
