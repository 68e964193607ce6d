"""CORS: of which other websites the pages may call the API. Without credentials of the browser's:
whoever calls signs each request, as everybody does."""

from collections.abc import Sequence

from aws_lambda_powertools.event_handler import CORSConfig

_METHODS = "DELETE,GET,POST,PUT"
# Beside what Powertools allows; the checksum is sent by AWS's signer for JavaScript.
_REQUEST_HEADERS = ["If-Match", "If-None-Match", "X-Amz-Content-Sha256"]
_RESPONSE_HEADERS = ["ETag", "Link", "X-Segue-Answered-By", "X-Segue-Bundle"]
# The longest that any browser keeps the answer to a preflight.
_TWO_HOURS = 7200


class Cors(CORSConfig):
    """Lets pages of these origins call every route, whichever function answers the preflight."""

    def __init__(self, origins: Sequence[str]) -> None:
        first, *others = origins
        super().__init__(
            first,
            others,
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_RESPONSE_HEADERS,
            max_age=_TWO_HOURS,
        )

    def to_dict(self, origin: str | None) -> dict[str, str]:
        """The headers of an answer to a page of this origin; none for one that is not listed."""
        headers = super().to_dict(origin)
        return headers and {
            **headers,
            "Access-Control-Allow-Methods": _METHODS,
            "Vary": "Origin",
        }


def read_origins(text: str) -> list[str]:
    """The origins of a list with commas, as the template's parameter ``CorsOrigins`` has them."""
    return [origin.strip() for origin in text.split(",") if origin.strip()]
