"""``segue serve`` itself: it survives any kill, and leaves nothing behind."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from infra.local.environment import PREFIX
from infra.process import SEGUE, free_port, listen
from tests.e2e.conftest import (
    ENVIRONMENT,
    PATIENCE,
    ROOT,
    Options,
    Service,
    children,
    client,
    perform,
    results,
    segue,
    serving,
    stack_process,
    start,
    wait_until_ready,
)

USERS = range(101, 141)

pytestmark = pytest.mark.local


def put_user(service: Service, user_id: str) -> None:
    item = {"user_id": {"S": user_id}, "favourite_genres": {"L": []}, "premium": {"BOOL": False}}
    client(service, "dynamodb").put_item(TableName=f"{PREFIX}-userstable", Item=item)


def has_user(service: Service, user_id: str) -> bool:
    key = {"user_id": {"S": user_id}}
    return "Item" in client(service, "dynamodb").get_item(TableName=f"{PREFIX}-userstable", Key=key)


def processes(part: str) -> list[str]:
    """Number and command line of every process whose command line has this part."""
    # -ww: lines of any width.
    command = ["ps", "-ww", "-eo", "pid,args"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if part in line]


def test_answers_leave_at_once() -> None:
    """Without TCP_NODELAY, an answer of two packets waits 40 ms between them."""

    async def is_sent_at_once() -> bool:
        option: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            option.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listener = listen(0, "--port")
        async with await asyncio.start_server(accept, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            sent_at_once = bool(await option)
            writer.close()
            await writer.wait_closed()
            return sent_at_once

    assert asyncio.run(is_sent_at_once())


class TestKill:
    def test_between_two_tests_loses_and_doubles_no_result(self, options: Options) -> None:
        with serving(options) as service:
            before = {user: perform(service, user) for user in USERS[:3]}
            service.kill()
        with serving(options) as service:
            assert results(service) == before
            assert {user: perform(service, user) for user in USERS[:3]} == before
            after = before | {user: perform(service, user) for user in USERS[3:6]}
            assert results(service) == after

    def test_loses_no_item_of_a_table(self, options: Options) -> None:
        for user in ("first", "second"):
            with serving(options) as service:
                put_user(service, user)
                service.kill()
        with serving(options) as service:
            assert has_user(service, "first")
            assert has_user(service, "second")

    def test_loses_no_event_that_was_accepted(self, options: Options) -> None:
        path = f"/users/{USERS[0]}/events"
        event = {"session_id": 1, "timestamp": "2022-08-31", "event_type": "PLAY", "track_id": "x"}
        with serving(options) as service:
            before = service.request("POST", path, {"events": [event]}).json()
            assert before["accepted"] == 1
            service.kill()
        with serving(options) as service:
            assert service.request("POST", path, {"events": [event]}).json()["repeated"] == 1

    def test_of_the_tables_too_loses_no_item(self, options: Options) -> None:
        with serving(options) as service:
            put_user(service, "user")
            service.process.send_signal(signal.SIGSTOP)  # lest it should begin them again
            os.kill(stack_process(service), signal.SIGKILL)
            service.kill()
        with serving(options) as service:
            assert has_user(service, "user")

    def test_of_the_tables_alone_is_healed(self, served: Service) -> None:
        put_user(served, "user")
        os.kill(stack_process(served), signal.SIGKILL)
        assert perform(served, USERS[0]) in (0, 1)
        assert has_user(served, "user")


class TestWorkers:
    def test_one_that_hangs_holds_up_a_single_request(self, served: Service) -> None:
        hanging = children(served, "worker_process")[0]
        os.kill(hanging, signal.SIGSTOP)
        with ThreadPoolExecutor(5) as pool:
            asked = [pool.submit(served.request, "GET", "/health") for _ in range(5)]
            try:
                for answered in islice(as_completed(asked, PATIENCE), 4):
                    assert answered.result().status_code == 200
            finally:
                os.kill(hanging, signal.SIGCONT)

    def test_are_replaced_when_they_are_killed(self, served: Service) -> None:
        """Each may take one request with it, if that came before anybody noticed."""
        workers = children(served, "worker_process")
        for worker in workers:
            with suppress(ProcessLookupError):  # it may have been replaced already
                os.kill(worker, signal.SIGKILL)
        statuses = [served.request("GET", "/health").status_code for _ in range(len(workers) + 1)]
        assert set(statuses) <= {200, 502}
        assert statuses[-1] == 200
        assert perform(served, USERS[0]) in (0, 1)

    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_end_with_the_service(self, options: Options, how: signal.Signals) -> None:
        with serving(options) as service:
            begun = {str(pid) for pid in children(service, "worker_process")}
            service.stop(how)
        deadline = time.monotonic() + PATIENCE
        while (left := begun & running_workers()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert begun
        assert not left


def running_workers() -> set[str]:
    return {line.split()[0] for line in processes("worker_process")}


class TestStop:
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
    def test_leaves_no_process_and_loses_nothing(
        self, options: Options, how: signal.Signals
    ) -> None:
        with serving(options) as service:
            before = {USERS[0]: perform(service, USERS[0])}
            assert service.stop(how) == 0
        assert processes(str(options.state)) == []
        with serving(options) as service:
            assert results(service) == before

    def test_a_second_start_does_not_import_again(self, options: Options) -> None:
        for phrase in ("users imported", "imported before"):
            with serving(options) as service:
                assert phrase in service.printed


class TestImport:
    def test_into_a_running_service_finds_what_is_there(
        self, served: Service, data_path: Path
    ) -> None:
        endpoint = f"http://127.0.0.1:{served.stack_port}"
        options = ["--data", str(data_path), "--endpoint-url", endpoint, "--json", "-"]
        ended = segue("import", *options)
        assert ended.returncode == 0, ended.stderr
        summary = json.loads(ended.stdout)
        assert summary["users"] == 0
        assert summary["skipped_users"] == len(USERS)

    def test_goes_on_after_a_kill(self, options: Options, data_path: Path) -> None:
        with serving(Options(options.bundle, options.state)) as service:
            endpoint = f"http://127.0.0.1:{service.stack_port}"
            command = ["import", "--data", str(data_path), "--endpoint-url", endpoint]
            killed = subprocess.Popen([*SEGUE, *command], cwd=ROOT, env=ENVIRONMENT)
            while not has_user(service, str(USERS[0])) and killed.poll() is None:
                time.sleep(0.01)
            killed.kill()
            killed.wait()
            ended = segue(*command)
            assert ended.returncode == 0, ended.stderr
            assert all(has_user(service, str(user)) for user in USERS)


class TestRefusal:
    """One clear line, exit code 1, and nothing left running."""

    def refused(self, options: Options, **ports: int) -> str:
        service = start(options, **ports)
        _, stderr = service.process.communicate(timeout=PATIENCE)
        assert service.process.returncode == 1
        (line,) = stderr.splitlines()
        return str(line)

    @pytest.mark.parametrize("which", ["port", "stack_port"])
    def test_of_a_port_that_is_taken(self, options: Options, which: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            line = self.refused(options, **{which: port})
        assert str(port) in line
        assert f"--{which.replace('_', '-')}" in line
        assert processes(str(options.state)) == []

    def test_of_one_port_for_both(self, options: Options) -> None:
        port = free_port()
        line = self.refused(options, port=port, stack_port=port)
        assert f"--port and --stack-port are both {port}" in line

    @pytest.mark.parametrize("which", ["port", "stack_port"])
    def test_of_a_port_that_another_one_has_that_starts(
        self, options: Options, tmp_path: Path, which: str
    ) -> None:
        """Of two that begin at once, one serves."""
        ports = {which: free_port()}
        both = [start(replace(options, state=tmp_path / name), **ports) for name in ("one", "two")]
        while all(service.process.poll() is None for service in both):
            time.sleep(0.05)
        refused, serves = sorted(both, key=lambda service: service.process.poll() is None)
        _, stderr = refused.process.communicate()
        wait_until_ready(serves)
        serves.process.send_signal(signal.SIGINT)
        serves.process.communicate(timeout=PATIENCE)
        assert serves.process.returncode == 0
        assert refused.process.returncode == 1
        (line,) = stderr.splitlines()
        assert f"another --{which.replace('_', '-')}" in line

    def test_of_a_state_folder_that_is_taken(self, options: Options) -> None:
        with serving(options):
            assert str(options.state) in self.refused(options)

    def test_of_a_damaged_bundle(self, options: Options, tmp_path: Path) -> None:
        damaged = tmp_path / "bundle"
        damaged.mkdir()
        (damaged / "manifest.json").write_text("{")
        assert "manifest.json" in self.refused(Options(damaged, options.state))

    def test_of_a_state_folder_that_cannot_be_made(self, options: Options, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.touch()
        assert str(file) in self.refused(Options(options.bundle, file))

    def test_of_a_second_folders_data_in_the_same_tables(
        self, options: Options, data_path: Path, tmp_path: Path
    ) -> None:
        with serving(options):
            pass
        other = shutil.copytree(data_path, tmp_path / "other")
        line = self.refused(Options(options.bundle, options.state, other))
        assert str(data_path) in line
        assert "--state" in line
