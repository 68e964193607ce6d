"""The report on an A/B test, as JSON or as a page; and, by a schedule, a look at all of them."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from segue import bootstrap
from segue.api.app import create_app, create_handler, create_task
from segue.api.experiments import ShipBody, ShippedAnswer, caller, read_name
from segue.api.http import json_response, read_body
from segue.api.report.response import overview_response, report_response
from segue.api.telemetry import observe_mismatches
from segue.experiments.epoch import Side

app = create_app()
reports = bootstrap.reports()
life = bootstrap.life()
bootstrap.snapshot_reports()


@app.get("/ab_test/report")
def report() -> Response[str]:
    return report_response(reports, app.current_event)


@app.post("/experiments/<name>/ship")
def ship(name: str) -> Response[str]:
    name, body = read_name(name), read_body(app.current_event, ShipBody)
    if body.despite is None:
        reports.check_ready(name, body.group, live=body.side is Side.LIVE)
    shipped = life.ship(name, body.group, caller(app.current_event), body.despite or "")
    return json_response(ShippedAnswer(name, shipped.state, shipped.shipped))


@app.get("/ab_test/overview")
def overview() -> Response[str]:
    return overview_response(reports, app.current_event)


def look(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    observe_mismatches(reports.mismatches())


answer, watch = create_handler(app), create_task(look)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any] | None:
    """Calls of the API have an HTTP method, those of the schedule have none."""
    return answer(event, context) if "httpMethod" in event else watch(event, context)
