"""Tracks: requests and answers."""

from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from segue.api.http import MAX_LIST, read_count, read_segment
from segue.domain.errors import InvalidRequest

# It brings NumPy along, which not every function has a use for.
if TYPE_CHECKING:
    from segue.services.similar import SimilarQuery

DEFAULT_SIMILAR = 20


def parse_similar(track_id: str, event: APIGatewayProxyEvent) -> "SimilarQuery":
    """``track_id`` as it stands in the path, ``k`` and ``explicit`` of the query string.

    Raises InvalidRequest naming the field.
    """
    from segue.services.similar import SimilarQuery

    parameters = event.query_string_parameters or {}
    explicit = parameters.get("explicit", "true")
    if explicit not in ("true", "false"):
        raise InvalidRequest("must be true or false", field="explicit")
    k = read_count(parameters, "k", default=DEFAULT_SIMILAR, greatest=MAX_LIST)
    return SimilarQuery(read_segment(track_id, "track_id"), k, explicit == "true")
