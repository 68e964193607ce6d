"""Answers as JSON."""

from collections.abc import Mapping

import msgspec
from aws_lambda_powertools.event_handler import Response

from segue.domain.times import format_time
from segue.domain.users import json_id
from segue.experiments.records import Record


def json_response(
    body: object,
    status: int = 200,
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Response[str]:
    """A response with a JSON body."""
    return Response(status, content_type, msgspec.json.encode(body).decode(), dict(headers or {}))


def result_row(record: Record) -> dict[str, object]:
    """A record as the results list it: the original service's columns first, then our own."""
    exposure = record.exposure
    return {
        "created_at": format_time(exposure.created_at),
        "user_id": json_id(exposure.user_id),
        "group": exposure.group,
        "model": exposure.model,
        "recomm_successful": int(record.successful),
        "tracks": exposure.tracks,
        "as_of": format_time(exposure.as_of),
        "settled_at": format_time(record.settled_at),
        "bundle": exposure.bundle,
        "error": exposure.error,
    }
