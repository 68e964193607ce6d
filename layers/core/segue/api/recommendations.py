"""Recommendations, and whether they can be had: requests and answers."""

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from msgspec import Meta, Struct

from segue.api.http import Id, ListLength, UserId, json_response, read_body, read_moment
from segue.domain.errors import UnknownModel

# They bring ONNX Runtime along, which not every function has a use for.
if TYPE_CHECKING:
    from segue.ports import Refused
    from segue.ranking.explanations import Reason
    from segue.services.recommend import Query, Recommendation

Degree = Annotated[float, Meta(ge=0, le=1)]


class PredictBody(Struct, forbid_unknown_fields=True):
    """The body of ``POST /models/{model_id}/predict``."""

    user_id: UserId
    k: ListLength | None = None
    as_of: str | int | None = None
    novelty: Literal["any", "new"] = "any"
    explicit: bool = True
    exclude: Annotated[list[Id], Meta(max_length=1_000)] = []
    diversity: Degree = 0.0
    exploration: Degree = 0.0
    explain: bool = False


def parse_predict(model_id: str, event: APIGatewayProxyEvent) -> "Query":
    """Raises InvalidRequest naming the field, and UnknownModel for a model_id that is no number."""
    from segue.services.recommend import Query

    body = read_body(event, PredictBody)
    return Query(
        user_id=str(body.user_id),
        model_id=_model_id(model_id),
        k=body.k,
        as_of=read_moment(body.as_of, "as_of"),
        novelty=body.novelty,
        explicit=body.explicit,
        exclude=tuple(body.exclude),
        diversity=body.diversity,
        exploration=body.exploration,
        explain=body.explain,
    )


def _model_id(text: str) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,8}", text):
        raise UnknownModel(f"there is no model {text!r}: models have numbers, such as 1")
    return int(text)


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
