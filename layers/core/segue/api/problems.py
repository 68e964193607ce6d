"""Errors as RFC 9457 problems. These tables are the only place that knows a status.

docs/problems.md lists every type; a test holds the two together.
"""

from dataclasses import dataclass

from aws_lambda_powertools.event_handler import Response

from segue.api.http import json_response
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


@dataclass(frozen=True, slots=True)
class ProblemType:
    """What problems of one kind have in common. The title names the type."""

    status: int
    title: str

    @property
    def uri(self) -> str:
        """What a program tells the type by."""
        return f"urn:segue:problem:{self.title.lower().replace(' ', '-')}"


_INTERNAL = ProblemType(500, "Internal error")

# The first that fits counts, so the narrower ones stand first.
_BY_ERROR: tuple[tuple[type[SegueError], ProblemType], ...] = (
    (RequestTooLarge, ProblemType(413, "Request too large")),
    (MalformedRequest, ProblemType(400, "Malformed request")),
    (InvalidRequest, ProblemType(422, "Invalid request")),
    (UnknownModel, ProblemType(404, "Unknown model")),
    (UnknownUser, ProblemType(404, "Unknown user")),
    (UnknownExperiment, ProblemType(404, "Unknown experiment")),
    (UnknownTrack, ProblemType(404, "Unknown track")),
    (UnknownRoute, ProblemType(404, "Unknown route")),
    (StaleVersion, ProblemType(412, "Precondition failed")),
    (EpochConflict, ProblemType(409, "The epoch is frozen to another bundle")),
    (StoreUnavailable, ProblemType(503, "A store is unavailable")),
    (BundleError, ProblemType(503, "The models cannot be served")),
    (ModelFailed, ProblemType(500, "A model failed")),
    (AnswerTooLarge, ProblemType(500, "Answer too large")),
)

# Beside some of those above, what the local gateway answers by itself.
_OF_GATEWAY = (
    ProblemType(405, "Method not allowed"),
    ProblemType(404, "Unknown function"),
    ProblemType(502, "Function failed"),
)

PROBLEM_TYPES = frozenset((*(kind for _, kind in _BY_ERROR), *_OF_GATEWAY, _INTERNAL))


def problem(error: Exception, request_id: str) -> Response[str]:
    """The answer to a request that ended in this error; an error that is not ours says nothing."""
    kind = next((it for fits, it in _BY_ERROR if isinstance(error, fits)), _INTERNAL)
    detail = "something went wrong here" if kind is _INTERNAL else str(error)
    field = error.field if isinstance(error, InvalidRequest) else ""
    told = f"{field}: {detail}" if field else detail
    body = problem_body(kind.status, kind.title, told, request_id)
    if field:
        body["field"] = field
    return json_response(body, kind.status, content_type="application/problem+json")


def problem_body(status: int, title: str, detail: str, request_id: str) -> dict[str, str | int]:
    """What a problem says, whoever answers it; status and title are those of a problem type."""
    return {
        "type": ProblemType(status, title).uri,
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
