"""A running service, asked by its Python client; on AWS every request is signed."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx
from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError

from segue.domain.errors import InvalidRequest, SegueError
from segue_client import Call, Client, Problem, Retry, SigV4, is_loopback

# Maintenance goes on for as long as a function may, and is not begun twice.
_LONG = httpx.Timeout(900, connect=5)
_ONCE = Retry(attempts=1)


class ServiceError(SegueError):
    """The service does not do what it should."""


def auth_for(url: str) -> SigV4 | None:
    """What signs requests to ``url``: nothing what stays on this machine, AWS's credentials else.

    Raises InvalidRequest for what is no address, NoCredentials where there are none to sign by.
    """
    try:
        return None if is_loopback(url) else SigV4()
    except ValueError as error:
        raise InvalidRequest(f"--url: {error}", field="url") from None


def connect(url: str, **options: Any) -> Client:
    """A client of the API at ``url``; ``options`` are more of its arguments.

    Raises as ``auth_for`` does.
    """
    return Client(url, auth=auth_for(url), **options)


def describe_stack(name: str) -> Mapping[str, Any]:
    """What CloudFormation says of a deployed stack. Raises ServiceError."""
    try:
        found: Any = Session().client("cloudformation").describe_stacks(StackName=name)
    except ClientError as error:
        raise ServiceError(f"stack {name}: {error.response['Error']['Message']}") from None
    except BotoCoreError as error:
        raise ServiceError(
            f"stack {name} cannot be looked up: {str(error).rstrip('.')}; set AWS_PROFILE and "
            "AWS_DEFAULT_REGION, or give the API's --url"
        ) from None
    described: Mapping[str, Any] = found["Stacks"][0]
    return described


def stack_url(name: str) -> str:
    """Where the API of a deployed stack answers. Raises ServiceError."""
    for output in describe_stack(name).get("Outputs", []):
        if output["OutputKey"] == "ApiUrl":
            return str(output["OutputValue"])
    raise ServiceError(f"stack {name} has no output ApiUrl; is it a stack of Segue's?")


class Service:
    """The API at ``url``, by methods and paths. May be called from many threads.

    All methods raise ``segue_client.ApiError``.
    """

    def __init__(self, url: str) -> None:
        """Raises as ``connect`` does."""
        self._client = connect(url)
        self._patient_client = connect(url, timeout=_LONG, retry=_ONCE)

    def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The parsed answer; ``path`` with its query string, ``body`` as JSON has it."""
        return self._client.send(Call(method, path, Any, body=body, headers=headers or {}))

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
