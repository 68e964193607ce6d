"""Recommendations, the models behind them, and whether they can be had."""

from time import perf_counter
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from segue.api.app import create_app, logger, metrics
from segue.api.requests import parse_predict
from segue.api.responses import json_response
from segue.bootstrap import recommender

app = create_app()


@app.post("/models/<model_id>/predict")
def predict(model_id: str) -> Response[str]:
    start = perf_counter()
    answer = recommender().recommend(parse_predict(model_id, app.current_event))
    metrics.add_dimension("model", answer.model)
    metrics.add_metric("Latency", MetricUnit.Milliseconds, 1_000 * (perf_counter() - start))
    metrics.add_metric("ColdStart recommendations", MetricUnit.Count, answer.cold_start)
    origin = "cold-start" if answer.cold_start else answer.model
    headers = {"X-Segue-Answered-By": origin, "X-Segue-Bundle": answer.bundle}
    return json_response(answer.tracks, headers=headers)


@app.get("/models")
def models() -> Response[str]:
    return json_response(recommender().models())


@app.get("/health")
def health() -> Response[str]:
    return json_response({"status": "ok", "bundle": recommender().check()})


@metrics.log_metrics(capture_cold_start_metric=True)
@logger.inject_lambda_context(correlation_id_path="requestContext.requestId", clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)
