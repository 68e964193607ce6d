"""The built functions under Lambda's own runtime, answering the sample events."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.template import Template
from segue.domain.events import Event, EventType
from segue.domain.times import DAY, SECOND
from segue.domain.users import User
from segue.models.bundle import Bundle
from tests.runtime.emulator import Function, RunningFunction, Runtime, running
from tests.runtime.support import ROOT, Deploy, Stack, Start, request, sample

# The listener of the sample events: played some tracks before the cut-off, and all of them after.
LISTENER = 429
# Another, who played the same before the cut-off and nothing after.
LEAVER = 430
TRACKS_A_SESSION = 6


@pytest.fixture(scope="module", autouse=True)
def listeners(local_stack: Stack, bundle: Bundle) -> None:
    tracks = bundle.catalogue.track_ids(np.arange(len(bundle.catalogue)))
    cutoff = bundle.manifest.cutoff
    for user in (LISTENER, LEAVER):
        local_stack.users.put(User(str(user)))
        local_stack.sessions.put(session(user, cutoff - 2 * DAY, tracks[:TRACKS_A_SESSION]))
    local_stack.sessions.put(session(LISTENER, cutoff + DAY, tracks))


def session(user: int, start: int, tracks: list[str]) -> Iterator[Event]:
    for place, track in enumerate(tracks):
        yield Event(str(user), f"{user}-{start}", start + place * SECOND, EventType.PLAY, track)


@pytest.fixture(scope="module")
def predict(
    runtime: Runtime, deployed: Deploy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningFunction]:
    log = tmp_path_factory.mktemp("predict") / "log"
    with running(runtime, deployed("PredictFunction"), log) as function:
        yield function


@pytest.fixture(scope="module")
def ab_test(
    runtime: Runtime, deployed: Deploy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningFunction]:
    log = tmp_path_factory.mktemp("ab_test") / "log"
    with running(runtime, deployed("AbTestFunction"), log) as function:
        yield function


@pytest.fixture(scope="module")
def events(
    runtime: Runtime, deployed: Deploy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningFunction]:
    log = tmp_path_factory.mktemp("events") / "log"
    with running(runtime, deployed("EventsFunction"), log) as function:
        yield function


def body(answer: dict[str, Any]) -> Any:
    return json.loads(answer["body"])


def content_type(answer: dict[str, Any]) -> str:
    (value,) = answer["multiValueHeaders"]["Content-Type"]
    return str(value)


def test_every_sample_event_is_a_request_to_a_route_and_every_route_has_one(
    template: Template,
) -> None:
    events = [sample(path.stem) for path in sorted((ROOT / "infra/events").glob("*.json"))]
    requests = sorted((event["httpMethod"], event["resource"]) for event in events)
    assert requests == sorted((route.method, route.path) for route in template.routes())


class TestPredict:
    def test_health(self, predict: RunningFunction, bundle: Bundle) -> None:
        answer = predict.invoke(sample("health"))
        assert answer["statusCode"] == 200
        assert body(answer) == {"status": "ok", "bundle": bundle.version}

    def test_models(self, predict: RunningFunction, bundle: Bundle) -> None:
        answer = predict.invoke(sample("models"))
        assert answer["statusCode"] == 200
        assert body(answer) == bundle.manifest.content

    @pytest.mark.parametrize(("model_id", "name"), [("1", "autoencoder"), ("2", "classifier")])
    def test_recommends_as_many_tracks_as_a_session_has(
        self, predict: RunningFunction, bundle: Bundle, model_id: str, name: str
    ) -> None:
        event = sample("predict")
        event |= {"path": f"/models/{model_id}/predict", "pathParameters": {"model_id": model_id}}
        answer = predict.invoke(event)
        assert answer["statusCode"] == 200
        assert content_type(answer) == "application/json"
        assert answer["multiValueHeaders"]["X-Segue-Answered-By"] == [name]
        tracks = body(answer)
        assert len(tracks) == len(set(tracks)) == TRACKS_A_SESSION
        assert (bundle.catalogue.positions(tracks) >= 0).all()

    def test_answers_a_bad_request_with_a_problem(self, predict: RunningFunction) -> None:
        answer = predict.invoke(request("predict", user_id=LISTENER, k=0))
        assert answer["statusCode"] == 422
        assert content_type(answer) == "application/problem+json"
        assert body(answer)["field"] == "k"
        assert body(answer)["request_id"] == "sample-predict"


class TestAbTest:
    def test_a_result_is_found_once_listed_and_cleared(self, ab_test: RunningFunction) -> None:
        assert ab_test.invoke(sample("delete_results"))["statusCode"] == 204

        for _ in range(2):
            answer = ab_test.invoke(sample("perform_ab_test"))
            assert answer["statusCode"] == 200
            assert body(answer) == {"Successful recommendation": 1}
        answer = ab_test.invoke(request("perform_ab_test", user_id=LEAVER))
        assert body(answer) == {"Successful recommendation": 0}

        results = body(ab_test.invoke(sample("results")))
        assert results["next"] is None
        outcomes = {row["user_id"]: row["recomm_successful"] for row in results["results"]}
        assert outcomes == {LISTENER: 1, LEAVER: 0}
        assert len(results["results"]) == 2
        for row in results["results"]:
            assert (row["group"], row["model"]) in {("A", "autoencoder"), ("B", "classifier")}

        assert ab_test.invoke(sample("delete_results"))["statusCode"] == 204
        assert body(ab_test.invoke(sample("results"))) == {"results": [], "next": None}

    def test_an_experiment_is_put_listed_and_shown(self, ab_test: RunningFunction) -> None:
        assert ab_test.invoke(sample("save_experiment"))["statusCode"] in {200, 201}
        names = [it["name"] for it in body(ab_test.invoke(sample("experiments")))["experiments"]]
        assert names == ["default", "popularity"]
        first, second = (body(ab_test.invoke(sample("recommendations"))) for _ in range(2))
        assert first == second
        assert len(first["tracks"]) == 10
        assert first["recommendation_id"]


class TestEvents:
    def test_events_are_taken_once_and_given_back(self, events: RunningFunction) -> None:
        for accepted, repeated in ((2, 0), (0, 2)):
            receipt = body(events.invoke(sample("add_events")))
            assert (receipt["accepted"], receipt["repeated"]) == (accepted, repeated)
        page = body(events.invoke(sample("list_events")))
        assert page["next"] is None
        sent = json.loads(sample("add_events")["body"])["events"]
        assert {row["session_id"] for row in sent} <= {row["session_id"] for row in page["events"]}

    def test_what_is_held_is_handed_out_and_erased(self, events: RunningFunction) -> None:
        sent = {**sample("add_events"), "path": "/users/newcomer/events"}
        assert body(events.invoke(sent))["accepted"] == 2
        assert len(body(events.invoke(sample("export_user")))["events"]) == 2
        assert events.invoke(sample("erase_user"))["statusCode"] == 204
        assert events.invoke(sample("export_user"))["statusCode"] == 404

    def test_a_profile_is_kept(self, events: RunningFunction) -> None:
        saved = body(events.invoke(sample("save_profile")))
        assert saved["premium_user"] is True
        assert body(events.invoke(sample("profile"))) == saved


class TestFaults:
    def test_a_damaged_bundle_is_an_answer_and_not_a_crash(
        self, deployed: Deploy, start: Start, bundle: Bundle, tmp_path: Path
    ) -> None:
        damaged = shutil.copytree(bundle.path, tmp_path / "bundle")
        (damaged / "encoder.json").write_bytes(b"{}")
        function = start(deployed("PredictFunction").with_environment(BUNDLE_PATH=str(damaged)))
        for event in ("health", "predict"):
            answer = function.invoke(sample(event))
            assert answer["statusCode"] == 503
            assert content_type(answer) == "application/problem+json"
            assert body(answer)["title"] == "The models cannot be served"
            assert "encoder.json" in body(answer)["detail"]

    def test_an_unreachable_table_is_an_answer_and_not_a_crash(
        self, deployed: Deploy, start: Start
    ) -> None:
        nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
        function = start(deployed("PredictFunction").with_environment(**nowhere))
        answer = function.invoke(sample("predict"))
        assert answer["statusCode"] == 503
        assert body(answer)["title"] == "A store is unavailable"


class TestSurroundings:
    def test_logs_and_metrics_are_json_lines_that_name_the_service(
        self, deployed: Deploy, start: Start, tmp_path: Path
    ) -> None:
        function = start(deployed("PredictFunction"))
        function.invoke(sample("predict"))
        function.invoke(request("predict", user_id=LISTENER, k=0))
        lines = [
            json.loads(line)
            for line in (tmp_path / "function.log").read_text().splitlines()
            if line.startswith("{")
        ]
        refusal = next(line for line in lines if line.get("message") == "refused")
        assert refusal["service"] == "predict"
        assert refusal["correlation_id"] == "sample-predict"
        metrics = [line for line in lines if "Latency" in line]
        assert [line["service"] for line in metrics] == ["predict"]
        assert metrics[0]["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Segue/dev"

    @pytest.mark.parametrize(
        ("function_id", "packages"),
        [
            ("PredictFunction", {"numpy", "onnxruntime"}),
            ("AbTestFunction", {"numpy", "onnxruntime"}),
            # It serves no model, and starts the sooner for it.
            ("EventsFunction", set()),
        ],
    )
    def test_every_import_comes_from_the_layers_or_from_lambda(
        self,
        deployed: Deploy,
        start: Start,
        runtime: Runtime,
        tmp_path: Path,
        function_id: str,
        packages: set[str],
    ) -> None:
        modules = start(probe(deployed(function_id), tmp_path)).invoke({})
        opt = deployed(function_id).opt
        origins = {"task": tmp_path / "task", "opt": opt, "provided": runtime.packages}
        found = {
            name: next((origin for origin, root in origins.items() if root in parents), "python")
            for name, parents in ((name, Path(file).parents) for name, file in modules.items())
        }
        assert found["app"] == "task"
        for package in ("segue", "aws_lambda_powertools", "msgspec", *packages):
            assert found[package] == "opt"
        assert packages == {"numpy", "onnxruntime"} & found.keys()
        assert found["boto3"] == found["awslambdaric"] == "provided"
        elsewhere = {name for name, origin in found.items() if origin == "python"}
        assert not {name for name in elsewhere if ROOT in Path(modules[name]).parents}
        assert not {name for name in elsewhere if "site-packages" in modules[name]}


def probe(function: Function, folder: Path) -> Function:
    """The function with a handler around it that answers where every module came from."""
    task = shutil.copytree(function.task, folder / "task")
    (task / "probe.py").write_text(
        "import sys\n"
        "import app\n"
        "def lambda_handler(event, context):\n"
        "    modules = {name: getattr(it, '__file__', None) for name, it in sys.modules.items()}\n"
        "    return {name: file for name, file in modules.items() if file}\n"
    )
    return function.with_code(task, "probe.lambda_handler")
