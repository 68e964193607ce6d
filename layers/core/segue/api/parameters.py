"""Query strings: which parameters each route takes. What is not among them is refused."""

from collections.abc import Collection, Mapping

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from segue.api.reading import REPLACEMENT
from segue.domain.errors import MalformedRequest

_SIDE = ("experiment", "live")
_PAGE = ("limit", "next")
_EVENTS = ("from", "to", *_PAGE)

# By method and path, as the template has them; a route that is not here takes none.
PARAMETERS: Mapping[tuple[str, str], Collection[str]] = {
    ("GET", "/tracks/{track_id}/similar"): ("k", "explicit"),
    ("GET", "/ab_test/results"): (*_SIDE, *_PAGE, "format"),
    ("DELETE", "/ab_test/results"): ("experiment",),
    ("GET", "/ab_test/report"): (*_SIDE, "format"),
    ("GET", "/users/{user_id}/recommendations"): ("experiment", "k"),
    ("GET", "/users/{user_id}/events"): _EVENTS,
    ("GET", "/users/{user_id}/export"): _EVENTS,
}
# A signature may stand in the query string, for API Gateway to read.
_SIGNATURE = "X-Amz-"


def check_parameters(event: APIGatewayProxyEvent) -> None:
    """Raises MalformedRequest for a parameter that is unknown, repeated, or no UTF-8 text."""
    known = PARAMETERS.get((event.http_method, str(event.get("resource"))), ())
    several = event.get("multiValueQueryStringParameters") or {}
    for name, value in (event.query_string_parameters or {}).items():
        if name.startswith(_SIGNATURE):
            continue
        if name not in known:
            raise MalformedRequest(f"no such parameter; {_choice(known)}", field=name)
        if len(several.get(name, ())) > 1:
            raise MalformedRequest("may stand in the query only once", field=name)
        if REPLACEMENT in value:
            raise MalformedRequest("not UTF-8 text", field=name)


def _choice(known: Collection[str]) -> str:
    return f"this route takes {', '.join(known)}" if known else "this route takes none"
