"""A/B tests: perform one, list the results, begin anew; recommend by one; change them."""

from time import perf_counter

from aws_lambda_powertools.event_handler import Response

from segue import bootstrap
from segue.api.app import create_app, create_handler
from segue.api.experiments import (
    experiment_row,
    parse_experiment,
    parse_experiment_name,
    parse_list_length,
    parse_page,
    parse_side,
    parse_test,
    results_response,
    shown_body,
)
from segue.api.http import json_response, read_user_id
from segue.api.telemetry import observe_outcome, observe_shown
from segue.domain.times import format_time
from segue.services.experiment import Pending

app = create_app()
experiments = bootstrap.experiments()
live = bootstrap.live()
epochs = bootstrap.epochs()
bootstrap.snapshot_models()


@app.post("/perform_ab_test")
def perform() -> Response[str]:
    outcome = experiments.perform(*parse_test(app.current_event))
    observe_outcome(outcome.exposure, settled=not isinstance(outcome, Pending))
    if isinstance(outcome, Pending):
        settles_at = format_time(outcome.settles_at)
        return json_response({"status": "pending", "settles_at": settles_at}, 202)
    return json_response({"Successful recommendation": int(outcome.successful)})


@app.get("/ab_test/results")
def results() -> Response[str]:
    limit, after = parse_page(app.current_event)
    name, is_live = parse_side(app.current_event)
    experiment, page = experiments.results(name, live=is_live, limit=limit, after=after)
    return results_response(experiment, page, limit, app.current_event)


@app.delete("/ab_test/results")
def clear() -> Response[str]:
    experiments.clear(parse_experiment_name(app.current_event))
    return Response(204)


@app.get("/users/<user_id>/recommendations")
def recommend(user_id: str) -> Response[str]:
    k, name = parse_list_length(app.current_event), parse_experiment_name(app.current_event)
    start = perf_counter()
    shown = live.recommend(read_user_id(user_id), k, name)
    observe_shown(shown, 1_000 * (perf_counter() - start))
    return json_response(shown_body(shown))


@app.get("/experiments")
def list_experiments() -> Response[str]:
    return json_response({"experiments": [experiment_row(*each) for each in epochs.all()]})


@app.put("/experiments/<name>")
def save(name: str) -> Response[str]:
    saved = epochs.save(*parse_experiment(name, app.current_event))
    row = experiment_row(saved.experiment, saved.tag)
    return json_response(row, 201 if saved.created else 200, headers={"ETag": saved.tag})


lambda_handler = create_handler(app)
