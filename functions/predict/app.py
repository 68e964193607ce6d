"""Recommendations, the models behind them, and whether they can be had."""

from time import perf_counter

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.metrics import MetricUnit

from segue import bootstrap
from segue.api.app import create_app, create_handler, metrics
from segue.api.requests import parse_predict
from segue.api.responses import json_response

app = create_app()
recommender = bootstrap.recommender()


@app.post("/models/<model_id>/predict")
def predict(model_id: str) -> Response[str]:
    start = perf_counter()
    answer = recommender.recommend(parse_predict(model_id, app.current_event))
    metrics.add_dimension("model", answer.model)
    metrics.add_metric("Latency", MetricUnit.Milliseconds, 1_000 * (perf_counter() - start))
    metrics.add_metric("ColdStart recommendations", MetricUnit.Count, answer.cold_start)
    origin = "cold-start" if answer.cold_start else answer.model
    headers = {"X-Segue-Answered-By": origin, "X-Segue-Bundle": answer.bundle}
    return json_response(answer.tracks, headers=headers)


@app.get("/models")
def models() -> Response[str]:
    return json_response(recommender.models())


@app.get("/health")
def health() -> Response[str]:
    return json_response({"status": "ok", "bundle": recommender.check()})


lambda_handler = create_handler(app)
