"""Query strings: which parameters each route takes. What is not among them is refused."""

from collections.abc import Collection, Mapping, Sequence

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from segue.api.http import REPLACED, REPLACEMENT
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
_SIGNATURE = frozenset(
    f"X-Amz-{name}"
    for name in [
        "Algorithm",
        "Credential",
        "Date",
        "Expires",
        "Security-Token",
        "Signature",
        "SignedHeaders",
    ]
)


def check_parameters(event: APIGatewayProxyEvent) -> None:
    """Raises MalformedRequest for a parameter that is unknown, repeated, or no UTF-8 text."""
    known = PARAMETERS.get((event.http_method, str(event.get("resource"))), ())
    several = event.get("multiValueQueryStringParameters") or {}
    given = {
        name: value
        for name, value in (event.query_string_parameters or {}).items()
        if name not in _SIGNATURE
    }
    if unknown := [name for name in given if name not in known]:
        raise no_such_parameters(unknown, known)
    for name, value in given.items():
        if len(several.get(name, ())) > 1:
            raise MalformedRequest("may stand in the query only once", field=name)
        if REPLACEMENT in value:
            raise MalformedRequest(REPLACED, field=name)


def no_such_parameters(unknown: Sequence[str], known: Collection[str] = ()) -> MalformedRequest:
    """Names them all; the problem's ``field`` is the first one."""
    others = f"; nor {', '.join(unknown[1:])}" if unknown[1:] else ""
    takes = f"takes {', '.join(known)}" if known else "takes none"
    return MalformedRequest(f"no such parameter{others}; this route {takes}", field=unknown[0])
