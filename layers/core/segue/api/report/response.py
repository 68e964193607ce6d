"""The report in the form that the client prefers."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from segue.api.experiments import OverviewQuery, parse_side
from segue.api.http import json_response, negotiate, read_query
from segue.api.problems import problem
from segue.api.report.overview import overview_page
from segue.api.report.page import no_report, page
from segue.domain.errors import InvalidRequest, UnknownExperiment

Document = Mapping[str, Any]

_FORMATS = {"json": "application/json", "html": "text/html"}
# One address, two forms: a cache between here and the client must not mix them up.
_VARY = {"Vary": "Accept", "Cache-Control": "no-store"}
# The page has nothing to load, nothing to run, and nothing to send.
_SAFE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


class Reports(Protocol):
    """``segue.reporting.reports``, which brings SciPy along."""

    def report(self, name: str, *, live: bool, number: int | None) -> Document: ...

    def experiments(self) -> Sequence[Document]: ...

    def overview(self, *, limit: int, after: str | None) -> Document: ...


def report_response(reports: Reports, event: APIGatewayProxyEvent) -> Response[str]:
    """The report that is asked for, as JSON, or as a page with all experiments to choose from.

    Where there is no such report, a page says so and has them, too; as JSON it is a problem.
    Raises InvalidRequest, UnknownExperiment and StoreUnavailable.
    """
    if negotiate(event, _FORMATS) == "json":
        return json_response(_report(reports, event), headers=_VARY)
    experiments = reports.experiments()
    try:
        return _html(200, page(_report(reports, event), experiments))
    except (InvalidRequest, UnknownExperiment) as error:
        status = problem(error, "").status_code
        reason = f"{error.field} {error}" if isinstance(error, InvalidRequest) else str(error)
        return _html(status, no_report(reason, experiments))


def overview_response(reports: Reports, event: APIGatewayProxyEvent) -> Response[str]:
    """All epochs that ever began, as JSON or as a page.

    Raises InvalidRequest, MalformedRequest and StoreUnavailable.
    """
    asked = read_query(event, OverviewQuery)
    found = reports.overview(limit=asked.limit, after=asked.next)
    if negotiate(event, _FORMATS) == "json":
        return json_response(found, headers=_VARY)
    return _html(200, overview_page(found, asked.limit))


def _report(reports: Reports, event: APIGatewayProxyEvent) -> Document:
    asked = parse_side(event)
    return reports.report(asked.experiment, live=asked.live, number=asked.epoch)


def _html(status: int, page: str) -> Response[str]:
    return Response(status, "text/html; charset=utf-8", page, {**_VARY, **_SAFE})
