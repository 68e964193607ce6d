"""The built functions under Lambda's own runtime, answering the sample events."""

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.template import Template
from segue.domain.events import Event, EventType
from segue.domain.times import DAY, SECOND
from segue.domain.users import User
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import DEFAULT
from segue.experiments.records import Exposure, Record
from segue.models.bundle import Bundle
from segue.services.compaction import Compactor
from tests.runtime.emulator import Function, RunningFunction, Runtime, running
from tests.runtime.support import ROOT, Deploy, Stack, Start, request, sample

# The listener of the sample events: played some tracks before the cut-off, and all of them after.
LISTENER = 429
# Another, who played the same before the cut-off and nothing after.
LEAVER = 430
TRACKS_A_SESSION = 6
# The samples that are no requests.
SCHEDULED, SHARD = "maintenance", "batch"
# What a browser accepts.
BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"
# Where nobody listens.
NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}

Launch = Callable[[str], RunningFunction]


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
def launch(
    runtime: Runtime, deployed: Deploy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launch]:
    """Starts a function that answers until the module's tests are done."""
    with ExitStack() as stack:

        def start(function_id: str) -> RunningFunction:
            log = tmp_path_factory.mktemp(function_id) / "log"
            return stack.enter_context(running(runtime, deployed(function_id), log))

        yield start


@pytest.fixture(scope="module")
def predict(launch: Launch) -> RunningFunction:
    return launch("PredictFunction")


@pytest.fixture(scope="module")
def ab_test(launch: Launch) -> RunningFunction:
    return launch("AbTestFunction")


@pytest.fixture(scope="module")
def ab_report(launch: Launch) -> RunningFunction:
    return launch("AbReportFunction")


@pytest.fixture(scope="module")
def maintenance(launch: Launch) -> RunningFunction:
    return launch("MaintenanceFunction")


@pytest.fixture(scope="module")
def batch(launch: Launch) -> RunningFunction:
    return launch("BatchFunction")


@pytest.fixture(scope="module")
def events(launch: Launch) -> RunningFunction:
    return launch("EventsFunction")


@pytest.fixture(scope="module")
def pages(launch: Launch) -> RunningFunction:
    return launch("PagesFunction")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def of_user(name: str, user: int) -> dict[str, Any]:
    """The sample event about another user."""
    event = sample(name)
    path = event["path"].replace(str(LISTENER), str(user))
    return event | {"path": path, "pathParameters": {"user_id": str(user)}}


def body(answer: dict[str, Any]) -> Any:
    return json.loads(answer["body"])


def content_type(answer: dict[str, Any]) -> str:
    (value,) = answer["multiValueHeaders"]["Content-Type"]
    return str(value)


def test_every_sample_event_is_a_request_to_a_route_and_every_route_has_one(
    template: Template,
) -> None:
    names = {path.stem for path in (ROOT / "infra/events").glob("*.json")} - {SCHEDULED, SHARD}
    events = [sample(name) for name in sorted(names)]
    requests = sorted((event["httpMethod"], event["resource"]) for event in events)
    assert requests == sorted((route.method, route.path) for route in template.routes())


class TestPredict:
    def test_health(self, predict: RunningFunction, bundle: Bundle) -> None:
        answer = predict.invoke(sample("health"))
        assert answer["statusCode"] == 200
        assert body(answer)["status"] == "ok"
        assert body(answer)["bundle"] == bundle.version

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


class TestReport:
    def test_is_given_as_json_and_as_a_page(self, ab_report: RunningFunction) -> None:
        answer = ab_report.invoke(sample("report"))
        assert answer["statusCode"] == 200
        assert content_type(answer) == "application/json"
        assert body(answer)["experiment"]["name"] == "default"
        answer = ab_report.invoke(sample("report") | {"headers": {"Accept": BROWSER}})
        assert answer["statusCode"] == 200
        assert content_type(answer) == "text/html; charset=utf-8"
        assert "<h1" in answer["body"]

    def test_looks_at_all_experiments_when_it_is_time(self, ab_report: RunningFunction) -> None:
        assert ab_report.invoke(sample(SCHEDULED)) is None
        counts = [it for it in ab_report.logged() if "Sample ratio mismatches" in it]
        assert [it["Sample ratio mismatches"] for it in counts] == [[0]]


