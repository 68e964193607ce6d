"""HTTP: reads requests, refusing them with the field at fault, and writes answers as JSON."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from msgspec import Meta, Struct

from segue.domain.errors import InvalidRequest, MalformedRequest, RequestTooLarge
from segue.domain.events import parse_id
from segue.domain.limits import MAX_EXPRESSION_LENGTH, MAX_ID_LENGTH
from segue.domain.times import parse_time

# What API Gateway puts in place of bytes that are no UTF-8, so that distinct ids become one. In a
# text that it hands over nobody can tell them from a character that was meant.
REPLACEMENT = "\ufffd"
REPLACED = "contains U+FFFD, which stands for bytes that are not UTF-8"
# A thousand ids of any usual length fit.
MAX_BODY = 128 * 1024
# No body has a use for more, and every decoder can follow.
MAX_LEVELS = 100
MAX_PAGE = 1_000
MAX_LIST = 100
# Of lists that nobody says the length of.
DEFAULT_LENGTH = 20

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
UserId = Annotated[int, Meta(ge=0, le=2**63 - 1)] | Id
ListLength = Annotated[int, Meta(ge=1, le=MAX_LIST, description="Length of the list")]
PageLength = Annotated[int, Meta(ge=1, le=MAX_PAGE, description="Most rows on a page")]
Position = Annotated[str, Meta(description="Where to go on: the next of the page before")]
Explicit = Annotated[bool, Meta(description="False leaves out explicit tracks")]
Explain = Annotated[bool, Meta(description="Objects with names and reasons instead of ids")]
Filter = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_EXPRESSION_LENGTH,
        description="Only tracks of which this expression is true",
        examples=['genre in ("harbour rock", "honey funk") and year >= 1990 and not explicit'],
    ),
]
Live = Annotated[bool, Meta(description="What was shown live, not what was replayed")]

# Brackets, and strings, in which brackets are no brackets.
_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)

_OF_TEXT = {
    "Expected `bool`": "must be true or false",
    "Expected `int`, got": "must be a whole number",
    "Expected `int` >= (.*)": r"must be at least \1",
    "Expected `int` <= (.*)": r"must be at most \1",
}

S = TypeVar("S", bound=Struct)


def read_body(event: APIGatewayProxyEvent, kind: type[S], limit: int = MAX_BODY) -> S:
    """The body as a ``kind``. Raises MalformedRequest, RequestTooLarge and InvalidRequest."""
    body = _encoded_body(event)
    if len(body) > limit:
        raise RequestTooLarge(f"the body is over {limit} bytes")
    check_nesting(body)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None
    except msgspec.DecodeError as error:
        raise MalformedRequest(f"the body is not JSON: {error}") from None


def check_nesting(body: bytes) -> None:
    """Raises MalformedRequest for JSON of more than MAX_LEVELS levels.

    Before anything is decoded: how deep a decoder follows depends on the interpreter, and whether
    it comes there on what else is wrong with the body.
    """
    depth = 0
    for token in _BRACKETS.finditer(body):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token[0], 0)
        if depth > MAX_LEVELS:
            raise MalformedRequest(f"nested too deeply: more than {MAX_LEVELS} levels")


def _encoded_body(event: APIGatewayProxyEvent) -> bytes:
    try:
        text = event.decoded_body or ""
        body = text.encode()
    except ValueError:
        raise MalformedRequest("the body is not UTF-8 text") from None
    if REPLACEMENT in text and not event.is_base64_encoded:
        raise MalformedRequest(f"the body {REPLACED}; one that is meant, write as \\ufffd")
    return body


def _invalid(error: msgspec.ValidationError) -> InvalidRequest:
    """msgspec says ``Expected `int`, got `str` - at `$.k```, or names the field in its sentence.

    Of an object's keys it says ``- at `key` in `$.attributes```.
    """
    text, _, path = str(error).partition(" - at `")
    named = re.search(r"field `(\w+)`", text)
    field = path.rpartition("$")[2].strip(".`") or (named.group(1) if named else "")
    return InvalidRequest(f"{text} as a key" if path.startswith("key`") else text, field=field)


def read_query(event: APIGatewayProxyEvent, kind: type[S]) -> S:
    """The query string as a ``kind``. Raises InvalidRequest.

    Text stands for numbers and truth values here. What the route does not take is refused before.
    """
    try:
        return msgspec.convert(event.query_string_parameters or {}, kind, strict=False)
    except msgspec.ValidationError as error:
        refused = _invalid(error)
        # In a query all is text: what msgspec says of types would only puzzle.
        for pattern, said in _OF_TEXT.items():
            if match := re.match(pattern, str(refused)):
                raise InvalidRequest(match.expand(said), field=refused.field) from None
        raise refused from None


def read_event(event: Mapping[str, Any], kind: type[S]) -> S:
    """An event that is no request, as a ``kind``. Raises InvalidRequest."""
    try:
        return msgspec.convert(event, kind)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None


def read_moment(value: str | int | None, field: str) -> int | None:
    """A time in milliseconds since 1970 UTC. Raises InvalidRequest."""
    try:
        return None if value is None else parse_time(value)
    except ValueError as error:
        raise InvalidRequest(str(error), field=field) from None


def read_segment(text: str, field: str) -> str:
    """A segment of the path, decoded. Raises MalformedRequest."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise MalformedRequest("not UTF-8 text", field=field) from None


def read_user_id(text: str) -> str:
    """A user's id as it stands in the path. Raises MalformedRequest and InvalidRequest."""
    user_id = parse_id(read_segment(text, "user_id"))
    if user_id is None:
        raise InvalidRequest(f"must have 1 to {MAX_ID_LENGTH} characters", field="user_id")
    return user_id


def negotiate(event: APIGatewayProxyEvent, offered: Mapping[str, str]) -> str:
    """One of the offered formats, given by name with their media types.

    ``?format=`` says it outright; else ``Accept`` weighs them. Without either, and where it wants
    none of these, it is the first. Raises InvalidRequest for a format that is not offered.
    """
    wanted = (event.query_string_parameters or {}).get("format")
    if wanted is not None:
        if wanted not in offered:
            raise InvalidRequest(f"must be one of {', '.join(offered)}", field="format")
        return wanted
    ranges = _ranges(event.headers.get("Accept") or "*/*")
    # Of equals, max takes the first.
    return max(offered, key=lambda name: _quality(offered[name], ranges))


def _ranges(accept: str) -> dict[str, float]:
    """``text/html, */*;q=0.8`` as ``{"text/html": 1, "*/*": 0.8}``."""
    ranges = {}
    for part in accept.lower().split(","):
        media_type, *parameters = (it.strip() for it in part.split(";"))
        ranges[media_type] = next((_number(it[2:]) for it in parameters if it[:2] == "q="), 1.0)
    return ranges


def _quality(media_type: str, ranges: Mapping[str, float]) -> float:
    """Of the narrowest range that the type is in; 0 outside all of them."""
    kind = media_type.partition("/")[0]
    found = (ranges.get(it) for it in (media_type, f"{kind}/*", "*/*"))
    return next((quality for quality in found if quality is not None), 0.0)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def json_response(
    body: object,
    status: int = 200,
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Response[str]:
    """A response with a JSON body."""
    return Response(status, content_type, msgspec.json.encode(body).decode(), dict(headers or {}))
