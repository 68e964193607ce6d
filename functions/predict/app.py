"""Recommendations, tracks, the models behind them, and whether they can be had."""

from time import perf_counter

from aws_lambda_powertools.event_handler import Response

from segue import bootstrap
from segue.api.app import create_app, create_handler
from segue.api.http import json_response, read_segment
from segue.api.recommendations import health_answer, parse_predict, recommendation_response
from segue.api.telemetry import observe
from segue.api.tracks import (
    genres_answer,
    parse_search,
    parse_similar,
    similar_response,
    track_answer,
    tracks_answer,
)

app = create_app()
recommender = bootstrap.recommender()
bootstrap.snapshot_models()


@app.post("/models/<model_id>/predict")
def predict(model_id: str) -> Response[str]:
    start = perf_counter()
    answer = recommender.recommend(parse_predict(model_id, app.current_event))
    observe(answer, 1_000 * (perf_counter() - start))
    return recommendation_response(answer)


@app.get("/tracks")
def search() -> Response[str]:
    return json_response(tracks_answer(bootstrap.tracks().search(parse_search(app.current_event))))


@app.get("/tracks/<track_id>")
def track(track_id: str) -> Response[str]:
    found = bootstrap.tracks().track(read_segment(track_id, "track_id"))
    return json_response(track_answer(found))


@app.get("/tracks/<track_id>/similar")
def similar(track_id: str) -> Response[str]:
    return similar_response(recommender.similar(parse_similar(track_id, app.current_event)))


@app.get("/genres")
def genres() -> Response[str]:
    return json_response(genres_answer(bootstrap.tracks().genres()))


@app.get("/models")
def models() -> Response[str]:
    return json_response(recommender.models())


@app.get("/health")
def health() -> Response[str]:
    return json_response(health_answer(recommender.check()))


lambda_handler = create_handler(app)
