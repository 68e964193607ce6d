"""Which of several forms of an answer the client wants (RFC 9110, section 12.5.1)."""

from collections.abc import Mapping

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from segue.domain.errors import InvalidRequest


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