class TestPages:
    def test_the_explorer_is_a_page_and_the_files_that_it_asks_for(
        self, pages: RunningFunction
    ) -> None:
        answer = pages.invoke(sample("explorer"))
        assert answer["statusCode"] == 200
        assert content_type(answer) == "text/html; charset=utf-8"
        assert 'src="assets/app.js"' in answer["body"]
        answer = pages.invoke(sample("asset"))
        assert answer["statusCode"] == 200
        assert content_type(answer) == "text/javascript; charset=utf-8"


class TestMaintenance:
    def test_settles_what_was_shown_once_its_window_has_passed(
        self,
        ab_test: RunningFunction,
        ab_report: RunningFunction,
        maintenance: RunningFunction,
    ) -> None:
        for user in (LISTENER, LEAVER):
            shown = ab_test.invoke(of_user("recommendations", user))
            assert body(shown)["recommendation_id"]
        live = {"queryStringParameters": {"live": "true"}}
        for _ in range(2):
            assert maintenance.invoke(sample(SCHEDULED)) is None
            rows = body(ab_test.invoke(sample("results") | live))["results"]
            assert {row["user_id"]: row["recomm_successful"] for row in rows} == {
                LISTENER: 1,
                LEAVER: 0,
            }
            report = body(ab_report.invoke(sample("report") | live))
            assert report["experiment"]["users"] == 2
        counts = [it for it in maintenance.logged() if "Settled outcomes" in it]
        assert [it["Settled outcomes"] for it in counts] == [[2], [0]]

    @pytest.mark.parametrize(("seconds", "has_time"), [("900", True), ("100", False)])
    def test_begins_nothing_that_lambda_would_not_let_it_finish(
        self, deployed: Deploy, start: Start, tmp_path: Path, seconds: str, has_time: bool
    ) -> None:
        function = deployed("MaintenanceFunction")
        watched = with_probe(
            function,
            tmp_path,
            "import app\n"
            "from segue.services.maintenance import Work\n"
            "class Watched:\n"
            "    def run(self, has_time, *, settle):\n"
            "        self.had_time = has_time()\n"
            "        return Work(0, 0, 0, [])\n"
            "app.maintenance = Watched()\n"
            "def lambda_handler(event, context):\n"
            "    app.lambda_handler(event, context)\n"
            "    return {'had_time': app.maintenance.had_time}\n",
        ).with_environment(AWS_LAMBDA_FUNCTION_TIMEOUT=seconds)
        assert start(watched).invoke(sample(SCHEDULED)) == {"had_time": has_time}

    def test_fails_for_all_to_see_where_it_cannot_do_its_work(
        self, deployed: Deploy, start: Start
    ) -> None:
        function = start(deployed("MaintenanceFunction").with_environment(**NOWHERE))
        answer = json.loads(function.ask(sample(SCHEDULED)))
        assert answer["errorType"] == "StoreUnavailable"


class TestBatch:
    def test_makes_the_lists_of_a_shard_once(
        self, batch: RunningFunction, local_stack: Stack
    ) -> None:
        everybody = len(list(local_stack.users.part(0, 1)))
        made = [batch.invoke(sample(SHARD) | {"run": "once"}) for _ in range(2)]
        assert made == [{"lists": everybody}, {"lists": 0}]


