"""What a call may end in.

::

    ApiError                  an OSError, as what the network does to one is
    ├── Problem               the service answers, and refuses
    │   ├── Forbidden         401, 403: not signed, or not allowed
    │   ├── NotFound          404: no such user, track, model, experiment or route
    │   └── PreconditionFailed  412: If-Match names a version that is no longer the current one
    ├── Unreachable           no answer, after all attempts
    ├── InvalidAnswer         an answer that is not the service's: is this the right address?
    └── NoCredentials         no AWS credentials, or no region, to sign by
"""

from http import HTTPStatus

import httpx
import msgspec


class ApiError(OSError):
    """The base of all errors of this package."""


class Unreachable(ApiError):
    """No answer came, after all attempts."""


class InvalidAnswer(ApiError):
    """The answer is not what the API answers."""


class NoCredentials(ApiError):
    """There is nothing to sign requests by."""


class Problem(ApiError):
    """The service refuses (RFC 9457).

    ``type`` is for programs, ``title`` and ``detail`` are for people. ``field`` names the field or
    parameter at fault, ``position`` the character in it at which a filter fails, from 0; both are
    None where there is none. ``request_id`` finds the request in the service's log.
    """

    def __init__(
        self,
        status: int,
        type: str = "about:blank",
        title: str = "",
        detail: str = "",
        field: str | None = None,
        position: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(f"{status} {detail or title}")
        self.status = status
        self.type = type
        self.title = title
        self.detail = detail
        self.field = field
        self.position = position
        self.request_id = request_id


class Forbidden(Problem):
    """The request is not signed, or its sender may not do this."""


class NotFound(Problem):
    """There is no such user, track, model, experiment or route."""


class PreconditionFailed(Problem):
    """The experiment has changed since the version that the request names."""


_BY_STATUS: dict[int, type[Problem]] = {
    HTTPStatus.UNAUTHORIZED: Forbidden,
    HTTPStatus.FORBIDDEN: Forbidden,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.PRECONDITION_FAILED: PreconditionFailed,
}


class _Body(msgspec.Struct):
    """A problem's body; ``message`` is what API Gateway may say in place of it."""

    type: str = "about:blank"
    title: str = ""
    detail: str = ""
    message: str = ""
    field: str | None = None
    position: int | None = None
    request_id: str | None = None


def problem_of(response: httpx.Response) -> Problem:
    """The problem that a response tells of, as well as it does."""
    try:
        body = msgspec.json.decode(response.content, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = _Body()
    kind = _BY_STATUS.get(response.status_code, Problem)
    return kind(
        response.status_code,
        body.type,
        body.title or response.reason_phrase,
        body.detail or body.message,
        body.field,
        body.position,
        body.request_id,
    )
