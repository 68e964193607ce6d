"""A/B tests: perform one, list the results, begin anew; recommend by one; change them."""

from time import perf_counter

from aws_lambda_powertools.event_handler import Response

from segue import bootstrap
from segue.api.app import create_app, create_handler
from segue.api.experiments import (
    ExperimentsAnswer,
    LayerBody,
    LayersAnswer,
    StopQuery,
    caller,
    experiment_answer,
    experiment_row,
    layer_row,
    parse_experiment,
    parse_experiment_name,
    parse_results,
    parse_save,
    parse_test,
    plan_answer,
    read_name,
    results_response,
    test_response,
)
from segue.api.http import json_response, read_body, read_query, read_segment, read_user_id
from segue.api.live import live_answer, parse_live
from segue.api.telemetry import observe_outcome, observe_shown
from segue.domain.times import SECOND
from segue.experiments.records import Pending

app = create_app()
experiments = bootstrap.experiments()
live = bootstrap.live()
epochs = bootstrap.epochs()
layers = bootstrap.layers()
bootstrap.snapshot_models()


@app.post("/perform_ab_test")
def perform() -> Response[str]:
    outcome = experiments.perform(*parse_test(app.current_event))
    observe_outcome(outcome.exposure, settled=not isinstance(outcome, Pending))
    return test_response(outcome)


@app.get("/ab_test/results")
def results() -> Response[str]:
    asked = parse_results(app.current_event)
    page = experiments.results(
        asked.experiment,
        live=asked.live,
        number=asked.epoch,
        limit=asked.limit,
        after=asked.next,
    )
    return results_response(page, asked.limit, app.current_event)


@app.delete("/ab_test/results")
def clear() -> Response[str]:
    experiments.clear(parse_experiment_name(app.current_event), caller(app.current_event))
    return Response(204)


@app.get("/users/<user_id>/recommendations")
def recommend(user_id: str) -> Response[str]:
    asked = parse_live(app.current_event)
    start = perf_counter()
    shown = live.recommend(
        read_user_id(user_id),
        asked.k,
        asked.experiment,
        explain=asked.explain,
        max_age=asked.max_age and asked.max_age * SECOND,
    )
    observe_shown(shown, 1_000 * (perf_counter() - start))
    return json_response(live_answer(shown))


@app.get("/experiments")
def list_experiments() -> Response[str]:
    return json_response(ExperimentsAnswer([experiment_row(*each) for each in epochs.all()]))


@app.get("/experiments/<name>")
def experiment(name: str) -> Response[str]:
    found, tag, versions = epochs.history(read_name(name))
    return json_response(experiment_answer(found, tag, versions), headers={"ETag": tag})


@app.put("/experiments/<name>")
def save(name: str) -> Response[str]:
    saved = epochs.save(*parse_save(name, app.current_event), caller(app.current_event))
    row = experiment_row(saved.epoch, saved.tag)
    return json_response(row, 201 if saved.created else 200, headers={"ETag": saved.tag})


@app.post("/experiments/<name>/dry_run")
def plan(name: str) -> Response[str]:
    return json_response(plan_answer(epochs.plan(parse_experiment(name, app.current_event))))


@app.delete("/experiments/<name>")
def stop(name: str) -> Response[str]:
    archive = read_query(app.current_event, StopQuery).archive
    epochs.stop(read_name(name), archive=archive, by=caller(app.current_event))
    return Response(204)


@app.get("/layers")
def list_layers() -> Response[str]:
    return json_response(LayersAnswer([layer_row(layer) for layer in layers.all()]))


@app.put("/layers/<name>")
def hold_out(name: str) -> Response[str]:
    body = read_body(app.current_event, LayerBody)
    return json_response(layer_row(layers.hold_out(read_segment(name, "name"), body.holdout)))


lambda_handler = create_handler(app)
