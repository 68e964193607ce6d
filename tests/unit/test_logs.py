"""No log line and no metric names a listener: whatever is asked, refused, or goes wrong."""

import io
import logging
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import pytest

from infra.template import load
from segue.domain.errors import StoreUnavailable, UnknownModel
from segue.domain.times import DAY
from tests.unit.conftest import ROOT, Function, LambdaContext, World

LISTENER = "listener-5f0c9"
ROUTES = [
    (route.method, route.path, route.function_id)
    for route in load(ROOT / "template.yaml").routes()
    if route.path not in {"/", "/docs"}  # pages, which are HTML, and take nothing
]
BODIES: list[Any] = [
    None,
    {"user_id": LISTENER},
    {"user_id": LISTENER, LISTENER: LISTENER},
    {"user_id": [LISTENER]},
    {"filter": LISTENER, "user_id": LISTENER},
    {"events": [{"track_id": LISTENER, "event_type": LISTENER, "session_id": LISTENER}]},
    f'{{"user_id": "{LISTENER}"',
]
QUERIES: list[dict[str, str]] = [{}, {LISTENER: LISTENER}, {"query": LISTENER}, {"next": LISTENER}]
SUFFIXES = ["", "/nothing"]


@pytest.fixture
def functions(
    predict: Function,
    ab_test: Function,
    events: Function,
    ab_report: Function,
    pages: Function,
    world: World,
) -> Mapping[str, Function]:
    """The functions over a world in which the listener has data, by their logical ids."""
    world.clock.time = world.cutoff + DAY
    world.join(LISTENER, "rock")
    world.play(LISTENER, world.tracks(0, 10))
    return {
        "PredictFunction": predict,
        "AbTestFunction": ab_test,
        "EventsFunction": events,
        "AbReportFunction": ab_report,
        "PagesFunction": pages,
    }


class Log:
    """The lines of the log as Lambda is handed them, and whatever else was printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._lines = io.StringIO()
        self.handler = logging.StreamHandler(self._lines)

    def text(self) -> str:
        printed = self._capsys.readouterr()
        return self._lines.getvalue() + printed.out + printed.err

    def names_nobody(self) -> bool:
        text = self.text()
        assert "Requests" in text
        return not any(it in text for it in (LISTENER, sha256(LISTENER.encode()).hexdigest()[:16]))


@pytest.fixture
def log(functions: object, capsys: pytest.CaptureFixture[str]) -> Iterator[Log]:
    # What is imported with the functions reads the settings that they are given.
    from segue.api.app import logger

    log, named = Log(capsys), logging.getLogger(logger.name)
    log.handler.setFormatter(logger.registered_formatter)
    named.addHandler(log.handler)
    yield log
    named.removeHandler(log.handler)


@pytest.mark.parametrize(("method", "path", "function_id"), ROUTES)
def test_no_request_is_logged_with_its_listener(
    functions: Mapping[str, Function], log: Log, method: str, path: str, function_id: str
) -> None:
    named = [re.sub(r"{\w+}", LISTENER, path), path.replace("{model_id}", "1")]
    paths = {at + suffix for at in named for suffix in SUFFIXES}
    requests = [(at, body, query) for at in paths for body in BODIES for query in QUERIES]
    statuses = {functions[function_id].call(method, *request)[0] for request in requests}
    assert {400, 404} <= statuses
    assert log.names_nobody()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError(LISTENER), "KeyError"),
        (StoreUnavailable("Sessions: ThrottlingException"), "ThrottlingException"),
    ],
)
def test_what_goes_wrong_is_logged_without_the_listener(
    functions: Mapping[str, Function],
    world: World,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
) -> None:
    def fail(user_id: str) -> None:
        raise error from ValueError(f"no such listener: {user_id}")

    monkeypatch.setattr(world.users, "get", fail)
    status, _, _ = functions["EventsFunction"].call("GET", f"/users/{LISTENER}")
    assert status >= 500
    text = log.text()
    assert said in text
    assert LISTENER not in text


class TestTasks:
    """What a schedule or the state machine runs: what it raises, Lambda logs to the last word."""

    def test_an_error_that_is_not_ours_is_told_by_its_kind_and_place(self, log: Log) -> None:
        from segue.api.app import Unforeseen, create_task

        def run(event: object, context: object) -> None:
            raise KeyError(LISTENER)

        with pytest.raises(Unforeseen) as raised:
            create_task(run)({}, LambdaContext())  # type: ignore[arg-type]
        text = log.text()
        assert "KeyError" in text
        assert "test_logs.py" in text
        assert LISTENER not in f"{text}{raised.value!r}"

    def test_an_error_of_ours_keeps_its_name_which_the_state_machine_goes_by(
        self, log: Log
    ) -> None:
        from segue.api.app import create_task

        def run(event: object, context: object) -> None:
            raise UnknownModel("no model 9")

        with pytest.raises(UnknownModel, match="no model 9"):
            create_task(run)({}, LambdaContext())  # type: ignore[arg-type]
