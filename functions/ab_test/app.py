"""A/B tests: perform one, list the results, begin anew."""

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.metrics import MetricUnit

from segue import bootstrap
from segue.api.app import create_app, create_handler, metrics
from segue.api.requests import parse_page, parse_test
from segue.api.responses import json_response, result_row
from segue.domain.times import format_time
from segue.services.experiment import Pending

app = create_app()
experiments = bootstrap.experiments()


@app.post("/perform_ab_test")
def perform() -> Response[str]:
    outcome = experiments.perform(parse_test(app.current_event))
    if isinstance(outcome, Pending):
        settles_at = format_time(outcome.settles_at)
        return json_response({"status": "pending", "settles_at": settles_at}, 202)
    metrics.add_metric("Settled outcomes", MetricUnit.Count, 1)
    return json_response({"Successful recommendation": int(outcome.successful)})


@app.get("/ab_test/results")
def results() -> Response[str]:
    limit, after = parse_page(app.current_event)
    page = experiments.results(limit=limit, after=after)
    return json_response({"results": [result_row(r) for r in page.records], "next": page.next})


@app.delete("/ab_test/results")
def clear() -> Response[str]:
    experiments.clear()
    return Response(204)


lambda_handler = create_handler(app)