class TestSize:
    def test_a_page_of_the_longest_results_is_one_that_lambda_lets_through(
        self, ab_test: RunningFunction, local_stack: Stack
    ) -> None:
        epoch = Epoch(replace(DEFAULT, name="long"), "bundle")
        local_stack.experiments.save(epoch, None)
        tracks = tuple(f"{n:064}" for n in range(100))
        with ThreadPoolExecutor(16) as pool:
            for user in range(1_000):
                exposure = Exposure(str(user), "A", "autoencoder", "bundle", tracks, 0, 0)
                record = Record(exposure, False, 9)
                pool.submit(local_stack.results.add, epoch.id, record)
        Compactor(local_stack.results, local_stack.archive).compact(epoch.id)

        query = {"experiment": "long", "limit": "1000"}
        users: list[int] = []
        while query.get("next", "") is not None:
            answer = ab_test.invoke(sample("results") | {"queryStringParameters": query})
            assert answer["statusCode"] == 200
            page = body(answer)
            users += [row["user_id"] for row in page["results"]]
            query["next"] = page["next"]
        assert sorted(users) == list(range(1_000))


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
        function = start(deployed("PredictFunction").with_environment(**NOWHERE))
        answer = function.invoke(sample("predict"))
        assert answer["statusCode"] == 503
        assert body(answer)["title"] == "A store is unavailable"

    def test_a_table_that_hangs_is_an_answer_before_the_timeout(
        self, deployed: Deploy, start: Start, silent: str
    ) -> None:
        function = start(deployed("EventsFunction").with_environment(AWS_ENDPOINT_URL=silent))
        answer = function.invoke(sample("profile"))
        assert answer["statusCode"] == 503
        assert body(answer)["title"] == "A store is unavailable"

    def test_an_instance_that_ran_out_of_time_is_followed_by_one_that_answers(
        self, deployed: Deploy, start: Start, silent: str
    ) -> None:
        hasty = {"AWS_ENDPOINT_URL": silent, "AWS_LAMBDA_FUNCTION_TIMEOUT": "5"}
        function = start(deployed("EventsFunction").with_environment(**hasty))
        assert "Task timed out after 5.00 seconds" in function.ask(sample("profile"))
        answer = function.invoke(request("save_profile", favourite_genres="rock"))
        assert answer["statusCode"] == 422

    def test_what_nobody_foresaw_is_an_answer_that_gives_nothing_away(
        self, deployed: Deploy, start: Start, tmp_path: Path
    ) -> None:
        broken = with_probe(
            deployed("EventsFunction"),
            tmp_path,
            "import app\n"
            "class Broken:\n"
            "    def profile(self, user_id):\n"
            "        raise RuntimeError('sec' + 'ret')\n"
            "app.ingest = Broken()\n"
            "lambda_handler = app.lambda_handler\n",
        )
        function = start(broken)
        answer = function.invoke(sample("profile"))
        assert answer["statusCode"] == 500
        assert content_type(answer) == "application/problem+json"
        assert "secret" not in answer["body"]
        logged = function.logged()
        (failure,) = (it for it in logged if it.get("message") == "failed")
        assert failure["error"] == "RuntimeError"
        assert "in profile" in failure["trace"][-1]
        assert "secret" not in json.dumps(logged)


class TestSurroundings:
    def test_logs_and_metrics_are_json_lines_that_name_the_service(
        self, deployed: Deploy, start: Start
    ) -> None:
        function = start(deployed("PredictFunction"))
        function.invoke(sample("predict"))
        function.invoke(request("predict", user_id=LISTENER, k=0))
        lines = function.logged()
        refusal = next(line for line in lines if line.get("message") == "refused")
        assert refusal["service"] == "predict"
        assert refusal["correlation_id"] == "sample-predict"
        metrics = [line for line in lines if "Latency" in line]
        assert [line["service"] for line in metrics] == ["predict"]
        assert metrics[0]["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Segue/dev"

    @pytest.mark.parametrize(
        ("name", "event"),
        [
            ("predict", "health"),
            ("ab_test", "experiments"),
            ("events", "list_events"),
            ("ab_report", "report"),
            ("pages", "explorer"),
            ("maintenance", SCHEDULED),
            ("batch", SHARD),
        ],
    )
    def test_only_the_first_call_of_an_instance_is_a_cold_start(
        self, request: pytest.FixtureRequest, name: str, event: str
    ) -> None:
        function: RunningFunction = request.getfixturevalue(name)
        for _ in range(2):
            function.invoke(sample(event))
        starts = [line["service"] for line in function.logged() if "ColdStart" in line]
        assert starts == [name]

    @pytest.mark.parametrize(
        ("function_id", "packages"),
        [
            ("PredictFunction", {"numpy", "onnxruntime"}),
            ("AbTestFunction", {"numpy", "onnxruntime"}),
            # A profile needs no model, and is there the sooner for it.
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
    return with_probe(
        function,
        folder,
        "import sys\n"
        "import app\n"
        "def lambda_handler(event, context):\n"
        "    modules = {name: getattr(it, '__file__', None) for name, it in sys.modules.items()}\n"
        "    return {name: file for name, file in modules.items() if file}\n",
    )


def with_probe(function: Function, folder: Path, code: str) -> Function:
    """The function with other code for a handler, which may import its own as ``app``."""
    task = shutil.copytree(function.task, folder / "task")
    (task / "probe.py").write_text(code)
    return function.with_code(task, "probe.lambda_handler")
