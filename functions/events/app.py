"""Events and profiles, in and out again, to the last of what is held; which tracks there are."""

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.metrics import MetricUnit

from segue import bootstrap
from segue.api.app import create_app, create_handler, metrics
from segue.api.http import json_response, read_user_id
from segue.api.tracks import parse_track, track_answer
from segue.api.users import (
    events_answer,
    export_answer,
    parse_events,
    parse_profile,
    parse_users,
    parse_window,
    profile_row,
    receipt_answer,
    users_answer,
)

app = create_app()
ingest = bootstrap.ingest()
privacy = bootstrap.privacy()
bootstrap.snapshot_catalogue()


@app.put("/tracks/<track_id>")
def save_track(track_id: str) -> Response[str]:
    track_id, columns, available = parse_track(track_id, app.current_event)
    track = bootstrap.tracks().save(track_id, columns, available=available)
    return json_response(track_answer(track))


@app.get("/users")
def search() -> Response[str]:
    return json_response(users_answer(ingest.search(*parse_users(app.current_event))))


@app.post("/users/<user_id>/events")
def add(user_id: str) -> Response[str]:
    receipt = ingest.add(read_user_id(user_id), parse_events(app.current_event))
    metrics.add_metric("Events", MetricUnit.Count, receipt.accepted)
    metrics.add_metric("Rejected events", MetricUnit.Count, len(receipt.rejections))
    return json_response(receipt_answer(receipt))


@app.get("/users/<user_id>/events")
def events(user_id: str) -> Response[str]:
    user_id = read_user_id(user_id)
    window, limit, after = parse_window(app.current_event)
    page = ingest.events(user_id, window, limit=limit, after=after)
    return json_response(events_answer(page))


@app.get("/users/<user_id>")
def profile(user_id: str) -> Response[str]:
    return json_response(profile_row(ingest.profile(read_user_id(user_id))))


@app.put("/users/<user_id>")
def save_profile(user_id: str) -> Response[str]:
    user = ingest.save_profile(read_user_id(user_id), parse_profile(app.current_event))
    return json_response(profile_row(user))


@app.get("/users/<user_id>/export")
def export(user_id: str) -> Response[str]:
    user_id = read_user_id(user_id)
    window, limit, after = parse_window(app.current_event)
    page = ingest.events(user_id, window, limit=limit, after=after)
    return json_response(export_answer(privacy.export(user_id), page))


@app.delete("/users/<user_id>")
def erase(user_id: str) -> Response[str]:
    privacy.erase(read_user_id(user_id))
    return Response(204)


lambda_handler = create_handler(app)
