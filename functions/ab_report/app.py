"""The report on an A/B test: as JSON, or as a page to a client that prefers HTML."""

from aws_lambda_powertools.event_handler import Response

from segue import bootstrap
from segue.api.app import create_app, create_handler
from segue.api.experiments import parse_side
from segue.api.report.response import report_response

app = create_app()
reports = bootstrap.reports()


@app.get("/ab_test/report")
def report() -> Response[str]:
    name, live = parse_side(app.current_event)
    return report_response(reports.report(name, live=live), app.current_event)


lambda_handler = create_handler(app)
