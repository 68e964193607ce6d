"""The report in the form that the client prefers."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from segue.api.http import json_response, negotiate
from segue.api.report.page import page

_FORMATS = {"json": "application/json", "html": "text/html"}
# One address, two forms: a cache between here and the client must not mix them up.
_VARY = {"Vary": "Accept", "Cache-Control": "no-store"}
# The page has nothing to load and nothing to run.
_SAFE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


def report_response(report: Mapping[str, Any], event: APIGatewayProxyEvent) -> Response[str]:
    """A document of ``segue.services.report``, as it is or as a page."""
    if negotiate(event, _FORMATS) == "json":
        return json_response(report, headers=_VARY)
    return Response(200, "text/html; charset=utf-8", page(report), {**_VARY, **_SAFE})
