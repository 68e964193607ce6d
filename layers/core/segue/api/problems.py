"""Errors as RFC 9457 problems. These tables are the only place that knows a status.

docs/problems.md lists every type; a test holds the two together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from aws_lambda_powertools.event_handler import Response

from segue.api.responses import json_response
from segue.domain.errors import (
    AnswerTooLarge,
    BundleError,
    EpochConflict,
    InvalidRequest,
    MalformedRequest,
    ModelFailed,
    RequestTooLarge,
    SegueError,
    StaleVersion,
    StoreUnavailable,
    UnknownExperiment,
    UnknownModel,
    UnknownRoute,
    UnknownTrack,
    UnknownUser,
)

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """What problems of one kind have in common."""

    status: int
    title: str

    @property
    def uri(self) -> str:
        """What a program tells the type by."""
        return f"urn:segue:problem:{self.title.lower().replace(' ', '-')}"

    def body(self, detail: str, request_id: str, field: str = "") -> dict[str, object]:
        """A problem of this type; ``field`` names what of the request is at fault."""
        body: dict[str, object] = {
            "type": self.uri,
            "title": self.title,
            "status": self.status,
            "detail": f"{field}: {detail}" if field else detail,
            "request_id": request_id,
        }
        return body | {"field": field} if field else body


_MALFORMED = ProblemType(400, "Malformed request")
_TOO_LARGE = ProblemType(413, "Request too large")
_UNKNOWN_ROUTE = ProblemType(404, "Unknown route")
_INTERNAL = ProblemType(500, "Internal error")

# The first that fits counts, so the narrower ones stand first.
_BY_ERROR: tuple[tuple[type[SegueError], ProblemType], ...] = (
    (RequestTooLarge, _TOO_LARGE),
    (MalformedRequest, _MALFORMED),
    (InvalidRequest, ProblemType(422, "Invalid request")),
    (UnknownModel, ProblemType(404, "Unknown model")),
    (UnknownUser, ProblemType(404, "Unknown user")),
    (UnknownExperiment, ProblemType(404, "Unknown experiment")),
    (UnknownTrack, ProblemType(404, "Unknown track")),
    (UnknownRoute, _UNKNOWN_ROUTE),
    (StaleVersion, ProblemType(412, "Precondition failed")),
    (EpochConflict, ProblemType(409, "The epoch is frozen to another bundle")),
    (StoreUnavailable, ProblemType(503, "A store is unavailable")),
    (BundleError, ProblemType(503, "The models cannot be served")),
    (ModelFailed, ProblemType(500, "A model failed")),
    (AnswerTooLarge, ProblemType(500, "Answer too large")),
)

# What the local gateway answers by itself, without a function.
BY_STATUS: Mapping[HTTPStatus, ProblemType] = {
    HTTPStatus.BAD_REQUEST: _MALFORMED,
    HTTPStatus.NOT_FOUND: _UNKNOWN_ROUTE,
    HTTPStatus.METHOD_NOT_ALLOWED: ProblemType(405, "Method not allowed"),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _TOO_LARGE,
    HTTPStatus.UPGRADE_REQUIRED: ProblemType(426, "Upgrade required"),
    HTTPStatus.BAD_GATEWAY: ProblemType(502, "A function failed"),
    HTTPStatus.GATEWAY_TIMEOUT: ProblemType(504, "A function timed out"),
}

PROBLEM_TYPES = frozenset((*(it for _, it in _BY_ERROR), *BY_STATUS.values(), _INTERNAL))


def problem(error: Exception, request_id: str) -> Response[str]:
    """The answer to a request that ended in this error; an error that is not ours says nothing."""
    kind = next((it for fits, it in _BY_ERROR if isinstance(error, fits)), _INTERNAL)
    detail = "something went wrong here" if kind is _INTERNAL else str(error)
    field = error.field if isinstance(error, InvalidRequest) else ""
    body = kind.body(detail, request_id, field)
    return json_response(body, kind.status, content_type=MEDIA_TYPE)
