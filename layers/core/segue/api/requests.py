"""Requests: bodies and query strings read into typed values, or refused naming the field."""

import re
from typing import Annotated, Literal, TypeVar

import msgspec
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from msgspec import Meta, Struct

from segue.domain.errors import InvalidRequest, MalformedRequest, RequestTooLarge, UnknownModel
from segue.domain.events import MAX_ID_LENGTH
from segue.domain.times import parse_time
from segue.services.recommend import Query

# A thousand ids of any usual length fit.
MAX_BODY = 128 * 1024
MAX_PAGE = 1_000

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
UserId = Annotated[int, Meta(ge=0, le=2**63 - 1)] | Id

S = TypeVar("S", bound=Struct)


class PredictBody(Struct, forbid_unknown_fields=True):
    """The body of ``POST /models/{model_id}/predict``."""

    user_id: UserId
    k: Annotated[int, Meta(ge=1, le=100)] | None = None
    as_of: str | int | None = None
    novelty: Literal["any", "new"] = "any"
    explicit: bool = True
    exclude: Annotated[list[Id], Meta(max_length=1_000)] = []


class TestBody(Struct, forbid_unknown_fields=True):
    """The body of ``POST /perform_ab_test``."""

    user_id: UserId


def parse_predict(model_id: str, event: APIGatewayProxyEvent) -> Query:
    """Raises InvalidRequest naming the field, and UnknownModel for a model_id that is no number."""
    body = _parse_body(event, PredictBody)
    return Query(
        user_id=str(body.user_id),
        model_id=_model_id(model_id),
        k=body.k,
        as_of=_moment(body.as_of),
        novelty=body.novelty,
        explicit=body.explicit,
        exclude=tuple(body.exclude),
    )


def parse_test(event: APIGatewayProxyEvent) -> str:
    """The user's id. Raises InvalidRequest naming the field."""
    return str(_parse_body(event, TestBody).user_id)


def parse_page(event: APIGatewayProxyEvent) -> tuple[int, str]:
    """``limit`` and ``next`` of the query string. Raises InvalidRequest naming the field."""
    parameters = event.query_string_parameters or {}
    limit = parameters.get("limit", str(MAX_PAGE))
    if not re.fullmatch(r"[0-9]{1,4}", limit) or not 1 <= int(limit) <= MAX_PAGE:
        raise InvalidRequest(f"must be a whole number from 1 to {MAX_PAGE}", field="limit")
    return int(limit), parameters.get("next", "")


def _parse_body(event: APIGatewayProxyEvent, kind: type[S]) -> S:
    try:
        body = (event.decoded_body or "").encode()
    except ValueError:
        raise MalformedRequest("the body is not UTF-8 text") from None
    if len(body) > MAX_BODY:
        raise RequestTooLarge(f"the body is over {MAX_BODY} bytes")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None
    except msgspec.DecodeError as error:
        raise MalformedRequest(f"the body is not JSON: {error}") from None


def _invalid(error: msgspec.ValidationError) -> InvalidRequest:
    """msgspec says ``Expected `int`, got `str` - at `$.k```, or names the field in its sentence."""
    text, _, path = str(error).partition(" - at `$")
    named = re.search(r"field `(\w+)`", text)
    field = path.strip(".`") or (named.group(1) if named else "")
    return InvalidRequest(text, field=field)


def _model_id(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise UnknownModel(f"there is no model {text!r}: models have numbers")
    return int(text)


def _moment(value: str | int | None) -> int | None:
    try:
        return None if value is None else parse_time(value)
    except ValueError as error:
        raise InvalidRequest(str(error), field="as_of") from None
