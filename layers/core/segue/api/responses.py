"""Answers as JSON."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import msgspec
from aws_lambda_powertools.event_handler import Response

from segue.domain.times import format_time
from segue.domain.users import json_id
from segue.experiments.records import Record

# They bring ONNX Runtime along, which not every function has a use for.
if TYPE_CHECKING:
    from segue.ports import Refused
    from segue.ranking.explanations import Reason
    from segue.services.recommend import Recommendation


def json_response(
    body: object,
    status: int = 200,
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Response[str]:
    """A response with a JSON body."""
    return Response(status, content_type, msgspec.json.encode(body).decode(), dict(headers or {}))


def recommendation_response(answer: "Recommendation") -> Response[str]:
    """Track ids, best first; or, where reasons were asked for, an object for each track."""
    origin = "cold-start" if answer.cold_start else answer.model
    headers = {"X-Segue-Answered-By": origin, "X-Segue-Bundle": answer.bundle}
    if answer.reasons is None:
        return json_response(answer.tracks, headers=headers)
    rows = [
        _track_row(answer, place, _reason_row(reason))
        for place, reason in enumerate(answer.reasons)
    ]
    return json_response(rows, headers=headers)


def health_response(version: str, refused: "Refused | None") -> Response[str]:
    """Which bundle is served and, where that is another than should be, why."""
    body: dict[str, object] = {"status": "ok", "bundle": version}
    if refused:
        body["refused"] = {"bundle": refused.version, "reason": refused.reason}
    return json_response(body)


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
        "credits": record.credits or None,
        "propensities": exposure.propensities or None,
    }


def _track_row(
    answer: "Recommendation", place: int, reason: dict[str, object] | None
) -> dict[str, object]:
    score = _rounded(answer.scores[place])
    row = {"track_id": answer.tracks[place], "score": score, "reason": reason}
    if answer.propensities is not None:
        row["propensity"] = answer.propensities[place]
    return row


def _reason_row(reason: "Reason | None") -> dict[str, object] | None:
    if reason is None:
        return None
    row = {**asdict(reason), "share": _rounded(reason.share)}
    return {name: value for name, value in row.items() if value is not None}


def _rounded(number: float) -> float:
    """To as many digits as a float32 holds."""
    return float(f"{number:.6g}")
