"""Recommendations by a model, and whether they can be had."""

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from msgspec import UNSET, Meta, Struct, UnsetType

from segue.api.http import (
    Explain,
    Explicit,
    Filter,
    Id,
    ListLength,
    UserId,
    json_response,
    read_body,
    read_moment,
)
from segue.api.tracks import recommended_tracks
from segue.domain.errors import UnknownModel
from segue.domain.times import format_time

# They bring ONNX Runtime along, which not every function has a use for.
if TYPE_CHECKING:
    from segue.services.recommend import Health, Query, Recommendation

MAX_BOOSTS = 5
MAX_FACTOR = 100

Degree = Annotated[float, Meta(ge=0, le=1)]


class BoostBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The scores of the tracks that ``where`` describes are multiplied by ``factor``."""

    where: Filter
    factor: Annotated[float, Meta(gt=0, le=MAX_FACTOR)]


class PredictBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """For whom, and how, a model recommends."""

    user_id: UserId
    k: (
        Annotated[
            ListLength,
            Meta(description="Length of the list; by default, of the user's average session"),
        ]
        | None
    ) = None
    as_of: Annotated[str | int, Meta(description="Recommend as of this time")] | None = None
    novelty: Annotated[
        Literal["any", "new"], Meta(description="new leaves out what the user ever started")
    ] = "any"
    explicit: Explicit = True
    exclude: Annotated[
        list[Id], Meta(max_length=1_000, description="Ids of tracks to leave out")
    ] = []
    filter: Filter | None = None
    boosts: Annotated[
        list[BoostBody], Meta(max_length=MAX_BOOSTS, description="Tracks to weigh up or down")
    ] = []
    diversity: Annotated[
        Degree, Meta(description="0 by score alone, to 1: tracks that differ from each other")
    ] = 0.0
    exploration: Annotated[
        Degree, Meta(description="0 none, to 1: the temperature of a draw from the best tracks")
    ] = 0.0
    explain: Explain = False


class ModelRow(Struct):
    """A model of the bundle: what it is called, and how it did when it was trained."""

    id: int
    name: str
    metrics: dict[str, Any]


class BundleAnswer(Struct):
    """The manifest of the bundle that is served, with more than is listed here."""

    version: str
    cutoff: str
    models: list[ModelRow]
    files: dict[str, Any]


class RefusedRow(Struct):
    """A bundle that should be served and is not, and why."""

    bundle: str | None
    reason: str


class HealthAnswer(Struct, omit_defaults=True):
    """Predictions can be had. ``now``: the moment that they are made as of."""

    status: Literal["ok"]
    bundle: str
    now: str
    refused: RefusedRow | UnsetType = UNSET


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
        filter=body.filter,
        boosts=tuple((boost.where, boost.factor) for boost in body.boosts),
        diversity=body.diversity,
        exploration=body.exploration,
        explain=body.explain,
    )


def recommendation_response(answer: "Recommendation") -> Response[str]:
    """Track ids, best first; or, where reasons were asked for, an object for each track."""
    origin = "cold-start" if answer.cold_start else answer.model
    headers = {"X-Segue-Answered-By": origin, "X-Segue-Bundle": answer.bundle}
    if answer.reasons is None:
        return json_response(answer.tracks, headers=headers)
    return json_response(recommended_tracks(answer, answer.propensities), headers=headers)


def health_answer(health: "Health") -> HealthAnswer:
    """Which bundle is served and, where that is another than should be, why."""
    refused = health.refused
    return HealthAnswer(
        status="ok",
        bundle=health.version,
        now=format_time(health.now),
        refused=RefusedRow(refused.version, refused.reason) if refused else UNSET,
    )


def _model_id(text: str) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,8}", text):
        raise UnknownModel(f"there is no model {text!r}: models have numbers, such as 1")
    return int(text)
