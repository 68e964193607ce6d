"""The processes in which the local stack's functions run: what Lambda's sandboxes do, they do."""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.local.functions import Answer, Function, LambdaContext
from infra.local.workers import Workers, running
from infra.process import LocalStackError

# What a call does, its event says.
SOURCE = """
import os, sys, time
from pathlib import Path

def handle(event, context):
    if "note" in event:
        with open(event["file"], "a") as file:
            file.write(event["note"])
    while "until" in event and not Path(event["until"]).exists():
        time.sleep(0.01)
    if "print" in event:
        print(event["print"])
    if event.get("exit"):
        sys.exit()
    return os.getpid()
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "functions.log"


@pytest.fixture
def function(tmp_path: Path) -> Function:
    (tmp_path / "app.py").write_text(SOURCE)
    return Function("f", "app.handle", tmp_path, {})


@contextmanager
def working(function: Function, log: Path, count: int = 1) -> Iterator[Workers]:
    workers = Workers([function], log, count)
    try:
        workers.begin()
        workers.start()
        yield workers
    finally:
        workers.stop()


def submit(workers: Workers, **event: Any) -> "Future[Answer]":
    return workers.submit("f", json.dumps(event).encode(), "request")


def process_of(workers: Workers) -> int:
    """The process that answers a call."""
    return int(submit(workers).result().payload)


def error_of(answer: Answer) -> str:
    assert answer.failed
    return str(json.loads(answer.payload)["errorType"])


def exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


class TestWorkers:
    def test_a_slow_call_holds_up_no_other(
        self, function: Function, log: Path, tmp_path: Path
    ) -> None:
        with working(function, log, count=2) as workers:
            slow = submit(workers, until=str(tmp_path / "gate"))
            assert process_of(workers)
            assert not slow.done()
            (tmp_path / "gate").touch()
            assert not slow.result().failed

    def test_a_call_that_is_cancelled_while_it_waits_is_never_begun(
        self, function: Function, log: Path, tmp_path: Path
    ) -> None:
        file, gate = tmp_path / "file", tmp_path / "gate"
        with working(function, log) as workers:
            submit(workers, note="1", file=str(file), until=str(gate))
            assert submit(workers, note="2", file=str(file)).cancel()
            last = submit(workers, note="3", file=str(file))
            gate.touch()
            last.result()
        assert file.read_text() == "13"

    def test_a_call_whose_process_ends_fails_and_the_next_has_another(
        self, function: Function, log: Path
    ) -> None:
        with working(function, log) as workers:
            before = process_of(workers)
            assert error_of(submit(workers, exit=True).result()) == "Runtime.ExitError"
            assert process_of(workers) != before

    def test_a_call_over_its_time_fails_and_the_next_has_another_process(
        self, function: Function, log: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        brief = replace(function, timeout=0.5)
        with working(brief, log) as workers:
            before = process_of(workers)
            endless = submit(workers, until=str(tmp_path / "never"))
            assert error_of(endless.result()) == "Sandbox.Timedout"
            assert not exists(before)
        assert "Sandbox.Timedout" in caplog.text

    def test_a_process_that_was_killed_between_two_calls_is_replaced(
        self, function: Function, log: Path
    ) -> None:
        with working(function, log) as workers:
            before = process_of(workers)
            os.kill(before, signal.SIGKILL)
            with suppress(ChildProcessError):  # where its end has been noticed already
                os.waitid(os.P_PID, before, os.WEXITED | os.WNOWAIT)
            assert process_of(workers) != before

    def test_no_process_is_left_in_the_end(
        self, function: Function, log: Path, tmp_path: Path
    ) -> None:
        with working(function, log, count=2) as workers:
            processes = {process_of(workers) for _ in range(10)}
            submit(workers, until=str(tmp_path / "never"))
        assert not any(exists(process) for process in processes)

    def test_what_a_function_prints_goes_to_the_log(self, function: Function, log: Path) -> None:
        with working(function, log) as workers:
            submit(workers, print="a metric").result()
            assert "a metric\n" in log.read_text()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
    def test_a_log_that_cannot_be_written_fails_no_call(self, function: Function) -> None:
        with working(function, Path("/dev/full")) as workers:
            assert not submit(workers, print="a metric").result().failed

    def test_functions_that_cannot_be_loaded_are_refused(self, tmp_path: Path, log: Path) -> None:
        (tmp_path / "app.py").write_text("import nothing_of_that_name")
        with (
            pytest.raises(LocalStackError, match=r"functions\.log"),
            working(Function("f", "app.handle", tmp_path, {}), log),
        ):
            pass
        assert "nothing_of_that_name" in log.read_text()


def test_reserved_concurrency_is_a_process_that_no_other_function_takes(
    tmp_path: Path, log: Path, function: Function
) -> None:
    gate = tmp_path / "gate"
    reserved = replace(function, name="reserved", reserved=1)
    with running([function, reserved], log) as functions:
        slow = functions["reserved"](json.dumps({"until": str(gate)}).encode(), "1")
        second = functions["reserved"](b"{}", "2")
        others = [functions["f"](b"{}", "3").result().payload for _ in range(5)]
        assert not second.done()
        gate.touch()
        assert second.result() == slow.result()
        assert second.result().payload not in others


class TestFunction:
    def test_is_loaded_from_its_own_file_with_its_own_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TABLE", "another")
        source = (
            "import os\nTABLE = os.environ['TABLE']\ndef handle(event, context): return TABLE\n"
        )
        handlers = {}
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "app.py").write_text(source)
            handlers[name] = Function(name, "app.handle", tmp_path / name, {"TABLE": name}).load()
        context = LambdaContext("f", "id", 25)
        assert {name: handler({}, context) for name, handler in handlers.items()} == {
            "one": "one",
            "two": "two",
        }

    def test_tells_the_handler_how_much_time_is_left(self) -> None:
        context = LambdaContext("predict", "id", 900)
        assert 880_000 < context.get_remaining_time_in_millis() <= 900_000
        assert context.invoked_function_arn.endswith(":function:predict")
