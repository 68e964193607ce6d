"""The event that an API Gateway REST API hands to a Lambda function (proxy integration)."""

import base64
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from segue.api.http import REPLACEMENT
from segue.domain.errors import MalformedRequest

ACCOUNT_ID = "000000000000"
API_ID = "local"
STAGE = "local"

# How bytes that are not UTF-8 are decoded, so that they can be found again.
_AS_IT_IS = "surrogateescape"

_IDENTITY_OF_A_SIGNED_CALL = (
    "accessKey",
    "accountId",
    "caller",
    "cognitoAuthenticationProvider",
    "cognitoAuthenticationType",
    "cognitoIdentityId",
    "cognitoIdentityPoolId",
    "principalOrgId",
    "user",
    "userArn",
)


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as it came in. ``path`` and ``query`` are still percent-encoded."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source_ip: str


def proxy_event(
    request: Request, resource: str, path_parameters: Mapping[str, str], request_id: str
) -> dict[str, Any]:
    """Build the event of a request to ``resource``, such as ``/models/{model_id}/predict``.

    As from a REST API: ``path`` as it was sent, parameters decoded; of repeated headers and query
    parameters the last in the plain form, all in the multi-value form; null for what is absent.
    The body is text, or in base64 where text would not tell its bytes. Raises MalformedRequest for
    a query that is not UTF-8.
    """
    headers = _multi_values(request.headers)
    query = _multi_values(_query_parameters(request.query))
    body, is_base64 = _body(request.body)
    return {
        "resource": resource,
        "path": request.path,
        "httpMethod": request.method,
        "headers": _last_values(headers),
        "multiValueHeaders": headers or None,
        "queryStringParameters": _last_values(query),
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(path_parameters) or None,
        "stageVariables": None,
        "requestContext": _context(request, resource, request_id),
        "body": body or None,
        "isBase64Encoded": is_base64,
    }


def decode_path_parameters(encoded: Mapping[str, str]) -> dict[str, str]:
    """Decode the parameters. Raises MalformedRequest, naming the one that is not UTF-8."""
    parameters = {name: unquote(text, errors=_AS_IT_IS) for name, text in encoded.items()}
    for name, value in parameters.items():
        _check_utf8(value, f"the path parameter {name!r}")
    return parameters


def _query_parameters(query: str) -> list[tuple[str, str]]:
    parameters = parse_qsl(query, keep_blank_values=True, errors=_AS_IT_IS)
    for name, value in parameters:
        _check_utf8(name + value, f"the query parameter {name!a}")
    return parameters


def _check_utf8(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MalformedRequest(f"{what} is not UTF-8 text") from None


def _body(body: bytes) -> tuple[str, bool]:
    """The body, and whether it is in base64, as API Gateway's are that are no text.

    It is for the function to refuse bytes that are not UTF-8, and to take U+FFFD where it was sent.
    """
    with suppress(UnicodeDecodeError):
        text = body.decode()
        if REPLACEMENT not in text:
            return text, False
    return base64.b64encode(body).decode(), True


def _multi_values(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = defaultdict(list)
    for name, value in pairs:
        values[name].append(value)
    return dict(values)


def _last_values(values: Mapping[str, list[str]]) -> dict[str, str] | None:
    return {name: several[-1] for name, several in values.items()} or None


def _context(request: Request, resource: str, request_id: str) -> dict[str, Any]:
    headers = dict(request.headers)
    now = time.time()
    host = headers.get("host", "localhost")
    identity: dict[str, str | None] = dict.fromkeys(_IDENTITY_OF_A_SIGNED_CALL)
    return {
        "accountId": ACCOUNT_ID,
        "apiId": API_ID,
        "domainName": host,
        "domainPrefix": host.split(".")[0].split(":")[0],
        "extendedRequestId": request_id,
        "httpMethod": request.method,
        "identity": identity
        | {"sourceIp": request.source_ip, "userAgent": headers.get("user-agent")},
        "path": f"/{STAGE}{request.path}",
        "protocol": "HTTP/1.1",
        "requestId": request_id,
        "requestTime": f"{datetime.fromtimestamp(now, UTC):%d/%b/%Y:%H:%M:%S +0000}",
        "requestTimeEpoch": int(now * 1000),
        "resourceId": "local",
        "resourcePath": resource,
        "stage": STAGE,
    }
