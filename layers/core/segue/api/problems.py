"""Errors as RFC 9457 problems. This table is the only place that knows a status."""

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

# The first that fits counts, so the narrower ones stand first.
_PROBLEMS: tuple[tuple[type[SegueError], int, str], ...] = (
    (RequestTooLarge, 413, "Request too large"),
    (MalformedRequest, 400, "Malformed request"),
    (InvalidRequest, 422, "Invalid request"),
    (UnknownModel, 404, "Unknown model"),
    (UnknownUser, 404, "Unknown user"),
    (UnknownExperiment, 404, "Unknown experiment"),
    (UnknownTrack, 404, "Unknown track"),
    (UnknownRoute, 404, "Unknown route"),
    (StaleVersion, 412, "Precondition failed"),
    (EpochConflict, 409, "The epoch is frozen to another bundle"),
    (StoreUnavailable, 503, "A store is unavailable"),
    (BundleError, 503, "The models cannot be served"),
    (ModelFailed, 500, "A model failed"),
    (AnswerTooLarge, 500, "Answer too large"),
)


def problem(error: Exception, request_id: str) -> Response[str]:
    """The answer to a request that ended in this error; an error that is not ours says nothing."""
    for kind, status, title in _PROBLEMS:
        if isinstance(error, kind):
            return _response(status, title, str(error), request_id, _field(error))
    return _response(500, "Internal error", "something went wrong here", request_id, "")


def _field(error: Exception) -> str:
    return error.field if isinstance(error, InvalidRequest) else ""


def problem_body(status: int, title: str, detail: str, request_id: str) -> dict[str, str | int]:
    """What a problem says, whoever answers it; its title names its type."""
    return {
        "type": f"urn:segue:problem:{title.lower().replace(' ', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }


def _response(status: int, title: str, detail: str, request_id: str, field: str) -> Response[str]:
    told = f"{field}: {detail}" if field else detail
    body = problem_body(status, title, told, request_id)
    if field:
        body["field"] = field
    return json_response(body, status, content_type="application/problem+json")
