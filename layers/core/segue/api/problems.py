"""Errors as RFC 9457 problems. These tables are the only place that knows a status.

docs/problems.md lists every type; a test holds the two together.
"""

from dataclasses import dataclass

from aws_lambda_powertools.event_handler import Response
from msgspec import UNSET, Struct, UnsetType

from segue.api.http import json_response
from segue.domain.errors import (
    AccessDenied,
    AnswerTooLarge,
    BundleError,
    EpochConflict,
    ExperimentStopped,
    InvalidFilter,
    InvalidRequest,
    MalformedRequest,
    ModelFailed,
    NotReadyToShip,
    RequestTooLarge,
    SegueError,
    StaleVersion,
    StoreUnavailable,
    UnknownExperiment,
    UnknownModel,
    UnknownRoute,
    UnknownTrack,
    UnknownUser,
    VersionNeeded,
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


class ProblemBody(Struct, omit_defaults=True):
    """What a problem says. ``type`` is for programs, ``detail`` for people; ``field`` names what of
    the request is at fault, ``position`` the character of it, counted from 0."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    field: str | UnsetType = UNSET
    position: int | UnsetType = UNSET


INTERNAL = ProblemType(500, "Internal error")

# The first that fits counts, so the narrower ones stand first.
_BY_ERROR: tuple[tuple[type[SegueError], ProblemType], ...] = (
    (RequestTooLarge, ProblemType(413, "Request too large")),
    (MalformedRequest, ProblemType(400, "Malformed request")),
    (InvalidRequest, ProblemType(422, "Invalid request")),
    (AccessDenied, ProblemType(403, "Access denied")),
    (UnknownModel, ProblemType(404, "Unknown model")),
    (UnknownUser, ProblemType(404, "Unknown user")),
    (UnknownExperiment, ProblemType(404, "Unknown experiment")),
    (UnknownTrack, ProblemType(404, "Unknown track")),
    (UnknownRoute, ProblemType(404, "Unknown route")),
    (StaleVersion, ProblemType(412, "Precondition failed")),
    (VersionNeeded, ProblemType(428, "Precondition required")),
    (ExperimentStopped, ProblemType(409, "The experiment has been stopped")),
    (NotReadyToShip, ProblemType(409, "Not ready to be shipped")),
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

PROBLEM_TYPES = frozenset((*(kind for _, kind in _BY_ERROR), *_OF_GATEWAY, INTERNAL))


def problem_type(error: type[Exception]) -> ProblemType:
    """What a request that ended in such an error is answered with."""
    return next((kind for fits, kind in _BY_ERROR if issubclass(error, fits)), INTERNAL)


def problem(error: Exception, request_id: str) -> Response[str]:
    """The answer to a request that ended in this error; an error that is not ours says nothing."""
    kind = problem_type(type(error))
    detail = "something went wrong here" if kind is INTERNAL else str(error)
    field = error.field if isinstance(error, InvalidRequest) else ""
    told = f"{field}: {detail}" if field else detail
    body = problem_body(kind.status, kind.title, told, request_id)
    body.field = field or UNSET
    if isinstance(error, InvalidFilter):
        body.position = error.position
    return json_response(body, kind.status, content_type="application/problem+json")


def problem_body(status: int, title: str, detail: str, request_id: str) -> ProblemBody:
    """What a problem says, whoever answers it; status and title are those of a problem type."""
    return ProblemBody(ProblemType(status, title).uri, title, status, detail, request_id)
