"""Requests: bodies and query strings read into typed values, or refused naming the field."""

import re
from typing import Annotated, Literal

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from msgspec import Meta, Struct

from segue.api.reading import (
    MAX_LIST,
    MAX_PAGE,
    Id,
    ListLength,
    UserId,
    read_body,
    read_count,
    read_moment,
    read_segment,
)
from segue.domain.errors import InvalidRequest, UnknownModel
from segue.experiments.experiment import DEFAULT_NAME, check_name
from segue.services.recommend import Query
from segue.services.similar import SimilarQuery

DEFAULT_SIMILAR = 20

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


class TestBody(Struct, forbid_unknown_fields=True):
    """The body of ``POST /perform_ab_test``."""

    user_id: UserId
    experiment: str = DEFAULT_NAME


def parse_predict(model_id: str, event: APIGatewayProxyEvent) -> Query:
    """Raises InvalidRequest naming the field, and UnknownModel for a model_id that is no number."""
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


def parse_test(event: APIGatewayProxyEvent) -> tuple[str, str]:
    """The user's id and the experiment's name. Raises InvalidRequest naming the field."""
    body = read_body(event, TestBody)
    check_name(body.experiment, "experiment")
    return str(body.user_id), body.experiment


def parse_page(event: APIGatewayProxyEvent) -> tuple[int, str | None]:
    """``limit`` and ``next`` of the query string. Raises InvalidRequest naming the field."""
    parameters = event.query_string_parameters or {}
    limit = read_count(parameters, "limit", default=MAX_PAGE, greatest=MAX_PAGE)
    return limit, parameters.get("next")


def parse_similar(track_id: str, event: APIGatewayProxyEvent) -> SimilarQuery:
    """``track_id`` as it stands in the path, ``k`` and ``explicit`` of the query string.

    Raises InvalidRequest naming the field.
    """
    parameters = event.query_string_parameters or {}
    explicit = parameters.get("explicit", "true")
    if explicit not in ("true", "false"):
        raise InvalidRequest("must be true or false", field="explicit")
    k = read_count(parameters, "k", default=DEFAULT_SIMILAR, greatest=MAX_LIST)
    return SimilarQuery(read_segment(track_id, "track_id"), k, explicit == "true")


def _model_id(text: str) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,8}", text):
        raise UnknownModel(f"there is no model {text!r}: models have numbers, such as 1")
    return int(text)
